package engine

import (
	"context"
	"sync"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/compaction"
	"github.com/sabot-stream/sabot/objstate"
)

// compactor runs the coordinator's compaction tasks, and keeps the results for the next report. Tasks that are given out together are run together:
// what they read of an object is read at once, and small ones write into one object. Those that take long have a goroutine of their own.
type compactor struct {
	g           *group
	quick, long chan *pb.CompactionTask

	mu   sync.Mutex
	done []*compaction.Done
}

// gatherFor is how long the compactor waits for the tasks that come with one.
const gatherFor = progressEvery

// mostTasks is how many tasks of a kind may wait.
const mostTasks = 128

func newCompactor(g *group) *compactor {
	return &compactor{g: g, quick: make(chan *pb.CompactionTask, mostTasks), long: make(chan *pb.CompactionTask, mostTasks)}
}

// offer takes up a task. One that finds too many waiting is dropped, and so is one that fails: its inputs stay as they are, and the
// coordinator asks again.
func (c *compactor) offer(t *pb.CompactionTask) {
	tasks := c.quick
	if compaction.IsLong(t) {
		tasks = c.long
	}
	select {
	case tasks <- t:
	default:
	}
}

// serve runs the tasks of a kind until the context ends.
func (c *compactor) serve(ctx context.Context, tasks <-chan *pb.CompactionTask) {
	for {
		select {
		case t := <-tasks:
			if c.g.w.cfg.Clock.Sleep(ctx, gatherFor) != nil {
				return
			}
			for _, batch := range gather(t, tasks) {
				if term, _ := c.g.ledger.Fence(); batch[0].Compaction.Term != term {
					continue
				}
				c.run(ctx, batch)
				c.g.w.nudge()
			}
		case <-ctx.Done():
			return
		}
	}
}

// gather returns first and the tasks that wait, divided by the term and the cut that name what they write.
func gather(first *pb.CompactionTask, tasks <-chan *pb.CompactionTask) [][]*pb.CompactionTask {
	batches := [][]*pb.CompactionTask{{first}}
	for {
		select {
		case t := <-tasks:
			last := &batches[len(batches)-1]
			if k := (*last)[0].Compaction; k.Term == t.Compaction.Term && k.Cut == t.Compaction.Cut {
				*last = append(*last, t)
			} else {
				batches = append(batches, []*pb.CompactionTask{t})
			}
		default:
			return batches
		}
	}
}

// run runs tasks that write under one name, and keeps what comes of them for the next report. Those whose inputs have gone meanwhile are dropped, unread.
func (c *compactor) run(ctx context.Context, batch []*pb.CompactionTask) {
	x := compaction.Runner{
		Paths:  c.g.w.cfg.Paths,
		Random: func() string { return c.g.w.cfg.Clock.Random(8) },
		Fetch:  c.g.scan(ctx),
		Put:    c.g.w.put,
		Delete: func(ctx context.Context, key string) { _ = c.g.w.cfg.Bucket.Delete(ctx, key) }, // else the next sweep finds it
		Output: c.outputBytes(),
		TTLs:   c.g.ttls,
		Now:    func() sabot.Micros { return sabot.MicrosOf(c.g.w.cfg.Clock.Now()) },
		Failed: func(t *pb.CompactionTask, err error) {
			c.g.w.forget(err, compaction.Inputs(t))
			if ctx.Err() == nil {
				c.g.w.cfg.Log.Warn("compaction failed", "table", t.Compaction.Inputs[0].Table, "error", err)
			}
		},
	}
	done := x.Run(ctx, c.g.root.Load(), batch)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, done...)
}

// outputBytes returns the size of outputs, which are written from memory: less than usual where memory is short. 0: as usual.
func (c *compactor) outputBytes() int64 {
	if c.g.w.memory == nil {
		return 0
	}
	return min(max(c.g.w.memory.Limit()/16, 4<<20), 64<<20)
}

// ttls returns those of a table, as the operators of this very program declare them.
func (g *group) ttls(table string) []objstate.TTL {
	for _, l := range g.keyed {
		for _, spec := range l.store.Specs() {
			if spec.Name == table {
				return spec.TTLs
			}
		}
	}
	return nil
}

// report moves the finished tasks into r; the objects that they name come behind those of p.
func (c *compactor) report(r *pb.Report, p *packs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	compaction.AddTo(r, len(p.objs), c.done)
	c.done = nil
}

// pending tells whether there is something to report.
func (c *compactor) pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done) > 0
}
