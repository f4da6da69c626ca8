package jobfile

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"go.yaml.in/yaml/v3"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/connectors/stdout"
	"github.com/sabot-stream/sabot/internal/exprtext"
)

// source adds a source.
func (r *reader) source(e entry) {
	es := r.entries(e.value, "source "+e.key, "file", "event_time")
	n := find(es, "file")
	if n == nil {
		r.problem(e.at, "source %q says not what it reads: add file: {url: ...}", e.key)
		return
	}
	var opts []sabot.SourceOption
	if t := find(es, "event_time"); t != nil {
		opts = append(opts, r.eventTime(t))
	}
	r.streams[e.key] = r.job.Source(e.key, r.files(n), opts...)
}

func (r *reader) eventTime(n *yaml.Node) sabot.SourceOption {
	es := r.entries(n, "event_time", "column", "max_delay", "max_future", "idle")
	var opts []sabot.TimeOption
	for _, e := range es {
		switch e.key {
		case "max_delay":
			opts = append(opts, sabot.MaxDelay(r.duration(e.value)))
		case "max_future":
			opts = append(opts, sabot.MaxFuture(r.duration(e.value)))
		case "idle":
			opts = append(opts, sabot.IdleAfter(r.duration(e.value)))
		}
	}
	column := ""
	if c := find(es, "column"); c != nil {
		column = r.scalar(c, "column")
	}
	return sabot.EventTime(column, opts...)
}

func (r *reader) files(n *yaml.Node) file.Source {
	var s file.Source
	for _, e := range r.entries(n, "file", "url", "format", "columns", "csv") {
		switch e.key {
		case "url":
			s.URL = r.scalar(e.value, "url")
		case "format":
			s.Format = file.Format(r.scalar(e.value, "format"))
		case "columns":
			s.Schema = r.columns(e.value)
		case "csv":
			s.CSV = r.csv(e.value)
		}
	}
	if s.URL == "" {
		r.problem(n, "the file has no url")
	}
	return s
}

func (r *reader) columns(n *yaml.Node) *arrow.Schema {
	var fields []arrow.Field
	for _, e := range r.entries(n, "columns") {
		name := r.scalar(e.value, "a column's type")
		t := exprtext.Types[name]
		if t == nil {
			r.problem(e.value, "column %q: %q is no type; there are %s", e.key, name, exprtext.TypeNames())
			continue
		}
		fields = append(fields, arrow.Field{Name: e.key, Type: t, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

func (r *reader) csv(n *yaml.Node) (o file.CSVOptions) {
	for _, e := range r.entries(n, "csv", "comma", "header", "null") {
		switch e.key {
		case "comma":
			text := r.scalar(e.value, "comma")
			if o.Comma, _ = utf8.DecodeRuneInString(text); utf8.RuneCountInString(text) != 1 {
				r.problem(e.value, "comma %q must be one character", text)
			}
		case "header":
			has, err := strconv.ParseBool(r.scalar(e.value, "header"))
			if err != nil {
				r.problem(e.value, "header must be true or false")
			}
			o.NoHeader = !has
		case "null":
			o.Null = r.list(e.value, "null")
		}
	}
	return o
}

// sink adds a sink.
func (r *reader) sink(e entry) {
	es := r.entries(e.value, "sink "+e.key, "from", "late", "file", "stdout")
	in := r.from(e, es)
	if in == nil {
		return
	}
	if n := find(es, "late"); n != nil && r.scalar(n, "late") == "true" {
		name := r.scalar(find(es, "from"), "from")
		w := r.late[name]
		if w == nil {
			r.problem(n, "%q is no window: it has no late rows", name)
			return
		}
		in = w.Late()
	}
	if find(es, "stdout") != nil {
		if find(es, "file") != nil {
			r.problem(e.at, "sink %q writes to a file and to stdout: make two sinks of it", e.key)
		}
		in.Immediate(e.key, stdout.Sink{})
		return
	}
	if s := r.committed(es, e.at); s != nil {
		in.Sink(e.key, s)
	}
}

// committed returns the sink that is described, nil when there is none.
func (r *reader) committed(es []entry, at *yaml.Node) sabot.Sink {
	n := find(es, "file")
	if n == nil {
		r.problem(at, "it is not said where the rows go: add file: {url: ...}, or stdout: {}")
		return nil
	}
	var s file.Sink
	for _, e := range r.entries(n, "file", "url", "format", "roll_bytes", "roll_age") {
		switch e.key {
		case "url":
			s.URL = r.scalar(e.value, "url")
		case "format":
			s.Format = file.Format(r.scalar(e.value, "format"))
		case "roll_bytes":
			var err error
			if s.RollBytes, err = strconv.ParseInt(r.scalar(e.value, "roll_bytes"), 10, 64); err != nil || s.RollBytes < 1 {
				r.problem(e.value, "roll_bytes must be a number of bytes")
			}
		case "roll_age":
			s.RollAge = r.duration(e.value)
		}
	}
	return s
}

// duration reads a duration such as 90s or 1h30m.
func (r *reader) duration(n *yaml.Node) time.Duration {
	d, err := time.ParseDuration(r.scalar(n, "a duration"))
	if err != nil {
		r.problem(n, "%q is no duration such as 90s or 1h30m", n.Value)
	}
	return d
}
