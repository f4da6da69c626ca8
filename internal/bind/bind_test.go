package bind

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// trades is a source of fixed columns, and a sink.
type trades struct{ schema *arrow.Schema }

func (s trades) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	return s.schema, nil, nil
}

func (trades) Open(context.Context, sabot.Env, *arrow.Schema, sabot.Split, sabot.Position) (sabot.Reader, error) {
	return nil, errors.New("nothing to read")
}

func (trades) Publish(context.Context, sabot.OutputID, arrow.RecordBatch) error { return nil }

var tradeColumns = arrow.NewSchema([]arrow.Field{{Name: "at", Type: timestampUS}, {Name: "symbol", Type: arrow.BinaryTypes.String},
	{Name: "price", Type: arrow.PrimitiveTypes.Float64}, {Name: "size", Type: arrow.PrimitiveTypes.Int64}, {Name: "note", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)

type trade struct {
	Symbol string
	Size   int64
}

type wrongTrade struct {
	Symbol int64
	Sise   int64
}

// bound binds a job over the trades.
func bound(t *testing.T, build func(job *sabot.Job, in *sabot.Stream)) (*Graph, error) {
	t.Helper()
	job := sabot.NewJob("trading")
	build(job, job.Source("trades", trades{tradeColumns}, sabot.EventTime("at")))
	plan, err := job.Plan()
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*arrow.Schema{}
	for _, n := range plan.Nodes {
		if n.Kind == sabot.KindSource {
			schemas[n.Name] = job.Impl(n.Name).(trades).schema
		}
	}
	return Bind(plan, job.Impl, schemas)
}

func window(in *sabot.Stream, aggs ...sabot.Agg) {
	in.KeyBy("symbol").Window(sabot.Tumbling(time.Hour)).Aggregate("w", aggs...).Sink("out", trades{})
}

func TestBindingErrors(t *testing.T) {
	for name, c := range map[string]struct {
		build func(job *sabot.Job, in *sabot.Stream)
		says  []string
	}{
		"a filter's column":    {func(_ *sabot.Job, in *sabot.Stream) { in.Filter(sabot.Col("prise").Gt(1)).Sink("out", trades{}) }, []string{`there is no column "prise"`}},
		"a filter's type":      {func(_ *sabot.Job, in *sabot.Stream) { in.Filter(sabot.Col("size").Add(1)).Sink("out", trades{}) }, []string{"its expression is int64, not bool"}},
		"a comparison's types": {func(_ *sabot.Job, in *sabot.Stream) { in.Filter(sabot.Col("symbol").Gt(1)).Sink("out", trades{}) }, []string{"gt does not compare utf8 with int64"}},
		"a key's column": {func(_ *sabot.Job, in *sabot.Stream) {
			in.KeyBy("symbl").Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Count()).Sink("out", trades{})
		}, []string{`there is no column "symbl" among at, symbol, price, size, note (did you mean "symbol"?)`}},
		"an aggregate's column": {func(_ *sabot.Job, in *sabot.Stream) { window(in, sabot.Sum("sise")) }, []string{`"sise"`, `did you mean "size"?`}},
		"an aggregate's type":   {func(_ *sabot.Job, in *sabot.Stream) { window(in, sabot.Sum("symbol")) }, []string{`sum of column "symbol", which is utf8`}},
		"a name of the windows": {func(_ *sabot.Job, in *sabot.Stream) { window(in, sabot.Count().As("window_end")) }, []string{`its output has two columns "window_end"`}},
		"a struct's fields": {func(_ *sabot.Job, in *sabot.Stream) {
			sabot.Map(in, "m", func(w wrongTrade) (trade, error) { return trade{}, nil }).Sink("out", trades{})
		}, []string{"Symbol", "Sise"}},
		"a process function's key": {func(_ *sabot.Job, in *sabot.Stream) {
			sabot.Process(in.KeyBy("symbol"), "p", func(p *sabot.Proc[int64, trade, trade]) { p.OnRow(func(trade) error { return nil }) }).Sink("out", trades{})
		}, []string{`process "p"`, "int64", "symbol"}},
		"streams of different columns": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("others", trades{arrow.NewSchema(tradeColumns.Fields()[:3], nil)}, sabot.EventTime("at"))).Sink("out", trades{})
		}, []string{`the columns of "trades" are`, `those of "others"`}},
		"streams with and without time": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("others", trades{tradeColumns})).Sink("out", trades{})
		}, []string{"some of its streams have an event time and some have none"}},
		"windows without time": {func(job *sabot.Job, in *sabot.Stream) {
			in.Sink("first", trades{})
			window(job.Source("others", trades{tradeColumns}), sabot.Count())
		}, []string{"windows need an event time"}},
		"a time that is none": {func(job *sabot.Job, in *sabot.Stream) {
			in.Sink("first", trades{})
			job.Source("others", trades{tradeColumns}, sabot.EventTime("size")).Sink("out", trades{})
		}, []string{`the event-time column "size" is int64, not a timestamp`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bound(t, c.build)
			if err == nil || sabot.KindOf(err) != sabot.Invalid {
				t.Fatalf("binding gives %v, want an error of kind invalid", err)
			}
			for _, part := range append(c.says, "bind_test.go:") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("it says %q, want %q in it", err, part)
				}
			}
		})
	}
}

func TestAllBindingErrorsAtOnce(t *testing.T) {
	_, err := bound(t, func(_ *sabot.Job, in *sabot.Stream) {
		in.Filter(sabot.Col("a").Gt(1)).Sink("x", trades{})
		in.Filter(sabot.Col("b").Gt(1)).Sink("y", trades{})
		window(in, sabot.Sum("c"))
	})
	for _, column := range []string{`"a"`, `"b"`, `"c"`} {
		if err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("the error is %v, want column %s in it", err, column)
		}
	}
}

// Only columns that something uses are read.
func TestProjection(t *testing.T) {
	for name, c := range map[string]struct {
		build func(job *sabot.Job, in *sabot.Stream)
		want  []string
	}{
		"a window": {func(_ *sabot.Job, in *sabot.Stream) { window(in, sabot.Sum("size")) }, []string{"at", "symbol", "size"}},
		"a filter": {func(_ *sabot.Job, in *sabot.Stream) { window(in.Filter(sabot.Col("price").Gt(1)), sabot.Count()) }, []string{"at", "symbol", "price"}},
		"a struct": {func(_ *sabot.Job, in *sabot.Stream) {
			sabot.Map(in, "m", func(x trade) (trade, error) { return x, nil }).Sink("out", trades{})
		}, []string{"at", "symbol", "size"}},
		"everything": {func(_ *sabot.Job, in *sabot.Stream) { in.Sink("out", trades{}) }, []string{"at", "symbol", "price", "size", "note"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := bound(t, c.build)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range g.Stages[0].Sources[0].Out.Fields() {
				got = append(got, f.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("columns %v are read, want %v", got, c.want)
			}
		})
	}
}

func TestChangesAreNamed(t *testing.T) {
	base := func(_ *sabot.Job, in *sabot.Stream) { window(in.Filter(sabot.Col("size").Gt(10)), sabot.Sum("size")) }
	was, err := bound(t, base)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bound(t, base)
	if err != nil || again.Fingerprint() != was.Fingerprint() || len(Diff(was.Plan, again.Plan)) > 0 {
		t.Fatalf("the same job is another: %v, %v", Diff(was.Plan, again.Plan), err)
	}
	for name, c := range map[string]struct {
		build func(job *sabot.Job, in *sabot.Stream)
		says  string
	}{
		"a constant":   {func(_ *sabot.Job, in *sabot.Stream) { window(in.Filter(sabot.Col("size").Gt(11)), sabot.Sum("size")) }, "filter-1"},
		"an aggregate": {func(_ *sabot.Job, in *sabot.Stream) { window(in.Filter(sabot.Col("size").Gt(10)), sabot.Max("size")) }, "w"},
		"a node less":  {func(_ *sabot.Job, in *sabot.Stream) { window(in, sabot.Sum("size")) }, "filter-1"},
		"a node more":  {func(_ *sabot.Job, in *sabot.Stream) { base(nil, in); in.Sink("more", trades{}) }, "more"},
		"another window": {func(_ *sabot.Job, in *sabot.Stream) {
			in.Filter(sabot.Col("size").Gt(10)).KeyBy("symbol").Window(sabot.Tumbling(time.Minute)).Aggregate("w", sabot.Sum("size")).Sink("out", trades{})
		}, "w"},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := bound(t, c.build)
			if err != nil {
				t.Fatal(err)
			}
			if now.Fingerprint() == was.Fingerprint() {
				t.Error("the fingerprint is the same")
			}
			if d := Diff(was.Plan, now.Plan); len(d) == 0 || !strings.Contains(strings.Join(d, "\n"), c.says) {
				t.Errorf("the differences are %q, want %q named", d, c.says)
			}
		})
	}
}

func TestStages(t *testing.T) {
	g, err := bound(t, func(_ *sabot.Job, in *sabot.Stream) {
		w := in.KeyBy("symbol").Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Sum("size").As("size"))
		w.Select(sabot.Col("symbol").As("s"), sabot.Col("size")).KeyBy("s").Window(sabot.Tumbling(24*time.Hour)).Aggregate("days", sabot.Sum("size")).Sink("out", trades{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Stages) != 3 || g.Stages[0].Keyed() || !g.Stages[1].Keyed() || g.Stages[2].Inputs[0].From.Stage != 1 || !g.Timed(g.Stages[2].Inputs[0].From) {
		t.Errorf("stages:\n%s", g.Describe())
	}
	_, err = bound(t, func(_ *sabot.Job, in *sabot.Stream) {
		a := in.KeyBy("symbol").Window(sabot.Tumbling(time.Hour)).Aggregate("a", sabot.Count())
		b := in.KeyBy("note").Window(sabot.Tumbling(time.Hour)).Aggregate("b", sabot.Count())
		a.Select(sabot.Col("count")).Union(b.Select(sabot.Col("count"))).Sink("out", trades{})
	})
	if err == nil || !strings.Contains(err.Error(), "joins streams that are divided by key in different ways") {
		t.Errorf("a union of two stages: %v", err)
	}
}
