package compaction

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

const (
	// sharedBytes is the size from which an output has an object of its own, so that its bytes can go when it is compacted again.
	sharedBytes = 256 << 10
	// outputBytes is the size at which an output ends, and the next begins.
	outputBytes = 64 << 20
)

// Runner runs tasks. One goroutine uses it.
type Runner struct {
	Paths  checkpoint.Paths
	Random func() string                                            // what is new in the name of an object
	Fetch  objstate.Fetch                                           // reads what will not be read again
	Put    func(ctx context.Context, key string, body []byte) error // tries again as long as that may help
	Delete func(ctx context.Context, key string)                    // of an object that nothing names; it may fail
	Failed func(t *pb.CompactionTask, err error)                    // a task is given up: its inputs stay as they are
	TTLs   func(table string) []objstate.TTL                        // of its columns; nil: none have any
	Now    func() sabot.Micros                                      // by the worker's clock
	Output int64                                                    // bytes at which an output ends, and the next begins [64 MiB]
}

// Done is a task that has run.
type Done struct {
	Task    *pb.Compaction // the objects of its inputs are indexes into Inputs, those of its outputs into Written
	Inputs  []*pb.Object
	Written []*pb.Object // others of its batch may have written to one of them too

	asked *pb.CompactionTask
	small int           // which output lies in shared
	in    *sharedObject // nil: none does
}

// Run runs tasks that write under the same term and cut, and that are current as of root. What they read of an object is read at once where it lies near each other, and their small outputs
// are written into one object.
func (x *Runner) Run(ctx context.Context, root *pb.Root, tasks []*pb.CompactionTask) []*Done {
	var done, sharing []*Done
	var current []*pb.CompactionTask
	var reads []span
	for _, t := range tasks {
		if !Current(root, t) {
			done = append(done, Obsolete(t))
			continue
		}
		current = append(current, t)
		for _, r := range t.Compaction.Inputs {
			if r.Length <= objstate.CompactWhole {
				reads = append(reads, span{t.Objects[r.Object].Key, r.Offset, r.Offset + r.Length})
			}
		}
	}
	b := batch{Runner: x, ctx: ctx, root: root, fetch: newSpanReader(reads, x.Fetch).fetchAll, shared: map[life]*sharedObject{}}
	for _, t := range current {
		d, err := b.run(t)
		if err != nil {
			b.giveUp(d, err)
			continue
		}
		sharing = append(sharing, d)
	}
	return append(done, b.finish(sharing)...)
}

// batch is tasks that run together.
type batch struct {
	*Runner
	ctx    context.Context
	root   *pb.Root
	fetch  objstate.Fetch
	shared map[life]*sharedObject
}

// life is what small outputs have in common that share an object: they go at about the same time, and the object with them.
type life struct {
	bucketLo, bucketHi int64
	bottom             bool
}

// sharedObject is an object of small outputs in the making.
type sharedObject struct {
	body    []byte
	written *pb.Object
	err     error
}

func (b *batch) run(t *pb.CompactionTask) (*Done, error) {
	d := &Done{Task: proto.Clone(t.Compaction).(*pb.Compaction), Inputs: t.Objects, asked: t}
	m := objstate.Merging{Inputs: Inputs(t), Bottom: d.Task.Bottom, Target: b.Output}
	if m.Target == 0 {
		m.Target = outputBytes
	}
	wide := widest(d.Task.Inputs)
	if b.TTLs != nil {
		m.TTLs = b.TTLs(wide.Table)
		m.Passed = objstate.Passed{Event: passed(b.root, d.Task.Stage), Wall: b.Now() - slack}
	}
	err := objstate.CompactTo(b.fetch, m, func(seg []byte, o objstate.Output) error {
		ref := &pb.Reference{Table: wide.Table, Object: uint32(len(d.Written)), Length: o.Info.Length, Crc: o.Info.CRC, Tail: o.Info.Tail, BucketLo: wide.BucketLo,
			BucketHi: wide.BucketHi, Lo: o.Clip.Lo, Hi: o.Clip.Hi, Rows: int64(o.Info.Rows), Cut: d.Task.Cut}
		d.Task.Outputs = append(d.Task.Outputs, ref)
		if len(seg) < sharedBytes && d.in == nil {
			d.small, d.in = len(d.Task.Outputs)-1, b.share(life{wide.BucketLo, wide.BucketHi, d.Task.Bottom})
			ref.Offset = int64(len(d.in.body))
			d.in.body = append(d.in.body, seg...)
			return nil
		}
		w, err := b.write(d.Task, seg)
		if err == nil {
			d.Written = append(d.Written, w)
		}
		return err
	})
	return d, err
}

// slack is how much longer lives what goes by processing time: a lane looks at the clock once for a batch, and clocks of workers differ.
const slack = sabot.Micros(60e6)

// passed returns the event time that has passed for whoever will ever process rows of a stage from root on: partitions may come together in any way, and
// what has expired for one lane, whose watermark is the lowest of its partitions', has not for another.
func passed(root *pb.Root, stage uint32) sabot.Micros {
	low := sabot.MaxMicros
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			if st.Id != stage {
				continue
			}
			if !p.HasWatermark {
				return sabot.NoTime
			}
			low = min(low, sabot.Micros(p.WatermarkUs))
		}
	}
	return low
}

// widest returns the input whose time bucket holds those of the others: that of what comes of them.
func widest(inputs []*pb.Reference) *pb.Reference {
	return slices.MaxFunc(inputs, func(a, b *pb.Reference) int { return cmp.Compare(a.BucketHi-a.BucketLo, b.BucketHi-b.BucketLo) })
}

func (b *batch) share(l life) *sharedObject {
	if b.shared[l] == nil {
		b.shared[l] = &sharedObject{}
	}
	return b.shared[l]
}

// finish writes the objects that tasks share, and returns those tasks whose outputs are all written.
func (b *batch) finish(tasks []*Done) (done []*Done) {
	for _, d := range tasks {
		if s := d.in; s != nil {
			if s.written == nil && s.err == nil {
				s.written, s.err = b.write(d.Task, s.body)
			}
			if s.err != nil {
				b.giveUp(d, s.err)
				continue
			}
			d.Task.Outputs[d.small].Object = uint32(len(d.Written))
			d.Written = append(d.Written, s.written)
		}
		done = append(done, d)
	}
	return done
}

// write writes an object of a task's term and cut.
func (b *batch) write(k *pb.Compaction, body []byte) (*pb.Object, error) {
	o := &pb.Object{Key: b.Paths.Pack(k.Term, k.Cut, b.Random()), Size: int64(len(body))}
	if err := b.Put(b.ctx, o.Key, body); err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Key, err)
	}
	return o, nil
}

// giveUp removes what a task has written for itself.
func (b *batch) giveUp(d *Done, err error) {
	for _, o := range d.Written {
		b.Delete(b.ctx, o.Key)
	}
	b.Failed(d.asked, err)
}

// AddTo adds finished tasks to a report, whose objects stand behind so many others.
func AddTo(r *pb.Report, behind int, done []*Done) {
	listed := map[*pb.Object]uint32{} // written ones, which several may share
	for _, d := range done {
		base := uint32(behind + len(r.Objects))
		for _, ref := range d.Task.Inputs {
			ref.Object += base
		}
		r.Objects = append(r.Objects, d.Inputs...)
		for _, ref := range d.Task.Outputs {
			w := d.Written[ref.Object]
			at, ok := listed[w]
			if !ok {
				at = uint32(behind + len(r.Objects))
				listed[w] = at
				r.Objects = append(r.Objects, w)
			}
			ref.Object = at
		}
		r.Compactions = append(r.Compactions, d.Task)
	}
}

// IsLong tells whether a task takes long: others are not to wait for it.
func IsLong(t *pb.CompactionTask) bool {
	n := int64(0)
	for _, r := range t.Compaction.Inputs {
		n += r.Length
	}
	return n >= checkpoint.LongMerge
}

// Inputs returns what a task merges.
func Inputs(t *pb.CompactionTask) []objstate.Ref {
	in := make([]objstate.Ref, len(t.Compaction.Inputs))
	for i, r := range t.Compaction.Inputs {
		in[i] = Ref(r, t.Objects)
	}
	return in
}

// Ref translates a reference.
func Ref(r *pb.Reference, objects []*pb.Object) objstate.Ref {
	return objstate.Ref{Object: objects[r.Object].Key, Size: objects[r.Object].Size, Offset: r.Offset, Length: r.Length, CRC: r.Crc,
		Bucket: objstate.Interval{Lo: sabot.Micros(r.BucketLo), Hi: sabot.Micros(r.BucketHi)}, Clip: rowkey.Range{Lo: r.Lo, Hi: r.Hi}, Rows: r.Rows, Tail: r.Tail}
}
