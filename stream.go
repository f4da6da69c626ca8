package sabot

import (
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Stream is rows with named columns, in the making.
type Stream struct {
	job  *Job
	node *Node
}

// Name returns the name of the node that the rows come from.
func (s *Stream) Name() string { return s.node.Name }

func (s *Stream) then(kind NodeKind, name string, impl any) (*Stream, *Node) {
	n := s.job.add(kind, name, impl, s)
	return &Stream{s.job, n}, n
}

// Filter keeps the rows for which e is true.
func (s *Stream) Filter(e Expr) *Stream {
	out, n := s.then(KindFilter, "", nil)
	n.Filter = &e
	return out
}

// Select returns the given columns; an expression that is not a plain column needs a name, by As.
func (s *Stream) Select(columns ...Expr) *Stream {
	out, n := s.then(KindProject, "", nil)
	if len(columns) == 0 {
		s.job.problem(n.At, "Select has no columns")
	}
	seen := map[string]bool{}
	for _, e := range columns {
		if e.Name == "" {
			e.Name = e.Column
		}
		if e.Name == "" {
			s.job.problem(n.At, "a column of Select has no name: add .As(name)")
		}
		if seen[e.Name] {
			s.job.problem(n.At, "Select has two columns %q", e.Name)
		}
		seen[e.Name] = true
		n.Project = append(n.Project, e)
	}
	return out
}

// Union returns the rows of s and of others, which have the same columns.
func (s *Stream) Union(others ...*Stream) *Stream {
	n := s.job.add(KindUnion, "", nil, append([]*Stream{s}, others...)...)
	return &Stream{s.job, n}
}

// Sink publishes the rows through a committed sink: each row of a committed checkpoint, once.
func (s *Stream) Sink(name string, sink Sink) {
	_, n := s.then(KindSink, name, sink)
	n.Sink = &SinkSpec{Identity: identity(sink)}
	if sink == nil {
		s.job.problem(n.At, "sink %q is nil", name)
	}
}

// Immediate writes the rows to an immediate sink as they are produced: at least once.
func (s *Stream) Immediate(name string, sink ImmediateSink) {
	_, n := s.then(KindSinkNow, name, sink)
	n.Sink = &SinkSpec{Identity: identity(sink)}
	if sink == nil {
		s.job.problem(n.At, "sink %q is nil", name)
	}
}

func identity(connector any) string {
	if id, ok := connector.(Identifier); ok {
		return id.Identity()
	}
	return ""
}

// Keyed is a stream divided by key: what follows sees the rows of one key together, wherever they came from.
type Keyed struct{ stream *Stream }

// KeyBy divides the rows by the columns. Null is one key, NaN is one, and -0 equals +0.
func (s *Stream) KeyBy(columns ...string) *Keyed {
	out, n := s.then(KindKeyBy, "", nil)
	n.Key = slices.Clone(columns)
	seen := map[string]bool{}
	for _, c := range columns {
		if c == "" || seen[c] {
			s.job.problem(n.At, "KeyBy has an empty column, or one twice: %q", c)
		}
		seen[c] = true
	}
	if len(columns) == 0 {
		s.job.problem(n.At, "KeyBy has no columns")
	}
	return &Keyed{out}
}

// Window divides the rows of each key by event time.
func (k *Keyed) Window(w Window) *Windowed { return &Windowed{k, w} }

// Window is a way to divide time. Windows begin at multiples of their slide since 1970-01-01 UTC.
type Window struct {
	kind     WindowKind
	size     time.Duration
	slide    time.Duration
	lateness time.Duration
}

// Tumbling windows follow each other without gap or overlap.
func Tumbling(size time.Duration) Window {
	return Window{kind: TumblingWindow, size: size, slide: size}
}

// Hopping windows of a size begin every slide, so that each row is in size/slide of them; slide divides size.
func Hopping(size, slide time.Duration) Window {
	return Window{kind: HoppingWindow, size: size, slide: slide}
}

// Lateness keeps windows for d after they have fired: each batch of late rows makes them fire again, with the column pane risen by one.
func (w Window) Lateness(d time.Duration) Window {
	w.lateness = d
	return w
}

// Windowed is a keyed stream in windows.
type Windowed struct {
	keyed *Keyed
	w     Window
}

// Aggregated is the results of windows: the key's columns, window_start and window_end (timestamp[us]), the aggregates, and with lateness
// the int64 pane.
type Aggregated struct{ *Stream }

// Aggregate computes the aggregates of each key and window, and emits them when the watermark reaches the window's end. Its state hangs on the
// name.
func (w *Windowed) Aggregate(name string, aggs ...Agg) *Aggregated {
	aggs = slices.Clone(aggs) // the caller may use its own again
	out, n := w.keyed.stream.then(KindWindow, name, nil)
	j := out.job
	n.Window = &WindowSpec{Kind: w.w.kind, Size: w.w.size, Slide: w.w.slide, Lateness: j.positive(n, "Lateness", w.w.lateness), Aggs: aggs}
	if name == "" {
		j.problem(n.At, "Aggregate needs a name: its state hangs on it")
	}
	switch {
	case w.w.size <= 0 || w.w.slide <= 0:
		j.problem(n.At, "the windows of %q have size %s and slide %s; both must be positive", name, w.w.size, w.w.slide)
	case w.w.size%w.w.slide != 0:
		j.problem(n.At, "the windows of %q have size %s, which is no multiple of their slide %s", name, w.w.size, w.w.slide)
	case w.w.size%time.Microsecond != 0 || w.w.slide%time.Microsecond != 0:
		j.problem(n.At, "the windows of %q are not whole microseconds", name)
	}
	if len(aggs) == 0 {
		j.problem(n.At, "%q aggregates nothing", name)
	}
	names := map[string]bool{}
	for i := range aggs {
		if aggs[i].Column == "" && aggs[i].Func != CountAgg {
			j.problem(n.At, "the aggregate %s of %q has no column", aggs[i].Func, name)
		}
		if aggs[i].Name == "" {
			aggs[i].Name = string(aggs[i].Func)
			if aggs[i].Column != "" {
				aggs[i].Name += "_" + aggs[i].Column
			}
		}
		if names[aggs[i].Name] {
			j.problem(n.At, "%q has two columns %q: name one by As", name, aggs[i].Name)
		}
		names[aggs[i].Name] = true
	}
	return &Aggregated{out}
}

// Late returns the rows that came too late for every window, with the columns of the windows' input.
func (a *Aggregated) Late() *Stream {
	out, _ := a.then(KindLateRows, "", nil)
	return out
}

// As names the aggregate's output column.
func (a Agg) As(name string) Agg {
	a.Name = name
	return a
}

// Count counts rows.
func Count() Agg { return Agg{Func: CountAgg} }

// CountOf counts the rows in which the column is not null.
func CountOf(column string) Agg { return Agg{Func: CountAgg, Column: column} }

// Sum adds the column up: int64 for integers, float64 for floats.
func Sum(column string) Agg { return Agg{Func: SumAgg, Column: column} }

// Min returns the column's least value.
func Min(column string) Agg { return Agg{Func: MinAgg, Column: column} }

// Max returns the column's greatest value.
func Max(column string) Agg { return Agg{Func: MaxAgg, Column: column} }

// Avg returns the column's mean, float64.
func Avg(column string) Agg { return Agg{Func: AvgAgg, Column: column} }

// First returns the column's value in the row of least event time; of several the least value.
func First(column string) Agg { return Agg{Func: FirstAgg, Column: column} }

// Last returns the column's value in the row of greatest event time; of several the greatest value.
func Last(column string) Agg { return Agg{Func: LastAgg, Column: column} }

// RowFunc is a Go function from a row to any number of rows, with its types erased: what Map and FlatMap make.
type RowFunc interface {
	// Bind checks the function against its input's columns, and returns its output's and the input columns that it reads (nil: all).
	Bind(in *arrow.Schema) (out *arrow.Schema, columns []string, err error)
	Open(in *arrow.Schema) (RowFuncLane, error)
}

// RowFuncLane is one lane's instance of a RowFunc. Its methods are those of RowHandler.
type RowFuncLane interface {
	Reset(columns []arrow.Array) error
	Row(i int) error
	Emitted() int
	Truncate(n int)
	Flush() []arrow.Array
}

// FilterRowFunc is a Go function that keeps or drops rows: what FilterFunc makes.
type FilterRowFunc interface {
	Bind(in *arrow.Schema) (columns []string, err error)
	Open(in *arrow.Schema) (FilterLane, error)
}

// FilterLane is one lane's instance of a FilterRowFunc.
type FilterLane interface {
	Reset(columns []arrow.Array) error
	Keep(i int) (bool, error)
}

// BatchFunc is a Go function from record to record: what MapBatch makes.
type BatchFunc interface {
	Schema() *arrow.Schema
	Call(arrow.RecordBatch) (arrow.RecordBatch, error)
}
