package run

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/row"
)

// The tests of this file run clusters in one process: a coordinator and workers, each of which may die, over a bucket in memory.

const (
	meterSplits = 6
	meterRows   = 4000 // of each split
	meters      = 40
)

type measure struct {
	At    time.Time
	Meter string
	Value int64
}

// measureOf is row i of a split. Times of a split are out of order by less than ten seconds.
func measureOf(split, i int) measure {
	h := uint64(split*meterRows+i) * 0x9e3779b97f4a7c15
	at := time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(i)*time.Second - time.Duration(h>>60)*600*time.Millisecond)
	return measure{at, fmt.Sprintf("m%02d", h>>32%meters), int64(h >> 40 & 0xff)}
}

// metering is a source of measures.
type metering struct{}

func (metering) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	var splits []sabot.Split
	for s := range meterSplits {
		splits = append(splits, sabot.Split{ID: sabot.SplitID(strconv.Itoa(s)), Bytes: meterRows, Bounded: true})
	}
	schema, err := row.Schema(reflect.TypeFor[measure]())
	return schema, splits, err
}

func (metering) Open(_ context.Context, env sabot.Env, _ *arrow.Schema, s sabot.Split, at sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[measure]()
	r := &meterReader{encoder: e, most: env.MaxRows, of: measureOf}
	r.split, _ = strconv.Atoi(string(s.ID)) // ours
	r.next, _ = strconv.Atoi(string(at))
	return r, err
}

type meterReader struct {
	encoder           *row.Encoder[measure]
	split, next, most int
	of                func(split, i int) measure
}

func (r *meterReader) Read(context.Context) (sabot.Chunk, error) {
	if r.next == meterRows {
		return sabot.Chunk{}, io.EOF
	}
	n := 0
	for ; n < max(1, r.most) && r.next < meterRows; n++ {
		m := r.of(r.split, r.next)
		r.encoder.Append(&m)
		r.next++
	}
	return sabot.Chunk{Rows: array.NewRecordBatch(r.encoder.Schema(), r.encoder.Flush(), int64(n)), After: sabot.Position(strconv.Itoa(r.next)),
		Done: float64(r.next) / meterRows}, nil
}

func (*meterReader) Close() error { return nil }

// byMeter is what the first stage gives: sums by meter and minute; byTen the second's: by the last digit of the meter and ten minutes.
type byMeter struct {
	Meter                  string
	WindowStart, WindowEnd time.Time
	Sum                    int64
}

type digit struct {
	Digit string
	Sum   int64
}

type byTen struct {
	Digit                  string
	WindowStart, WindowEnd time.Time
	Sum, N                 int64
}

// ledger keeps what the sinks publish, by output.
type ledger struct {
	t       testing.TB
	mu      sync.Mutex
	minutes map[string][]byMeter
	tens    map[string][]byTen
	ids     map[string]sabot.OutputID
	ever    map[string]string // all that was published, also what a test forgets
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, minutes: map[string][]byMeter{}, tens: map[string][]byTen{}, ids: map[string]sabot.OutputID{}, ever: map[string]string{}}
}

func keep[T comparable](l *ledger, into map[string][]T, id sabot.OutputID, rows []T) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprint(rows)
	if old, ok := l.ever[id.String()]; ok && old != text {
		l.t.Errorf("output %s was published twice with different rows", id)
	}
	l.ever[id.String()] = text
	into[id.String()], l.ids[id.String()] = slices.Clone(rows), id
	return nil
}

func meterJob(l *ledger) *sabot.Job { return meterJobFrom(l, metering{}) }

func meterJobFrom(l *ledger, source sabot.Source) *sabot.Job {
	job := sabot.NewJob("meters")
	minutes := job.Source("measures", source, sabot.EventTime("at", sabot.MaxDelay(10*time.Second))).KeyBy("meter").
		Window(sabot.Tumbling(time.Minute)).Aggregate("minutes", sabot.Sum("value").As("sum"))
	minutes.Sink("minutes-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byMeter) error { return keep(l, l.minutes, id, rows) }))
	sabot.Map(minutes.Stream, "digit", func(m byMeter) (digit, error) { return digit{m.Meter[2:], m.Sum}, nil }).KeyBy("digit").
		Window(sabot.Tumbling(10*time.Minute)).Aggregate("tens", sabot.Sum("sum").As("sum"), sabot.Count().As("n")).
		Sink("tens-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byTen) error { return keep(l, l.tens, id, rows) }))
	return job
}

// check compares what was published with brute force.
func (l *ledger) check() {
	l.t.Helper()
	minutes, tens := map[byMeter]int64{}, map[byTen]int64{}
	for s := range meterSplits {
		for i := range meterRows {
			m := measureOf(s, i)
			start := m.At.Truncate(time.Minute)
			minutes[byMeter{Meter: m.Meter, WindowStart: start, WindowEnd: start.Add(time.Minute)}] += m.Value
		}
	}
	count := map[byTen]int64{}
	for k, sum := range minutes {
		start := k.WindowStart.Truncate(10 * time.Minute)
		t := byTen{Digit: k.Meter[2:], WindowStart: start, WindowEnd: start.Add(10 * time.Minute)}
		tens[t] += sum
		count[t]++
	}
	var wantMinutes, gotMinutes, wantTens, gotTens []string
	for k, sum := range minutes {
		k.Sum = sum
		wantMinutes = append(wantMinutes, fmt.Sprint(k))
	}
	for k, sum := range tens {
		n := count[k]
		k.Sum, k.N = sum, n
		wantTens = append(wantTens, fmt.Sprint(k))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for rows := range maps.Values(l.minutes) {
		for _, r := range rows {
			gotMinutes = append(gotMinutes, fmt.Sprint(r))
		}
	}
	for rows := range maps.Values(l.tens) {
		for _, r := range rows {
			gotTens = append(gotTens, fmt.Sprint(r))
		}
	}
	same(l.t, "minutes", wantMinutes, gotMinutes)
	same(l.t, "tens", wantTens, gotTens)
}

func same(t testing.TB, what string, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if slices.Equal(want, got) {
		return
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Errorf("%s: %d rows, want %d; first difference at %d: got %v, want %v", what, len(got), len(want), i, at(got, i), at(want, i))
			return
		}
	}
}

func at(rows []string, i int) string {
	if i < len(rows) {
		return rows[i]
	}
	return "nothing"
}

func TestClusterIsExact(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := newLedger(t)
	c := newCluster(t, func() *sabot.Job { return meterJob(l) })
	for i := range 3 {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	<-co.ended
	if co.err != nil || !co.res.Finished || co.res.RowsRead != meterSplits*meterRows {
		t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
	}
	c.wg.Wait()
	l.check()
	c.fsck()
	if n := len(checkpoint.Owners(c.root())); n != 3 {
		t.Errorf("%d groups share the job, want 3", n)
	}
}

// The number of partitions changes while the job runs, and no state is copied.
func TestClusterIsRescaled(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			l := newLedger(t)
			c := newCluster(t, func() *sabot.Job { return meterJob(l) })
			for i := range workers {
				c.worker(fmt.Sprint("worker-", i))
			}
			co := c.coordinator()
			have := func() int {
				if root := c.root(); root != nil {
					return len(root.Stages[0].Partitions)
				}
				return 0
			}
			wait := func(what string, ok func() bool) {
				t.Helper()
				for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
					if !co.running() || time.Since(began) > 30*time.Second {
						t.Fatalf("%s does not come: %s", what, c.stuck())
					}
				}
			}
			wait("the first checkpoint", func() bool { return c.root() != nil && c.root().Epoch > 3 })
			for _, n := range []int{16, 5, 12} {
				before := checkpoint.RowsRead(c.root())
				if before == meterSplits*meterRows {
					t.Fatal("the job is over before it is rescaled: it is too short for this test")
				}
				co.rescale(c.ctx, n)
				wait(fmt.Sprint(n, " partitions"), func() bool { return have() == n })
			}
			<-co.ended
			if co.err != nil || !co.res.Finished {
				t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
			}
			l.check()
			c.fsck()
		})
	}
}

// Workers come and go, by plan and by death.
func TestClusterOfWorkersThatDie(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	var total atomic.Int64 // kills
	t.Cleanup(func() {
		if !t.Failed() && total.Load() < int64(seeds) {
			t.Errorf("only %d processes were killed in %d histories: the job is too short for this test", total.Load(), seeds)
		}
	})
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			c := newCluster(t, func() *sabot.Job { return meterJob(l) })
			c.opt.Rate, c.opt.unread = 8000, []int64{0, 4 << 10}[seed%2] // with little room on their way, sources wait for who reads their rows
			total.Add(c.survive(rand.New(rand.NewPCG(seed, 9))))
			l.check()
			c.fsck()
		})
	}
}

// survive runs the job to its end while workers come and go, coordinators die, and partitions change. It returns how many processes it has killed.
func (c *cluster) survive(r *rand.Rand) (killed int64) {
	t := c.t
	t.Helper()
	var live []*process
	join := func() { live = append(live, c.worker(fmt.Sprint("worker-", len(live)))) }
	join()
	join()
	co := c.coordinator()
	kills := 0
	status := ""
	for running := true; running; {
		status = co.status(c.ctx)
		select {
		case <-co.ended:
			running = false
		case <-time.After(time.Duration(20+r.IntN(250)) * time.Millisecond):
			for _, w := range live {
				if !w.running() && w.err != nil {
					t.Fatalf("a worker ended with %v", w.err)
				}
			}
			switch x := r.IntN(6); {
			case x == 5:
				co.rescale(c.ctx, []int{3, 8, 16}[r.IntN(3)])
			case x == 0 && kills < 6:
				co.kill()
				co = c.coordinator()
				kills++
			case x < 3 && len(live) < 4:
				join()
			case kills < 12 && len(live) > 0:
				i := r.IntN(len(live))
				live[i].kill()
				live = slices.Delete(live, i, i+1)
				kills++
			}
			if len(live) == 0 {
				join()
			}
		}
	}
	if co.err != nil || !co.res.Finished {
		t.Fatalf("the coordinator ended with %+v, %v\n%s\n%s", co.res, co.err, status, c.stuck())
	}
	return int64(kills)
}
