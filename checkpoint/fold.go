package checkpoint

import (
	"fmt"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Reason says why a report was not folded.
type Reason uint8

// The reasons. They are checked in this order.
const (
	Folded           Reason = iota // it was folded
	Duplicate                      // this very cut is committed already
	WrongGroup                     // the root has no such group
	WrongTerm                      // of another coordinator
	WrongRun                       // of another run of the job
	WrongGeneration                // of an earlier life of the group
	WrongBase                      // built on a cut that is not the group's committed one
	BeforeGeneration               // not above the epoch of the root that raised the generation
	BelowFloor                     // its cut has been open for too long
	BadName                        // a new object's name carries another term, or a cut below the floor
	BadLayout                      // its splits or partitions are not exactly the group's
	BadContent                     // something in it falls behind, points nowhere, or contradicts the root
)

var reasons = [...]string{"folded", "committed already", "unknown group", "another term", "another run", "another generation",
	"another base cut", "older than its generation", "below the floor", "object name out of term or floor", "another layout", "inconsistent"}

func (r Reason) String() string { return reasons[r] }

// FoldOutcome is what became of a report.
type FoldOutcome struct {
	Reason Reason
	Detail string // of a refusal, for people
	// Dropped lists objects that the report brought but the root does not name: outputs of compactions that came too late, say. They are
	// garbage once Collectable says so.
	Dropped []string
}

func (o FoldOutcome) String() string {
	if o.Detail == "" {
		return o.Reason.String()
	}
	return o.Reason.String() + ": " + o.Detail
}

// Fold applies a report as a whole to root, a valid root in the making that belongs to the caller, or leaves root as it is and says why. The
// report is not changed, and nothing of it is kept.
func Fold(root *pb.Root, r *pb.Report) FoldOutcome {
	f := &folder{root: root, r: r, paths: NewPaths(root.Job), group: GroupOf(root, r.Group)}
	if why := f.fenced(); why != Folded {
		return f.refuse(why, "")
	}
	if err := f.checkNames(); err != nil {
		return f.refuse(BadName, err.Error())
	}
	if err := f.checkLayout(); err != nil {
		return f.refuse(BadLayout, err.Error())
	}
	if err := f.checkContent(); err != nil {
		return f.refuse(BadContent, err.Error())
	}
	f.apply()
	return FoldOutcome{Dropped: f.dropped()}
}

type folder struct {
	root  *pb.Root
	r     *pb.Report
	paths Paths
	group *pb.Group

	splits map[splitID]*pb.Split         // of the group
	parts  map[partitionID]*pb.Partition // of the group
	index  map[string]uint32             // of root's objects by key, while applying
}

type splitID struct{ source, id string }

type partitionID struct {
	stage  uint32
	lo, hi uint64
}

func (f *folder) refuse(why Reason, detail string) FoldOutcome {
	if g := f.group; g != nil && detail == "" && why != Duplicate {
		detail = fmt.Sprintf("cut %d of term %d, generation %d, built on %d, while term %d, generation %d, cut %d are committed and the floor is %d",
			f.r.Cut, f.r.Term, f.r.Generation, f.r.Base, f.root.Term, g.Generation, g.Cut, f.root.Floor)
	}
	return FoldOutcome{Reason: why, Detail: detail}
}

// fenced holds what does not depend on the report's content: who sent it, and onto what.
func (f *folder) fenced() Reason {
	r, g := f.r, f.group
	switch {
	case g == nil:
		return WrongGroup
	case r.Term != f.root.Term:
		return WrongTerm
	case r.Run != f.root.Run:
		return WrongRun
	case r.Generation != g.Generation:
		return WrongGeneration
	case r.Cut == g.Cut && r.CutId == g.CutId && r.CutId != "":
		return Duplicate
	case r.Base != g.Cut || r.BaseId != g.CutId || r.Cut <= g.Cut || r.CutId == "":
		return WrongBase
	case r.Cut <= g.Since:
		return BeforeGeneration
	case r.Cut < f.root.Floor:
		return BelowFloor
	}
	return Folded
}

// checkNames looks at the objects that the report brings in. Those that only compactions name are looked at there: a late compaction is
// dropped without the report.
func (f *folder) checkNames() error {
	for i := range f.brought() {
		if uint64(i) >= uint64(len(f.r.Objects)) {
			return fmt.Errorf("object %d of %d", i, len(f.r.Objects))
		}
		key := f.r.Objects[i].Key
		if term, n, ok := f.paths.ParsePack(key); !ok || term != f.root.Term || n < f.root.Floor {
			return fmt.Errorf("%s, while the term is %d and the floor %d", key, f.root.Term, f.root.Floor)
		}
	}
	return nil
}

// brought returns the indexes of the report's objects that its references and sections name.
func (f *folder) brought() map[uint32]bool {
	set := map[uint32]bool{}
	for _, p := range f.r.Partitions {
		for _, ref := range p.Refs {
			set[ref.Object] = true
		}
	}
	for _, o := range f.r.Outputs {
		for _, s := range o.Sections {
			set[s.Object] = true
		}
	}
	for _, e := range f.r.Exchanges {
		set[e.Object] = true
	}
	for _, d := range f.r.DeadSections {
		if d.Section != nil {
			set[d.Section.Object] = true
		}
	}
	return set
}

// checkLayout: the report covers each split and partition of the group exactly once, and no other.
func (f *folder) checkLayout() error {
	f.splits, f.parts = map[splitID]*pb.Split{}, map[partitionID]*pb.Partition{}
	for _, s := range f.root.Sources {
		for _, sp := range s.Splits {
			if sp.Group == f.group.Id {
				f.splits[splitID{s.Name, sp.Id}] = sp
			}
		}
	}
	for _, st := range f.root.Stages {
		for _, p := range st.Partitions {
			if p.Group == f.group.Id {
				f.parts[partitionID{st.Id, p.Lo, p.Hi}] = p
			}
		}
	}
	splits := map[splitID]bool{}
	for _, s := range f.r.Splits {
		id := splitID{s.Source, s.Id}
		if f.splits[id] == nil || splits[id] {
			return fmt.Errorf("split %q of source %q is not the group's, or comes twice", s.Id, s.Source)
		}
		splits[id] = true
	}
	parts := map[partitionID]bool{}
	for _, p := range f.r.Partitions {
		id := partitionID{p.Stage, p.Lo, p.Hi}
		if f.parts[id] == nil || parts[id] {
			return fmt.Errorf("partition [%d,%d) of stage %d is not the group's, or comes twice", p.Lo, p.Hi, p.Stage)
		}
		parts[id] = true
	}
	if len(splits) != len(f.splits) || len(parts) != len(f.parts) {
		return fmt.Errorf("%d of %d splits and %d of %d partitions", len(splits), len(f.splits), len(parts), len(f.parts))
	}
	return nil
}
