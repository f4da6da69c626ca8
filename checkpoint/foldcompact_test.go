package checkpoint

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// compaction returns sampleReport with a compaction of the references at the given places of sampleRoot's first partition.
func compaction(root *pb.Root, at ...int) (*pb.Report, *pb.Compaction) {
	r := sampleReport()
	k := &pb.Compaction{Term: 2, Cut: 4, Stage: 1, Lo: 0, Hi: mid}
	for _, i := range at {
		in := proto.Clone(root.Stages[0].Partitions[0].Refs[i]).(*pb.Reference)
		in.Object += uint32(len(r.Objects))
		k.Inputs = append(k.Inputs, in)
	}
	r.Objects = append(r.Objects, root.Objects...)
	k.Outputs = []*pb.Reference{{Table: "ignored", Object: uint32(len(r.Objects)), Length: 9, Crc: 3, Rows: 1, Lo: 0, Hi: 1, Cut: 4}}
	r.Objects = append(r.Objects, &pb.Object{Key: NewPaths("job").Pack(2, 4, "k"), Size: 9})
	r.Compactions = []*pb.Compaction{k}
	return r, k
}

// tile makes the outputs of a compaction show the range of its inputs, each the next part of it.
func tile(k *pb.Compaction) {
	if len(k.Inputs) == 0 || len(k.Outputs) == 0 {
		return
	}
	lo, hi := k.Inputs[0].Lo, k.Inputs[0].Hi
	for _, r := range k.Inputs {
		lo, hi = min(lo, r.Lo), max(hi, r.Hi)
	}
	n := uint64(len(k.Outputs))
	for i, o := range k.Outputs {
		o.Lo, o.Hi = lo+(hi-lo)*uint64(i)/n, lo+(hi-lo)*uint64(i+1)/n
	}
}

// another adds an output to a compaction.
func another(k *pb.Compaction) {
	k.Outputs = append(k.Outputs, proto.Clone(k.Outputs[0]).(*pb.Reference))
}

// inBucket gives the references at the given places, which k compacts, a time bucket that begins at lo. The first one of sampleRoot's table w is from 0 to 100.
func inBucket(root *pb.Root, k *pb.Compaction, lo int64, at ...int) {
	for i, n := range at {
		r := root.Stages[0].Partitions[0].Refs[n]
		r.BucketLo, r.BucketHi = lo, lo+20
		k.Inputs[i].BucketLo, k.Inputs[i].BucketHi = lo, lo+20
	}
}

func TestFoldCompaction(t *testing.T) {
	all := []string{"t@a+0", "w@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}
	for _, c := range []struct {
		name string
		at   []int
		with func(*pb.Root, *pb.Report, *pb.Compaction)
		want []string
	}{
		{"of the newest", []int{2, 4}, nil, []string{"t@a+0", "w@a+10", "t@k+0", "w@b+10", "t@e+0"}},
		{"of all, bottom", []int{0, 2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Bottom = true },
			[]string{"t@k+0", "w@a+10", "w@b+10", "t@e+0"}},
		{"of one", []int{3}, nil, []string{"t@a+0", "w@a+10", "t@b+0", "w@k+0", "t@c+0", "t@e+0"}},
		{"to nothing", []int{0, 2}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Outputs = nil }, []string{"w@a+10", "w@b+10", "t@c+0", "t@e+0"}},
		{"not contiguous", []int{0, 4}, nil, all},
		{"out of order", []int{2, 0}, nil, all},
		{"of two buckets", []int{1, 3}, nil, all},
		{"of two tables", []int{0, 1}, nil, all},
		{"without inputs", nil, nil, all},
		{"of another term", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Term = 1 }, all},
		{"below the floor", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Cut = 2 }, all},
		{"output of another term", []int{2, 4}, func(_ *pb.Root, r *pb.Report, k *pb.Compaction) {
			r.Objects[k.Outputs[0].Object].Key = NewPaths("job").Pack(1, 4, "k")
		}, all},
		{"output below the floor", []int{2, 4}, func(_ *pb.Root, r *pb.Report, k *pb.Compaction) {
			r.Objects[k.Outputs[0].Object].Key = NewPaths("job").Pack(2, 2, "k")
		}, all},
		{"output out of range", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Outputs[0].Object = 99 }, all},
		{"input out of range", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Inputs[0].Object = 99 }, all},
		{"two outputs", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { another(k) },
			[]string{"t@a+0", "w@a+10", "t@k+0", "t@k+0", "w@b+10", "t@e+0"}},
		{"clip has changed", []int{2, 4}, func(o *pb.Root, _ *pb.Report, _ *pb.Compaction) { o.Stages[0].Partitions[0].Refs[2].Lo = 7 }, all},
		{"input's offset differs", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Inputs[0].Offset = 1 }, all},
		{"of other bounds", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Hi-- }, all},
		{"bottom, but something older overlaps", []int{2, 4}, func(_ *pb.Root, _ *pb.Report, k *pb.Compaction) { k.Bottom = true }, all},
		{"bottom, the older has another clip", []int{2, 4}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			k.Bottom = true
			refs := o.Stages[0].Partitions[0].Refs
			refs[0].Hi, refs[2].Lo, refs[4].Lo = 50, 50, 60
			k.Inputs[0].Lo, k.Inputs[1].Lo = 50, 60
		}, []string{"t@a+0", "w@a+10", "t@k+0", "w@b+10", "t@e+0"}},
		{"past an older one of a bucket that overlaps", []int{0, 2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			inBucket(o, k, 5, 0, 2)
			o.Stages[0].Partitions[0].Refs[1].Table = "t"
		}, []string{"t@a+0", "t@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}},
		{"of buckets of which one holds the other, past none", []int{0, 2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			inBucket(o, k, 5, 0, 2)
			r := o.Stages[0].Partitions[0].Refs[2]
			r.BucketHi, k.Inputs[1].BucketHi = 15, 15
		}, []string{"t@k+0", "w@a+10", "w@b+10", "t@c+0", "t@e+0"}},
		{"of buckets that overlap, and none holds the other", []int{0, 2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			inBucket(o, k, 5, 0, 2)
			r := o.Stages[0].Partitions[0].Refs[2]
			r.BucketHi, k.Inputs[1].BucketHi = 30, 30
			r.BucketLo, k.Inputs[1].BucketLo = 10, 10
		}, all},
		{"past one of a bucket that does not overlap", []int{0, 2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			inBucket(o, k, 110, 0, 2)
			o.Stages[0].Partitions[0].Refs[1].Table = "t"
		}, []string{"t@k+0", "t@a+10", "w@b+10", "t@c+0", "t@e+0"}},
		{"past one of other keys", []int{0, 2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			inBucket(o, k, 5, 0, 2)
			refs := o.Stages[0].Partitions[0].Refs
			refs[1].Table, refs[1].Hi, refs[2].Lo, k.Inputs[1].Lo = "t", 50, 50, 50
		}, []string{"t@k+0", "t@a+10", "w@b+10", "t@c+0", "t@e+0"}},
		{"bottom, but something older is of a bucket that overlaps", []int{2}, func(o *pb.Root, _ *pb.Report, k *pb.Compaction) {
			k.Bottom = true
			inBucket(o, k, 5, 2)
			o.Stages[0].Partitions[0].Refs[1].Table = "t"
		}, []string{"t@a+0", "t@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}},
		{"whose bucket expires in the same report", []int{1}, func(_ *pb.Root, r *pb.Report, _ *pb.Compaction) {
			r.Partitions[0].Expired = []*pb.Expiry{{Table: "w", BeforeUs: 100}}
		}, []string{"t@a+0", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sampleRoot()
			r, k := compaction(root, c.at...)
			if c.with != nil {
				c.with(root, r, k)
			}
			tile(k)
			out := mustFold(t, root, r)
			wantRefs(t, root, 0, c.want...)
			wantRefs(t, root, 1, "t@a+0")
			lost := !objectSet(root)[r.Objects[len(r.Objects)-1].Key]
			if lost != (len(out.Dropped) > 0) {
				t.Errorf("dropped %q, lost %v", out.Dropped, lost)
			}
		})
	}
}

func TestCompactionOutputTakesPlaceAndClip(t *testing.T) {
	root := sampleRoot()
	refs := root.Stages[0].Partitions[0].Refs
	refs[2].Lo, refs[2].Hi = 10, 50
	refs[4].Lo, refs[4].Hi = 40, 90
	r, k := compaction(root, 2, 4)
	tile(k)
	mustFold(t, root, r)
	got := root.Stages[0].Partitions[0].Refs[2]
	if got.Table != "t" || got.Lo != 10 || got.Hi != 90 || got.BucketHi != 0 || got.Crc != 3 {
		t.Errorf("output %v, want table t and the union [10,90) of the inputs' clips", got)
	}
}

func TestFoldTwoCompactions(t *testing.T) {
	root := sampleRoot()
	r, k := compaction(root, 2, 4)
	tile(k)
	twice := proto.Clone(k).(*pb.Compaction)
	w := proto.Clone(k).(*pb.Compaction)
	w.Inputs = []*pb.Reference{proto.Clone(root.Stages[0].Partitions[0].Refs[1]).(*pb.Reference)}
	w.Inputs[0].Object++
	w.Outputs = nil
	r.Compactions = append(r.Compactions, twice, w)
	mustFold(t, root, r)
	wantRefs(t, root, 0, "t@a+0", "t@k+0", "w@b+10", "t@e+0")
}

// Outputs that do not show exactly what the inputs may show, each the next part of it, take nobody's place.
func TestOutputsTileTheInputs(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(outs []*pb.Reference)
		fold bool
	}{
		{"as they are", func([]*pb.Reference) {}, true},
		{"a gap", func(o []*pb.Reference) { o[1].Lo++ }, false},
		{"an overlap", func(o []*pb.Reference) { o[1].Lo-- }, false},
		{"out of order", func(o []*pb.Reference) { o[0].Lo, o[0].Hi, o[1].Lo, o[1].Hi = o[1].Lo, o[1].Hi, o[0].Lo, o[0].Hi }, false},
		{"begins later", func(o []*pb.Reference) { o[0].Lo++ }, false},
		{"begins before", func(o []*pb.Reference) { o[0].Lo-- }, false},
		{"ends before", func(o []*pb.Reference) { o[2].Hi-- }, false},
		{"ends later", func(o []*pb.Reference) { o[2].Hi++ }, false},
		{"an empty one", func(o []*pb.Reference) { o[0].Hi, o[1].Lo = o[0].Lo, o[0].Lo }, false},
		{"one outside of its object", func(o []*pb.Reference) { o[1].Length = 10 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sampleRoot()
			refs := root.Stages[0].Partitions[0].Refs
			refs[2].Lo, refs[2].Hi, refs[4].Lo, refs[4].Hi = 10, 50, 40, 90
			r, k := compaction(root, 2, 4)
			another(k)
			another(k)
			tile(k)
			c.with(k.Outputs)
			out := mustFold(t, root, r)
			want := []string{"t@a+0", "w@a+10", "t@k+0", "t@k+0", "t@k+0", "w@b+10", "t@e+0"}
			if !c.fold {
				want = []string{"t@a+0", "w@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}
			}
			wantRefs(t, root, 0, want...)
			if dropped := len(out.Dropped) == 1; dropped == c.fold {
				t.Errorf("dropped %q", out.Dropped)
			}
		})
	}
}

// What comes of references of several buckets stands in the widest.
func TestCompactionOfBucketsTakesTheWidest(t *testing.T) {
	root := sampleRoot()
	r, k := compaction(root, 0, 2)
	inBucket(root, k, 40, 0, 2)
	wide := root.Stages[0].Partitions[0].Refs[2]
	wide.BucketLo, wide.BucketHi, k.Inputs[1].BucketLo, k.Inputs[1].BucketHi = 0, 80, 0, 80
	tile(k)
	mustFold(t, root, r)
	if got := root.Stages[0].Partitions[0].Refs[0]; got.BucketLo != 0 || got.BucketHi != 80 || got.Crc != 3 {
		t.Errorf("output %v, want bucket [0,80)", got)
	}
}
