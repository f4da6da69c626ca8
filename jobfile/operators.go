package jobfile

import (
	"go.yaml.in/yaml/v3"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/exprtext"
)

// from returns the stream that an operator or a sink takes its rows of, nil when there is none.
func (r *reader) from(e entry, es []entry) *sabot.Stream {
	n := find(es, "from")
	if n == nil {
		r.problem(e.at, "%q says not whose rows it takes: add from: NAME", e.key)
		return nil
	}
	var all []*sabot.Stream
	for _, name := range r.list(n, "from") {
		s := r.streams[name]
		if s == nil {
			r.problem(n, "there is no %q above; operators come after what they take rows of", name)
			return nil
		}
		all = append(all, s)
	}
	switch len(all) {
	case 0:
		r.problem(n, "from is empty")
		return nil
	case 1:
		return all[0]
	}
	return all[0].Union(all[1:]...)
}

// operator adds what an entry says, in this order: filter, select, window.
func (r *reader) operator(e entry) {
	es := r.entries(e.value, "operator "+e.key, "from", "filter", "select", "key_by", "window", "aggregate", "map", "process")
	for _, key := range []string{"map", "process"} {
		if n := find(es, key); n != nil {
			r.problem(n, "%s needs a Go function: write the job as a Go program, see the README", key)
			return
		}
	}
	s := r.from(e, es)
	if s == nil {
		return
	}
	defer func() { r.streams[e.key] = s }()
	if n := find(es, "filter"); n != nil {
		s = s.Filter(r.expr(n))
	}
	if n := find(es, "select"); n != nil {
		var columns []sabot.Expr
		for _, c := range r.entries(n, "select") {
			columns = append(columns, r.expr(c.value).As(c.key))
		}
		s = s.Select(columns...)
	}
	key, window, aggregate := find(es, "key_by"), find(es, "window"), find(es, "aggregate")
	if key == nil && window == nil && aggregate == nil {
		return
	}
	if key == nil || window == nil || aggregate == nil {
		r.problem(e.at, "operator %q: key_by, window and aggregate go together", e.key)
		return
	}
	w := s.KeyBy(r.list(key, "key_by")...).Window(r.window(window)).Aggregate(e.key, r.aggregates(aggregate)...)
	s, r.late[e.key] = w.Stream, w
}

func (r *reader) expr(n *yaml.Node) sabot.Expr {
	e, err := exprtext.Parse(r.scalar(n, "an expression"))
	if err != nil {
		r.problem(n, "expression %q: %w", n.Value, err)
		return sabot.Lit(nil)
	}
	return e
}

func (r *reader) window(n *yaml.Node) sabot.Window {
	es := r.entries(n, "window", "tumbling", "hopping", "every", "lateness")
	tumbling, hopping, every := find(es, "tumbling"), find(es, "hopping"), find(es, "every")
	var w sabot.Window
	switch {
	case tumbling != nil && hopping == nil && every == nil:
		w = sabot.Tumbling(r.duration(tumbling))
	case hopping != nil && every != nil && tumbling == nil:
		w = sabot.Hopping(r.duration(hopping), r.duration(every))
	default:
		r.problem(n, "a window is {tumbling: SIZE} or {hopping: SIZE, every: SLIDE}")
		return sabot.Tumbling(1)
	}
	if l := find(es, "lateness"); l != nil {
		w = w.Lateness(r.duration(l))
	}
	return w
}

func (r *reader) aggregates(n *yaml.Node) (out []sabot.Agg) {
	funcs := map[string]func(string) sabot.Agg{"count": sabot.CountOf, "sum": sabot.Sum, "min": sabot.Min, "max": sabot.Max, "avg": sabot.Avg,
		"first": sabot.First, "last": sabot.Last}
	for _, e := range r.entries(n, "aggregate") {
		c, err := exprtext.ParseCall(r.scalar(e.value, "an aggregate"))
		f := funcs[c.Name]
		switch {
		case err != nil:
			r.problem(e.value, "aggregate %q: %w", e.value.Value, err)
		case f == nil:
			r.problem(e.value, "there is no aggregate %q; there are avg, count, first, last, max, min and sum", c.Name)
		case c.Name == "count" && len(c.Args) == 0:
			out = append(out, sabot.Count().As(e.key))
		case len(c.Args) != 1:
			r.problem(e.value, "%s takes one column", c.Name)
		default:
			out = append(out, f(c.Args[0]).As(e.key))
		}
	}
	return out
}
