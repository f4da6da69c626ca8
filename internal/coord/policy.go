package coord

import (
	"cmp"
	"math"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Policy says what to compact. Fields that are 0 take the default in brackets.
type Policy struct {
	Off        bool  // compact nothing
	Level0     int   // so many small references next to each other are merged [8]
	Ratio      int64 // between the sizes of tiers; so many references of one tier are merged [4]
	SmallBytes int64 // below it a reference is small [256 KiB]
	FanIn      int   // a bucket's references stay below it [20]
	MaxBytes   int64 // a run of more bytes than this is not merged as a whole [512 MiB]
	SparseSize int64 // an object of at least so many bytes, of which less than a quarter is live, is emptied [4 MiB]
	Tasks      int   // under way at a time [4]
}

func (p Policy) withDefaults() Policy {
	p.Level0 = cmp.Or(p.Level0, 8)
	p.Ratio = cmp.Or(p.Ratio, 4)
	p.SmallBytes = cmp.Or(p.SmallBytes, 256<<10)
	p.FanIn = cmp.Or(p.FanIn, 20)
	p.MaxBytes = cmp.Or(p.MaxBytes, 512<<20)
	p.SparseSize = cmp.Or(p.SparseSize, 4<<20)
	p.Tasks = cmp.Or(p.Tasks, 4)
	return p
}

// place is what a compaction works on: one bucket of one table of one partition. At most one is under way there.
type place struct {
	stage              uint32
	lo, hi             uint64
	table              string
	bucketLo, bucketHi int64
}

func placeOf(k *pb.Compaction) place {
	r := k.Inputs[0]
	return place{k.Stage, k.Lo, k.Hi, r.Table, r.BucketLo, r.BucketHi}
}

// plan returns tasks for a group, at most room of them, the most useful first; they carry n as their cut. Busy places are left alone.
func (p Policy) plan(root *pb.Root, group uint32, n uint64, busy map[place]bool, room int) []*pb.CompactionTask {
	if p.Off || room <= 0 {
		return nil
	}
	sizes := measure(root)
	var found []candidate
	for _, st := range root.Stages {
		for _, part := range st.Partitions {
			if part.Group != group {
				continue
			}
			for at, all := range byPlace(st.Id, part) {
				dead := at.bucketHi != 0 && part.HasWatermark && at.bucketHi <= part.WatermarkUs // about to be dropped whole
				if busy[at] || dead {
					continue
				}
				var best candidate
				for _, run := range mergeable(part.Refs, all) {
					refs := pick(part.Refs, run)
					if from, to, urgency := p.choose(refs, sizes, root.Objects); to > from && (best.refs == nil || urgency > best.urgency) {
						best = candidate{at, part.Refs[:run[from]], refs[from:to], urgency}
					}
				}
				if best.refs != nil {
					found = append(found, best)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), cmp.Compare(a.at.stage, b.at.stage), cmp.Compare(a.at.lo, b.at.lo),
			cmp.Compare(a.at.table, b.at.table), cmp.Compare(a.at.bucketLo, b.at.bucketLo))
	})
	var tasks []*pb.CompactionTask
	for _, c := range found[:min(room, len(found))] {
		tasks = append(tasks, c.task(root, n))
	}
	return tasks
}

type candidate struct {
	at      place
	older   []*pb.Reference // of the partition
	refs    []*pb.Reference // to be merged, oldest first
	urgency int
}

func (c candidate) task(root *pb.Root, n uint64) *pb.CompactionTask {
	k := &pb.Compaction{Term: root.Term, Cut: n, Stage: c.at.stage, Lo: c.at.lo, Hi: c.at.hi}
	t := &pb.CompactionTask{Compaction: k}
	index := map[uint32]uint32{}
	first := c.refs[0]
	lo, hi := first.Lo, first.Hi
	for _, r := range c.refs {
		lo, hi = min(lo, r.Lo), max(hi, r.Hi)
		i, ok := index[r.Object]
		if !ok {
			i = uint32(len(t.Objects))
			index[r.Object] = i
			t.Objects = append(t.Objects, root.Objects[r.Object])
		}
		k.Inputs = append(k.Inputs, &pb.Reference{Table: r.Table, Object: i, Offset: r.Offset, Length: r.Length, Crc: r.Crc,
			BucketLo: r.BucketLo, BucketHi: r.BucketHi, Lo: r.Lo, Hi: r.Hi, Rows: r.Rows, Cut: r.Cut})
	}
	k.Bottom = !checkpoint.OlderOverlaps(c.older, first, lo, hi)
	return t
}

// byPlace divides a partition's references by table and bucket: where they stand, in their order.
func byPlace(stage uint32, part *pb.Partition) map[place][]int {
	m := map[place][]int{}
	for i, r := range part.Refs {
		at := place{stage, part.Lo, part.Hi, r.Table, r.BucketLo, r.BucketHi}
		m[at] = append(m[at], i)
	}
	return m
}

// mergeable divides the references of a place into runs that may be merged. They are one run but where partitions were united, whose buckets overlap.
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

func pick(refs []*pb.Reference, at []int) []*pb.Reference {
	out := make([]*pb.Reference, len(at))
	for k, i := range at {
		out[k] = refs[i]
	}
	return out
}

// usage is how many references share a segment, and how much of each object is live.
type usage struct {
	sharers map[segmentAt]int64
	live    []int64 // by object
}

type segmentAt struct {
	object uint32
	offset int64
}

func measure(root *pb.Root) usage {
	u := usage{map[segmentAt]int64{}, make([]int64, len(root.Objects))}
	add := func(object uint32, offset, length int64) {
		at := segmentAt{object, offset}
		if u.sharers[at] == 0 {
			u.live[object] += length
		}
		u.sharers[at]++
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				add(r.Object, r.Offset, r.Length)
			}
		}
	}
	for _, o := range root.Outputs {
		for _, s := range o.Sections {
			add(s.Object, s.Offset, s.Length)
		}
	}
	for _, d := range root.DeadSections {
		add(d.Section.Object, d.Section.Offset, d.Section.Length)
	}
	for _, p := range root.Pins {
		for _, o := range p.Objects { // writing what it holds elsewhere would free nothing
			u.live[o] = root.Objects[o].Size
		}
	}
	return u
}

// share is a reference's part of the bytes of its segment.
func (u usage) share(r *pb.Reference) int64 {
	return max(1, r.Length/u.sharers[segmentAt{r.Object, r.Offset}])
}

// How urgent a compaction is; a longer run of the same kind comes first.
const (
	urgencyTier   = 0
	urgencySparse = 1000
	urgencyFanIn  = 2000
)

// choose returns the run refs[from:to] to merge next, to == from when none is due.
func (p Policy) choose(refs []*pb.Reference, u usage, objects []*pb.Object) (from, to, urgency int) {
	sizes := make([]int64, len(refs))
	for i, r := range refs {
		sizes[i] = u.share(r)
	}
	if from, to = p.chooseTier(sizes); to > from {
		return from, to, urgencyTier + to - from
	}
	if len(refs) >= p.FanIn-4 {
		from, to = cheapest(sizes)
		return from, to, urgencyFanIn + len(refs)
	}
	for i, r := range refs {
		if o := objects[r.Object]; o.Size >= p.SparseSize && u.live[r.Object]*4 < o.Size && sizes[i] <= p.MaxBytes {
			return i, i + 1, urgencySparse
		}
	}
	return 0, 0, 0
}

// chooseTier chooses by sizes, oldest first: everything when what lies above the bottom has reached a quarter of it, else a run of small ones,
// else a run of one tier.
func (p Policy) chooseTier(sizes []int64) (from, to int) {
	if len(sizes) < 2 {
		return 0, 0
	}
	above := sum(sizes[1:])
	if above >= sizes[0]/p.Ratio && (len(sizes) >= p.Level0 || above >= p.SmallBytes) && above+sizes[0] <= p.MaxBytes {
		return 0, len(sizes)
	}
	for level, top := 0, p.level(p.MaxBytes/p.Ratio); level <= top; level++ {
		need := int(p.Ratio)
		if level == 0 {
			need = p.Level0
		}
		if from, to = p.longestRun(sizes, level, need); to > from {
			return p.fit(sizes, from, to)
		}
	}
	return 0, 0
}

// level is a size's tier: 0 for small ones, then one more for each power of Ratio. Those of which Ratio do not fit into MaxBytes are above all
// tiers: only the fan-in can make them part of a run.
func (p Policy) level(size int64) int {
	if size > p.MaxBytes/p.Ratio {
		return math.MaxInt
	}
	l := 0
	for limit := p.SmallBytes; size >= limit; limit *= p.Ratio {
		l++
	}
	return l
}

// longestRun returns the longest run of references of at most a level that has at least need of just that level.
func (p Policy) longestRun(sizes []int64, level, need int) (from, to int) {
	for start := 0; start < len(sizes); {
		end, own := start, 0
		for end < len(sizes) && p.level(sizes[end]) <= level {
			if p.level(sizes[end]) == level {
				own++
			}
			end++
		}
		if own >= need && end-start > to-from {
			from, to = start, end
		}
		start = end + 1
	}
	return from, to
}

// fit leaves out the newest of a run until it is not too large.
func (p Policy) fit(sizes []int64, from, to int) (int, int) {
	for to-from >= 2 && sum(sizes[from:to]) > p.MaxBytes {
		to--
	}
	if to-from < 2 {
		return 0, 0
	}
	return from, to
}

// cheapest returns the run that rewrites the fewest bytes for each reference that it saves.
func cheapest(sizes []int64) (from, to int) {
	best := math.Inf(1)
	for i := range sizes {
		bytes := float64(sizes[i])
		for j := i + 1; j < len(sizes); j++ {
			bytes += float64(sizes[j])
			if cost := bytes / float64(j-i); cost < best {
				best, from, to = cost, i, j+1
			}
		}
	}
	return from, to
}

func sum(a []int64) (n int64) {
	for _, x := range a {
		n += x
	}
	return n
}
