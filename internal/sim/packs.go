package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// pack is an object in the making, and what of it lies in which partition.
type pack struct {
	object *pb.Object
	body   []byte
	refs   map[*part][]*pb.Reference
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

// tooMuch adds what makes a cut larger than a ledger keeps.
func tooMuch(bodies map[string][]byte) map[string][]byte {
	more, nothing := maps.Clone(bodies), make([]byte, 1<<20)
	for i := range 257 {
		more[fmt.Sprint(i)] = nothing
	}
	return more
}
