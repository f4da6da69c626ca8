package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

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
	if again {
		f := g.ledger.Again(c.Cut, g.j.name(), g.j.name)
		g.file = &filing{f.Report, f.Bodies, f.Keys()}
		g.j.stats["filed again"]++
		return
	}
	g.hold = c.Hold
	g.barrier(c.Cut)
}

// random is what is new in the name of a pack.
func (g *group) random() string {
	if g.j.rules[ReuseNames] {
		return "same"
	}
	return g.j.name()
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
