package coord

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Policy says what to compact. Fields that are 0 take the default in brackets.
type Policy struct {
	Off        bool  // compact nothing
	Level0     int   // so many small references next to each other are merged [8]
	Ratio      int64 // between the sizes of tiers; so many references of one tier are merged [4]
	Bottom     int64 // all of a bucket is merged when one part in so many of the oldest lies above that [3]
	SmallBytes int64 // below it a reference is small [256 KiB]
	FanIn      int   // a bucket's references stay below it [18]
	MaxBytes   int64 // a run of more bytes than this is not merged as a whole [2 GiB]
	Slack      int64 // what is dead in objects may be one part in so many of the state; objects that have most of it are emptied [10]
	Tasks      int   // under way at a time, of a group [64]
	Share      int64 // quick tasks under way, and long ones, merge at most one part in so many of the state, or one of them alone does [8]
}

func (p Policy) withDefaults() Policy {
	p.Level0 = cmp.Or(p.Level0, 8)
	p.Ratio = cmp.Or(p.Ratio, 4)
	p.Bottom = cmp.Or(p.Bottom, 3)
	p.SmallBytes = cmp.Or(p.SmallBytes, 256<<10)
	p.FanIn = cmp.Or(p.FanIn, 18)
	p.MaxBytes = cmp.Or(p.MaxBytes, 2<<30)
	p.Slack = cmp.Or(p.Slack, 10)
	p.Tasks = cmp.Or(p.Tasks, 64)
	p.Share = cmp.Or(p.Share, 8)
	return p
}

// place is what a compaction works on: a table of a partition, and time buckets of it.
type place struct {
	stage              uint32
	lo, hi             uint64
	table              string
	bucketLo, bucketHi int64
}

// refID tells references apart.
type refID struct {
	table, object string
	offset        int64
	lo, hi        uint64
}

func idOf(r *pb.Reference, objects []*pb.Object) refID {
	return refID{r.Table, objects[r.Object].Key, r.Offset, r.Lo, r.Hi}
}

func inputsOf(k *pb.Compaction, objects []*pb.Object) []refID {
	ids := make([]refID, len(k.Inputs))
	for i, r := range k.Inputs {
		ids[i] = idOf(r, objects)
	}
	return ids
}

// meets tells whether two places have anything in common. Both bucket bounds are 0 where a table has one bucket.
func (a place) meets(b place) bool {
	return a.stage == b.stage && a.lo == b.lo && a.hi == b.hi && a.table == b.table &&
		(a.bucketLo == b.bucketLo && a.bucketHi == b.bucketHi || a.bucketLo < b.bucketHi && b.bucketLo < a.bucketHi)
}

// plan returns tasks for a group, the most useful first; they carry n as their cut. Busy are the group's tasks that are under way: of
// the place of one only what is newer than all that it merges may be merged meanwhile. Quick tasks and long ones each have a share of the state to merge at a time: what they merge and what comes of it is stored
// meanwhile, and who runs them does one of each kind at a time, so that small references do not wait for long.
func (p Policy) plan(root *pb.Root, group uint32, n uint64, busy []task) []planned {
	room := p.Tasks - len(busy)
	if p.Off || room <= 0 {
		return nil
	}
	u := measure(root)
	u.empty(root, p.Slack, p.SmallBytes)
	budget, begun, full := map[bool]int64{}, map[bool]int{}, map[bool]bool{}
	for _, quick := range []bool{true, false} {
		budget[quick] = max(u.state/p.Share, 2*p.SmallBytes)
	}
	for _, t := range busy {
		budget[quick(t.bytes)] -= t.bytes
		begun[quick(t.bytes)]++
	}
	var tasks []planned
	taken := map[place]bool{}
	for _, c := range p.candidates(root, group, u, busy) {
		kind := quick(c.bytes)
		if full[kind] || taken[c.at] || len(tasks) == room {
			continue
		}
		if budget[kind] < c.bytes && begun[kind] > 0 {
			full[kind] = true // it has its turn when the others are done
			continue
		}
		budget[kind] -= c.bytes
		begun[kind]++
		taken[c.at] = true
		tasks = append(tasks, planned{c.task(root, n), c.at, c.bytes})
	}
	return tasks
}

// quick tells whether a task that merges so many bytes does not take long.
func quick(bytes int64) bool { return bytes < checkpoint.LongMerge }

// candidates returns what may be merged, the most urgent first: at most one for each place, and one that is quick beside one that takes long.
func (p Policy) candidates(root *pb.Root, group uint32, u usage, busy []task) (found []candidate) {
	for _, st := range root.Stages {
		for _, part := range st.Partitions {
			if part.Group != group {
				continue
			}
			for _, cl := range clusters(st.Id, part) {
				dead := func(b bucketRefs) bool { return b.hi != 0 && part.HasWatermark && b.hi <= part.WatermarkUs } // about to be dropped whole
				if slices.ContainsFunc(cl.buckets, dead) {
					continue
				}
				cl.leave(part.Refs, root.Objects, busy)
				c, ok := p.best(part, cl, u)
				if ok {
					found = append(found, c)
				}
				if ok && !cl.busy && !quick(c.bytes) { // until it has its turn, the newest may be merged
					cl.busy = true
					if c, ok := p.best(part, cl, u); ok && quick(c.bytes) {
						found = append(found, c)
					}
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.urgency, a.urgency), cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.at.stage, b.at.stage), cmp.Compare(a.at.lo, b.at.lo),
			cmp.Compare(a.at.table, b.at.table), cmp.Compare(a.at.bucketLo, b.at.bucketLo))
	})
	return found
}

// best returns what is most urgent to be merged in a cluster: within one of its buckets, or all of it when a lookup has too many references to consult because
// buckets overlap.
func (p Policy) best(part *pb.Partition, cl cluster, u usage) (best candidate, ok bool) {
	deep := 0
	for _, b := range cl.buckets {
		for _, run := range mergeable(part.Refs, b.at) {
			runs := sortedRuns(part.Refs, run, u)
			if from, to, urgency := p.choose(runs, !cl.busy); to > from && (!ok || urgency > best.urgency) {
				best, ok = newCandidate(part, cl, runs[from:to], urgency), true
			}
		}
		deep = max(deep, cl.depth(part.Refs, b, u))
	}
	if len(cl.buckets) == 1 || cl.busy || deep < p.FanIn-4 || ok && best.urgency >= urgencyFanIn || !checkpoint.Mergeable(part.Refs, cl.at) {
		return best, ok
	}
	if c := newCandidate(part, cl, sortedRuns(part.Refs, cl.at, u), urgencyFanIn+deep); c.bytes <= p.MaxBytes {
		return c, true
	}
	return best, ok
}

func newCandidate(part *pb.Partition, cl cluster, runs []sortedRun, urgency int) candidate {
	c := candidate{at: cl.place, refs: part.Refs, urgency: urgency}
	for _, r := range runs {
		c.run = append(c.run, r.at...)
		c.bytes += r.size
	}
	return c
}

// planned is a task to be given out.
type planned struct {
	*pb.CompactionTask
	at    place
	bytes int64
}

type candidate struct {
	at      place
	refs    []*pb.Reference // of the partition
	run     []int           // of them, to be merged; ascending
	bytes   int64
	urgency int
}

func (c candidate) task(root *pb.Root, n uint64) *pb.CompactionTask {
	k := &pb.Compaction{Term: root.Term, Cut: n, Stage: c.at.stage, Lo: c.at.lo, Hi: c.at.hi}
	t := &pb.CompactionTask{Compaction: k}
	index := map[uint32]uint32{}
	for _, at := range c.run {
		r := c.refs[at]
		i, ok := index[r.Object]
		if !ok {
			i = uint32(len(t.Objects))
			index[r.Object] = i
			t.Objects = append(t.Objects, root.Objects[r.Object])
		}
		k.Inputs = append(k.Inputs, &pb.Reference{Table: r.Table, Object: i, Offset: r.Offset, Length: r.Length, Crc: r.Crc, Tail: r.Tail,
			BucketLo: r.BucketLo, BucketHi: r.BucketHi, Lo: r.Lo, Hi: r.Hi, Rows: r.Rows, Cut: r.Cut})
	}
	k.Bottom = checkpoint.AtBottom(c.refs, c.run)
	return t
}
