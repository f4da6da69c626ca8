package sim

import (
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// group is what a worker runs of the job, as of one root.
type group struct {
	k      *worker
	j      *job
	id     uint32
	root   *pb.Root // newest committed, as far as it knows
	start  int64    // rows of its splits as of the root that it started from
	shared bool
	ledger *checkpoint.Ledger

	pos   map[int]int // of its splits
	parts map[uint32][]*part
	read  map[uint32]*checkpoint.Reading
	sent  map[uint32][]row // to stages, through the bucket
	news  bool             // something that its rows do not show, for a cut

	stale     bool // see behind
	hold      bool
	file      *filing // cut under way; nil: none
	early     []*pack
	open      map[string]uint64 // outputs, by range
	done      map[string]bool   // publications begun
	published []*pb.OutputKey
	swept     bool
	tasks     []*pb.CompactionTask
	results   []*pb.CompactionTask // done; the output, if any, is the last object
}

// part is one partition, and the rows that are in no pack yet.
type part struct {
	stage   uint32
	lo, hi  uint64
	mark    int64 // watermark
	lane    int64 // that of its lane: the same
	fresh   []row
	out     []row           // to be put out
	windows map[window]bool // that are open
}

func newGroup(k *worker, root *pb.Root, id uint32) *group {
	g := &group{k: k, j: k.j, id: id, root: root, shared: checkpoint.Shared(root), ledger: checkpoint.NewLedger(root, id), pos: map[int]int{},
		parts: map[uint32][]*part{}, read: map[uint32]*checkpoint.Reading{}, sent: map[uint32][]row{}, open: map[string]uint64{},
		done: map[string]bool{}}
	for s, sp := range root.Sources[0].Splits {
		if sp.Group == id {
			g.pos[s] = int(sp.Rows)
			g.start += sp.Rows
		}
	}
	for _, stage := range []uint32{1, 2} {
		g.read[stage] = checkpoint.NewReading(root, stage, id)
		if g.j.rules[ForgetsRead] {
			for _, p := range g.read[stage].Parts {
				clear(p.Read)
			}
		}
		for _, p := range g.own(root, stage) {
			g.parts[stage] = append(g.parts[stage], &part{stage: stage, lo: p.Lo, hi: p.Hi, mark: p.WatermarkUs, lane: p.WatermarkUs, windows: map[window]bool{}})
		}
	}
	for _, o := range root.Outputs {
		if !o.Closed && o.Group == id {
			g.open[o.Range] = o.Number
		}
	}
	for _, p := range g.parts[2] {
		g.openWindows(p)
	}
	if !g.shared { // what is left in the bucket comes before what comes in memory
		for _, stage := range []uint32{1, 2} {
			for g.readExchange(stage) {
			}
		}
	}
	if g.stale {
		return nil
	}
	g.adopt()
	g.publish()
	return g
}

// own returns the group's partitions of a stage.
func (g *group) own(root *pb.Root, stage uint32) (parts []*pb.Partition) {
	for _, p := range stageParts(root, stage) {
		if p.Group == g.id {
			parts = append(parts, p)
		}
	}
	return parts
}

// fetch reads rows of an object of the root. When that is gone, the group is behind, and has to start again.
func (g *group) fetch(object uint32, off, n int64) []row {
	b, err := g.j.bucket.GetRange(g.j.ctx(), g.root.Objects[object].Key, off, n)
	if err != nil {
		g.behind()
		return nil
	}
	return decode(b)
}

// behind: something that the group's root names is not there any more.
func (g *group) behind() {
	g.stale = true
	g.j.stats["stale reads"]++
	g.k.drop()
	g.k.lost()
}

// owns tells whether the group has the same share in another root.
func (g *group) owns(root *pb.Root) bool {
	n := 0
	for _, stage := range []uint32{1, 2} {
		for _, p := range stageParts(root, stage) {
			if p.Group == g.id {
				n++
				if !slices.ContainsFunc(g.parts[stage], func(x *part) bool { return x.lo == p.Lo && x.hi == p.Hi }) {
					return false
				}
			}
		}
	}
	for s, sp := range root.Sources[0].Splits {
		if _, mine := g.pos[s]; mine != (sp.Group == g.id) {
			return false
		}
	}
	return n == len(g.parts[1])+len(g.parts[2])
}

// committed takes a newer root.
func (g *group) committed(root *pb.Root) {
	if root.Epoch < g.root.Epoch && root.Term <= g.root.Term {
		return
	}
	g.root = root
	g.adopt()
	g.publish()
}

// turn does one thing of a worker that has a coordinator.
func (g *group) turn() {
	switch x := g.j.intn(10); {
	case x < 3:
		g.readRows()
	case x < 5:
		if !g.readExchange(1) && !g.readExchange(2) {
			g.adopt()
		}
	case x == 5:
		g.progress()
	default:
		g.alone()
		if x == 9 && g.j.intn(3) == 0 {
			g.flushEarly()
		}
	}
}

// alone does one thing that needs no coordinator.
func (g *group) alone() {
	switch g.j.intn(4) {
	case 0:
		g.publish()
	case 1:
		g.compact()
	default:
		g.upload()
	}
}

// readRows reads some rows of a split.
func (g *group) readRows() {
	if g.hold || len(g.pos) == 0 || g.j.plan.rows != nil && !g.j.plan.rows(g.k) {
		return
	}
	mine := make([]int, 0, len(g.pos))
	for s := range g.pos {
		mine = append(mine, s)
	}
	slices.Sort(mine)
	s := mine[g.j.intn(len(mine))]
	for range 1 + g.j.intn(3) {
		if g.pos[s] == splitRows {
			break
		}
		r := rowOf(s, g.pos[s])
		g.pos[s]++
		if g.shared {
			g.sent[1] = append(g.sent[1], r)
		} else {
			g.take(1, r)
		}
	}
	if !g.shared {
		g.adopt()
	}
}

// take gives a row to the partition of a stage that it belongs to, which gives it on.
func (g *group) take(stage uint32, r row) {
	i := slices.IndexFunc(g.parts[stage], func(p *part) bool { return within(r.hash(stage), p.lo, p.hi) })
	if i < 0 {
		if !g.j.rules[NoRowClip] {
			g.j.fail("row %d came to a group that does not have its partition of stage %d", r, stage)
			return
		}
		i = 0
	}
	p := g.parts[stage][i]
	p.fresh = append(p.fresh, r)
	switch {
	case stage == 2:
		p.out = append(p.out, r)
		if r.bucket() > p.lane {
			p.windows[r.window()] = true
		} else {
			g.j.stats["late rows"]++
		}
	case g.shared:
		g.sent[2] = append(g.sent[2], r)
	default:
		g.take(2, r)
	}
}

// readExchange reads the next exchange of a stage, if there is one.
func (g *group) readExchange(stage uint32) bool {
	rd := g.read[stage]
	e := rd.Next(g.root)
	if e == nil {
		return false
	}
	from, to, off, n := rd.Span(e)
	if from < to {
		body, err := g.j.bucket.GetRange(g.j.ctx(), g.root.Objects[e.Object].Key, off, n)
		if err != nil {
			g.behind()
			return false
		}
		for _, b := range e.Blocks[from:to] {
			block := body[:b.Length]
			body = body[b.Length:]
			if !rd.Wants(e, b) {
				continue
			}
			for _, r := range decode(block) {
				if rd.Takes(e, r.hash(stage)) || g.j.rules[NoRowClip] && len(g.parts[stage]) > 0 {
					g.take(stage, r)
				}
			}
		}
	}
	rd.Done(e.Group, e.Cut)
	g.news = true
	return true
}

// ended tells whether nothing more comes to the group, or from it.
func (g *group) ended() bool {
	for _, at := range g.pos {
		if at < splitRows {
			return false
		}
	}
	for stage, parts := range g.parts {
		if slices.ContainsFunc(parts, func(p *part) bool { return p.mark < forever }) || len(g.sent[stage]) > 0 {
			return false
		}
	}
	return true
}

func (g *group) progress() {
	rows := int64(0)
	for _, at := range g.pos {
		rows += int64(at)
	}
	_, generation := g.ledger.Fence()
	g.k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: generation, Rows: rows - g.start,
		Pending: g.news || len(g.published) > 0 || g.swept || len(g.results) > 0 || g.ledger.Waits(), Ended: g.ended()}}})
}
