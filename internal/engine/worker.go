package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// Coordinator is the worker's end of its connection. Messages are not changed after they are sent.
type Coordinator interface {
	Send(context.Context, *pb.FromWorker) error
	Recv(context.Context) (*pb.ToWorker, error)
}

// Config is what a worker works with. All fields but DeadLetters, Fetch, Observe, Trouble and Drain are required.
type Config struct {
	Name        string // of the worker, for people
	Graph       *bind.Graph
	Impl        func(node string) any // connectors and functions by node name
	DeadLetters sabot.Sink            // nil: JSONL in the bucket
	Bucket      objstore.Bucket
	Fetch       *fetch.Fetcher // of the bucket, for state; nil: each range is a request of its own
	Paths       checkpoint.Paths
	Clock       clock.Clock
	Log         *slog.Logger
	Lanes       int  // goroutines per stage
	Rate        int  // rows per second that all sources may give; 0: no limit
	FailOnBad   bool // stop at the first dead letter
	// Memory is how many bytes of keyed state, with its indexes, are in memory; what is not used is read back when it is. 0: no bound.
	Memory int64
	Unread int64 // bytes of rows that may be in the bucket for other groups before the sources wait for them; 0: 256 MiB

	// OnState is told what each keyed lane of a group has read of its state, when the group stops; nil: nobody is.
	OnState func(StateStats)
	Hold    bool // the sources give nothing until a cut lets them
	// Observe is told of each stage of a cut that has ended. Any goroutine may call it; may be nil.
	Observe func(CutStage, time.Duration)
	// Trouble tells what is wrong with the bucket, and for how long; empty: nothing. May be nil.
	Trouble func(now time.Time) (what string, lasts time.Duration)
	Drain   <-chan struct{} // closed: take a last cut, hand the share back and stop; may be nil
}

// Worker runs a group as its coordinator tells it. When it loses its coordinator it keeps what it has, for the next one.
type Worker struct {
	cfg    Config
	nudges chan struct{}
	conn   atomic.Pointer[Coordinator] // nil: there is none

	told     *pb.Progress // last
	toldAt   time.Time
	reported atomic.Bool // a report has gone out since: whoever has it takes what was told before for done

	memory   *objstate.Memory // nil: without bounds
	in, out  map[string]*flow // by source and by committed sink
	troubles troubles
	load     atomic.Pointer[pb.Load] // made last; nil: there is no group

	mu       sync.Mutex
	group    *group
	restarts int
}

// maxPanics is how often a job is started again after a panic in user code.
const maxPanics = 3

// New returns a worker.
func New(cfg Config) *Worker {
	w := &Worker{cfg: cfg, nudges: make(chan struct{}, 1), in: map[string]*flow{}, out: map[string]*flow{}}
	if cfg.Memory > 0 {
		w.memory = objstate.NewMemory(cfg.Memory)
	}
	for _, n := range cfg.Graph.Nodes {
		switch n.Spec.Kind {
		case sabot.KindSource:
			w.in[n.Spec.Name] = &flow{}
		case sabot.KindSink:
			w.out[n.Spec.Name] = &flow{}
		}
	}
	return w
}

// nudge makes the worker tell the coordinator soon that there is something to cut.
func (w *Worker) nudge() {
	select {
	case w.nudges <- struct{}{}:
	default:
	}
}

// sinks returns the committed sinks by node name.
func (w *Worker) sinks() map[string]sabot.Sink {
	m := map[string]sabot.Sink{}
	for _, n := range w.cfg.Graph.Nodes {
		if n.Spec.Kind == sabot.KindSink {
			m[n.Spec.Name] = w.cfg.Impl(n.Spec.Name).(sabot.Sink)
		}
	}
	return m
}

// Run serves one coordinator until that says Stop, the context ends, or the job cannot go on, and closes the worker. The error is also told to the
// coordinator.
func (w *Worker) Run(ctx context.Context, conn Coordinator) error {
	defer w.Close(ctx)
	return w.Serve(ctx, conn)
}

// ErrLost says that a coordinator is gone, or wants no more of the worker, while the job goes on: the worker may serve the next one.
var ErrLost = errors.New("the coordinator is gone")

// Serve serves a coordinator until it says Stop, the context ends, or the job cannot go on; that error is also told to the coordinator. After ErrLost
// the worker still holds its group, whose sources give nothing meanwhile, and offers it to the next coordinator that it serves. The context of the
// first call is that of the group: it must live until Close.
func (w *Worker) Serve(ctx context.Context, conn Coordinator) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.conn.Store(&conn)
	defer w.conn.Store(nil)
	err := w.serve(ctx, inner, conn)
	if errors.Is(err, ErrLost) && ctx.Err() == nil {
		if g := w.current(); g != nil {
			g.cuts.leaveAlone(true)
		}
		return err
	}
	if g := w.setGroup(nil); g != nil {
		g.stop()
	}
	if err != nil && ctx.Err() == nil {
		_ = w.send(ctx, &pb.FromWorker{Message: &pb.FromWorker_Failed{Failed: &pb.Failed{Error: err.Error(), Kind: sabot.KindOf(err).String()}}})
	}
	return err
}

// Close ends what the worker holds.
func (w *Worker) Close(context.Context) {
	if g := w.setGroup(nil); g != nil {
		g.stop()
	}
}

// send sends a message to the coordinator, if there is one.
func (w *Worker) send(ctx context.Context, m *pb.FromWorker) error {
	c := w.conn.Load()
	if c == nil {
		return ErrLost
	}
	return lost((*c).Send(ctx, m))
}

// lost turns the failure of a connection into ErrLost.
func lost(err error) error {
	if err == nil || sabot.KindOf(err) == sabot.Invalid {
		return err
	}
	return sabot.WithKind(sabot.Retry, fmt.Errorf("%w: %w", ErrLost, err))
}

// serve serves one connection; ctx is the groups' that it starts, conns that of the connection.
func (w *Worker) serve(ctx, conns context.Context, conn Coordinator) error {
	inbox, recvErr := receive(conns, conn)
	w.told = nil
	if err := w.awaitCut(ctx); err != nil {
		return err
	}
	if err := w.register(ctx); err != nil {
		return err
	}
	tick := w.cfg.Clock.NewTimer(progressEvery)
	defer func() { tick.Stop() }()
	var failures backoff
	drain := w.cfg.Drain
	for {
		var ended <-chan error
		g := w.current()
		if g != nil {
			ended = g.failed
		}
		select {
		case m := <-inbox:
			stop, err := w.handle(ctx, m)
			if stop || err != nil {
				return err
			}
		case err := <-recvErr:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return lost(err)
		case err := <-ended:
			w.setGroup(nil)
			g.stop()
			if err := w.failure(ctx, &failures, g.root.Load(), err); err != nil {
				return err
			}
		case <-w.nudges:
			w.progress(ctx)
		case <-tick.C():
			tick = w.cfg.Clock.NewTimer(progressEvery)
			w.progress(ctx)
		case <-drain:
			drain = nil
			if err := w.send(ctx, &pb.FromWorker{Message: &pb.FromWorker_Leave{Leave: &pb.Leave{}}}); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// How often the worker looks at its progress, and how often it tells of it when nothing has changed.
const (
	progressEvery = 10 * time.Millisecond
	signOfLife    = time.Second
)

func receive(ctx context.Context, conn Coordinator) (<-chan *pb.ToWorker, <-chan error) {
	inbox, failed := make(chan *pb.ToWorker), make(chan error, 1)
	go func() {
		for {
			m, err := conn.Recv(ctx)
			if err != nil {
				failed <- err
				return
			}
			select {
			case inbox <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return inbox, failed
}

func (w *Worker) register(ctx context.Context) error {
	return w.send(ctx, &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{
		Worker: w.cfg.Name, Fingerprint: w.cfg.Graph.Fingerprint(), Claim: w.claim()}}})
}

// cutPatience is how long a worker that comes to its next coordinator takes to finish the cut that the one before has asked for.
const cutPatience = 2 * time.Second

// awaitCut waits until the group's last cut is filed, so that it can be claimed.
func (w *Worker) awaitCut(ctx context.Context) error {
	for until := w.cfg.Clock.Now().Add(cutPatience); w.cfg.Clock.Now().Before(until); {
		if g := w.current(); g == nil || !g.cutting.Load() {
			return nil
		}
		if err := w.cfg.Clock.Sleep(ctx, progressEvery); err != nil {
			return err
		}
	}
	return nil
}

// claim offers the group that the worker holds to its next coordinator; nil when it has none, or has not yet filed the cut that it was asked for last.
func (w *Worker) claim() *pb.Claim {
	g := w.current()
	if g == nil || g.cutting.Load() || len(g.failed) > 0 {
		return nil
	}
	return g.ledger.Claim(g.ownRows)
}

// goOn goes on with the group that the worker holds, under the fence of root.
func (w *Worker) goOn(ctx context.Context, root *pb.Root, id uint32) error {
	g := w.current()
	if g == nil || g.id != id || !g.ledger.GoOn(root, g.ownRows) { // it has failed since
		return w.register(ctx)
	}
	w.cfg.Log.Info("going on under another coordinator", "group", id, "term", root.Term)
	g.committed(root)
	g.cuts.hold.Store(w.cfg.Hold) // the coordinator before may have held the sources for what it did not bring to its end
	g.cuts.leaveAlone(false)
	return nil
}

func (w *Worker) handle(ctx context.Context, m *pb.ToWorker) (stop bool, err error) {
	g := w.current()
	switch m := m.Message.(type) {
	case *pb.ToWorker_Assignment:
		if m.Assignment.GoOn {
			return false, w.goOn(ctx, m.Assignment.Root, m.Assignment.Group)
		}
		return false, w.restart(ctx, m.Assignment.Root, m.Assignment.Group)
	case *pb.ToWorker_Refused:
		if g == nil || !g.ledger.Last(m.Refused.CutId) {
			return false, nil // of a group that has gone already
		}
		w.cfg.Log.Warn("cut refused, starting again from the last commit", "cut", m.Refused.Cut, "reason", m.Refused.Reason)
		return false, w.restart(ctx, m.Refused.Root, g.id)
	case *pb.ToWorker_Cut:
		if g != nil {
			g.cut(m.Cut)
		}
	case *pb.ToWorker_Committed:
		if g != nil {
			g.committed(m.Committed.Root)
		}
	case *pb.ToWorker_Compaction:
		if g != nil {
			g.compactor.offer(m.Compaction)
		}
	case *pb.ToWorker_Stop:
		if m.Stop.Again {
			return true, lost(errors.New(m.Stop.Reason))
		}
		if m.Stop.Refused {
			return true, sabot.WithKind(sabot.Invalid, fmt.Errorf("the coordinator refuses this worker: %s", m.Stop.Reason))
		}
		w.cfg.Log.Info("stopped by the coordinator", "reason", m.Stop.Reason)
		return true, nil
	}
	return false, nil
}

func (w *Worker) restart(ctx context.Context, root *pb.Root, id uint32) error {
	if g := w.setGroup(nil); g != nil {
		g.stop()
	}
	g, err := startGroup(ctx, w, root, id)
	if err != nil {
		return err
	}
	w.setGroup(g)
	return nil
}

func (w *Worker) current() *group {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.group
}

func (w *Worker) setGroup(g *group) (old *group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, w.group = w.group, g
	return old
}

// backoff counts failures of a group.
type backoff struct {
	n    int
	last time.Time
}

// failure decides what a group's failure means: a fault that may pass, or a panic for the first times, starts it again from the last commit;
// anything else ends the job.
func (w *Worker) failure(ctx context.Context, b *backoff, root *pb.Root, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var gone *missingError
	if errors.As(err, &gone) {
		if err = w.stale(ctx, root, gone, err); sabot.KindOf(err) == sabot.Fenced {
			return err
		}
	}
	now := w.cfg.Clock.Now()
	if now.Sub(b.last) > 10*time.Minute {
		b.n = 0
	}
	b.n, b.last = b.n+1, now
	var crash *PanicError
	var storage *objstate.StorageError
	switch {
	case errors.As(err, &crash):
		w.cfg.Log.Error("user code panicked", "operator", crash.Operator, "where", crash.Where, "panic", crash.Value, "stack", string(crash.Stack))
		if b.n > maxPanics {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("%w (after %d restarts from the last commit)", err, maxPanics))
		}
	case b.n == 1 && sabot.KindOf(err) == sabot.Corrupt && w.forgetPages(): // what the bucket gave wrong once may lie on the disk
	case sabot.KindOf(err) == sabot.Retry || errors.As(err, &storage) && sabot.KindOf(err) != sabot.Corrupt:
	default:
		return err
	}
	wait := min(50*time.Millisecond<<min(b.n, 10), 10*time.Second)
	w.cfg.Log.Warn("starting again from the last commit", "wait", wait, "error", err)
	w.mu.Lock()
	w.restarts++
	w.mu.Unlock()
	if err := w.cfg.Clock.Sleep(ctx, wait); err != nil {
		return err
	}
	return w.register(ctx)
}

// progress tells the coordinator what there is to cut: when that has changed, and otherwise as a sign of life.
func (w *Worker) progress(ctx context.Context) {
	now, p := w.cfg.Clock.Now(), &pb.Progress{}
	if g := w.current(); g != nil {
		_, generation := g.ledger.Fence()
		p = &pb.Progress{Generation: generation, Rows: g.progress.rows.Load(), Bytes: g.unsent.Load(), Pending: g.pending() || w.memory.Wants(), Ended: g.progress.ended(),
			Urgent: w.memory.Wants()}
	}
	if !w.reported.Swap(false) && proto.Equal(p, w.told) && now.Sub(w.toldAt) < signOfLife {
		return
	}
	w.told, w.toldAt = p, now
	_ = w.send(ctx, &pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: w.loaded(p, now)}}) // Recv tells of a lost connection
}
