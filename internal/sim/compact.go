package sim

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

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
	if len(rows) == 0 && !k.Bottom && !g.j.rules[AlwaysBottom] {
		return
	}
	done := &pb.CompactionTask{Compaction: c, Objects: slices.Clone(t.Objects)}
	if len(rows) > 0 && !g.writeOutputs(done, table, rows) {
		return
	}
	g.results = append(g.results, done)
}

// writeOutputs writes what a compaction has come to, in one object: one output or two, of which each shows the next part of what the inputs have shown.
func (g *group) writeOutputs(done *pb.CompactionTask, table string, rows []row) bool {
	c := done.Compaction
	lo, hi := c.Inputs[0].Lo, c.Inputs[0].Hi
	for _, r := range c.Inputs {
		lo, hi = min(lo, r.Lo), max(hi, r.Hi)
	}
	key := g.j.paths.Pack(c.Term, c.Cut, g.random())
	var body []byte
	add := func(from, to uint64, all bool) {
		var in []row
		for _, r := range rows {
			if all || within(r.hash(c.Stage), from, to) {
				in = append(in, r)
			}
		}
		b := encode(in)
		c.Outputs = append(c.Outputs, &pb.Reference{Table: table, Object: uint32(len(done.Objects)), Offset: int64(len(body)), Length: int64(len(b)),
			Rows: int64(len(in)), Lo: from, Hi: to})
		body = append(body, b...)
	}
	at := lo + (hi-lo)/4*(1+c.Cut/2%3)
	below := slices.ContainsFunc(rows, func(r row) bool { return uint64(r.hash(c.Stage)) < at })
	above := slices.ContainsFunc(rows, func(r row) bool { return uint64(r.hash(c.Stage)) >= at })
	switch {
	case !below || !above || c.Cut%2 == 0:
		add(lo, hi, true)
	case g.j.rules[TornOutputs]:
		add(lo, at, false)
		c.Outputs[0].Hi = hi
	default:
		g.j.stats["compactions with two outputs"]++
		add(lo, at, false)
		add(at, hi, false)
	}
	if !g.put(key, body) {
		return false
	}
	done.Objects = append(done.Objects, &pb.Object{Key: key, Size: int64(len(body))})
	return true
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
