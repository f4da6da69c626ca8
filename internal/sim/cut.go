package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// pack is an object in the making, and what of it lies in which partition.
type pack struct {
	object *pb.Object
	body   []byte
	refs   map[*part][]*pb.Reference
}

// filing is a cut under way: objects to be written one by one, and then the report.
type filing struct {
	report *pb.Report
	bodies map[string][]byte
	keys   []string
}

// cutting tells whether a cut was asked for, and is not filed yet.
func (g *group) cutting() bool { return g.file != nil }

// cut takes a coordinator's request for a cut.
func (g *group) cut(c *pb.Cut) {
	if g.file != nil {
		return
	}
	if term, generation := g.ledger.Fence(); g.j.rules[NoAskedUnder] && c.Term == term {
		c = &pb.Cut{Term: term, Generation: generation, Cut: c.Cut, Hold: c.Hold}
	}
	take, again := g.ledger.Asked(c)
	if !take {
		return
	}
	g.hold = c.Hold
	if again {
		f := g.ledger.Again(c.Cut, g.j.name(), g.j.name)
		g.file = &filing{f.Report, f.Bodies, f.Keys()}
		g.j.stats["filed again"]++
		return
	}
	g.barrier(c.Cut)
}

// random is what is new in the name of a pack.
func (g *group) random() string {
	if g.j.rules[ReuseNames] {
		return "same"
	}
	return g.j.name()
}

// packLimit is the size at which an object is large enough, and what follows goes into another.
const packLimit = 24

func (g *group) newPack(n uint64) *pack {
	return &pack{object: &pb.Object{Key: g.ledger.Pack(n, g.random())}, refs: map[*part][]*pb.Reference{}}
}

// pack writes the rows that are in no pack yet into packs of cut n. They belong to the cut that is taken next.
func (g *group) pack(n uint64) []*pack {
	x := g.newPack(n)
	packs := []*pack{x}
	for _, stage := range []uint32{1, 2} {
		for _, p := range g.parts[stage] {
			if len(x.body) >= packLimit {
				x = g.newPack(n)
				packs = append(packs, x)
			}
			g.packPart(x, p, n)
			p.fresh = nil
		}
	}
	if len(packs) > 1 {
		g.j.stats["cuts of several objects"]++
	}
	return packs
}

func (g *group) packPart(x *pack, p *part, n uint64) {
	add := func(table string, lo, hi int64, rows []row) {
		if len(rows) == 0 {
			return
		}
		b := encode(rows)
		x.refs[p] = append(x.refs[p], &pb.Reference{Table: table, Offset: int64(len(x.body)), Length: int64(len(b)), BucketLo: lo, BucketHi: hi, Lo: p.lo, Hi: p.hi,
			Rows: int64(len(rows)), Cut: n})
		x.body = append(x.body, b...)
	}
	add("all", 0, 0, p.fresh)
	if p.stage == 1 {
		add("last", 0, 0, p.fresh)
		return
	}
	buckets := map[int64][]row{}
	for _, r := range p.fresh {
		if r.bucket() > p.mark {
			buckets[r.bucket()] = append(buckets[r.bucket()], r)
		}
	}
	ends := slices.Sorted(maps.Keys(buckets))
	if g.j.rules[MixBuckets] && len(ends) > 1 {
		var all []row
		for _, end := range ends {
			all = append(all, buckets[end]...)
		}
		add("open", ends[0]-width, ends[0], all)
		return
	}
	for _, end := range ends {
		add("open", end-width, end, buckets[end])
	}
}

// flushEarly writes what there is before a cut is asked for.
func (g *group) flushEarly() {
	if g.ledger.Waits() { // the numbers of what comes are not known yet
		return
	}
	g.ledger.Committed(g.root)
	r := g.ledger.Begin(0, "")
	base := r.Base
	if g.file != nil { // what comes builds on the cut that is being written
		base = g.file.report.Cut
	}
	for _, x := range g.pack(max(base+1, g.root.Floor)) {
		if len(x.body) == 0 {
			continue
		}
		if !g.put(x.object.Key, x.body) {
			g.k.drop() // the rows are read again
			g.k.lost()
			return
		}
		g.early = append(g.early, x)
		g.j.stats["early"]++
	}
}

// put writes an object, and tells whether that succeeded.
func (g *group) put(key string, body []byte) bool {
	return (faulty{g.j.bucket, g.j}).Put(g.j.ctx(), key, body) == nil
}

// barrier ends a cut: what it brings is settled here, and written later.
func (g *group) barrier(n uint64) {
	r := g.ledger.Begin(n, g.j.name())
	packs := append(g.early, g.pack(n)...)
	last := packs[len(packs)-1]
	g.early = nil
	for _, stage := range []uint32{1, 2} {
		for i, p := range g.parts[stage] {
			rp := &pb.ReportPartition{Stage: stage, Lo: p.lo, Hi: p.hi, WatermarkUs: p.mark, HasWatermark: true, Inputs: g.read[stage].Parts[i].Inputs()}
			if stage == 2 {
				rp.Expired = []*pb.Expiry{{Table: "open", BeforeUs: p.mark}}
			}
			for at, x := range packs {
				for _, ref := range x.refs[p] {
					ref.Object = uint32(at)
					rp.Refs = append(rp.Refs, ref)
				}
			}
			r.Partitions = append(r.Partitions, rp)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(g.pos)) {
		at := g.pos[s]
		r.Splits = append(r.Splits, &pb.ReportSplit{Source: "src", Id: splitName(s), Rows: int64(at), WatermarkUs: int64(at), HasWatermark: true, Ended: at == splitRows})
	}
	r.Ended = g.ended()
	sections := last
	if g.j.intn(3) == 2 { // sections in an object of their own
		sections = &pack{object: &pb.Object{Key: g.ledger.Pack(n, g.random())}}
		packs = append(packs, sections)
	}
	at := uint32(len(packs) - 1)
	g.exchanges(r, sections, at)
	g.outputs(r, sections, at)
	g.file = &filing{report: r, bodies: map[string][]byte{}}
	for _, x := range packs {
		x.object.Size = int64(len(x.body))
		r.Objects = append(r.Objects, x.object)
		if len(x.body) > 0 {
			g.file.bodies[x.object.Key] = x.body
			g.file.keys = append(g.file.keys, x.object.Key)
		}
	}
	g.reportCompactions(r)
	r.Published, r.Swept = g.published, g.swept
	g.published, g.swept, g.news = nil, false, false
	g.j.note("%s cuts %d of group %d: splits %v, ended %v", g.k.name, n, g.id, g.pos, r.Ended)
}

// exchanges packs what goes to the stages through the bucket, in blocks by hash.
func (g *group) exchanges(r *pb.Report, x *pack, object uint32) {
	for _, stage := range []uint32{1, 2} {
		rows := g.sent[stage]
		g.sent[stage] = nil
		if len(rows) == 0 {
			continue
		}
		e := &pb.Exchange{Stage: stage, Group: g.id, Cut: r.Cut, Object: object, Offset: int64(len(x.body))}
		edges := []uint64{0, checkpoint.HashSpace / 3, checkpoint.HashSpace * 3 / 4, checkpoint.HashSpace}
		for i := range len(edges) - 1 {
			var in []row
			for _, x := range rows {
				if within(x.hash(stage), edges[i], edges[i+1]) {
					in = append(in, x)
				}
			}
			if len(in) > 0 {
				b := encode(in)
				x.body = append(x.body, b...)
				e.Blocks = append(e.Blocks, &pb.Block{Lo: edges[i], Hi: edges[i+1], Length: int64(len(b)), Rows: int64(len(in))})
			}
		}
		r.Exchanges = append(r.Exchanges, e)
	}
}

// outputs packs what is put out, range by range.
func (g *group) outputs(r *pb.Report, x *pack, object uint32) {
	live := map[string]bool{}
	for _, p := range g.parts[2] {
		rng := fmt.Sprintf("%08x", p.lo)
		live[rng] = true
		number, open := g.open[rng]
		ro := &pb.ReportOutput{Key: &pb.OutputKey{Sink: "out", Range: rng, Number: number}}
		if len(p.out) > 0 {
			if !open {
				ro.Key.Number, ro.Schema = r.Cut, []byte("s")
				g.open[rng], open = r.Cut, true
			}
			b := encode(p.out)
			ro.Sections = []*pb.Section{{Object: object, Offset: int64(len(x.body)), Length: int64(len(b)), Rows: int64(len(p.out))}}
			x.body = append(x.body, b...)
		}
		ro.Close = open && (r.Ended || g.j.intn(3) == 2)
		if g.j.rules[EarlyPublish] && ro.Close && ro.Schema != nil {
			g.j.publish(g.root.Run, ro.Key, p.out)
		}
		p.out = nil
		if ro.Close {
			delete(g.open, rng)
		}
		if ro.Close || len(ro.Sections) > 0 {
			r.Outputs = append(r.Outputs, ro)
		}
	}
	for _, rng := range slices.Sorted(maps.Keys(g.open)) {
		if !live[rng] { // nobody here writes to it any more
			r.Outputs = append(r.Outputs, &pb.ReportOutput{Key: &pb.OutputKey{Sink: "out", Range: rng, Number: g.open[rng]}, Close: true})
			delete(g.open, rng)
		}
	}
}

// upload writes one object of the cut under way, or sends its report.
func (g *group) upload() {
	f := g.file
	if f == nil {
		return
	}
	if len(f.keys) > 0 {
		if g.put(f.keys[0], f.bodies[f.keys[0]]) {
			f.keys = f.keys[1:]
		}
		return
	}
	if g.j.fault(20) {
		g.j.stats["cuts too large to keep"]++
		f.bodies = tooMuch(f.bodies)
	}
	g.ledger.Filed(f.report, f.bodies)
	g.file = nil
	if g.k.conn != nil {
		g.k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Report{Report: f.report}})
	}
}

// tooMuch adds what makes a cut larger than a ledger keeps.
func tooMuch(bodies map[string][]byte) map[string][]byte {
	more, nothing := maps.Clone(bodies), make([]byte, 1<<20)
	for i := range 257 {
		more[fmt.Sprint(i)] = nothing
	}
	return more
}

// publish makes visible what the committed root lists.
func (g *group) publish() {
	if g.j.plan.publish != nil && !g.j.plan.publish(g.k) {
		return
	}
	for _, o := range g.root.Outputs {
		key := &pb.OutputKey{Sink: o.Sink, Range: o.Range, Number: o.Number}
		id := g.j.outputName(g.root.Run, key)
		if !o.Closed || o.Group != g.id || g.done[id] || g.j.intn(3) == 2 {
			continue
		}
		var rows []row
		for _, s := range o.Sections {
			b, err := g.j.bucket.GetRange(g.j.ctx(), g.root.Objects[s.Object].Key, s.Offset, s.Length)
			if err != nil {
				return // published by another, and collected: this group is behind
			}
			rows = append(rows, decode(b)...)
		}
		g.done[id] = true
		g.j.publish(g.root.Run, key, rows)
		g.published = append(g.published, key)
	}
	if owners := checkpoint.Owners(g.root); len(g.root.OldRuns) > 0 && len(owners) > 0 && owners[0] == g.id && !g.done["sweep"] {
		g.done["sweep"] = true
		g.j.removeRuns(g.root.OldRuns)
		g.swept = true
	}
}

// compact runs a task; a missing input ends it.
func (g *group) compact() {
	term, _ := g.ledger.Fence()
	if len(g.tasks) == 0 {
		return
	}
	t := g.tasks[0]
	if g.j.plan.compact != nil && !g.j.plan.compact(g.k, t) {
		return
	}
	g.tasks = g.tasks[1:]
	k := t.Compaction
	if k.Term != term {
		return
	}
	c := &pb.Compaction{Term: k.Term, Cut: k.Cut, Stage: k.Stage, Lo: k.Lo, Hi: k.Hi, Bottom: k.Bottom}
	var rows []row
	var table string
	for _, r := range k.Inputs {
		b, err := g.j.bucket.GetRange(g.j.ctx(), t.Objects[r.Object].Key, r.Offset, r.Length)
		if err != nil {
			return
		}
		for _, x := range decode(b) {
			if within(x.hash(k.Stage), r.Lo, r.Hi) || g.j.rules[Unclipped] {
				rows = append(rows, x)
			}
		}
		table = r.Table
		c.Inputs = append(c.Inputs, &pb.Reference{Table: r.Table, Object: r.Object, Offset: r.Offset, Length: r.Length, BucketLo: r.BucketLo, BucketHi: r.BucketHi,
			Lo: r.Lo, Hi: r.Hi})
	}
	if table == "last" {
		rows = g.merged(rows, k.Bottom || g.j.rules[AlwaysBottom])
	}
	done := &pb.CompactionTask{Compaction: c, Objects: slices.Clone(t.Objects)}
	if len(rows) > 0 {
		b := encode(rows)
		key := g.j.paths.Pack(k.Term, k.Cut, g.random())
		if !g.put(key, b) {
			return
		}
		c.Outputs = []*pb.Reference{{Table: table, Object: uint32(len(t.Objects)), Length: int64(len(b)), Rows: int64(len(rows)), Lo: c.Lo, Hi: c.Hi}}
		done.Objects = append(done.Objects, &pb.Object{Key: key, Size: int64(len(b))})
	} else if !k.Bottom && !g.j.rules[AlwaysBottom] {
		return
	}
	g.results = append(g.results, done)
}

// merged returns the newest row of each key; at the bottom those that delete go too.
func (g *group) merged(rows []row, bottom bool) (out []row) {
	last := map[uint32]row{}
	for _, r := range rows {
		last[r.key()] = r
	}
	for _, r := range last {
		if !bottom || !r.deletes() {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b row) int { return cmp.Compare(a.key(), b.key()) })
	return out
}

func (g *group) reportCompactions(r *pb.Report) {
	for _, t := range g.results {
		base := uint32(len(r.Objects))
		for _, refs := range [][]*pb.Reference{t.Compaction.Inputs, t.Compaction.Outputs} {
			for _, ref := range refs {
				ref.Object += base
			}
		}
		r.Objects = append(r.Objects, t.Objects...)
		r.Compactions = append(r.Compactions, t.Compaction)
	}
	g.results = nil
}
