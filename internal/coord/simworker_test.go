package coord

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// simWorker is a worker whose state is the rows that it has read.
type simWorker struct {
	p         *proc
	root      *pb.Root // newest committed, as far as it knows; nil: not assigned
	base      uint64
	baseID    string
	began     int            // rows as of the root it started from
	pos       [simSplits]int // read
	flushed   [simSplits]int // in packs
	cutAt     [simSplits]int // as of the last barrier
	early     []simPack
	frozen    *simCut
	tasks     []*pb.CompactionTask
	results   []*pb.CompactionTask // done; the output, if any, is the last object
	begun     map[string]bool
	published []*pb.OutputKey
}

// simPack is an object and what lies in it.
type simPack struct {
	object *pb.Object
	body   []byte
	refs   [simParts][]*pb.Reference
}

type simCut struct {
	report *pb.Report
	packs  []simPack
	next   int // to upload; past the last: to send
}

func (k *simWorker) send(m *pb.FromWorker) { k.p.toCoord = append(k.p.toCoord, m) }

func (k *simWorker) start(root *pb.Root) {
	g := root.Groups[0]
	*k = simWorker{p: k.p, root: root, base: g.Cut, baseID: g.CutId, began: int(checkpoint.RowsRead(root)), begun: map[string]bool{}}
	for s, sp := range root.Sources[0].Splits {
		k.pos[s] = int(sp.Rows)
	}
	k.flushed, k.cutAt = k.pos, k.pos
	k.publish()
}

// publish makes outputs of the committed root visible.
func (k *simWorker) publish() {
	w := k.p.w
	for _, o := range k.root.Outputs {
		name := outputName(o.Number)
		if k.begun[name] || w.one(3) {
			continue
		}
		var ids []uint16
		for _, s := range o.Sections {
			b, err := w.bucket.GetRange(context.Background(), k.root.Objects[s.Object].Key, s.Offset, s.Length)
			if err != nil {
				if slices.ContainsFunc(w.current.Outputs, func(c *pb.Output) bool { return c.Number == o.Number }) {
					w.fail("dangling: output %s: %v", name, err)
				}
				return
			}
			for i := 0; i < len(b); i += 2 {
				ids = append(ids, binary.LittleEndian.Uint16(b[i:]))
			}
		}
		if old, ok := w.outside[name]; ok && !slices.Equal(old, ids) {
			w.fail("output %s changes from %v to %v", name, old, ids)
		}
		w.outside[name] = ids
		k.begun[name] = true
		k.published = append(k.published, &pb.OutputKey{Sink: "out", Range: "r", Number: o.Number})
	}
}

func (k *simWorker) turn() {
	w := k.p.w
	switch x := w.r.Intn(16); {
	case x < 4:
		k.receive()
	case k.root == nil:
	case x < 8:
		s := w.r.Intn(simSplits)
		k.pos[s] = min(simRows, k.pos[s]+w.r.Intn(3))
	case x == 8:
		k.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: k.root.Groups[0].Generation,
			Rows: int64(k.total() - k.began), Pending: len(k.published)+len(k.results) > 0, Ended: k.ended()}}})
	case x == 9 && w.one(4):
		k.flushEarly()
	case x == 10 && w.one(12):
		w.stats["crashes"]++
		*k = simWorker{p: k.p}
		k.p.toWork = nil
		k.send(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w"}}})
	case x == 11:
		k.compact()
	case x == 12:
		k.publish()
	case x > 12 && k.frozen != nil:
		k.upload()
	}
}

func (k *simWorker) total() (n int) {
	for _, p := range k.pos {
		n += p
	}
	return n
}

func (k *simWorker) ended() bool { return k.total() == simSplits*simRows }

func (k *simWorker) receive() {
	if len(k.p.toWork) == 0 {
		return
	}
	m := k.p.toWork[0]
	k.p.toWork = k.p.toWork[1:]
	switch m := m.Message.(type) {
	case *pb.ToWorker_Assignment:
		k.start(m.Assignment.Root)
	case *pb.ToWorker_Refused:
		if k.root != nil && k.baseID == m.Refused.CutId {
			k.start(m.Refused.Root)
		}
	case *pb.ToWorker_Committed:
		if k.root == nil {
			return
		}
		k.root = m.Committed.Root
		if k.frozen != nil && k.frozen.report.CutId == k.root.Groups[0].CutId {
			k.frozen = nil
		}
	case *pb.ToWorker_Compaction:
		k.tasks = append(k.tasks, m.Compaction)
	case *pb.ToWorker_Cut:
		if k.root != nil && m.Cut.Term == k.root.Term && m.Cut.Generation == k.root.Groups[0].Generation && k.frozen == nil && m.Cut.Cut > k.base {
			k.barrier(m.Cut.Cut)
		}
	}
}

// pack writes the rows that are not in packs yet into one.
func (k *simWorker) pack(n uint64) simPack {
	var table [simParts][]uint16
	windows := map[[2]int64][]uint16{} // by partition and bucket's end
	for s := range k.pos {
		for i := k.flushed[s]; i < k.pos[s]; i++ {
			id := uint16(s*simRows + i)
			p := id % simParts
			table[p] = append(table[p], id)
			if end := bucketEnd(id); end > k.watermark() {
				windows[[2]int64{int64(p), end}] = append(windows[[2]int64{int64(p), end}], id)
			}
		}
	}
	k.flushed = k.pos
	x := simPack{object: &pb.Object{Key: k.p.store.Paths.Pack(k.root.Term, n, k.p.w.name())}}
	parts := checkpoint.Partitions(simParts)
	add := func(p int, name string, lo, hi int64, ids []uint16) {
		if len(ids) == 0 {
			return
		}
		x.refs[p] = append(x.refs[p], &pb.Reference{Table: name, Offset: int64(len(x.body)), Length: int64(2 * len(ids)), BucketLo: lo, BucketHi: hi,
			Lo: parts[p].Lo, Hi: parts[p].Hi, Rows: int64(len(ids)), Cut: n})
		for _, id := range ids {
			x.body = binary.LittleEndian.AppendUint16(x.body, id)
		}
	}
	for p := range simParts {
		add(p, "t", 0, 0, table[p])
		for end := int64(simBucket); end <= simRows+simBucket; end += simBucket {
			add(p, "w", end-simBucket, end, windows[[2]int64{int64(p), end}])
		}
	}
	return x
}

func (k *simWorker) watermark() int64 {
	low := int64(1) << 40
	for _, p := range k.pos {
		if p < simRows {
			low = min(low, int64(p)+1)
		}
	}
	return low
}

func (k *simWorker) put(x simPack) {
	x.object.Size = int64(len(x.body))
	_ = k.p.w.bucket.Put(context.Background(), x.object.Key, x.body) // cannot fail
}

func (k *simWorker) flushEarly() {
	x := k.pack(max(k.base+1, k.root.Floor))
	if len(x.body) == 0 {
		return
	}
	k.put(x)
	k.early = append(k.early, x)
	k.p.w.stats["early"]++
}

func (k *simWorker) barrier(n uint64) {
	r := &pb.Report{Term: k.root.Term, Generation: k.root.Groups[0].Generation, Run: k.root.Run, Cut: n, CutId: k.p.w.name(), Base: k.base, BaseId: k.baseID,
		Ended: k.ended(), Published: k.published}
	k.published = nil
	last := k.pack(n)
	packs := append(k.early, last)
	k.early = nil
	w := k.watermark()
	for p, x := range checkpoint.Partitions(simParts) {
		rp := &pb.ReportPartition{Stage: 1, Lo: x.Lo, Hi: x.Hi, WatermarkUs: w, HasWatermark: true, Expired: []*pb.Expiry{{Table: "w", BeforeUs: w}}}
		for i, pack := range packs {
			for _, ref := range pack.refs[p] {
				ref.Object = uint32(i)
				rp.Refs = append(rp.Refs, ref)
			}
		}
		r.Partitions = append(r.Partitions, rp)
	}
	at := len(packs) - 1
	off := len(packs[at].body)
	for s := range k.pos {
		for i := k.cutAt[s]; i < k.pos[s]; i++ {
			packs[at].body = binary.LittleEndian.AppendUint16(packs[at].body, uint16(s*simRows+i))
		}
		r.Splits = append(r.Splits, &pb.ReportSplit{Source: "src", Id: splitName(s), Rows: int64(k.pos[s]), Ended: k.pos[s] == simRows})
	}
	if n := len(packs[at].body) - off; n > 0 {
		r.Outputs = []*pb.ReportOutput{{Key: &pb.OutputKey{Sink: "out", Range: "r", Number: r.Cut}, Schema: []byte("s"), Close: true,
			Sections: []*pb.Section{{Object: uint32(at), Offset: int64(off), Length: int64(n), Rows: int64(n / 2)}}}}
	}
	for _, x := range packs {
		x.object.Size = int64(len(x.body))
		r.Objects = append(r.Objects, x.object)
	}
	k.reportCompactions(r)
	k.frozen = &simCut{report: r, packs: packs, next: at}
	k.base, k.baseID, k.cutAt = n, r.CutId, k.pos
}

func (k *simWorker) reportCompactions(r *pb.Report) {
	for _, t := range k.results {
		base := uint32(len(r.Objects))
		for _, ref := range t.Compaction.Inputs {
			ref.Object += base
		}
		for _, ref := range t.Compaction.Outputs {
			ref.Object += base
		}
		r.Objects = append(r.Objects, t.Objects...)
		r.Compactions = append(r.Compactions, t.Compaction)
	}
	k.results = nil
}

func (k *simWorker) upload() {
	c := k.frozen
	if c.next < len(c.packs) {
		if len(c.packs[c.next].body) > 0 {
			k.put(c.packs[c.next])
		}
		c.next++
	} else if c.next == len(c.packs) {
		c.next++
		k.send(&pb.FromWorker{Message: &pb.FromWorker_Report{Report: c.report}})
	}
}

// compact runs a task; a missing input ends it.
func (k *simWorker) compact() {
	if len(k.tasks) == 0 || k.tasks[0].Compaction.Term != k.root.Term {
		return
	}
	t := k.tasks[0]
	k.tasks = k.tasks[1:]
	c := &pb.Compaction{Term: t.Compaction.Term, Cut: t.Compaction.Cut, Stage: t.Compaction.Stage, Lo: t.Compaction.Lo, Hi: t.Compaction.Hi, Bottom: t.Compaction.Bottom}
	var body []byte
	var rows int64
	for _, r := range t.Compaction.Inputs {
		b, err := k.p.w.bucket.GetRange(context.Background(), t.Objects[r.Object].Key, r.Offset, r.Length)
		if err != nil {
			return
		}
		body, rows = append(body, b...), rows+r.Rows
		c.Inputs = append(c.Inputs, &pb.Reference{Table: r.Table, Object: r.Object, Offset: r.Offset, Length: r.Length, BucketLo: r.BucketLo,
			BucketHi: r.BucketHi, Lo: r.Lo, Hi: r.Hi})
	}
	x := simPack{object: &pb.Object{Key: k.p.store.Paths.Pack(c.Term, c.Cut, k.p.w.name())}, body: body}
	k.put(x)
	c.Outputs = []*pb.Reference{{Table: c.Inputs[0].Table, Object: uint32(len(t.Objects)), Length: int64(len(body)), Rows: rows, Lo: c.Lo, Hi: c.Hi}}
	k.results = append(k.results, &pb.CompactionTask{Compaction: c, Objects: append(slices.Clone(t.Objects), x.object)})
}
