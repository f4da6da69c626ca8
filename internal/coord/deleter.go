package coord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
)

const (
	// deletesAtOnce bounds the requests that deleting has in flight.
	deletesAtOnce = 4
	// longGap is how long this process may have stood still, as far as its clock tells, without asking whether it still leads.
	longGap = 10 * time.Second
	// drainTimeout is how long a clean end waits for the last deletes.
	drainTimeout = 10 * time.Second
)

// errDeposed ends deleting: another term is committed.
var errDeposed = errors.New("another process leads the job")

// deleter removes garbage in the background. What it fails to delete it tries again with the next batch; what is left at the end, the next
// run's sweep finds.
type deleter struct {
	store *checkpoint.Store
	clock clock.Clock
	log   *slog.Logger
	root  func() *pb.Root // the committed one
	wake  chan struct{}   // holds a token when something is queued
	last  chan struct{}   // closed: nothing more will be queued
	done  chan struct{}   // closed when run has returned

	mu     sync.Mutex
	keys   []string
	list   bool      // look for what earlier processes left
	queued time.Time // when this process last knew that it leads
}

func newDeleter(store *checkpoint.Store, c clock.Clock, log *slog.Logger, root func() *pb.Root) *deleter {
	return &deleter{store: store, clock: c, log: log, root: root, wake: make(chan struct{}, 1), last: make(chan struct{}),
		done: make(chan struct{}), queued: c.Now()}
}

// add queues keys, right after the commit that made them collectable.
func (d *deleter) add(keys []string) {
	d.mu.Lock()
	d.keys, d.queued = append(d.keys, keys...), d.clock.Now()
	d.mu.Unlock()
	d.nudge()
}

// sweep queues a search for what earlier processes left.
func (d *deleter) sweep() {
	d.mu.Lock()
	d.list = true
	d.mu.Unlock()
	d.nudge()
}

func (d *deleter) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// drain waits until everything queued is done, for a while at most.
func (d *deleter) drain(ctx context.Context) {
	close(d.last)
	timeout := d.clock.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-d.done:
	case <-timeout.C():
	case <-ctx.Done():
	}
}

// run works until the context ends, or until drain finds nothing queued, or until another process leads the job.
func (d *deleter) run(ctx context.Context) {
	defer close(d.done)
	var failed []string
	for {
		select {
		case <-d.wake:
		case <-d.last:
			if !d.waiting() {
				return
			}
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		b := batch{deleter: d, keys: append(d.keys, failed...), alive: d.queued}
		list := d.list
		d.keys, d.list = nil, false
		d.mu.Unlock()
		var err error
		if failed, err = b.work(ctx, list); err == nil || ctx.Err() != nil {
			continue
		}
		d.log.Warn("garbage is left", "objects", len(failed), "error", err)
		if errors.Is(err, errDeposed) {
			return
		}
	}
}

func (d *deleter) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.keys) > 0 || d.list
}

// batch is what is deleted in one go.
type batch struct {
	*deleter
	keys  []string
	alive time.Time // when this process last knew that it leads, or that it runs without a gap since
}

// work deletes, and returns what it could not delete.
func (b *batch) work(ctx context.Context, list bool) (failed []string, err error) {
	if list {
		if err := b.leads(ctx); err != nil {
			return b.keys, err
		}
		gone, err := checkpoint.Sweep(ctx, b.store.Bucket, b.root())
		copies, err2 := b.store.SweepCopies(ctx, b.root)
		if len(gone)+copies > 0 {
			b.log.Info("removed what earlier processes left", "objects", len(gone), "copies", copies)
		}
		if err := errors.Join(err, err2); err != nil {
			return b.keys, err
		}
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(deletesAtOnce)
	for i, k := range b.keys {
		if err = b.leads(ctx); err != nil {
			mu.Lock()
			failed = append(failed, b.keys[i:]...)
			mu.Unlock()
			break
		}
		g.Go(func() error {
			err := b.store.Bucket.Delete(ctx, k)
			if err != nil {
				mu.Lock()
				failed = append(failed, k)
				mu.Unlock()
				return fmt.Errorf("delete %s: %w", k, err)
			}
			return nil
		})
	}
	err = errors.Join(err, g.Wait())
	return failed, err
}

// leads asks CURRENT whether the term is still ours, if this process may have stood still.
func (b *batch) leads(ctx context.Context) error {
	now := b.clock.Now()
	gap := now.Sub(b.alive)
	b.alive = now
	if gap < longGap && gap > -longGap {
		return nil
	}
	root, _, err := b.store.Read(ctx)
	if err != nil {
		return fmt.Errorf("before deleting, after a gap of %v: %w", gap, err)
	}
	if mine := b.root().Term; root.Term != mine {
		return fmt.Errorf("%w: at term %d, ours is %d", errDeposed, root.Term, mine)
	}
	return nil
}
