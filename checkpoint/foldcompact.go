package checkpoint

import (
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// LongMerge is from how many bytes of inputs on a compaction takes long: coordinators give such ones a share of their own, and workers a goroutine, so that small ones
// do not wait for them.
const LongMerge = 4 << 20

// applyCompaction puts the outputs of a compaction in the place of its inputs, or leaves everything as it is when it came too late, another
// term, a cut below the floor, inputs that are not there any more as they were; and when its outputs cannot stand for its inputs.
func (f *folder) applyCompaction(k *pb.Compaction) {
	p := f.parts[partitionID{k.Stage, k.Lo, k.Hi}]
	if p == nil || k.Term != f.root.Term || k.Cut < f.root.Floor || len(k.Inputs) == 0 {
		return
	}
	run := f.findRun(p, k.Inputs)
	if run == nil || !Mergeable(p.Refs, run) || k.Bottom && !AtBottom(p.Refs, run) {
		return
	}
	outs := f.compacted(p, k, hull(p.Refs, run))
	if len(outs) != len(k.Outputs) {
		return
	}
	gone := make(map[int]bool, len(run))
	for _, at := range run {
		gone[at] = true
	}
	refs := make([]*pb.Reference, 0, len(p.Refs)+len(outs))
	for i, r := range p.Refs {
		if i == run[0] {
			refs = append(refs, outs...)
		}
		if !gone[i] {
			refs = append(refs, r)
		}
	}
	p.Refs = refs
}

// compacted returns a compaction's outputs as the root will name them, none when they cannot be: together they show exactly the range like, each the next part
// of it, of like's time bucket.
func (f *folder) compacted(p *pb.Partition, k *pb.Compaction, like *pb.Reference) []*pb.Reference {
	at := like.Lo
	var outs []*pb.Reference
	for _, o := range k.Outputs {
		out := copyReference(o)
		out.Table, out.BucketLo, out.BucketHi = like.Table, like.BucketLo, like.BucketHi
		if out.Lo != at || out.Hi <= at || checkReference(f.r.Objects, p.Lo, p.Hi, out) != nil {
			return nil
		}
		at = out.Hi
		term, n, ok := f.paths.ParsePack(f.r.Objects[out.Object].Key)
		if !ok || term != f.root.Term || n < f.root.Floor {
			return nil
		}
		outs = append(outs, out)
	}
	if len(outs) > 0 && at != like.Hi {
		return nil
	}
	for _, out := range outs {
		out.Object = f.intern(out.Object)
	}
	return outs
}

// findRun returns where the inputs stand in p, in their order, of the same bytes under the same clips. Nil: they do not.
func (f *folder) findRun(p *pb.Partition, inputs []*pb.Reference) []int {
	run := make([]int, 0, len(inputs))
	for i, r := range p.Refs {
		if len(run) < len(inputs) && f.same(r, inputs[len(run)]) {
			run = append(run, i)
		}
	}
	if len(run) < len(inputs) {
		return nil
	}
	return run
}

// same tells whether r, of the root, and in, of the report, are one reference.
func (f *folder) same(r, in *pb.Reference) bool {
	return uint64(in.Object) < uint64(len(f.r.Objects)) && f.root.Objects[r.Object].Key == f.r.Objects[in.Object].Key &&
		sameBucket(r, in) && r.Offset == in.Offset && r.Length == in.Length && r.Lo == in.Lo && r.Hi == in.Hi
}

func sameBucket(a, b *pb.Reference) bool {
	return a.Table == b.Table && a.BucketLo == b.BucketLo && a.BucketHi == b.BucketHi
}

// hull returns the table, the time bucket and the range of what stands for the references at the given places of refs: the widest of their buckets, and the
// range from the first to the last hash that one of them may show. It has no table when they have several, or no bucket that holds the others.
func hull(refs []*pb.Reference, run []int) *pb.Reference {
	first := refs[run[0]]
	h := &pb.Reference{Table: first.Table, BucketLo: first.BucketLo, BucketHi: first.BucketHi, Lo: first.Lo, Hi: first.Hi}
	for _, at := range run {
		r := refs[at]
		h.Lo, h.Hi = min(h.Lo, r.Lo), max(h.Hi, r.Hi)
		if r.BucketLo <= h.BucketLo && h.BucketHi <= r.BucketHi {
			h.BucketLo, h.BucketHi = r.BucketLo, r.BucketHi
		}
	}
	for _, at := range run {
		if r := refs[at]; r.Table != h.Table || r.BucketLo < h.BucketLo || r.BucketHi > h.BucketHi {
			h.Table = ""
		}
	}
	return h
}

// AtBottom tells whether nothing older than the references at the given places of refs, which are mergeable, may have rows of their keys. A compaction of them
// may leave out what says of a key that it is deleted; else there may be something that this deletes.
func AtBottom(refs []*pb.Reference, run []int) bool {
	like := hull(refs, run)
	return !OlderOverlaps(refs[:run[0]], like, like.Lo, like.Hi)
}

// OlderOverlaps tells whether one of the older references may have rows of the keys that like has in the hash range [lo,hi): it is of the same table,
// and shows part of that range and of like's time bucket. Where partitions were united, buckets overlap, and a key may have rows in several of them.
func OlderOverlaps(older []*pb.Reference, like *pb.Reference, lo, hi uint64) bool {
	return slices.ContainsFunc(older, func(r *pb.Reference) bool { return overlap(r, like) && r.Lo < hi && r.Hi > lo })
}

func overlap(a, b *pb.Reference) bool {
	return sameBucket(a, b) || a.Table == b.Table && a.BucketLo < b.BucketHi && b.BucketLo < a.BucketHi
}

// Mergeable tells whether what the references at the given places of refs, which ascend, show may stand in the place of the first of them. They are of one
// table, and of one time bucket, or of one that holds those of the others: where buckets overlap one always holds the other. And none of them passes one
// that is older, is not among them, and may have rows of its keys.
func Mergeable(refs []*pb.Reference, run []int) bool {
	if hull(refs, run).Table == "" {
		return false
	}
	for _, at := range run {
		for i := run[0] + 1; i < at; i++ {
			if r := refs[at]; !slices.Contains(run, i) && OlderOverlaps(refs[i:i+1], r, r.Lo, r.Hi) {
				return false
			}
		}
	}
	return true
}
