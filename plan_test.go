package sabot_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sabot-stream/sabot"
)

// placed is a connector whose place is part of the plan.
type placed struct{ nowhere }

func (placed) Identity() string { return "the place" }

// everything has a node of every kind, with every option.
func everything() *sabot.Job {
	j := sabot.NewJob("everything")
	s := j.Source("in", placed{}, sabot.EventTime("t", sabot.MaxDelay(time.Minute), sabot.MaxFuture(time.Hour), sabot.IdleAfter(time.Second)))
	s = s.Filter(sabot.Col("a").Gt(1).And(sabot.Col("s").Eq("x")).Or(sabot.Col("t").Lt(time.Unix(5, 0))).And(sabot.Col("b").IsNotNull()))
	s = s.Select(sabot.Col("a"), sabot.Cast(sabot.Col("s"), arrow.PrimitiveTypes.Int64).As("n"), sabot.TruncateTime(sabot.Col("t"), time.Hour).As("t"),
		sabot.Extract("dow", sabot.Col("t")).As("dow"), sabot.Coalesce(sabot.Col("x"), 0.5, nil, true).As("x"))
	s = sabot.Map(s, "map", func(v thing) (thing, error) { return v, nil })
	s = sabot.FilterFunc(s, "filter", func(thing) (bool, error) { return true, nil })
	s = sabot.MapBatch(s, "batch", arrow.NewSchema(nil, nil), same)
	a := s.Union(s).KeyBy("a", "s").Window(sabot.Hopping(time.Hour, time.Minute).Lateness(time.Minute)).Aggregate("w", sabot.Count(), sabot.First("a").As("f"))
	a.Late().Immediate("late", placed{})
	end(a.Stream)
	end2 := sabot.Process(s.KeyBy("a"), "process", func(p *sabot.Proc[int64, thing, thing]) { p.OnRow(func(thing) error { return nil }) })
	end2.Sink("end2", placed{})
	return j
}

func TestPlanThroughJSON(t *testing.T) {
	p, err := everything().Plan()
	if err != nil {
		t.Fatal(err)
	}
	p.Nodes[len(p.Nodes)-2].Process.State = []sabot.StateDecl{{Name: "m", Kind: sabot.MapState, KeyType: "int64", Type: "utf8", TTL: time.Hour, OnRead: true},
		{Name: "v", Kind: sabot.ValueState, Type: "int64", TTL: time.Hour, Clock: sabot.ByProcessingTime, Default: "-1"},
		{Name: "timer", Kind: sabot.TimerState, Domain: sabot.ByProcessingTime}} // as binding fills it
	kinds := map[sabot.NodeKind]bool{}
	for _, n := range p.Nodes {
		kinds[n.Kind] = true
	}
	for _, k := range []sabot.NodeKind{sabot.KindSource, sabot.KindFilter, sabot.KindProject, sabot.KindFunc, sabot.KindUnion, sabot.KindKeyBy, sabot.KindWindow,
		sabot.KindProcess, sabot.KindSink, sabot.KindSinkNow, sabot.KindLateRows} {
		if !kinds[k] {
			t.Errorf("the job has no node of kind %s", k)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got sabot.Plan
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, &got, cmpopts.IgnoreFields(sabot.Node{}, "At")); diff != "" {
		t.Errorf("the plan came back otherwise (-want +got):\n%s", diff)
	}
}

// Each constant that Lit takes comes back from JSON as it was, those included that JSON has no number for.
func TestLiteralThroughJSON(t *testing.T) {
	for _, v := range []any{nil, true, false, 0, int8(-8), int16(-16), int32(-32), int64(math.MinInt64), int64(math.MaxInt64), uint8(8), uint16(16),
		uint32(math.MaxUint32), float32(0.1), 0.1, 0.0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1),
		math.Inf(-1), "", "text", "NaN", "quote \" and é", time.Unix(-1, 999_000).UTC(), time.Minute} {
		want := sabot.Lit(v)
		b, err := json.Marshal(want)
		if err != nil {
			t.Errorf("encode Lit(%v): %v", v, err)
			continue
		}
		var got sabot.Expr
		if err := json.Unmarshal(b, &got); err != nil {
			t.Errorf("decode Lit(%v) from %s: %v", v, b, err)
			continue
		}
		w, g := want.Lit, got.Lit
		same := w.Kind == g.Kind && w.Bool == g.Bool && w.Int == g.Int && w.Str == g.Str &&
			(math.Float64bits(w.Float) == math.Float64bits(g.Float) || math.IsNaN(w.Float) && math.IsNaN(g.Float))
		if !same {
			t.Errorf("Lit(%v) is %+v, came back from %s as %+v", v, w, b, g)
		}
	}
}

func TestKindOfErrors(t *testing.T) {
	base := sabot.WithKind(sabot.Corrupt, cmpopts.AnyError)
	for want, err := range map[sabot.Kind]error{sabot.Internal: cmpopts.AnyError, sabot.Corrupt: base, sabot.Fenced: sabot.WithKind(sabot.Fenced, base),
		sabot.Invalid: sabot.Permanent(base)} {
		if got := sabot.KindOf(err); got != want {
			t.Errorf("the kind is %s, want %s", got, want)
		}
	}
	if err := sabot.WithKind(sabot.Retry, nil); err != nil {
		t.Errorf("nil with a kind is %v, want nil", err)
	}
}
