package engine

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

// compactor runs the coordinator's compaction tasks, one at a time, and keeps the results for the next report.
type compactor struct {
	g     *group
	tasks chan *pb.CompactionTask

	mu   sync.Mutex
	done []compacted
}

type compacted struct {
	task   *pb.Compaction
	inputs []*pb.Object // that the inputs point into
	output *pb.Object   // nil: nothing is left
}

func newCompactor(g *group) *compactor {
	return &compactor{g: g, tasks: make(chan *pb.CompactionTask, 16)}
}

// offer takes up a task. One that finds too many waiting is dropped, and so is one that fails: its inputs stay as they are, and the
// coordinator asks again.
func (c *compactor) offer(t *pb.CompactionTask) {
	select {
	case c.tasks <- t:
	default:
	}
}

// serve runs the tasks until the context ends.
func (c *compactor) serve(ctx context.Context) {
	for {
		select {
		case t := <-c.tasks:
			if term, _ := c.g.ledger.Fence(); t.Compaction.Term != term {
				continue
			}
			if err := c.run(ctx, t); err != nil && ctx.Err() == nil {
				c.g.w.cfg.Log.Warn("compaction failed", "table", t.Compaction.Inputs[0].Table, "error", err)
			}
			c.g.w.nudge()
		case <-ctx.Done():
			return
		}
	}
}

func (c *compactor) run(ctx context.Context, t *pb.CompactionTask) error {
	task := proto.Clone(t.Compaction).(*pb.Compaction)
	in := make([]objstate.Ref, len(task.Inputs))
	for i, r := range task.Inputs {
		in[i] = refOf(r, t.Objects)
	}
	seg, info, err := objstate.Compact(c.g.scan(ctx, t.Objects), in, task.Bottom)
	if err != nil {
		c.g.w.forget(err, in)
		return err
	}
	done := compacted{task: task, inputs: t.Objects}
	if info.Rows > 0 {
		done.output = &pb.Object{Key: c.g.w.cfg.Paths.Pack(task.Term, task.Cut, c.g.w.cfg.Clock.Random(8)), Size: int64(len(seg))}
		if err := c.g.w.put(ctx, done.output.Key, seg); err != nil {
			return err
		}
		first := task.Inputs[0]
		out := &pb.Reference{Table: first.Table, Length: int64(len(seg)), Crc: info.CRC, BucketLo: first.BucketLo, BucketHi: first.BucketHi,
			Lo: first.Lo, Hi: first.Hi, Rows: int64(info.Rows), Cut: task.Cut}
		for _, r := range task.Inputs {
			out.Lo, out.Hi = min(out.Lo, r.Lo), max(out.Hi, r.Hi)
		}
		task.Outputs = []*pb.Reference{out}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, done)
	return nil
}

// report moves the finished tasks into r; the objects that they name come behind those of p.
func (c *compactor) report(r *pb.Report, p *packs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.done {
		base := uint32(len(p.objs) + len(r.Objects))
		for _, ref := range d.task.Inputs {
			ref.Object += base
		}
		r.Objects = append(r.Objects, d.inputs...)
		if d.output != nil {
			d.task.Outputs[0].Object = base + uint32(len(d.inputs))
			r.Objects = append(r.Objects, d.output)
		}
		r.Compactions = append(r.Compactions, d.task)
	}
	c.done = nil
}

// pending tells whether there is something to report.
func (c *compactor) pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done) > 0
}

// refOf translates a reference.
func refOf(r *pb.Reference, objects []*pb.Object) objstate.Ref {
	return objstate.Ref{Object: objects[r.Object].Key, Offset: r.Offset, Length: r.Length, CRC: r.Crc,
		Bucket: objstate.Interval{Lo: sabot.Micros(r.BucketLo), Hi: sabot.Micros(r.BucketHi)}, Clip: rowkey.Range{Lo: r.Lo, Hi: r.Hi}, Rows: r.Rows}
}
