package checkpoint

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Ledger is what the worker of a group knows of its own cuts: which one the next builds on, and what of them it has to file again, under another
// number and other names, when its coordinator has changed before the last one was committed. Any goroutine may call it.
type Ledger struct {
	paths Paths
	run   string
	group uint32

	mu               sync.Mutex
	term, generation uint64
	asked            uint64  // the highest cut asked for
	base             cutName // committed last, as far as is known
	last             cutName // filed last; base when that is committed
	open             *Filed  // that one; nil when it is committed, or too much to keep
}

// cutName identifies a cut of a group.
type cutName struct {
	n  uint64
	id string
}

// Filed is a report with the objects that it brings.
type Filed struct {
	Report *pb.Report
	Bodies map[string][]byte // by key
}

// keepBytes bounds what a ledger keeps of a cut that is not committed yet. With more of it a change of the coordinator makes the group start from
// the root, and read its input again.
const keepBytes = 256 << 20

// NewLedger returns the ledger of a group that starts from root.
func NewLedger(root *pb.Root, group uint32) *Ledger {
	g := GroupOf(root, group)
	return &Ledger{paths: NewPaths(root.Job), run: root.Run, group: group, term: root.Term, generation: g.Generation, asked: g.Cut,
		base: cutName{g.Cut, g.CutId}, last: cutName{g.Cut, g.CutId}}
}

// Fence returns the term and the generation under which the group runs.
func (l *Ledger) Fence() (term, generation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.generation
}

// Asked notes that a cut is asked for under a fence, and tells whether it is the group's to take; again says that what is to be committed
// by it is the cut before, which Again returns.
func (l *Ledger) Asked(c *pb.Cut) (take, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Term != l.term || c.Generation != l.generation || c.Cut <= l.asked {
		return false, false
	}
	l.asked = c.Cut
	return true, l.waits()
}

// Waits tells whether a cut of an earlier fence is to be filed again.
func (l *Ledger) Waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits()
}

func (l *Ledger) waits() bool { return l.open != nil && l.open.Report.Term != l.term }

// Pack returns the key of a new object of cut n.
func (l *Ledger) Pack(n uint64, random string) string {
	term, _ := l.Fence()
	return l.paths.Pack(term, n, random)
}

// Begin returns the report of cut n without its content.
func (l *Ledger) Begin(n uint64, id string) *pb.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &pb.Report{Group: l.group, Term: l.term, Generation: l.generation, Run: l.run, Cut: n, CutId: id, Base: l.last.n, BaseId: l.last.id}
}

// Filed notes that a report is about to be sent. Its objects are written.
func (l *Ledger) Filed(r *pb.Report, bodies map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, b := range bodies {
		size += len(b)
	}
	l.last = cutName{r.Cut, r.CutId}
	if l.open = nil; size <= keepBytes {
		l.open = &Filed{r, bodies}
	}
}

// Last tells whether a report with an id is the one that was filed last.
func (l *Ledger) Last(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.id == id
}

// Committed notes what a root holds.
func (l *Ledger) Committed(root *pb.Root) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed(root)
}

func (l *Ledger) committed(root *pb.Root) {
	if g := GroupOf(root, l.group); g != nil && g.Cut == l.last.n && g.CutId == l.last.id {
		l.base, l.open = l.last, nil
	}
}

// Claim returns what the group still holds, for the next coordinator. Rows are those of its splits as of the root that it started from.
func (l *Ledger) Claim(rows int64) *pb.Claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	opened := uint64(0)
	if l.open != nil {
		for _, o := range l.open.Report.Outputs {
			if len(o.Schema) > 0 {
				opened = o.Key.Number
			}
		}
	}
	return &pb.Claim{Opened: opened, Run: l.run, Group: l.group, Generation: l.generation, Cut: l.last.n, CutId: l.last.id, Base: l.base.n, BaseId: l.base.id,
		Again: l.open != nil, Asked: l.asked, Rows: rows}
}

// MayGoOn tells whether the holder of a claim may go on with its group as of root, under the generation that root gives it: nobody else has run the
// group since, and its last cut, or the one before, which it can file again, is what is committed.
func MayGoOn(root *pb.Root, c *pb.Claim) bool {
	g := GroupOf(root, c.Group)
	if g == nil || c.Run != root.Run || g.Previous < 0 || uint64(g.Previous) != c.Generation {
		return false
	}
	return g.Cut == c.Cut && g.CutId == c.CutId || c.Again && g.Cut == c.Base && g.CutId == c.BaseId
}

// GoOn takes the fence of a root that lets the group go on. It returns false when the root is of another history than the ledger.
func (l *Ledger) GoOn(root *pb.Root, rows int64) bool {
	if !MayGoOn(root, l.Claim(rows)) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.generation = root.Term, GroupOf(root, l.group).Generation
	l.committed(root)
	return true
}

// Again returns the cut that is not committed as cut n of the fence of now, under new names: its objects are to be written again. Compactions are left
// out; they are of a term that is over.
func (l *Ledger) Again(n uint64, id string, random func() string) *Filed {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.open
	c := proto.Clone(was.Report).(*pb.Report)
	c.Term, c.Generation, c.Cut, c.CutId = l.term, l.generation, n, id
	c.Compactions = nil
	f := &Filed{c, map[string][]byte{}}
	for _, o := range c.Objects {
		if body, ok := was.Bodies[o.Key]; ok {
			o.Key = l.paths.Pack(l.term, n, random())
			f.Bodies[o.Key] = body
		}
	}
	for _, p := range c.Partitions {
		for _, ref := range p.Refs {
			ref.Cut = n
		}
	}
	for _, e := range c.Exchanges {
		e.Cut = n
	}
	for _, d := range c.DeadSections {
		d.Cut = n
	}
	return f
}

// Keys returns the keys of a filed report's objects, in their order in it.
func (f *Filed) Keys() []string {
	var keys []string
	for _, o := range f.Report.Objects {
		if _, ok := f.Bodies[o.Key]; ok && !slices.Contains(keys, o.Key) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}
