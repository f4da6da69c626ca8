// Package savepoint changes which earlier states of a job its root keeps: savepoints, clones, retained checkpoints. It works through the coordinator of a
// job that runs, or on the bucket of one that does not, and makes a job go back to such a state, or another job begin with it.
package savepoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Keeper changes the pins of one job. What it has done is committed when it returns.
type Keeper interface {
	// Create makes a savepoint of the newest checkpoint, under a new id and a name.
	Create(ctx context.Context, id, name string) error
	// Remove removes the pin of an id.
	Remove(ctx context.Context, id string) error
	// Clone pins for another job, under a new id, what the pin of an id keeps.
	Clone(ctx context.Context, of, id, job string) error
}

// cloneTime is how long the making of a clone may take.
const cloneTime = time.Hour

// Remove removes a savepoint, a retained checkpoint or a clone's pin from a job, by name or id. A clone that still names objects of the job keeps its pin.
func Remove(ctx context.Context, k Keeper, s checkpoint.Store, nameOrID string) (*pb.Pin, error) {
	root, _, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	pin, err := checkpoint.FindPin(root, nameOrID)
	if err != nil {
		return nil, err
	}
	if pin.Kind == pb.PinKind_CLONE {
		if err := cloneIsOver(ctx, s, pin); err != nil {
			return nil, err
		}
	}
	return pin, k.Remove(ctx, pin.Id)
}

// cloneIsOver returns an error while a clone needs what its pin keeps.
func cloneIsOver(ctx context.Context, s checkpoint.Store, pin *pb.Pin) error {
	clone, _, err := checkpoint.Store{Bucket: s.Bucket, Paths: checkpoint.NewPaths(pin.Name), Clock: s.Clock}.Read(ctx)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		if age := s.Clock.Now().Sub(time.UnixMicro(pin.CreatedUs)); age < cloneTime {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s, a clone, may be being made: its pin was set %s ago, and can be removed after %s", pin.Name,
				age.Round(time.Second), cloneTime))
		}
		return nil
	case err != nil:
		return err
	}
	n := 0
	for _, key := range checkpoint.Foreign(clone) {
		if _, _, ours := s.Paths.ParsePack(key); ours {
			n++
		}
	}
	if n > 0 {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s began as a clone and still names %d objects of job %s; try again when its compaction has rewritten them",
			pin.Name, n, s.Paths.Job()))
	}
	return nil
}

// Clone makes a job of another name in the same bucket, which begins with what the pin of a name or id keeps. No state is copied. It returns the new
// job's root.
func Clone(ctx context.Context, k Keeper, s checkpoint.Store, nameOrID, job string) (*pb.Root, error) {
	if err := checkpoint.CheckName(job); err != nil {
		return nil, err
	}
	root, _, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	pin, err := checkpoint.FindPin(root, nameOrID)
	if err != nil {
		return nil, err
	}
	copied, err := readable(ctx, s, pin)
	if err != nil {
		return nil, err
	}
	to := checkpoint.Store{Bucket: s.Bucket, Paths: checkpoint.NewPaths(job), Clock: s.Clock}
	if _, _, err := to.Read(ctx); err == nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("there is a job %s already", job))
	} else if !errors.Is(err, objstore.ErrNotFound) {
		return nil, err
	}
	body, err := checkpoint.Cloned(copied, job, s.Clock.Random(4), s.Clock.Now())
	if err != nil {
		return nil, err
	}
	// First the pin, then the root: what the clone names is kept from before it names it.
	if err := k.Clone(ctx, pin.Id, s.Clock.Random(8), job); err != nil {
		return nil, err
	}
	if _, err := to.Commit(ctx, body, objstore.Absent); err != nil {
		return nil, err
	}
	return body, nil
}

// readable returns the copy of a pin, and an error when there is none.
func readable(ctx context.Context, s checkpoint.Store, pin *pb.Pin) (*pb.Root, error) {
	switch {
	case pin.Kind == pb.PinKind_CLONE:
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%s keeps objects for job %s, and is no savepoint", pin.Id, pin.Name))
	case !pin.Written:
		return nil, sabot.WithKind(sabot.Retry, fmt.Errorf("%s %s is being written; try again", checkpoint.KindName(pin.Kind), pin.Id))
	}
	return s.ReadCopy(ctx, pin)
}

// store returns the store of a job.
func store(b objstore.Bucket, job string, c clock.Clock) checkpoint.Store {
	return checkpoint.Store{Bucket: b, Paths: checkpoint.NewPaths(job), Clock: c}
}
