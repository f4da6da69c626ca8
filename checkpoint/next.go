package checkpoint

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Start is what a run that begins from nothing begins with.
type Start struct {
	Job         string
	Run         string // new for each start
	Plan        []byte // the Plan as JSON
	Fingerprint string
	Sources     []*pb.Source // splits unread, of group 0
	Stages      []*pb.Stage  // keyed stages; partitions empty, of group 0
	Tables      []*pb.Table  // of keyed state
	Now         time.Time
}

// FreshRoot returns the root of a new run of one group. With old, the root that CURRENT holds, it takes the next term, goes on with old's epoch
// and floor, so that no cut number comes twice, and notes old's run as one whose outputs are to be removed. Savepoints and clones of old stay.
// Old is nil when there is none.
func FreshRoot(old *pb.Root, s Start) *pb.Root {
	root := &pb.Root{Format: Format, Job: s.Job, Run: s.Run, Term: 1, Floor: 1, StartedUs: s.Now.UnixMicro(), Plan: s.Plan,
		Fingerprint: s.Fingerprint, Sources: s.Sources, Stages: s.Stages, Tables: s.Tables, Groups: []*pb.Group{{Generation: 1, Previous: -1}}}
	if old == nil {
		return root
	}
	root.Term, root.Epoch, root.Floor = old.Term+1, old.Epoch, old.Floor
	root.OldRuns = append(slices.Clone(old.OldRuns), old.Run)
	g := root.Groups[0]
	g.Cut, g.Since = old.Epoch, old.Epoch // no cut has that number and an empty id, so only this root is a base for the first one
	for _, o := range old.Groups {
		g.Generation = max(g.Generation, o.Generation+1)
	}
	takePins(root, old, func(p *pb.Pin) bool { return p.Written && p.Kind != pb.PinKind_RETAINED })
	return root
}

// TakeOver returns the root by which a new coordinator goes on with the job of old: the next term, and every group at a new generation, so that
// whatever was reported under the one before is void. Who has run a group until now may go on under the new generation, see Ledger.
func TakeOver(old *pb.Root) *pb.Root {
	root := proto.Clone(old).(*pb.Root)
	root.Term++
	root.Nonce = ""
	for _, g := range root.Groups {
		was := g.Generation
		Raise(root, g.Id)
		g.Previous = int64(was)
	}
	DropPins(root, func(p *pb.Pin) bool { return !p.Written })
	return root
}

// Raise gives a group of root, which is in the making, the next generation: its worker has to start again from this root, and only cuts above
// the epoch of this root may follow.
func Raise(root *pb.Root, group uint32) {
	if g := GroupOf(root, group); g != nil {
		g.Generation++
		g.Previous = -1
		g.Since = root.Epoch
	}
}

// GroupOf returns a group of root, nil when it has none of that id.
func GroupOf(root *pb.Root, id uint32) *pb.Group {
	for _, g := range root.Groups {
		if g.Id == id {
			return g
		}
	}
	return nil
}

// Floor returns the lowest cut whose report or compaction may still be folded after root: next is the lowest number not given away yet, open
// are those of the cuts and compactions that are under way. It never falls, and is never above 1 + the last folded cut of a group that owns
// anything, because such a group may flush early under that number at any time.
func Floor(root *pb.Root, next uint64, open ...uint64) uint64 {
	floor := next
	for _, id := range Owners(root) {
		floor = min(floor, GroupOf(root, id).Cut+1)
	}
	for _, n := range open {
		floor = min(floor, n)
	}
	return max(root.Floor, floor)
}

// Finish marks root, which is in the making, as finished when nothing is left to do: the input has ended, everything is published, all dead
// letters are written out, and no outputs of earlier runs remain. Nobody falls back to what a finished run has retained. It tells whether root is
// finished.
func Finish(root *pb.Root, now time.Time) bool {
	if root.FinishedUs != 0 {
		return true
	}
	if !root.Ended || len(root.Outputs) > 0 || len(root.DeadSections) > 0 || len(root.OldRuns) > 0 || len(root.Exchanges) > 0 {
		return false
	}
	root.FinishedUs = max(1, now.UnixMicro())
	DropPins(root, func(p *pb.Pin) bool { return p.Kind == pb.PinKind_RETAINED })
	return true
}

// RowsRead returns how many rows the run has read.
func RowsRead(root *pb.Root) (n int64) {
	for _, s := range root.Sources {
		for _, sp := range s.Splits {
			n += sp.Rows
		}
	}
	return n
}

// Partitions returns n empty partitions of group 0 that divide the hash space evenly; n is at least 1 and at most 2^32.
func Partitions(n int) []*pb.Partition {
	parts := make([]*pb.Partition, n)
	for i := range parts {
		parts[i] = &pb.Partition{Lo: HashSpace * uint64(i) / uint64(n), Hi: HashSpace * uint64(i+1) / uint64(n)}
	}
	return parts
}
