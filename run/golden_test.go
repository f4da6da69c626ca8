package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// script is a job whose storage requests are written down step by step. It runs in virtual time, so a step ends when nothing moves any more.
type script struct {
	*cluster
	calls *fault.Bucket
	in    *channel.Source[measure]
	sent  int
	seen  int // calls that are written down
	text  strings.Builder
}

// sums keeps a sum for each meter, which every row changes.
func sums(p *sabot.Proc[string, measure, byMeter]) {
	sum := sabot.NewValue[int64](p, "sum")
	p.OnRow(func(m measure) error {
		s, _ := sum.Get()
		sum.Put(s + m.Value)
		p.Emit(byMeter{Meter: m.Meter, Sum: s + m.Value})
		return nil
	})
}

func newScript(t *testing.T) *script {
	s := &script{calls: fault.Wrap(mem.New(), nil), in: channel.New[measure]()}
	ctx, cancel := context.WithCancel(context.Background())
	s.cluster = &cluster{t: t, ctx: ctx, bucket: s.calls, meet: make(chan arrival), job: func() *sabot.Job {
		job := sabot.NewJob("meters")
		sabot.Process(job.Source("measures", s.in, sabot.EventTime("at")).KeyBy("meter"), "sums", sums).
			Immediate("out", callback.Immediate(func(context.Context, []byMeter) error { return nil }))
		return job
	}}
	s.opt = Options{Checkpoint: 100 * time.Millisecond, Lanes: 1, Partitions: 2, Retain: -1}
	t.Cleanup(func() {
		cancel()
		s.wg.Wait()
	})
	return s
}

// send gives the job a row of each of its partitions.
func (s *script) send() {
	var rows []measure
	for i := range 8 { // meters: some of them fall into each partition
		rows = append(rows, measure{virtualStart.Add(time.Duration(s.sent) * time.Second), fmt.Sprintf("m%02d", i), 1})
		s.sent++
	}
	if _, err := s.in.Send(s.ctx, rows...); err != nil {
		s.t.Fatal(err)
	}
}

// virtualStart is before the time at which virtual time begins: event times are not in the future.
var virtualStart = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

// drawn are the random parts of keys.
var drawn = regexp.MustCompile(`(packs/[0-9a-f]{16}-[0-9a-f]{16}|probe)-[0-9a-f]{16}`)

// step does something, lets it come to rest, and writes down what the bucket was asked for. What runs side by side has no order of its own: requests
// of one kind that follow each other are sorted.
func (s *script) step(name string, do func()) {
	do()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	calls := s.calls.Calls()
	var lines []string
	for _, c := range calls[s.seen:] {
		lines = append(lines, drawn.ReplaceAllString(strings.ToUpper(strings.ReplaceAll(string(c.Op), " ", "-"))+" "+c.Key, "$1-ID"))
	}
	s.seen = len(calls)
	op := func(line string) string { return line[:strings.Index(line, " ")] }
	for from := 0; from < len(lines); {
		to := from
		for to < len(lines) && op(lines[to]) == op(lines[from]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = to
	}
	fmt.Fprintf(&s.text, "# %s\n", name)
	if len(lines) == 0 {
		s.text.WriteString("(none)\n")
	}
	for from := 0; from < len(lines); {
		to := from
		for to < len(lines) && lines[to] == lines[from] {
			to++
		}
		s.text.WriteString(lines[from])
		if to-from > 1 {
			fmt.Fprintf(&s.text, " (%d times)", to-from)
		}
		s.text.WriteByte('\n')
		from = to
	}
	s.text.WriteByte('\n')
}

// do calls f with the coordinator's machine.
func (s *script) do(co *process, f func(m *coord.Machine, now time.Time) error) {
	s.t.Helper()
	var refused error
	if err := co.driver.Load().Do(s.ctx, func(m *coord.Machine, now time.Time) { refused = f(m, now) }); err != nil || refused != nil {
		s.t.Fatal(err, refused)
	}
}

// golden compares all that was written down.
func (s *script) golden(name string) {
	s.t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(s.text.String()), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if d := cmp.Diff(string(want), s.text.String()); d != "" {
		s.t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, d)
	}
}

// stop ends the job after a last checkpoint.
func (s *script) stop(co *process) {
	co.driver.Load().RequestStop()
	<-co.ended
}

// Every storage request of a job of one worker, in order.
func TestRequestsOfOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		var co, w *process
		start := func() {
			co = s.coordinator()
			synctest.Wait()
			w = s.worker("worker-0")
		}
		s.step("first start", start)
		s.step("steady cut", s.send)
		s.step("idle minute", func() { time.Sleep(time.Minute) })
		for range 6 {
			s.step("steady cut", s.send)
		}
		s.step("steady cut, after which small segments are compacted", s.send)
		s.step("savepoint", func() {
			s.do(co, func(m *coord.Machine, now time.Time) error { return m.Savepoint("s1", "mid", now) })
		})
		s.step("the coordinator dies, and another takes over", func() {
			co.kill()
			co = s.coordinator()
		})
		s.step("steady cut under the new coordinator", s.send)
		s.step("the worker dies, and another comes", func() {
			w.kill()
			w = s.worker("worker-1")
		})
		s.step("steady cut of the new worker, which reads the state of the keys", s.send)
		s.step("stop", func() { s.stop(co) })
		s.step("resume", start)
		s.step("end of input", func() {
			s.in.Close()
			<-co.ended
		})
		s.golden("requests-one")
		s.fsck()
	})
}

// Every storage request of a job of two workers, in order.
func TestRequestsOfTwoWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		var co *process
		s.step("first start", func() {
			co = s.coordinator()
			synctest.Wait()
			s.worker("worker-0")
			time.Sleep(time.Millisecond)
			s.worker("worker-1")
		})
		s.step("steady cut: of the rows, and of what comes of them", s.send)
		s.step("idle minute", func() { time.Sleep(time.Minute) })
		s.step("from 2 partitions to 6", func() { s.do(co, func(m *coord.Machine, now time.Time) error { return m.Rescale(6, now) }) })
		s.partitions(6)
		s.step("steady cut", s.send)
		s.step("from 6 partitions to 3", func() { s.do(co, func(m *coord.Machine, now time.Time) error { return m.Rescale(3, now) }) })
		s.partitions(3)
		s.step("the coordinator dies, and another takes over", func() {
			co.kill()
			co = s.coordinator()
		})
		s.step("steady cut under the new coordinator", s.send)
		s.step("stop with a savepoint", func() {
			s.do(co, func(m *coord.Machine, now time.Time) error {
				return m.StopWithSavepoint("s1", "last", false, now, now.Add(time.Minute))
			})
			<-co.ended
		})
		s.golden("requests-two")
		s.fsck()
		if n := checkpoint.RowsRead(s.root()); n != int64(s.sent) {
			t.Errorf("%d rows are read, of %d", n, s.sent)
		}
	})
}

func (s *script) partitions(want int) {
	s.t.Helper()
	// The test looks at CURRENT itself, which is no request of the job.
	if got := len(s.root().Stages[0].Partitions); got != want {
		s.t.Fatalf("%d partitions, want %d", got, want)
	}
	s.seen = len(s.calls.Calls())
}
