package bind

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/kernel"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/internal/row"
)

var timestampUS = &arrow.TimestampType{Unit: arrow.Microsecond}

// binder binds all nodes in one pass. A node whose input could not be bound is passed over: its problems would be consequences.
type binder struct {
	plan    *sabot.Plan
	impl    func(string) any
	schemas map[string]*arrow.Schema
	nodes   []*Node
	timed   []bool     // the node's rows have an event time
	reads   [][]string // columns of its input that a node reads; nil: all that are needed of its output
	bad     []error
}

func (b *binder) problem(n *sabot.Node, format string, args ...any) {
	b.bad = append(b.bad, fmt.Errorf("%s: %s %q: %s", n.At, n.Kind, n.Name, fmt.Sprintf(format, args...)))
}

// problems reports each of the errors that err joins.
func (b *binder) problems(n *sabot.Node, err error) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			b.problems(n, err)
		}
		return
	}
	b.problem(n, "%v", err)
}

func (b *binder) run() {
	b.timed = make([]bool, len(b.plan.Nodes))
	b.reads = make([][]string, len(b.plan.Nodes))
	for i, spec := range b.plan.Nodes {
		n := &Node{Spec: spec}
		b.nodes = append(b.nodes, n)
		bound := true
		for _, in := range spec.Inputs {
			n.In = append(n.In, b.nodes[in].Out)
			bound = bound && b.nodes[in].Out != nil
			b.timed[i] = b.nodes[in].timed(b)
		}
		if bound {
			b.bind(n)
		}
	}
}

func (n *Node) timed(b *binder) bool { return b.timed[n.Spec.ID] }

func (b *binder) bind(n *Node) {
	spec := n.Spec
	switch spec.Kind {
	case sabot.KindSource:
		b.source(n)
	case sabot.KindFilter:
		if t, ok := b.expr(n, *spec.Filter); ok {
			if t.ID() != arrow.BOOL && t.ID() != arrow.NULL {
				b.problem(spec, "its expression is %s, not bool", t)
				return
			}
			n.Out = n.In[0]
		}
	case sabot.KindProject:
		b.project(n)
	case sabot.KindFunc:
		b.function(n)
	case sabot.KindUnion:
		b.union(n)
	case sabot.KindKeyBy:
		b.keyBy(n)
	case sabot.KindWindow:
		b.window(n)
	case sabot.KindProcess:
		b.process(n)
	case sabot.KindLateRows:
		from := b.nodes[spec.Inputs[0]]
		if len(from.In) > 0 {
			n.Out = from.In[0]
		}
	case sabot.KindSink, sabot.KindSinkNow:
	default:
		b.problem(spec, "this version knows no such node")
	}
}

// column returns a field of a schema, or reports that there is none.
func (b *binder) column(n *sabot.Node, s *arrow.Schema, name string) (arrow.Field, bool) {
	if f, ok := s.FieldsByName(name); ok {
		return f[0], true
	}
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	b.problem(n, "there is no column %q among %s%s", name, strings.Join(names, ", "), row.DidYouMean(name, names))
	return arrow.Field{}, false
}

func (b *binder) source(n *Node) {
	s, ok := b.schemas[n.Spec.Name]
	if !ok {
		b.problem(n.Spec, "its columns are not known")
		return
	}
	n.Out = s
	if c := n.Spec.Source.TimeCol; c != "" {
		b.timed[n.Spec.ID] = true
		if f, ok := b.column(n.Spec, s, c); ok && f.Type.ID() != arrow.TIMESTAMP {
			b.problem(n.Spec, "the event-time column %q is %s, not a timestamp", c, f.Type)
		}
	}
}

// columnsOf adds the columns that an expression names.
func columnsOf(e sabot.Expr, dst []string) []string {
	if e.Op == sabot.OpCol {
		dst = append(dst, e.Column)
	}
	for _, a := range e.Args {
		dst = columnsOf(a, dst)
	}
	return dst
}

// expr returns the type of an expression over the node's input, and notes the columns that it reads.
func (b *binder) expr(n *Node, e sabot.Expr) (arrow.DataType, bool) {
	cols := columnsOf(e, nil)
	all := true
	for _, c := range cols {
		_, ok := b.column(n.Spec, n.In[0], c)
		all = all && ok
	}
	if !all {
		return nil, false
	}
	b.reads[n.Spec.ID] = append(b.reads[n.Spec.ID], cols...)
	p, err := kernel.Compile(e, n.In[0])
	if err != nil {
		b.problem(n.Spec, "%v", err)
		return nil, false
	}
	return p.Type(), true
}

func (b *binder) project(n *Node) {
	var fields []arrow.Field
	for _, e := range n.Spec.Project {
		t, ok := b.expr(n, e)
		if ok {
			fields = append(fields, arrow.Field{Name: e.Name, Type: t, Nullable: true})
		}
	}
	if len(fields) == len(n.Spec.Project) {
		n.Out = arrow.NewSchema(fields, nil)
	}
}

func (b *binder) function(n *Node) {
	var err error
	var reads []string
	switch f := b.impl(n.Spec.Name).(type) {
	case sabot.RowFunc:
		n.Out, reads, err = f.Bind(n.In[0])
	case sabot.FilterRowFunc:
		reads, err = f.Bind(n.In[0])
		n.Out = n.In[0]
	case sabot.BatchFunc:
		n.Out = f.Schema()
		reads = names(n.In[0])
	}
	if err != nil {
		n.Out = nil
		b.problem(n.Spec, "%v", err)
		return
	}
	b.reads[n.Spec.ID] = reads
}

func names(s *arrow.Schema) []string {
	out := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		out[i] = f.Name
	}
	return out
}

func (b *binder) union(n *Node) {
	for i, in := range n.In[1:] {
		same := in.NumFields() == n.In[0].NumFields()
		for c := 0; same && c < in.NumFields(); c++ {
			same = in.Field(c).Name == n.In[0].Field(c).Name && arrow.TypeEqual(in.Field(c).Type, n.In[0].Field(c).Type)
		}
		if !same {
			b.problem(n.Spec, "the columns of %q are %s, those of %q %s", b.nodes[n.Spec.Inputs[0]].Spec.Name, describe(n.In[0]),
				b.nodes[n.Spec.Inputs[i+1]].Spec.Name, describe(in))
			return
		}
	}
	for _, in := range n.Spec.Inputs {
		if b.timed[in] != b.timed[n.Spec.Inputs[0]] {
			b.problem(n.Spec, "some of its streams have an event time and some have none")
			return
		}
	}
	n.Out = n.In[0]
}

func (b *binder) keyBy(n *Node) {
	all := true
	for _, c := range n.Spec.Key {
		f, ok := b.column(n.Spec, n.In[0], c)
		all = all && ok
		if ok {
			if _, err := rowkey.NewEncoder([]arrow.Field{f}); err != nil {
				b.problem(n.Spec, "%v", err)
				all = false
			}
		}
	}
	b.reads[n.Spec.ID] = n.Spec.Key
	if all {
		n.Out = n.In[0]
	}
}

func (b *binder) window(n *Node) {
	spec := n.Spec
	if !b.timed[spec.ID] {
		b.problem(spec, "windows need an event time: give the source the option EventTime(column)")
		return
	}
	key := b.plan.Nodes[spec.Inputs[0]].Key
	fields := Fields(n.In[0], key)
	reads := slices.Clone(key)
	fields = append(fields, arrow.Field{Name: "window_start", Type: timestampUS}, arrow.Field{Name: "window_end", Type: timestampUS})
	ok := true
	for _, a := range spec.Window.Aggs {
		t := arrow.DataType(arrow.PrimitiveTypes.Int64)
		if a.Column != "" {
			f, found := b.column(spec, n.In[0], a.Column)
			if !found {
				ok = false
				continue
			}
			reads = append(reads, a.Column)
			if t = aggType(a.Func, f.Type); t == nil {
				b.problem(spec, "%s of column %q, which is %s", a.Func, a.Column, f.Type)
				ok = false
				continue
			}
		}
		fields = append(fields, arrow.Field{Name: a.Name, Type: t, Nullable: a.Func != sabot.CountAgg})
	}
	if spec.Window.Lateness > 0 {
		fields = append(fields, arrow.Field{Name: "pane", Type: arrow.PrimitiveTypes.Int64})
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.Name] {
			b.problem(spec, "its output has two columns %q: name the aggregate by As", f.Name)
			ok = false
		}
		seen[f.Name] = true
	}
	b.reads[spec.ID] = reads
	if ok {
		n.Out = arrow.NewSchema(fields, nil)
	}
}

// aggType returns the type of an aggregate's result, nil when it does not take the column.
func aggType(f sabot.AggFunc, t arrow.DataType) arrow.DataType {
	integer := arrow.IsInteger(t.ID())
	floating := t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64
	switch f {
	case sabot.CountAgg:
		return arrow.PrimitiveTypes.Int64
	case sabot.SumAgg:
		if integer {
			return arrow.PrimitiveTypes.Int64
		}
		if floating {
			return arrow.PrimitiveTypes.Float64
		}
	case sabot.AvgAgg:
		if integer || floating {
			return arrow.PrimitiveTypes.Float64
		}
	case sabot.MinAgg, sabot.MaxAgg, sabot.FirstAgg, sabot.LastAgg:
		switch t.ID() {
		case arrow.BOOL, arrow.STRING, arrow.BINARY, arrow.TIMESTAMP, arrow.DATE32:
			return t
		}
		if integer || floating {
			return t
		}
	}
	return nil
}

func (b *binder) process(n *Node) {
	f, ok := b.impl(n.Spec.Name).(sabot.ProcessFunc)
	if !ok {
		b.problem(n.Spec, "it has no function")
		return
	}
	key := b.plan.Nodes[n.Spec.Inputs[0]].Key
	out, state, err := f.Bind(n.In[0], key)
	if err != nil {
		b.problems(n.Spec, err)
		return
	}
	for _, d := range state {
		if d.TTL > 0 && d.Clock == sabot.ByEventTime && !b.timed[n.Spec.ID] {
			b.problem(n.Spec, "the TTL of %q goes by event time, and the stream has none: give the source the option EventTime(column), or the state TTLClock(ByProcessingTime)", d.Name)
		}
	}
	n.Out, n.State = out, state
	b.reads[n.Spec.ID] = names(n.In[0])
	if c, ok := f.(interface {
		Columns(*arrow.Schema) ([]string, error)
	}); ok {
		if cols, err := c.Columns(n.In[0]); err == nil {
			b.reads[n.Spec.ID] = append(cols, key...)
		}
	}
	n.Spec.Process.State = state
}

// projected returns the sources' columns that are in use, in their order.
func (b *binder) projected() map[string]*arrow.Schema {
	needed := make([]map[string]bool, len(b.nodes)) // of each node's output
	for i := range needed {
		needed[i] = map[string]bool{}
	}
	for _, n := range slices.Backward(b.nodes) {
		id := n.Spec.ID
		var cols []string
		switch n.Spec.Kind {
		case sabot.KindSink, sabot.KindSinkNow:
			cols = names(n.In[0])
		case sabot.KindProject, sabot.KindWindow, sabot.KindProcess:
			cols = b.reads[id]
		case sabot.KindFunc:
			cols = b.reads[id]
			if _, ok := b.impl(n.Spec.Name).(sabot.FilterRowFunc); ok {
				cols = append(slices.Clone(cols), sorted(needed[id])...)
			}
		case sabot.KindLateRows: // of the window's input
			for c := range needed[id] {
				needed[b.nodes[n.Spec.Inputs[0]].Spec.Inputs[0]][c] = true
			}
		default:
			cols = append(slices.Clone(b.reads[id]), sorted(needed[id])...)
		}
		for _, in := range n.Spec.Inputs {
			for _, c := range cols {
				needed[in][c] = true
			}
		}
	}
	out := map[string]*arrow.Schema{}
	for _, n := range b.nodes {
		if n.Spec.Kind != sabot.KindSource {
			continue
		}
		if c := n.Spec.Source.TimeCol; c != "" {
			needed[n.Spec.ID][c] = true
		}
		var fields []arrow.Field
		for _, f := range n.Out.Fields() {
			if needed[n.Spec.ID][f.Name] {
				fields = append(fields, f)
			}
		}
		if len(fields) == 0 {
			fields = n.Out.Fields()[:1]
		}
		out[n.Spec.Name] = arrow.NewSchema(fields, nil)
	}
	return out
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for c := range set {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

func describe(s *arrow.Schema) string {
	parts := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		parts[i] = f.Name + " " + f.Type.String()
	}
	return strings.Join(parts, ", ")
}
