package checkpoint

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Repeated names the outputs whose rows a job publishes again after it went back.
type Repeated struct {
	Run   string
	Above uint64          // every output of the run with a higher number
	Cuts  []uint64        // and with one of these: groups commit on their own, so a lower number may have come later
	Open  []*pb.OutputKey // and these, if they were published since: they were open
}

// Restored returns the root by which the job of current goes back to what copied holds, the copy of a pin of current. It takes the next term, and for
// every group a generation above all that there were, so that nothing reported until now counts; numbers of cuts go on, and so do those of outputs: one
// that was open gets a new number. Pins stay, but the job does not go back to those that are later than the one it goes back to now. A copy of an earlier run is an Invalid error: what that run had published by then is removed.
func Restored(current, copied *pb.Root, pin *pb.Pin) (*pb.Root, Repeated, error) {
	if copied.Run != current.Run {
		return nil, Repeated{}, sabot.WithKind(sabot.Invalid, fmt.Errorf("it is of run %s of job %s, whose outputs were removed when run %s was started afresh; "+
			"begin a new job with it (--as)", copied.Run, current.Job, current.Run))
	}
	if pin.Abandoned {
		return nil, Repeated{}, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s went back behind checkpoint %d since, and what it had published by then came again; "+
			"begin a new job with it (--as)", current.Job, pin.Epoch))
	}
	root := again(copied)
	root.Term = current.Term + 1
	root.Epoch = current.Epoch + 1 // a number that no cut has, for the outputs that were open
	root.Floor = current.Floor
	root.OldRuns = slices.Clone(current.OldRuns)
	rep := Repeated{Run: current.Run, Above: copied.Epoch, Cuts: slices.Clone(pin.Unfolded)}
	for _, o := range root.Outputs {
		if !o.Closed {
			rep.Open = append(rep.Open, &pb.OutputKey{Sink: o.Sink, Range: o.Range, Number: o.Number})
			o.Number = root.Epoch
		}
	}
	generation := uint64(0)
	for _, g := range append(slices.Clone(current.Groups), copied.Groups...) {
		generation = max(generation, g.Generation+1)
	}
	for _, g := range current.Groups {
		if GroupOf(root, g.Id) == nil {
			root.Groups = append(root.Groups, &pb.Group{Id: g.Id})
		}
	}
	startGroups(root, generation)
	later := map[string]bool{}
	for i := len(current.Pins) - 1; i >= 0 && current.Pins[i].Id != pin.Id; i-- {
		later[current.Pins[i].Id] = true
	}
	takePins(root, current, func(p *pb.Pin) bool { return p.Written && !(later[p.Id] && p.Kind == pb.PinKind_RETAINED) })
	for _, p := range root.Pins {
		p.Abandoned = p.Abandoned || later[p.Id]
	}
	return root, rep, nil
}

// Cloned returns the first root of a job that begins with what copied holds. The objects stay where they are: they are the other job's, and a pin of
// that keeps them until the clone names none of them any more.
func Cloned(copied *pb.Root, job, run string, now time.Time) (*pb.Root, error) {
	var plan sabot.Plan
	if err := json.Unmarshal(copied.Plan, &plan); err != nil {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode the plan of job %s: %w", copied.Job, err))
	}
	plan.Job = job
	b, err := json.Marshal(&plan)
	if err != nil {
		return nil, sabot.WithKind(sabot.Internal, fmt.Errorf("encode the plan: %w", err))
	}
	root := again(copied)
	root.Job, root.Run, root.Plan, root.Term, root.StartedUs = job, run, b, 1, now.UnixMicro()
	root.OldRuns, root.Cloned = nil, true
	startGroups(root, 1)
	return root, nil
}

// Moved returns the root of a clone whose outputs go elsewhere, as plan says, the Plan as JSON.
func Moved(root *pb.Root, plan []byte, fingerprint string) *pb.Root {
	c := proto.Clone(root).(*pb.Root)
	c.Plan, c.Fingerprint, c.Cloned = plan, fingerprint, false
	return c
}

// again returns a copy of root without what is of one commit, and without pins.
func again(root *pb.Root) *pb.Root {
	c := proto.Clone(root).(*pb.Root)
	c.Nonce, c.CommittedUs = "", 0
	c.Pins = nil
	dropUnnamed(c)
	return c
}

// startGroups makes every group start from root, and from nothing else: no cut has that number and an empty id.
func startGroups(root *pb.Root, generation uint64) {
	for _, g := range root.Groups {
		g.Generation, g.Previous = generation, -1
		g.Cut, g.CutId, g.Since = root.Epoch, "", root.Epoch
	}
}

// Foreign returns the keys of the objects of other jobs that root names, as a clone's does until compaction has rewritten them.
func Foreign(root *pb.Root) []string {
	paths := NewPaths(root.Job)
	var keys []string
	for _, o := range root.Objects {
		if _, _, ok := paths.ParsePack(o.Key); !ok {
			keys = append(keys, o.Key)
		}
	}
	return keys
}
