package coord

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// cluster is the time buckets of a table in a partition that overlap: one, but where partitions were united.
type cluster struct {
	place
	buckets []bucketRefs
	at      []int // of all references, in their order
}

// bucketRefs is one time bucket, and where its references stand, in their order.
type bucketRefs struct {
	lo, hi int64
	at     []int
}

// clusters divides a partition's references.
func clusters(stage uint32, part *pb.Partition) (out []cluster) {
	type bucket struct {
		table  string
		lo, hi int64
	}
	index := map[bucket]int{}
	var all []bucketRefs
	var tables []string
	for i, r := range part.Refs {
		b := bucket{r.Table, r.BucketLo, r.BucketHi}
		k, ok := index[b]
		if !ok {
			k = len(all)
			index[b] = k
			all, tables = append(all, bucketRefs{lo: r.BucketLo, hi: r.BucketHi}), append(tables, r.Table)
		}
		all[k].at = append(all[k].at, i)
	}
	order := make([]int, len(all))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(tables[a], tables[b]), cmp.Compare(all[a].lo, all[b].lo), cmp.Compare(all[b].hi, all[a].hi))
	})
	for _, k := range order {
		b := all[k]
		n := len(out) - 1
		if n < 0 || out[n].table != tables[k] || b.lo >= out[n].bucketHi {
			out = append(out, cluster{place: place{stage, part.Lo, part.Hi, tables[k], b.lo, b.hi}})
			n++
		}
		c := &out[n]
		c.bucketHi = max(c.bucketHi, b.hi)
		c.buckets = append(c.buckets, b)
		c.at = append(c.at, b.at...)
	}
	for i := range out {
		slices.Sort(out[i].at)
	}
	return out
}

// depth returns how many references a lookup in a bucket consults: also those of the buckets that hold it.
func (c cluster) depth(refs []*pb.Reference, in bucketRefs, u usage) (n int) {
	for _, b := range c.buckets {
		if b.lo <= in.lo && in.hi <= b.hi {
			n += len(sortedRuns(refs, b.at, u))
		}
	}
	return n
}

// mergeable divides references into runs that may be merged. Those of one bucket are one run, but where partitions were united, whose buckets overlap.
func mergeable(refs []*pb.Reference, all []int) (runs [][]int) {
	from := 0
	for to := range all {
		if !checkpoint.Mergeable(refs, all[from:to+1]) {
			runs = append(runs, all[from:to])
			from = to
		}
	}
	return append(runs, all[from:])
}

// sortedRun is references next to each other that show ranges of hash one behind the other, as the outputs of one compaction do: a lookup consults one of them.
type sortedRun struct {
	at     []int
	size   int64 // the references' shares of their segments
	sparse bool  // one of them lies in an object that is to be emptied
}

// sortedRuns divides the references at some places.
func sortedRuns(refs []*pb.Reference, at []int, u usage) (out []sortedRun) {
	end := uint64(0)
	for _, i := range at {
		r := refs[i]
		n := len(out) - 1
		if n < 0 || r.Lo < end {
			out = append(out, sortedRun{})
			n++
		}
		out[n].at = append(out[n].at, i)
		out[n].size += u.share(r)
		out[n].sparse = out[n].sparse || u.sparse[r.Object]
		end = r.Hi
	}
	return out
}
