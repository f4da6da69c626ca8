package checkpoint

import (
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Kinds of tables of keyed state.
const (
	WindowTable = "window"  // the open windows of an aggregation
	ValuesTable = "values"  // one row for each key of a process function, a column for each value
	TimersTable = "timers"  // of one clock
	EntryTable  = "entries" // a handle with rows of its own, as a map has
)

// Change is what a job with another plan has in place of what it had. References and splits name objects and groups of the root that it changes.
type Change struct {
	Plan        []byte // as JSON
	Fingerprint string
	Sources     []*pb.Source
	Stages      []*pb.Stage
	Tables      []*pb.Table
	Operators   []*pb.OperatorCounts
	Outputs     []*pb.Output
}

// Changed returns the root by which a job goes on from old with another plan: the next term, and every group at a new generation that nobody may go on
// with. Old is quiet: all exchanges are read. What the change does not name any more is garbage.
func Changed(old *pb.Root, c Change) *pb.Root {
	root := proto.Clone(old).(*pb.Root)
	root.Term++
	root.Nonce, root.Cloned = "", false
	root.Plan, root.Fingerprint = c.Plan, c.Fingerprint
	root.Sources, root.Stages, root.Tables, root.Operators, root.Outputs = c.Sources, c.Stages, c.Tables, c.Operators, c.Outputs
	for _, g := range root.Groups {
		Raise(root, g.Id)
		g.Ended = false
	}
	DropPins(root, func(p *pb.Pin) bool { return !p.Written })
	dropUnnamed(root)
	return root
}
