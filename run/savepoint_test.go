package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/savepoint"
)

// inside changes the job of a cluster as savepoint.Live does, without a connection.
type inside struct {
	c  *cluster
	co *process
}

func (k inside) do(f func(*coord.Machine, time.Time) error, done func(*pb.Root) bool) error {
	var refused error
	if err := k.co.driver.Load().Do(k.c.ctx, func(m *coord.Machine, now time.Time) { refused = f(m, now) }); err != nil || refused != nil {
		return fmt.Errorf("%w, %w", err, refused)
	}
	for !done(k.c.root()) {
		if !k.co.running() {
			return fmt.Errorf("the coordinator has ended: %w", k.co.err)
		}
		time.Sleep(2 * time.Millisecond) // until the root says so
	}
	return nil
}

func (k inside) Create(_ context.Context, id, name string) error {
	return k.do(func(m *coord.Machine, now time.Time) error { return m.Savepoint(id, name, now) }, func(r *pb.Root) bool {
		p := checkpoint.PinOf(r, id)
		return p != nil && p.Written
	})
}

func (k inside) Remove(_ context.Context, id string) error {
	return k.do(func(m *coord.Machine, now time.Time) error { return m.RemovePin(id, now) }, func(r *pb.Root) bool { return checkpoint.PinOf(r, id) == nil })
}

func (k inside) Clone(_ context.Context, of, id, job string) error {
	return k.do(func(m *coord.Machine, now time.Time) error { return m.PinClone(of, id, job, now) }, func(r *pb.Root) bool { return checkpoint.PinOf(r, id) != nil })
}

// withSavepoint runs the job on a cluster to its end, and makes a savepoint "mid" on its way, and a clone "copy" that begins with it. Between the two the
// partitions change.
func withSavepoint(t *testing.T, l *ledger) (*cluster, checkpoint.Store) {
	c := newCluster(t, func() *sabot.Job { return meterJob(l) })
	c.opt.Rate = 8000
	s := checkpoint.Store{Bucket: c.bucket, Paths: checkpoint.NewPaths("meters"), Clock: clock.Real()}
	for i := range 2 {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	wait := func(what string, ok func(*pb.Root) bool) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			if root := c.root(); root != nil && ok(root) {
				return
			}
			if !co.running() || time.Since(began) > 30*time.Second {
				t.Fatalf("%s does not come: %s", what, c.stuck())
			}
		}
	}
	wait("half of the input", func(r *pb.Root) bool { return checkpoint.RowsRead(r) > meterSplits*meterRows/3 && len(r.Exchanges) > 0 })
	k := inside{c, co}
	if err := k.Create(c.ctx, "s1", "mid"); err != nil {
		t.Fatal(err)
	}
	co.rescale(c.ctx, 5)
	wait("another number of partitions", func(r *pb.Root) bool { return len(r.Stages[0].Partitions) == 5 })
	if _, err := savepoint.Clone(c.ctx, k, s, "mid", "copy"); err != nil {
		t.Fatal(err)
	}
	<-co.ended
	if co.err != nil || !co.res.Finished {
		t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
	}
	c.wg.Wait()
	l.check()
	return c, s
}

// forget removes the outputs that a job which goes back publishes again.
func (l *ledger) forget(rep checkpoint.Repeated) {
	again := func(id sabot.OutputID) bool {
		return id.Run == rep.Run && (id.Number > rep.Above || slices.Contains(rep.Cuts, id.Number) || slices.ContainsFunc(rep.Open, func(o *pb.OutputKey) bool {
			return o.Sink == id.Sink && o.Range == id.Range && o.Number == id.Number
		}))
	}
	maps.DeleteFunc(l.minutes, func(s string, _ []byMeter) bool { return again(l.ids[s]) })
	maps.DeleteFunc(l.tens, func(s string, _ []byTen) bool { return again(l.ids[s]) })
}

// A job that goes back to a savepoint comes to the same output, less what the restore said would come again. A savepoint outlives the job's end.
func TestRestoreSavepoint(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := newLedger(t)
	c, s := withSavepoint(t, l)
	root, rep, err := savepoint.Offline{Bucket: c.bucket, Job: "meters", Clock: clock.Real()}.Restore(c.ctx, "mid")
	if err != nil {
		t.Fatal(err)
	}
	if n := checkpoint.RowsRead(root); n == 0 || n >= meterSplits*meterRows {
		t.Fatalf("%d rows read as of the savepoint, want some of %d", n, meterSplits*meterRows)
	}
	l.forget(rep)
	opt := c.opt
	opt.Store, opt.Rate, opt.Partitions = c.bucket, 0, 0
	if res, err := Run(c.ctx, meterJob(l), opt); err != nil || !res.Finished {
		t.Fatalf("%+v, %v", res, err)
	}
	l.check()
	c.fsck()

	k := savepoint.Offline{Bucket: c.bucket, Job: "meters", Clock: clock.Real()}
	if _, err := savepoint.Remove(c.ctx, k, s, "mid"); err != nil {
		t.Fatal(err)
	}
	if _, err := savepoint.Remove(c.ctx, k, s, "mid"); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("removed twice: %v", err)
	}
	for _, p := range c.root().Pins {
		if p.Kind != pb.PinKind_CLONE {
			t.Errorf("pin %v is left", p)
		}
	}
}

// A clone goes on from the savepoint on its own: with what the job had published by then, its output is complete. It needs nothing of the job once it has
// ended, and never touches it.
func TestCloneOfSavepoint(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := newLedger(t)
	c, s := withSavepoint(t, l)
	pin, err := checkpoint.FindPin(c.root(), "mid")
	if err != nil {
		t.Fatal(err)
	}
	copied, err := s.ReadCopy(c.ctx, pin)
	if err != nil {
		t.Fatal(err)
	}
	_, rep, err := checkpoint.Restored(c.root(), copied, pin)
	if err != nil {
		t.Fatal(err)
	}
	k := savepoint.Offline{Bucket: c.bucket, Job: "meters", Clock: clock.Real()}
	if _, err := savepoint.Remove(c.ctx, k, s, c.clonePin()); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("the pin of a clone that has not run was removed: %v", err)
	}
	if _, err := savepoint.Remove(c.ctx, k, s, "mid"); err != nil { // the clone's pin keeps what it needs
		t.Fatal(err)
	}
	opt := c.opt
	opt.Store, opt.Rate, opt.Partitions, opt.As = c.bucket, 0, 0, "copy"
	before := proofOf(t, c)
	clone := newLedger(t)
	if res, err := Run(c.ctx, meterJob(clone), opt); err != nil || !res.Finished {
		t.Fatalf("%+v, %v", res, err)
	}
	if after := proofOf(t, c); after != before {
		t.Error("the clone has changed the job that it is of")
	}
	l.forget(rep)
	maps.Copy(clone.minutes, l.minutes)
	maps.Copy(clone.tens, l.tens)
	clone.check()
	c.fsck()
	if rep, err := checkpoint.Fsck(c.ctx, c.bucket, "copy"); err != nil || !rep.OK() {
		t.Errorf("fsck of the clone: %+v, %v", rep, err)
	}
	if _, err := savepoint.Remove(c.ctx, k, s, c.clonePin()); err != nil {
		t.Errorf("the clone has ended, but its pin stays: %v", err)
	}
	if rep, err := checkpoint.Fsck(c.ctx, c.bucket, "meters"); err != nil || rep.RetainedBytes != 0 {
		t.Errorf("with no pins left: %+v, %v", rep, err)
	}
}

func (c *cluster) clonePin() string {
	for _, p := range c.root().Pins {
		if p.Kind == pb.PinKind_CLONE {
			return p.Id
		}
	}
	return ""
}

// proofOf names what the job has in its folder.
func proofOf(t *testing.T, c *cluster) (text string) {
	for o, err := range c.bucket.List(c.ctx, "meters/") {
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintln(o.Key, o.Size)
	}
	return text
}
