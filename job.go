package sabot

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Job is a dataflow in the making. Building does no I/O; what is wrong is collected, and Plan reports all of it with the user's file and line.
// It is used by one goroutine until Plan has been called.
type Job struct {
	name     string
	at       string
	nodes    []*Node
	impl     map[string]any
	dead     Sink
	problems []error
	place    string // of what is added; empty: the call
	unnamed  map[NodeKind]int
}

// NewJob returns an empty job. Its name is the prefix of its objects in the bucket: lower-case letters, digits, '.', '_' and '-'.
func NewJob(name string) *Job {
	return &Job{name: name, at: caller(), impl: map[string]any{}, unnamed: map[NodeKind]int{}}
}

// Name returns the job's name.
func (j *Job) Name() string { return j.name }

// Impl returns the connector or function of a node: a Source, Sink, ImmediateSink, RowFunc, FilterRowFunc, BatchFunc or ProcessFunc; nil for
// nodes that are data alone.
func (j *Job) Impl(node string) any { return j.impl[node] }

// DeadLetters sends the job's dead letters to a committed sink, instead of files in the bucket. Their columns are operator, reason, split
// (nullable), row (int64, nullable) and letter, the whole as JSON.
func (j *Job) DeadLetters(s Sink) { j.dead = s }

// DeadLetterSink returns what DeadLetters has set, or nil.
func (j *Job) DeadLetterSink() Sink { return j.dead }

// Plan returns the job as data, or an Invalid error that names everything that is wrong with it.
func (j *Job) Plan() (*Plan, error) {
	bad := append([]error(nil), j.problems...)
	if j.name == "" {
		bad = append(bad, fmt.Errorf("%s: the job has no name", j.at))
	}
	used := map[int]bool{}
	for _, n := range j.nodes {
		for _, in := range n.Inputs {
			used[in] = true
		}
	}
	if len(j.nodes) == 0 && len(bad) == 0 {
		bad = append(bad, fmt.Errorf("%s: the job has no source", j.at))
	}
	for _, n := range j.nodes {
		if isSink := n.Kind == KindSink || n.Kind == KindSinkNow; !isSink && !used[n.ID] {
			bad = append(bad, fmt.Errorf("%s: nothing takes the rows of %q; end it in a Sink, or remove it", n.At, n.Name))
		}
	}
	if len(bad) > 0 {
		return nil, WithKind(Invalid, errors.Join(bad...))
	}
	return &Plan{Job: j.name, Nodes: j.nodes}, nil
}

func (j *Job) problem(at, format string, args ...any) {
	j.problems = append(j.problems, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
}

// At says that what is added from now on stands at a place, such as a line of a file, which messages then name instead of the Go call; "" ends that.
func (j *Job) At(place string) { j.place = place }

// Problem makes Plan return an error, along with the others that it has found. Packages that build jobs from something else than Go say by it what is
// wrong there, and where.
func (j *Job) Problem(place string, err error) {
	j.problem(place, "%s", err)
}

// add appends a node. An empty name becomes the kind and a number: such nodes hold no state.
func (j *Job) add(kind NodeKind, name string, impl any, inputs ...*Stream) *Node {
	n := &Node{ID: len(j.nodes), Name: name, Kind: kind, At: cmp.Or(j.place, caller())}
	if name == "" {
		j.unnamed[kind]++
		n.Name = fmt.Sprintf("%s-%d", kind, j.unnamed[kind])
	} else if why := badName(name); why != "" {
		j.problem(n.At, "the name %q %s", name, why)
	}
	for _, o := range j.nodes {
		if o.Name == n.Name {
			j.problem(n.At, "the name %q is taken by the %s at %s: names are unique in a job, state hangs on them", n.Name, o.Kind, o.At)
		}
	}
	for _, in := range inputs {
		switch {
		case in == nil:
			j.problem(n.At, "%q takes the rows of a nil stream", n.Name)
		case in.job != j:
			j.problem(n.At, "%q takes rows of another job, %q", n.Name, in.job.name)
		default:
			n.Inputs = append(n.Inputs, in.node.ID)
		}
	}
	j.nodes = append(j.nodes, n)
	if impl != nil {
		j.impl[n.Name] = impl
	}
	return n
}

func badName(name string) string {
	if len(name) > 64 {
		return "is longer than 64 bytes"
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '-' || c == '_' || c == '.') && i > 0:
		default:
			return "may hold only letters, digits, '-', '_' and '.', and begins with a letter or digit"
		}
	}
	return ""
}

// caller returns file:line of the first frame outside of this package.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "github.com/sabot-stream/sabot.") || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return "?"
		}
	}
}

// SourceOption sets what the rows of a source mean.
type SourceOption func(*Job, *Node)

// TimeOption is an option of EventTime.
type TimeOption func(*Job, *Node)

// EventTime names the column, a timestamp, that holds the rows' event time.
func EventTime(column string, opts ...TimeOption) SourceOption {
	return func(j *Job, n *Node) {
		n.Source.TimeCol = column
		n.Source.MaxFuture = 24 * time.Hour
		if column == "" {
			j.problem(n.At, "the event-time column of %q has no name", n.Name)
		}
		for _, o := range opts {
			o(j, n)
		}
	}
}

// MaxDelay says how far behind the latest event time of its split a row may come: the watermark is that time less d. The default is 0.
func MaxDelay(d time.Duration) TimeOption {
	return func(j *Job, n *Node) { n.Source.MaxDelay = j.positive(n, "MaxDelay", d) }
}

// MaxFuture says how far ahead of the clock an event time may lie; rows beyond it go to dead letters. The default is a day.
func MaxFuture(d time.Duration) TimeOption {
	return func(j *Job, n *Node) { n.Source.MaxFuture = j.positive(n, "MaxFuture", d) }
}

// IdleAfter says how long a split may have nothing before the watermark goes on without it. By default it waits.
func IdleAfter(d time.Duration) TimeOption {
	return func(j *Job, n *Node) { n.Source.Idle = j.positive(n, "IdleAfter", d) }
}

func (j *Job) positive(n *Node, what string, d time.Duration) time.Duration {
	if d < 0 {
		j.problem(n.At, "%s of %q is negative: %s", what, n.Name, d)
	}
	return d
}

// Source adds a source of rows.
func (j *Job) Source(name string, s Source, opts ...SourceOption) *Stream {
	n := j.add(KindSource, name, s)
	n.Source = &SourceSpec{}
	if s == nil {
		j.problem(n.At, "source %q is nil", name)
	} else if id, ok := s.(Identifier); ok {
		n.Source.Identity = id.Identity()
	}
	for _, o := range opts {
		o(j, n)
	}
	return &Stream{j, n}
}
