package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
	"github.com/sabot-stream/sabot/sabottest"
)

type sale struct {
	At    time.Time
	Shop  string
	Cents int64
}

type total struct {
	Shop                   string
	WindowStart, WindowEnd time.Time
	Sum                    int64
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// totals sums sales by shop and minute, behind a map.
func totals(name string, f func(sale) (sale, error)) func() *sabot.Job {
	return func() *sabot.Job {
		job := sabot.NewJob("shops")
		in := job.Source("sales", sabottest.Source[sale](), sabot.EventTime("at"))
		sabot.Map(in, name, f).KeyBy("shop").Window(sabot.Tumbling(time.Minute)).Aggregate("totals", sabot.Sum("cents").As("sum")).
			Sink("out", sabottest.Sink[total]())
		return job
	}
}

func sales(h *sabottest.Harness) {
	sabottest.Feed(h, "sales", sale{noon, "a", 1}, sale{noon.Add(time.Second), "b", 2}, sale{noon.Add(2 * time.Second), "a", 3})
}

func minute(shop string, sum int64) total { return total{shop, noon, noon.Add(time.Minute), sum} }

func TestPanicThatPasses(t *testing.T) {
	var panics atomic.Int64
	sabottest.Run(t, totals("flaky", func(s sale) (sale, error) {
		if s.Shop == "b" && panics.Add(1) <= 3 {
			panic("no connection")
		}
		return s, nil
	}), func(h *sabottest.Harness) {
		sales(h)
		sabottest.Want(h, "out", minute("a", 4), minute("b", 2))
	})
	if n := panics.Load(); n != 4 {
		t.Errorf("row b came %d times, want the group to start again three times", n)
	}
}

func TestPanicThatStays(t *testing.T) {
	sabottest.Run(t, totals("broken", func(s sale) (sale, error) {
		if s.Shop == "b" {
			panic("index out of range")
		}
		return s, nil
	}), func(h *sabottest.Harness) {
		sales(h)
		err := sabottest.WantError(h, sabot.Invalid)
		for _, part := range []string{`panic in operator "broken"`, "rows 1 to 1 of fed", "index out of range", "after 3 restarts"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error is %q, want %q in it", err, part)
			}
		}
	})
}

func TestPanicNamesTheKey(t *testing.T) {
	job := func() *sabot.Job {
		job := sabot.NewJob("shops")
		in := job.Source("sales", sabottest.Source[sale](), sabot.EventTime("at"))
		sabot.Process(in.KeyBy("shop"), "audit", func(p *sabot.Proc[string, sale, sale]) {
			p.OnRow(func(s sale) error {
				if s.Cents == 2 {
					panic("bad luck")
				}
				return nil
			})
		}).Sink("out", sabottest.Sink[sale]())
		return job
	}
	sabottest.Run(t, job, func(h *sabottest.Harness) {
		sales(h)
		err := sabottest.WantError(h, sabot.Invalid)
		for _, part := range []string{`panic in operator "audit"`, "map[shop:b]", "bad luck"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error is %q, want %q in it", err, part)
			}
		}
	})
}

func TestErrorsBecomeDeadLetters(t *testing.T) {
	f := func(s sale) (sale, error) {
		if s.Shop == "b" {
			return s, errors.New("a shop that we do not know")
		}
		return s, nil
	}
	sabottest.Run(t, totals("check", f), func(h *sabottest.Harness) {
		sales(h)
		sabottest.Want(h, "out", minute("a", 4))
	})
}

type measure struct {
	At    time.Time
	Value *float64
}

type count struct {
	Value                  *float64
	WindowStart, WindowEnd time.Time
	Count                  int64
}

// What is emitted at the end of time lies in no window: it is late, and nothing else is harmed.
func TestEndOfTimeInWindows(t *testing.T) {
	job := func() *sabot.Job {
		job := sabot.NewJob("shops")
		in := job.Source("sales", sabottest.Source[sale](), sabot.EventTime("at"))
		echoed := sabot.Process(in.KeyBy("shop"), "echo", func(p *sabot.Proc[string, sale, sale]) {
			end := p.Timer("end", sabot.ByEventTime, func(time.Time) error {
				p.Emit(sale{noon, p.Key(), 100})
				return nil
			})
			p.OnRow(func(s sale) error {
				end.Set(sabot.EndOfTime)
				p.Emit(s)
				return nil
			})
		})
		w := echoed.KeyBy("shop").Window(sabot.Hopping(2*time.Minute, time.Minute)).Aggregate("totals", sabot.Sum("cents").As("sum"))
		w.Sink("out", sabottest.Sink[total]())
		w.Late().Sink("late", sabottest.Sink[sale]())
		return job
	}
	sabottest.Run(t, job, func(h *sabottest.Harness) {
		sales(h)
		early := func(shop string, sum int64) total {
			return total{shop, noon.Add(-time.Minute), noon.Add(time.Minute), sum}
		}
		later := func(shop string, sum int64) total { return total{shop, noon, noon.Add(2 * time.Minute), sum} }
		sabottest.Want(h, "out", early("a", 4), early("b", 2), later("a", 4), later("b", 2))
		sabottest.Want(h, "late", sale{noon, "a", 100}, sale{noon, "b", 100})
	})
}

// Null is one key, NaN is one, and -0 equals +0.
func TestKeysThatAreNoNumbers(t *testing.T) {
	job := func() *sabot.Job {
		job := sabot.NewJob("values")
		job.Source("in", sabottest.Source[measure](), sabot.EventTime("at")).KeyBy("value").Window(sabot.Tumbling(time.Minute)).
			Aggregate("count", sabot.Count()).Sink("out", sabottest.Sink[count]())
		return job
	}
	sabottest.Run(t, job, func(h *sabottest.Harness) {
		for _, v := range []float64{math.NaN(), math.Float64frombits(0x7ff8000000000123), math.Copysign(0, -1), 0, 1, math.Inf(1)} {
			sabottest.Feed(h, "in", measure{noon, &v})
		}
		sabottest.Feed(h, "in", measure{noon, nil}, measure{noon, nil})
		rows, err := sabottest.Rows[count](h, "out")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, r := range rows {
			key := "null"
			if r.Value != nil {
				key = fmt.Sprint(*r.Value)
			}
			got[key] += r.Count
		}
		want := map[string]int64{"NaN": 2, "0": 2, "1": 1, "+Inf": 1, "null": 2}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(rows) != len(want) {
			t.Errorf("%d rows count %v, want %v", len(rows), got, want)
		}
	})
}

// Whatever way a run ends, its goroutines end with it.
func TestNothingIsLeftRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	job := func(in *channel.Source[sale]) *sabot.Job {
		job := sabot.NewJob("shops")
		job.Source("sales", in, sabot.EventTime("at")).KeyBy("shop").Window(sabot.Tumbling(time.Minute)).Aggregate("totals", sabot.Sum("cents").As("sum")).
			Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []total) error { return nil }))
		return job
	}
	abort := make(chan struct{})
	for name, c := range map[string]struct {
		opt  run.Options
		end  func(cancel context.CancelCauseFunc, in *channel.Source[sale])
		want error
	}{
		"end":   {end: func(_ context.CancelCauseFunc, in *channel.Source[sale]) { in.Close() }},
		"stop":  {end: func(cancel context.CancelCauseFunc, _ *channel.Source[sale]) { cancel(errStopped) }, want: errStopped},
		"abort": {opt: run.Options{Abort: abort}, end: func(context.CancelCauseFunc, *channel.Source[sale]) { close(abort) }, want: run.ErrAborted},
	} {
		t.Run(name, func(t *testing.T) {
			in := channel.New[sale]()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := in.Send(ctx, sale{noon, "a", 1}); err != nil {
					t.Error(err)
				}
				if _, err := in.Start(ctx); err != nil { // the job runs
					t.Error(err)
				}
				c.end(cancel, in)
			})
			c.opt.Store, c.opt.Checkpoint, c.opt.Log = mem.New(), time.Millisecond, slog.New(slog.DiscardHandler)
			if _, err := run.Run(ctx, job(in), c.opt); !errors.Is(err, c.want) {
				t.Errorf("the run ended with %v, want %v", err, c.want)
			}
			wg.Wait()
		})
	}
}

var errStopped = errors.New("stopped by the test")

// upper makes a batch function over the column shop.
func TestBatchFunctions(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond}}, {Name: "shop", Type: arrow.BinaryTypes.String}}, nil)
	type short struct {
		At   time.Time
		Shop string
	}
	var seen atomic.Int64
	job := func() *sabot.Job {
		job := sabot.NewJob("shops")
		in := job.Source("sales", sabottest.Source[sale](), sabot.EventTime("at"))
		kept := sabot.FilterFunc(in, "large", func(s sale) (bool, error) { return s.Cents > 1, nil })
		sabot.MapBatch(kept.Select(sabot.Col("at"), sabot.Col("shop")), "pass", schema, func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
			seen.Add(b.NumRows())
			b.Retain()
			return b, nil
		}).Sink("out", sabottest.Sink[short]())
		return job
	}
	sabottest.Run(t, job, func(h *sabottest.Harness) {
		sales(h)
		sabottest.Want(h, "out", short{noon.Add(time.Second), "b"}, short{noon.Add(2 * time.Second), "a"})
	})
	if seen.Load() != 2 {
		t.Errorf("the batch function saw %d rows, want 2", seen.Load())
	}
}
