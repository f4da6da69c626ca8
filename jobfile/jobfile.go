package jobfile

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sabot-stream/sabot"
)

// maxFile bounds a job file.
const maxFile = 4 << 20

// Load returns the job of a file. Params replace the defaults that the file has. What is wrong, also that there is no such file, is reported by the
// job's Plan, with file and line.
func Load(path string, params map[string]string) *sabot.Job {
	b, err := os.ReadFile(path)
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%d bytes are more than a job file may have (%d)", len(b), maxFile)
	}
	if err != nil {
		job := sabot.NewJob("job")
		job.Problem(path, fmt.Errorf("read the job file: %w", err))
		return job
	}
	return Parse(path, b, params)
}

// Parse returns the job of a file's content; name is the file's, for messages.
func Parse(name string, content []byte, params map[string]string) *sabot.Job {
	r := reader{file: name, streams: map[string]*sabot.Stream{}, late: map[string]*sabot.Aggregated{}}
	var doc yaml.Node
	err := yaml.Unmarshal(content, &doc)
	switch {
	case err != nil:
		err = fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "yaml: "))
	case len(doc.Content) == 0:
		err = fmt.Errorf("the file is empty")
	}
	if err != nil {
		r.job = sabot.NewJob("job")
		r.job.Problem(name, err)
		return r.job
	}
	r.read(doc.Content[0], params)
	return r.job
}

// reader makes one job.
type reader struct {
	file    string
	job     *sabot.Job
	streams map[string]*sabot.Stream
	late    map[string]*sabot.Aggregated // windows, whose late rows a sink can take
}

func (r *reader) place(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.file, n.Line) }

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	r.job.Problem(r.place(n), fmt.Errorf(format, args...))
}

// entry is a key of a mapping, and its value.
type entry struct {
	key   string
	at    *yaml.Node // the key
	value *yaml.Node
}

// entries returns what a mapping holds, in the file's order. What is no mapping, or has a key that is not allowed, or twice, is a problem.
func (r *reader) entries(n *yaml.Node, what string, allowed ...string) (out []entry) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "%s must be a mapping, key: value", what)
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := entry{n.Content[i].Value, n.Content[i], n.Content[i+1]}
		if len(allowed) > 0 && !slices.Contains(allowed, e.key) {
			r.problem(e.at, "%s has no %q; it may have %s", what, e.key, strings.Join(allowed, ", "))
			continue
		}
		out = append(out, e)
	}
	return out
}

// find returns the value of a key, nil when it is not there.
func find(es []entry, key string) *yaml.Node {
	for _, e := range es {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// read makes the job of a document.
func (r *reader) read(doc *yaml.Node, params map[string]string) {
	name := "job"
	if doc.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(doc.Content); i += 2 {
			if doc.Content[i].Value == "job" {
				name = doc.Content[i+1].Value
			}
		}
	}
	r.job = sabot.NewJob(name)
	top := r.entries(doc, "a job file", "job", "params", "sources", "operators", "sinks", "dead_letters")
	if find(top, "job") == nil {
		r.problem(doc, "the job has no name: add job: NAME")
	}
	r.fill(doc, top, params)
	defer r.job.At("")
	for _, section := range []struct {
		key  string
		each func(entry)
	}{{"sources", r.source}, {"operators", r.operator}, {"sinks", r.sink}} {
		n := find(top, section.key)
		if n == nil {
			continue
		}
		for _, e := range r.entries(n, section.key) {
			r.job.At(r.place(e.at))
			section.each(e)
		}
	}
	if n := find(top, "dead_letters"); n != nil {
		if s := r.committed(r.entries(n, "dead_letters", "file"), n); s != nil {
			r.job.DeadLetters(s)
		}
	}
}

var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

// fill puts the parameters in the place of their references.
func (r *reader) fill(doc *yaml.Node, top []entry, given map[string]string) {
	values := map[string]string{}
	if n := find(top, "params"); n != nil {
		for _, e := range r.entries(n, "params") {
			values[e.key] = r.scalar(e.value, "a parameter")
		}
	}
	for k, v := range given {
		if _, ok := values[k]; !ok {
			r.problem(doc, "the job has no parameter %q", k)
		}
		values[k] = v
	}
	seen := map[*yaml.Node]bool{}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.Kind == yaml.ScalarNode {
			n.Value = reference.ReplaceAllStringFunc(n.Value, func(ref string) string {
				name := ref[2 : len(ref)-1]
				v, ok := values[name]
				if !ok {
					r.problem(n, "there is no parameter %q; params lists those that there are", name)
				}
				return v
			})
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	for _, e := range top {
		if e.key != "params" {
			walk(e.value)
		}
	}
}

// scalar returns a value as text.
func (r *reader) scalar(n *yaml.Node, what string) string {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		r.problem(n, "%s must be a single value", what)
		return ""
	}
	return n.Value
}

// list returns a list of values, or a single one, as text.
func (r *reader) list(n *yaml.Node, what string) (out []string) {
	if n.Kind != yaml.SequenceNode {
		return []string{r.scalar(n, what)}
	}
	for _, c := range n.Content {
		out = append(out, r.scalar(c, what))
	}
	return out
}
