package savepoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/lease"
)

// Offline changes a job that nobody runs: it leads it for a moment.
type Offline struct {
	Bucket objstore.Bucket
	Job    string
	Clock  clock.Clock
}

// leaseTime is how long a process that has stopped keeps its job.
const leaseTime = 5 * time.Second

// term is a moment in which this process leads the job: its root is the committed one, of a term of its own.
type term struct {
	checkpoint.Store
	root    *pb.Root
	version objstore.Version
}

// lead lets f work as the job's leader. F gets the committed root; what it commits follows on it.
func (o Offline) lead(ctx context.Context, f func(t *term) error) error {
	s := store(o.Bucket, o.Job, o.Clock)
	if _, _, err := s.Read(ctx); err != nil { // before a lock is taken for a job that does not exist
		return err
	}
	if !o.Bucket.Limits().Private {
		locker := objstore.LockerOf(o.Bucket)
		if locker == nil {
			locker = &lease.Locker{Bucket: o.Bucket, Clock: o.Clock}
		}
		leader, err := locker.Lead(ctx, s.Paths.Prefix(), leaseTime, false)
		if held := (*objstore.HeldError)(nil); errors.As(err, &held) {
			return sabot.WithKind(sabot.Fenced, fmt.Errorf("job %s: %w; name its coordinator by --coordinator, or stop the job first", o.Job, err))
		}
		if err != nil {
			return err
		}
		defer func() { _ = leader.Release() }() // it ends with its lease at the latest
	}
	root, version, err := s.Read(ctx)
	if err != nil {
		return err
	}
	return f(&term{s, root, version})
}

// commit commits body after the term's root. The change that body makes, and what becomes garbage by it, are then done.
func (t *term) commit(ctx context.Context, body *pb.Root) error {
	v, err := t.Commit(ctx, body, t.version)
	if err != nil {
		return err
	}
	old := t.root
	t.root, t.version = body, v
	for _, k := range checkpoint.Collectable(body, checkpoint.Garbage(old, body)) {
		if err := t.Bucket.Delete(ctx, k); err != nil {
			return fmt.Errorf("the change is done, but %s could not be deleted; the job's next start does it: %w", k, err)
		}
	}
	return nil
}

// Create implements Keeper.
func (o Offline) Create(ctx context.Context, id, name string) error {
	if err := errors.Join(checkpoint.CheckPinID(id), checkpoint.CheckPinName(name)); err != nil {
		return err
	}
	return o.lead(ctx, func(t *term) error {
		body := checkpoint.TakeOver(t.root)
		pin, err := checkpoint.AddPin(body, pb.PinKind_SAVEPOINT, id, name, o.Clock.Now())
		if err != nil {
			return err
		}
		if err := t.commit(ctx, body); err != nil {
			return err
		}
		if err := t.WriteCopy(ctx, body, pin); err != nil {
			return err
		}
		body = next(body)
		checkpoint.MarkWritten(body, id)
		return t.commit(ctx, body)
	})
}

// next returns a root to change, which follows on root in the same term.
func next(root *pb.Root) *pb.Root {
	c := proto.Clone(root).(*pb.Root)
	c.Nonce = ""
	return c
}

// Remove implements Keeper.
func (o Offline) Remove(ctx context.Context, id string) error {
	return o.lead(ctx, func(t *term) error {
		body := checkpoint.TakeOver(t.root)
		checkpoint.DropPins(body, func(p *pb.Pin) bool { return p.Id == id })
		return t.commit(ctx, body)
	})
}

// Clone implements Keeper.
func (o Offline) Clone(ctx context.Context, of, id, job string) error {
	return o.lead(ctx, func(t *term) error {
		body := checkpoint.TakeOver(t.root)
		if _, err := checkpoint.AddClone(body, of, id, job, o.Clock.Now()); err != nil {
			return err
		}
		return t.commit(ctx, body)
	})
}

// Restore makes the job go back to what the savepoint of a name, or any pin of an id, keeps. It returns the root from which the job goes on, and the outputs
// that it will publish again.
func (o Offline) Restore(ctx context.Context, nameOrID string) (root *pb.Root, rep checkpoint.Repeated, err error) {
	err = o.lead(ctx, func(t *term) error {
		pin, err := checkpoint.FindPin(t.root, nameOrID)
		if err != nil {
			return err
		}
		copied, err := readable(ctx, t.Store, pin)
		if err != nil {
			return err
		}
		if root, rep, err = checkpoint.Restored(t.root, copied, pin); err != nil {
			return fmt.Errorf("go back to %s: %w", nameOrID, err)
		}
		return t.commit(ctx, root)
	})
	return root, rep, err
}
