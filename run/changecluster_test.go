package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/connectors/callback"
)

// gated returns the meters' job, which publishes only while the gate is open.
func gated(l *ledger, gate *sync.RWMutex) *sabot.Job {
	job := sabot.NewJob("meters")
	minutes := job.Source("measures", metering{}, sabot.EventTime("at", sabot.MaxDelay(10*time.Second))).KeyBy("meter").
		Window(sabot.Tumbling(time.Minute)).Aggregate("minutes", sabot.Sum("value").As("sum"))
	minutes.Sink("minutes-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byMeter) error {
		gate.RLock()
		defer gate.RUnlock()
		return keep(l, l.minutes, id, rows)
	}))
	sabot.Map(minutes.Stream, "digit", func(m byMeter) (digit, error) { return digit{m.Meter[2:], m.Sum}, nil }).KeyBy("digit").
		Window(sabot.Tumbling(10*time.Minute)).Aggregate("tens", sabot.Sum("sum").As("sum"), sabot.Count().As("n")).
		Sink("tens-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byTen) error {
			gate.RLock()
			defer gate.RUnlock()
			return keep(l, l.tens, id, rows)
		}))
	return job
}

// wider returns the meters' job with another stage before the others, so that these get other numbers.
func wider(l *ledger) *sabot.Job {
	job := sabot.NewJob("meters")
	source := job.Source("measures", metering{}, sabot.EventTime("at", sabot.MaxDelay(10*time.Second)))
	source.KeyBy("value").Window(sabot.Tumbling(time.Hour)).Aggregate("values", sabot.Count().As("n")).
		Sink("values-out", callback.Committed(func(context.Context, sabot.OutputID, []struct{ Value, N int64 }) error { return nil }))
	minutes := source.KeyBy("meter").Window(sabot.Tumbling(time.Minute)).Aggregate("minutes", sabot.Sum("value").As("sum"))
	minutes.Sink("minutes-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byMeter) error { return keep(l, l.minutes, id, rows) }))
	sabot.Map(minutes.Stream, "digit", func(m byMeter) (digit, error) { return digit{m.Meter[2:], m.Sum}, nil }).KeyBy("digit").
		Window(sabot.Tumbling(10*time.Minute)).Aggregate("tens", sabot.Sum("sum").As("sum"), sabot.Count().As("n")).
		Sink("tens-out", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []byTen) error { return keep(l, l.tens, id, rows) }))
	return job
}

// A stop of a cluster leaves nothing between its groups, so that a cluster of another graph goes on; its workers may come before its coordinator. What a
// crash leaves between them, one process of the graph of before drains.
func TestClusterChangesItsGraph(t *testing.T) {
	for _, how := range []string{"stop", "drain", "crash"} {
		t.Run(how, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			l := newLedger(t)
			c := newCluster(t, func() *sabot.Job { return meterJob(l) })
			c.opt.Rate = 8000
			var workers []*process
			for i := range 3 {
				workers = append(workers, c.worker(fmt.Sprint("worker-", i)))
			}
			co := c.coordinator()
			for began := time.Now(); ; time.Sleep(5 * time.Millisecond) { // until rows are on their way in the middle of the input
				if root := c.root(); root != nil && checkpoint.RowsRead(root) > meterSplits*meterRows/3 && len(root.Exchanges) > 0 {
					break
				}
				if !co.running() || time.Since(began) > 60*time.Second {
					t.Fatalf("half of the input does not come: %s", c.stuck())
				}
			}
			switch how {
			case "stop":
				co.driver.Load().RequestStop()
			case "drain":
				co.driver.Load().RequestDrain()
			case "crash":
				co.kill()
				for _, w := range workers {
					w.kill()
				}
				c.drainAlone(l)
			}
			<-co.ended
			if how != "crash" && (co.err != nil || co.res.Finished) {
				t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
			}
			c.wg.Wait()
			root := c.root()
			if len(root.Exchanges) > 0 || how != "stop" && len(root.Outputs) > 0 {
				t.Fatalf("the %s has left %d exchanges and %d outputs", how, len(root.Exchanges), len(root.Outputs))
			}

			next := newCluster(t, func() *sabot.Job { return wider(l) })
			next.bucket, next.opt.Partitions = c.bucket, 0
			for i := range 2 {
				next.worker(fmt.Sprint("later-", i))
			}
			co = next.coordinator()
			<-co.ended
			if co.err != nil || !co.res.Finished || co.res.RowsRead != meterSplits*meterRows {
				t.Fatalf("the changed job ended with %+v, %v", co.res, co.err)
			}
			next.wg.Wait()
			l.check()
			next.fsck()
		})
	}
}

// drainAlone drains a cluster that has crashed, in one process.
func (c *cluster) drainAlone(l *ledger) {
	c.t.Helper()
	opt := c.opt
	opt.Store, opt.Partitions = c.bucket, 0
	before := c.root()
	_, err := Run(c.ctx, wider(l), opt)
	if len(before.Exchanges) > 0 && (sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "rows are on their way between stages\n"+drainHelp)) {
		c.t.Errorf("another graph on top of unread rows: %v", err)
	}
	opt.Drain = true
	if res, err := Run(c.ctx, meterJob(l), opt); err != nil || res.Finished || res.RowsRead != checkpoint.RowsRead(before) {
		c.t.Fatalf("drained: %+v, %v; %d rows had been read", res, err, checkpoint.RowsRead(before))
	}
}

// A coordinator that dies while it drains the job has held the sources: under the next one they give again, though nothing else asks for a cut.
func TestCoordinatorDiesInItsDrain(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := newLedger(t)
	var gate sync.RWMutex
	c := newCluster(t, func() *sabot.Job { return gated(l, &gate) })
	c.opt.Rate = 8000
	c.worker("worker") // of several, each counts rows of the others, and wants a cut for those
	co := c.coordinator()
	wait := func(what string, ok func(*pb.Root) bool) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			if root := c.root(); root != nil && ok(root) {
				return
			}
			if !co.running() || time.Since(began) > 60*time.Second {
				gate.Unlock()
				t.Fatalf("%s does not come: %s", what, c.stuck())
			}
		}
	}
	gate.Lock()
	wait("a part of the input", func(r *pb.Root) bool { return checkpoint.RowsRead(r) > meterSplits*meterRows/4 })
	co.driver.Load().RequestDrain()
	wait("a root that only publishing is left of", func(r *pb.Root) bool {
		open := slices.ContainsFunc(r.Outputs, func(o *pb.Output) bool { return !o.Closed })
		return len(r.Exchanges) == 0 && !open
	})
	time.Sleep(200 * time.Millisecond) // for what is under way to come to rest: if it does not, the test shows less
	co.kill()
	read := checkpoint.RowsRead(c.root())
	co = c.coordinator()
	wait("more input", func(r *pb.Root) bool { return checkpoint.RowsRead(r) > read })
	gate.Unlock()
	<-co.ended
	if co.err != nil || !co.res.Finished {
		t.Fatalf("the next coordinator ended with %+v, %v", co.res, co.err)
	}
	c.wg.Wait()
	l.check()
	c.fsck()
}
