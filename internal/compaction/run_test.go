package compaction

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// bench is a bucket with one object of segments, a root that names them, and a runner.
type bench struct {
	objects map[string][]byte
	root    *pb.Root
	runner  Runner
	failed  []error
	lost    int // how many more objects can be written; -1: any number
}

var schema = segment.Schema{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}

// newBench has a reference for each segment; a segment has so many rows of ascending hashes.
func newBench(t *testing.T, rows ...int) *bench {
	b := &bench{objects: map[string][]byte{}, lost: -1}
	p := &pb.Partition{Hi: checkpoint.HashSpace}
	b.root = &pb.Root{Job: "job", Term: 1, Objects: []*pb.Object{{Key: "in"}}, Stages: []*pb.Stage{{Id: 1, Partitions: []*pb.Partition{p}}}}
	var body []byte
	for k, n := range rows {
		r := segment.New(schema)
		for i := range n {
			r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, uint32(i)*uint32(checkpoint.HashSpace/uint64(n)))
			r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
			r.Ops = append(r.Ops, segment.Put)
			r.Cols[0].Ints = append(r.Cols[0].Ints, int64(i)*0x1e3779b97f4a7c15+int64(k))
		}
		seg, info, err := segment.Encode(nil, schema, r, nil, segment.Options{Codec: segment.LZ4})
		if err != nil {
			t.Fatal(err)
		}
		p.Refs = append(p.Refs, &pb.Reference{Table: "t", Offset: int64(len(body)), Length: info.Length, Crc: info.CRC, Hi: checkpoint.HashSpace, Rows: int64(n)})
		body = append(body, seg...)
	}
	b.objects["in"], b.root.Objects[0].Size = body, int64(len(body))
	names := 0
	b.runner = Runner{Paths: checkpoint.NewPaths("job"), Random: func() string { names++; return fmt.Sprint("r", names) },
		Fetch: func(spans []objstate.Span) ([][]byte, error) {
			out := make([][]byte, len(spans))
			for i, s := range spans {
				out[i] = b.objects[s.Object][s.Off : s.Off+s.N]
			}
			return out, nil
		},
		Put: func(_ context.Context, key string, body []byte) error {
			if b.lost == 0 {
				return errors.New("the bucket is full")
			}
			b.lost--
			b.objects[key] = slices.Clone(body)
			return nil
		},
		Delete: func(_ context.Context, key string) { delete(b.objects, key) },
		Now:    func() sabot.Micros { return 0 },
		Failed: func(_ *pb.CompactionTask, err error) { b.failed = append(b.failed, err) }}
	return b
}

// task merges the references at the given places.
func (b *bench) task(at ...int) *pb.CompactionTask {
	k := &pb.Compaction{Term: 1, Cut: 7, Stage: 1, Hi: checkpoint.HashSpace, Bottom: true}
	for _, i := range at {
		r := b.root.Stages[0].Partitions[0].Refs[i]
		k.Inputs = append(k.Inputs, &pb.Reference{Table: r.Table, Offset: r.Offset, Length: r.Length, Crc: r.Crc, Lo: r.Lo, Hi: r.Hi, Rows: r.Rows})
	}
	return &pb.CompactionTask{Compaction: k, Objects: b.root.Objects}
}

// A task's outputs show one part of the range after the other, each row once, and lie in objects of their own but for the last, small one.
func TestOutputsOfASize(t *testing.T) {
	b := newBench(t, 60_000, 60_000)
	b.runner.Output = 300 << 10
	done := b.runner.Run(t.Context(), b.root, []*pb.CompactionTask{b.task(0, 1)})
	if len(done) != 1 || len(b.failed) > 0 {
		t.Fatalf("%d done, failed %v", len(done), b.failed)
	}
	d := done[0]
	if len(d.Task.Outputs) < 3 || len(d.Written) != len(d.Task.Outputs) {
		t.Fatalf("%d outputs in %d objects", len(d.Task.Outputs), len(d.Written))
	}
	var at uint64
	rows := int64(0)
	for i, o := range d.Task.Outputs {
		if o.Lo != at || o.Hi <= o.Lo {
			t.Errorf("output %d shows [%d,%d), want it from %d on", i, o.Lo, o.Hi, at)
		}
		at = o.Hi
		rows += o.Rows
		body := b.objects[d.Written[o.Object].Key]
		if segment.Checksum(body[o.Offset:o.Offset+o.Length]) != o.Crc {
			t.Errorf("output %d is not where it says", i)
		}
	}
	if at != checkpoint.HashSpace || rows != 60_000 {
		t.Errorf("they end at %d with %d rows", at, rows)
	}
}

// Small outputs of a batch share an object, those of one time bucket; a report lists it once.
func TestSmallOutputsShare(t *testing.T) {
	b := newBench(t, 10, 20, 30, 40)
	refs := b.root.Stages[0].Partitions[0].Refs
	for i, r := range refs {
		r.BucketLo, r.BucketHi = int64(i/3)*10, int64(i/3)*10+10
	}
	tasks := []*pb.CompactionTask{b.task(0, 1), b.task(2), b.task(3)}
	for i, t := range tasks {
		for _, in := range t.Compaction.Inputs {
			in.BucketLo, in.BucketHi = int64(i/2)*10, int64(i/2)*10+10
		}
	}
	done := b.runner.Run(t.Context(), b.root, tasks)
	if len(done) != 3 || len(b.objects) != 1+2 {
		t.Fatalf("%d done, objects %v", len(done), slices.Sorted(maps.Keys(b.objects)))
	}
	r := &pb.Report{Objects: []*pb.Object{{Key: "other"}}}
	AddTo(r, 2, done)
	keys := map[string]int{}
	for _, k := range r.Compactions {
		keys[r.Objects[k.Outputs[0].Object-2].Key]++
		for _, in := range k.Inputs {
			if r.Objects[in.Object-2].Key != "in" {
				t.Errorf("input %v", in)
			}
		}
	}
	if got := slices.Sorted(maps.Values(keys)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("outputs by object: %v, want 2 in one and 1 in the other", keys)
	}
}

// A task that cannot write its last output leaves nothing behind; one whose inputs have gone is not run, and says so.
func TestTasksThatCome(t *testing.T) {
	b := newBench(t, 60_000, 10)
	b.runner.Output, b.lost = 300<<10, 2
	if done := b.runner.Run(t.Context(), b.root, []*pb.CompactionTask{b.task(0)}); len(done) > 0 || len(b.failed) != 1 || len(b.objects) != 1 {
		t.Errorf("done %v, failed %v, objects %v", done, b.failed, slices.Sorted(maps.Keys(b.objects)))
	}
	gone := b.task(1)
	gone.Compaction.Inputs[0].Hi--
	done := b.runner.Run(t.Context(), b.root, []*pb.CompactionTask{gone})
	if len(done) != 1 || done[0].Task.Term != 0 || done[0].Task.Cut != 7 || len(done[0].Task.Outputs) > 0 {
		t.Errorf("of a task whose input is shown otherwise now: %v", done)
	}
}
