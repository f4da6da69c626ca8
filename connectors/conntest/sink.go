package conntest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
)

// Destination is where a sink under test publishes to, empty at first.
type Destination struct {
	Open    func() sabot.Sink                // a fresh value at each call, all for this destination
	Outputs func() map[string]string         // all that a consumer sees there: content by name
	Put     func(name, content string)       // adds what is no output; nil: the destination takes outputs only
	Foreign func(id sabot.OutputID) []string // names of objects that look like the output id but are none
}

// Sink checks a sink. open returns an empty destination at each call; rows are what is published. bad are sinks, by what is wrong with them, that
// Check must refuse.
func Sink(t *testing.T, open func(t *testing.T) Destination, rows arrow.RecordBatch, bad map[string]sabot.Sink) {
	t.Helper()
	t.Run("same id again", func(t *testing.T) { sameID(t, open(t), rows) })
	t.Run("same id at the same time", func(t *testing.T) { sameIDAtOnce(t, open(t), rows) })
	t.Run("other ids", func(t *testing.T) { otherIDs(t, open(t), rows) })
	t.Run("ended context", func(t *testing.T) { publishEnded(t, open(t), rows) })
	t.Run("sweep", func(t *testing.T) { sweep(t, open(t), rows) })
	t.Run("check", func(t *testing.T) { check(t, open(t), rows.Schema(), bad) })
}

func firstID() sabot.OutputID {
	return sabot.OutputID{Job: "job", Run: "r1x", Sink: "out", Range: "2.80000000", Number: 7}
}

func publish(t *testing.T, s sabot.Sink, id sabot.OutputID, rows arrow.RecordBatch) {
	t.Helper()
	if err := s.Publish(t.Context(), id, rows); err != nil {
		t.Fatalf("Publish %s: %v", id, err)
	}
}

func sameID(t *testing.T, d Destination, rows arrow.RecordBatch) {
	publish(t, d.Open(), firstID(), rows)
	once := d.Outputs()
	if len(once) != 1 {
		t.Fatalf("one id published: outputs are %v, want one", names(once))
	}
	publish(t, d.Open(), firstID(), rows)
	if diff := cmp.Diff(once, d.Outputs()); diff != "" {
		t.Errorf("the same id published again: outputs (-want +got):\n%s", diff)
	}
	s, ok := d.Open().(sabot.StreamSink)
	if !ok {
		return
	}
	half := rows.NumRows() / 2
	a, b := rows.NewSlice(0, half), rows.NewSlice(half, rows.NumRows())
	defer a.Release()
	defer b.Release()
	r, err := array.NewRecordReader(rows.Schema(), []arrow.RecordBatch{a, b})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if err := s.PublishAll(t.Context(), firstID(), r); err != nil {
		t.Fatalf("PublishAll %s: %v", firstID(), err)
	}
	if diff := cmp.Diff(once, d.Outputs()); diff != "" {
		t.Errorf("the same id published again, in two batches: outputs (-want +got):\n%s", diff)
	}
}

func sameIDAtOnce(t *testing.T, d Destination, rows arrow.RecordBatch) {
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() { errs[i] = d.Open().Publish(t.Context(), firstID(), rows) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Publish of one id, four times at once: %v", err)
	}
	if got := d.Outputs(); len(got) != 1 {
		t.Errorf("one id published four times at once: outputs are %v, want one", names(got))
	}
}

func otherIDs(t *testing.T, d Destination, rows arrow.RecordBatch) {
	ids := []sabot.OutputID{firstID()}
	for _, change := range []func(*sabot.OutputID){
		func(o *sabot.OutputID) { o.Job = "job2" },
		func(o *sabot.OutputID) { o.Run = "r2x" },
		func(o *sabot.OutputID) { o.Sink = "out2" },
		func(o *sabot.OutputID) { o.Range = "2.00000000" },
		func(o *sabot.OutputID) { o.Number = 8 },
	} {
		id := firstID()
		change(&id)
		ids = append(ids, id)
	}
	for i, id := range ids {
		publish(t, d.Open(), id, rows)
		if got := d.Outputs(); len(got) != i+1 {
			t.Fatalf("%s published after %v: outputs are %v, want %d", id, ids[:i], names(got), i+1)
		}
	}
}

func publishEnded(t *testing.T, d Destination, rows arrow.RecordBatch) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Open().Publish(ctx, firstID(), rows); err == nil {
		t.Error("Publish by an ended context: no error")
	}
}

// sweep publishes outputs of several jobs, sinks and runs beside foreign objects and has two runs of one sink removed.
func sweep(t *testing.T, d Destination, rows arrow.RecordBatch) {
	sw, ok := d.Open().(sabot.Sweeper)
	if !ok {
		return
	}
	want := map[string]string{}
	stays := func(do func()) {
		before := d.Outputs()
		do()
		for name, body := range d.Outputs() {
			if _, there := before[name]; !there {
				want[name] = body
			}
		}
	}
	goes := 0
	for _, job := range []string{"job", "job-r1x", "jo"} {
		for _, sink := range []string{"out", "out-2", "ou"} {
			for _, run := range []string{"r1x", "r2x", "r3x", "r1"} {
				id := sabot.OutputID{Job: job, Run: run, Sink: sink, Range: "s001", Number: 12}
				if job == "job" && sink == "out" && (run == "r1x" || run == "r2x") {
					publish(t, d.Open(), id, rows)
					goes++
					continue
				}
				stays(func() { publish(t, d.Open(), id, rows) })
			}
		}
	}
	if d.Put != nil {
		id := firstID()
		for _, name := range d.Foreign(id) {
			stays(func() { d.Put(name, "foreign") })
		}
	}
	n, err := sw.Sweep(t.Context(), "job", "out", []string{"r1x", "r2x"})
	if err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	if n != goes {
		t.Errorf("Sweep removed %d outputs, want %d", n, goes)
	}
	if diff := cmp.Diff(want, d.Outputs()); diff != "" {
		t.Errorf("objects after Sweep (-want +got):\n%s", diff)
	}
	again, err := d.Open().(sabot.Sweeper).Sweep(t.Context(), "job", "out", []string{"r1x", "r2x"})
	if again != 0 || err != nil {
		t.Errorf("Sweep again: removed %d, error %v, want 0 and none", again, err)
	}
}

func check(t *testing.T, d Destination, schema *arrow.Schema, bad map[string]sabot.Sink) {
	if c, ok := d.Open().(sabot.Checker); ok {
		if err := c.Check(t.Context(), env(0), schema); err != nil {
			t.Errorf("Check of a good destination: %v", err)
		}
	}
	if got := d.Outputs(); len(got) != 0 {
		t.Errorf("after Check the destination shows %v, want nothing", names(got))
	}
	for what, s := range bad {
		c, ok := s.(sabot.Checker)
		if !ok {
			t.Errorf("%s: %T is no sabot.Checker", what, s)
			continue
		}
		if err := c.Check(t.Context(), env(0), schema); err == nil {
			t.Errorf("Check with %s: no error", what)
		} else if k := sabot.KindOf(err); k != sabot.Invalid {
			t.Errorf("Check with %s: kind is %s, want %s: %v", what, k, sabot.Invalid, err)
		}
	}
}

func names(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
