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

// compactor runs the coordinator's compaction tasks, and keeps the results for the next report. Tasks that are given out together are run together:
// what they read of an object is read at once, and small ones write into one object.
type compactor struct {
	g     *group
	tasks chan *pb.CompactionTask

	mu   sync.Mutex
	done []compacted
}

type compacted struct {
	task   *pb.Compaction
	inputs []*pb.Object // that the inputs point into
	output *pb.Object   // nil: nothing is left; others of its batch may have the same
}

// sharedOutput is the size from which an output has an object of its own, so that its bytes can go when it is compacted again.
const sharedOutput = 256 << 10

// gatherFor is how long the compactor waits for the tasks that come with one.
const gatherFor = progressEvery

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
			if c.g.w.cfg.Clock.Sleep(ctx, gatherFor) != nil {
				return
			}
			for _, batch := range c.gather(t) {
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
func (c *compactor) gather(first *pb.CompactionTask) [][]*pb.CompactionTask {
	batches := [][]*pb.CompactionTask{{first}}
	for {
		select {
		case t := <-c.tasks:
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

// run runs tasks that write under one name.
func (c *compactor) run(ctx context.Context, batch []*pb.CompactionTask) {
	var reads []span
	for _, t := range batch {
		for _, r := range t.Compaction.Inputs {
			if r.Length <= objstate.CompactWhole {
				reads = append(reads, span{t.Objects[r.Object].Key, r.Offset, r.Offset + r.Length})
			}
		}
	}
	reader := newSpanReader(reads, c.g.scan(ctx))
	var (
		made []compacted // whose output is part of body, if there is any
		body []byte
	)
	for _, t := range batch {
		m, seg, err := compact(t, reader.fetchAll)
		if err != nil {
			c.g.w.forget(err, inputs(t))
			if ctx.Err() == nil {
				c.g.w.cfg.Log.Warn("compaction failed", "table", t.Compaction.Inputs[0].Table, "error", err)
			}
			continue
		}
		if len(seg) >= sharedOutput {
			c.write(ctx, []compacted{m}, seg)
			continue
		}
		for _, o := range m.task.Outputs {
			o.Offset = int64(len(body))
		}
		made, body = append(made, m), append(body, seg...)
	}
	c.write(ctx, made, body)
}

// inputs returns what a task merges.
func inputs(t *pb.CompactionTask) []objstate.Ref {
	in := make([]objstate.Ref, len(t.Compaction.Inputs))
	for i, r := range t.Compaction.Inputs {
		in[i] = refOf(r, t.Objects)
	}
	return in
}

// compact merges the inputs of a task.
func compact(t *pb.CompactionTask, fetch objstate.Fetch) (compacted, []byte, error) {
	task := proto.Clone(t.Compaction).(*pb.Compaction)
	seg, info, err := objstate.Compact(fetch, inputs(t), task.Bottom)
	if err == nil && info.Rows > 0 {
		first := task.Inputs[0]
		out := &pb.Reference{Table: first.Table, Length: int64(len(seg)), Crc: info.CRC, BucketLo: first.BucketLo, BucketHi: first.BucketHi,
			Lo: first.Lo, Hi: first.Hi, Rows: int64(info.Rows), Cut: task.Cut}
		for _, r := range task.Inputs {
			out.Lo, out.Hi = min(out.Lo, r.Lo), max(out.Hi, r.Hi)
		}
		task.Outputs = []*pb.Reference{out}
	}
	return compacted{task: task, inputs: t.Objects}, seg, err
}

// write writes the outputs of finished tasks into one object, and keeps the tasks for the next report.
func (c *compactor) write(ctx context.Context, made []compacted, body []byte) {
	if len(body) > 0 {
		named := made[0].task
		o := &pb.Object{Key: c.g.w.cfg.Paths.Pack(named.Term, named.Cut, c.g.w.cfg.Clock.Random(8)), Size: int64(len(body))}
		if err := c.g.w.put(ctx, o.Key, body); err != nil {
			if ctx.Err() == nil {
				c.g.w.cfg.Log.Warn("compaction failed", "tasks", len(made), "error", err)
			}
			return
		}
		for i := range made {
			if len(made[i].task.Outputs) > 0 {
				made[i].output = o
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, made...)
}

// report moves the finished tasks into r; the objects that they name come behind those of p.
func (c *compactor) report(r *pb.Report, p *packs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed := map[*pb.Object]uint32{} // outputs, which several may share
	for _, d := range c.done {
		base := uint32(len(p.objs) + len(r.Objects))
		for _, ref := range d.task.Inputs {
			ref.Object += base
		}
		r.Objects = append(r.Objects, d.inputs...)
		if d.output != nil {
			at, ok := listed[d.output]
			if !ok {
				at = uint32(len(p.objs) + len(r.Objects))
				listed[d.output] = at
				r.Objects = append(r.Objects, d.output)
			}
			d.task.Outputs[0].Object = at
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
	return objstate.Ref{Object: objects[r.Object].Key, Size: objects[r.Object].Size, Offset: r.Offset, Length: r.Length, CRC: r.Crc,
		Bucket: objstate.Interval{Lo: sabot.Micros(r.BucketLo), Hi: sabot.Micros(r.BucketHi)}, Clip: rowkey.Range{Lo: r.Lo, Hi: r.Hi}, Rows: r.Rows}
}
