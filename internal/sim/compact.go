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
