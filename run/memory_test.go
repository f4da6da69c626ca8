package run

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/engine"
)

// spread is a measure of one of a thousand keys.
type spread struct {
	Key   string
	At    time.Time
	Value int64
	Note  string
}

func spreadOf(m measure) (spread, error) {
	return spread{fmt.Sprintf("%s-%02d", m.Meter, m.Value%25), m.At, m.Value, fmt.Sprint("note ", m.Value%7)}, nil
}

// tardy is metering of which each eighth row comes so late that its window has fired.
type tardy struct{ metering }

const tardiness = 5 * time.Minute

func tardyOf(split, i int) measure {
	m := measureOf(split, i)
	if i%8 == split {
		m.At = m.At.Add(-tardiness)
	}
	return m
}

func (s tardy) Open(ctx context.Context, env sabot.Env, schema *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	r, err := s.metering.Open(ctx, env, schema, split, at)
	if err == nil {
		r.(*meterReader).of = tardyOf
	}
	return r, err
}

// quarter is what a process function tells of a key's quarter of an hour, in order of time.
type quarter struct {
	Key              string
	From             time.Time
	Sum, Total, Told int64
	Last             string // the sums of up to three quarters
}

const (
	quarterSpan = 15 * time.Minute
	hopSize     = 10 * time.Minute
	hopSlide    = 5 * time.Minute
)

// quarters keeps sums in a map until a timer says that a quarter is over, and what follows from them in a value, a counter and a list.
func quarters(p *sabot.Proc[string, spread, quarter]) {
	sums := sabot.NewMap[time.Time, int64](p, "sums")
	total := sabot.NewValue[int64](p, "total")
	told := sabot.NewCounter(p, "told")
	last := sabot.NewList[int64](p, "last")
	over := p.Timer("over", sabot.ByEventTime, func(at time.Time) error {
		from := at.Add(time.Microsecond - quarterSpan)
		sum, _ := sums.Get(from)
		sums.Remove(from)
		before, _ := total.Get()
		total.Put(before + sum)
		told.Inc()
		if last.Len() == 3 {
			last.Clear()
		}
		last.Append(sum)
		p.Emit(quarter{p.Key(), from, sum, before + sum, told.Get(), fmt.Sprint(slices.Collect(listed(last)))})
		return nil
	})
	p.OnRow(func(s spread) error {
		from := s.At.Truncate(quarterSpan)
		sum, _ := sums.Get(from)
		sums.Put(from, sum+s.Value)
		over.Set(from.Add(quarterSpan - time.Microsecond))
		return nil
	})
}

func listed(l *sabot.List[int64]) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		for _, v := range l.All() {
			if !yield(v) {
				return
			}
		}
	}
}

// hop is a window of a key, with aggregates that are kept as numbers, text and floats, some of them null at first.
type hop struct {
	Key                    string
	WindowStart, WindowEnd time.Time
	Sum, N                 int64
	Mean                   float64
	Least, Newest          string
	Pane                   int64
}

// rowsOut keeps rows that a sink publishes, by output.
type rowsOut[T any] struct {
	t    *testing.T
	mu   sync.Mutex
	rows map[string][]T
}

func newRowsOut[T any](t *testing.T) *rowsOut[T] { return &rowsOut[T]{t: t, rows: map[string][]T{}} }

func (s *rowsOut[T]) sink() sabot.Sink {
	return callback.Committed(func(_ context.Context, id sabot.OutputID, rows []T) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if old, ok := s.rows[id.String()]; ok && fmt.Sprint(old) != fmt.Sprint(rows) {
			s.t.Errorf("output %s was published twice with different rows", id)
		}
		s.rows[id.String()] = slices.Clone(rows)
		return nil
	})
}

func (s *rowsOut[T]) all() (out []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rows := range s.rows {
		out = append(out, rows...)
	}
	return out
}

// Its name is that of the other jobs of clusters, whose root their rig reads.
func spreadJob(told *rowsOut[quarter], hops *rowsOut[hop]) *sabot.Job {
	job := sabot.NewJob("meters")
	punctual := job.Source("measures", metering{}, sabot.EventTime("at", sabot.MaxDelay(10*time.Second)))
	sabot.Process(sabot.Map(punctual, "spread", spreadOf).KeyBy("key"), "quarters", quarters).Sink("quarters-out", told.sink())
	late := job.Source("late", tardy{}, sabot.EventTime("at", sabot.MaxDelay(10*time.Second)))
	sabot.Map(late, "spread-late", spreadOf).KeyBy("key").Window(sabot.Hopping(hopSize, hopSlide).Lateness(2*tardiness)).
		Aggregate("hops", sabot.Sum("value").As("sum"), sabot.Count().As("n"), sabot.Avg("value").As("mean"), sabot.Min("note").As("least"), sabot.Last("note").As("newest")).
		Sink("hops-out", hops.sink())
	return job
}

// spreads returns all rows of a source, those of a key in order of time.
func spreads(of func(split, i int) measure) map[string][]spread {
	out := map[string][]spread{}
	for s := range meterSplits {
		for i := range meterRows {
			x, _ := spreadOf(of(s, i)) // it never fails
			out[x.Key] = append(out[x.Key], x)
		}
	}
	for _, rows := range out {
		slices.SortFunc(rows, func(a, b spread) int { return a.At.Compare(b.At) })
	}
	return out
}

func wantQuarters() (want []string) {
	for key, rows := range spreads(measureOf) {
		sums := map[time.Time]int64{}
		var order []time.Time
		for _, r := range rows {
			from := r.At.Truncate(quarterSpan)
			if _, ok := sums[from]; !ok {
				order = append(order, from)
			}
			sums[from] += r.Value
		}
		total, last := int64(0), []int64{}
		for i, from := range order {
			if total += sums[from]; len(last) == 3 {
				last = nil
			}
			last = append(last, sums[from])
			want = append(want, fmt.Sprint(quarter{key, from, sums[from], total, int64(i + 1), fmt.Sprint(last)}))
		}
	}
	return want
}

// wantHops returns the last pane of each window, without its number.
func wantHops() (want []string) {
	for key, rows := range spreads(tardyOf) {
		wins := map[time.Time]*hop{}
		newest := map[time.Time]time.Time{}
		for _, r := range rows {
			for start := r.At.Truncate(hopSlide); start.After(r.At.Add(-hopSize)); start = start.Add(-hopSlide) {
				w := wins[start]
				if w == nil {
					w = &hop{Key: key, WindowStart: start, WindowEnd: start.Add(hopSize), Least: r.Note}
					wins[start] = w
				}
				w.Sum, w.N, w.Least = w.Sum+r.Value, w.N+1, min(w.Least, r.Note)
				if at := newest[start]; r.At.After(at) || r.Note > w.Newest { // in order of time: it is not before
					w.Newest, newest[start] = r.Note, r.At
				}
			}
		}
		for _, w := range wins {
			w.Mean = float64(w.Sum) / float64(w.N)
			want = append(want, fmt.Sprint(*w))
		}
	}
	return want
}

// lastPanes returns the last pane of each window, without its number; panes of a window are to be numbered without gaps.
func lastPanes(t *testing.T, all []hop) (out []string, panes int) {
	t.Helper()
	type window struct {
		key string
		end time.Time
	}
	by := map[window][]hop{}
	for _, h := range all {
		w := window{h.Key, h.WindowEnd}
		by[w] = append(by[w], h)
	}
	for w, all := range by {
		slices.SortFunc(all, func(a, b hop) int { return int(a.Pane - b.Pane) })
		for i, h := range all {
			if h.Pane != int64(i) || i > 0 && h.N <= all[i-1].N {
				t.Fatalf("the window of %v has the panes %v", w, all)
			}
		}
		h := all[len(all)-1]
		h.Pane = 0
		out = append(out, fmt.Sprint(h))
		panes += len(all) - 1
	}
	return out, panes
}

// State that is larger than memory is dropped and read back, through deaths of workers and coordinators and changes of partitions, and what comes out is
// what brute force says.
func TestStateLargerThanMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off") // what the processes of the test would do to the garbage collector is not the matter here
	n := uint64(4)
	if testing.Short() {
		n = 1
	}
	wantQuarters, wantHops := wantQuarters(), wantHops()
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 17))
			told, hops := newRowsOut[quarter](t), newRowsOut[hop](t)
			c := newCluster(t, func() *sabot.Job { return spreadJob(told, hops) })
			var mu sync.Mutex
			var state engine.StateStats
			c.opt.onState = func(s engine.StateStats) {
				mu.Lock()
				defer mu.Unlock()
				state.Lookups, state.Blocks, state.Evicted = state.Lookups+s.Lookups, state.Blocks+s.Blocks, state.Evicted+s.Evicted
			}
			c.opt.Rate, c.opt.Memory = 12_000, []int64{2, 256 << 10, 1 << 20}[seed%3]
			c.survive(r)
			c.wg.Wait()
			got := told.all()
			lines := make([]string, len(got))
			for i, q := range got {
				lines[i] = fmt.Sprint(q)
			}
			same(t, "quarters", slices.Clone(wantQuarters), lines)
			last, panes := lastPanes(t, hops.all())
			same(t, "hops", slices.Clone(wantHops), last)
			c.fsck()
			if panes == 0 {
				t.Error("no row was late for the first pane of its window")
			}
			if state.Evicted == 0 || state.Blocks == 0 {
				t.Errorf("nothing was dropped from memory or read back (%+v): it is no test of that", state)
			}
			t.Logf("%+v, %d panes", state, panes)
		})
	}
}
