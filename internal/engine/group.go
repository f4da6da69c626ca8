package engine

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/exchange"
)

// sectionBudget is how many bytes of output rows are kept in memory until they are published.
const sectionBudget = 512 << 20

// group is all that one worker runs of a job, as of one generation.
type group struct {
	w         *Worker
	id        uint32
	ledger    *checkpoint.Ledger
	run       string
	finished  bool // all input was read before this group began: only publishing is left
	startRows int64
	ownRows   int64 // of its splits as of the root that it started from

	root       atomic.Pointer[pb.Root] // newest committed
	sources    []*sourceLane
	keyed      []*keyedLane
	inboxes    []*exchange.Inbox
	readers    []*exchangeReader
	drained    []position   // how far the partitions have read, where the readers have ended
	unsent     atomic.Int64 // bytes that wait for a cut to go to other groups
	closing    atomic.Bool  // the cut that is asked for closes all outputs
	cutting    atomic.Bool  // a cut is asked for, and its report is not filed yet
	cuts       *cutter
	room       room
	progress   *progress
	stage      cutStage
	loads      *loads
	outputs    *outputs
	publisher  *publisher
	compactor  *compactor
	roots      chan *pb.Root // newest committed, for the publisher; one place
	again      chan uint64   // cuts that are to commit what the last one held; one place
	failed     chan error    // the first failure; one place
	cancel     context.CancelFunc
	goroutines sync.WaitGroup
}

// startGroup builds a group as of root and starts its goroutines. They end at stop.
func startGroup(ctx context.Context, w *Worker, root *pb.Root, id uint32) (*group, error) {
	ctx, cancel := context.WithCancel(ctx)
	if checkpoint.GroupOf(root, id) == nil {
		cancel()
		return nil, sabot.WithKind(sabot.Internal, fmt.Errorf("the root has no group %d", id))
	}
	g := &group{w: w, id: id, ledger: checkpoint.NewLedger(root, id), run: root.Run, finished: root.Ended, startRows: rowsBefore(root), ownRows: rowsOfGroup(root, id),
		roots: make(chan *pb.Root, 1), again: make(chan uint64, 1), failed: make(chan error, 1), cancel: cancel}
	g.cuts, g.progress, g.stage.w = newCutter(w.cfg.Hold), newProgress(w.nudge), w
	g.room.memory, g.room.most = w.memory, cmp.Or(w.cfg.Unread, defaultUnread)
	g.root.Store(root)
	cache := newSectionCache(sectionBudget)
	g.outputs = newOutputs(root, id, w.sinks(), cache)
	g.publisher = newPublisher(w, root.Run, id, cache, g.fail)
	g.compactor = newCompactor(g)
	if !g.finished {
		if err := g.build(ctx, root); err != nil {
			cancel()
			return nil, err
		}
	}
	for _, l := range g.sources {
		g.cuts.wakes = append(g.cuts.wakes, l.wake)
	}
	g.cuts.lanes = len(g.sources) + len(g.keyed)
	g.progress.lanes = int64(g.cuts.lanes)
	g.loads = newLoads(g)
	g.startReaders(ctx)
	for _, l := range g.keyed {
		g.goroutines.Go(func() { g.fail(l.run(ctx)) })
	}
	g.goroutines.Go(func() { g.fail(g.serveCuts(ctx)) })
	g.goroutines.Go(func() { g.serveRoots(ctx) })
	g.goroutines.Go(func() { g.compactor.serve(ctx, g.compactor.quick) })
	g.goroutines.Go(func() { g.compactor.serve(ctx, g.compactor.long) })
	g.committed(root)
	return g, nil
}

// startReaders starts what reads from other groups and from the sources. What is left in the bucket comes before what is sent in memory.
func (g *group) startReaders(ctx context.Context) {
	var drains []*exchangeReader
	for _, r := range g.readers {
		if r.drain {
			drains = append(drains, r)
			continue
		}
		g.cuts.lanes++
		g.cuts.wakes = append(g.cuts.wakes, r.wake)
		g.goroutines.Go(func() { g.fail(r.run(ctx)) })
	}
	g.goroutines.Go(func() {
		for _, r := range drains {
			if err := r.run(ctx); err != nil || ctx.Err() != nil {
				g.fail(err)
				return
			}
			g.drained = append(g.drained, r.positions()...)
		}
		for _, l := range g.sources {
			g.goroutines.Go(func() { g.fail(l.run(ctx)) })
		}
	})
}

// stop ends the group's goroutines and waits for them.
func (g *group) stop() {
	g.cancel()
	g.goroutines.Wait()
	g.publisher.wg.Wait()
	for _, in := range g.inboxes {
		in.Drain()
	}
	for _, l := range g.keyed {
		if g.w.cfg.OnState != nil {
			g.w.cfg.OnState(l.store.Stats())
		}
		l.store.Close()
	}
}

// fail notes the group's first failure; nil and the end of the exchange are none.
func (g *group) fail(err error) {
	if err == nil || isStop(err) {
		return
	}
	select {
	case g.failed <- err:
	default:
	}
}

func (g *group) serveCuts(ctx context.Context) error {
	for {
		select {
		case c := <-g.cuts.complete:
			err := g.commit(ctx, c)
			g.cutting.Store(false)
			if err != nil && ctx.Err() == nil {
				return err
			}
		case n := <-g.again:
			err := g.fileAgain(ctx, n)
			g.cutting.Store(false)
			if err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// cut takes a request for a cut: a barrier, or, under a new coordinator, what the last one held and the coordinator before has not committed.
func (g *group) cut(c *pb.Cut) {
	take, again := g.ledger.Asked(c)
	if !take {
		return
	}
	g.cutting.Store(true)
	if again {
		g.again <- c.Cut
		return
	}
	g.progress.fresh.Store(false)
	g.stage.next(Align)
	g.closing.Store(c.Close)
	g.cuts.ask(exchange.Cut(c.Cut), c.Hold)
}

func (g *group) serveRoots(ctx context.Context) {
	for {
		select {
		case root := <-g.roots:
			g.publisher.start(ctx, root)
			for _, r := range g.readers {
				if !r.drain {
					r.tell(root)
				}
			}
			g.tellReaders(root)
		case <-ctx.Done():
			return
		}
	}
}

// tellReaders tells those who want to know which positions are committed.
func (g *group) tellReaders(root *pb.Root) {
	for _, l := range g.sources {
		for _, s := range l.splits {
			c := s.listener.Load()
			if c == nil {
				continue
			}
			for _, p := range committedSplits(root, s.in.name) {
				if p.Id == string(s.split.ID) {
					(*c).Committed(sabot.Position(p.Position))
				}
			}
		}
	}
}

// committed takes note of a new root.
func (g *group) committed(root *pb.Root) {
	g.ledger.Committed(root)
	g.root.Store(root)
	select {
	case <-g.roots: // an older one that nobody has looked at
	default:
	}
	g.roots <- root
	if g.room.read(root, g.id) {
		g.cuts.wake()
	}
	if w := g.w.memory; w != nil {
		for _, l := range g.keyed {
			select {
			case l.poke <- struct{}{}:
			default:
			}
		}
	}
}

// pending tells whether a cut would commit something besides rows.
func (g *group) pending() bool {
	for _, l := range g.keyed {
		if l.touched.Load() {
			return true
		}
	}
	for _, l := range g.sources {
		if l.touched.Load() {
			return true
		}
	}
	return g.publisher.pending() || g.compactor.pending() || g.outputs.anyDue(g.w.cfg.Clock.Now()) || g.ledger.Waits()
}

// rowsOfGroup returns how many rows the splits of a group had given as of root.
func rowsOfGroup(root *pb.Root, id uint32) (n int64) {
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			if s.Group == id {
				n += s.Rows
			}
		}
	}
	return n
}

// rowsBefore returns how many rows had been read as of root.
func rowsBefore(root *pb.Root) (n int64) {
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			n += s.Rows
		}
	}
	return n
}

// Stats returns the job's state for a person who watches it; ok is false before the first assignment.
func (w *Worker) Stats() (st Stats, ok bool) {
	w.mu.Lock()
	g, restarts := w.group, w.restarts
	w.mu.Unlock()
	if g == nil {
		return Stats{Restarts: restarts}, false
	}
	root := g.root.Load()
	st = Stats{Root: root, RowsHere: g.progress.rows.Load(), Unsent: g.unsent.Load(), RowsIn: g.startRows + g.progress.rows.Load(), Late: root.Late, Dead: root.Dead, Epoch: root.Epoch, Committed: time.UnixMicro(root.CommittedUs),
		Ended: g.progress.ended(), ResumedAt: g.startRows, Watermark: sabot.NoTime, Restarts: restarts}
	sinks := map[string]bool{}
	for _, n := range w.cfg.Graph.Nodes {
		if n.Spec.Kind == sabot.KindSink {
			sinks[n.Spec.Name] = true
		}
	}
	for _, o := range root.Operators {
		if sinks[o.Name] {
			st.RowsOut += o.RowsIn
		}
	}
	for _, o := range root.Outputs {
		if o.Closed {
			st.Waiting++
		}
	}
	st.Done, st.Watermark = reading(root)
	return st, true
}

// reading returns the share of the bounded input that root has read, and the least watermark of its splits that are not ended.
func reading(root *pb.Root) (done float64, low sabot.Micros) {
	var total, read float64
	low = sabot.MaxMicros
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			size := float64(max(1, s.Bytes))
			total += size
			read += size * s.Done
			if s.Ended {
				continue
			}
			w := sabot.NoTime
			if s.HasWatermark {
				w = sabot.Micros(s.WatermarkUs)
			}
			low = min(low, w)
		}
	}
	return read / max(1, total), low
}
