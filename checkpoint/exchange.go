package checkpoint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Owners returns the groups that own a split or a partition, in order of their ids.
func Owners(root *pb.Root) []uint32 {
	owns := map[uint32]bool{}
	for _, s := range root.Sources {
		for _, sp := range s.Splits {
			owns[sp.Group] = true
		}
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			owns[p.Group] = true
		}
	}
	var ids []uint32
	for _, g := range root.Groups {
		if owns[g.Id] {
			ids = append(ids, g.Id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Shared tells whether several groups share the job: then rows go from stage to stage through the bucket, otherwise in memory.
func Shared(root *pb.Root) bool { return len(Owners(root)) > 1 }

// HasRead tells whether a partition has read an exchange that is listed.
func HasRead(p *pb.Partition, e *pb.Exchange) bool {
	for _, in := range p.Inputs {
		if in.Group == e.Group {
			return in.Cut >= e.Cut
		}
	}
	return false
}

// dropRead removes the exchanges that every partition of their stage has read, and the positions that nothing is left to compare with.
func dropRead(root *pb.Root) {
	if len(root.Exchanges) == 0 {
		for _, st := range root.Stages {
			for _, p := range st.Partitions {
				p.Inputs = nil
			}
		}
		return
	}
	parts := map[uint32][]*pb.Partition{}
	for _, st := range root.Stages {
		parts[st.Id] = st.Partitions
	}
	root.Exchanges = slices.DeleteFunc(root.Exchanges, func(e *pb.Exchange) bool {
		return !slices.ContainsFunc(parts[e.Stage], func(p *pb.Partition) bool { return !HasRead(p, e) })
	})
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			p.Inputs = slices.DeleteFunc(p.Inputs, func(in *pb.Input) bool {
				return !slices.ContainsFunc(root.Exchanges, func(e *pb.Exchange) bool {
					return e.Stage == st.Id && e.Group == in.Group && e.Cut <= in.Cut
				})
			})
		}
	}
}

func (f *folder) applyExchanges() {
	for _, e := range f.r.Exchanges {
		c := &pb.Exchange{Stage: e.Stage, Input: e.Input, Group: f.group.Id, Cut: f.r.Cut, Object: f.intern(e.Object), Offset: e.Offset}
		for _, b := range e.Blocks {
			c.Blocks = append(c.Blocks, &pb.Block{Lo: b.Lo, Hi: b.Hi, Length: b.Length, Crc: b.Crc, Rows: b.Rows})
		}
		f.root.Exchanges = append(f.root.Exchanges, c)
	}
	dropRead(f.root)
}

// allEnded tells whether nothing is left to read, and no window to fire: every group that owns anything says so.
func allEnded(root *pb.Root) bool {
	for _, id := range Owners(root) {
		if !GroupOf(root, id).Ended {
			return false
		}
	}
	return len(root.Exchanges) == 0
}

func (f *folder) checkExchanges() error {
	stages := map[uint32]bool{}
	for _, st := range f.root.Stages {
		stages[st.Id] = true
	}
	type place struct{ stage, input uint32 }
	seen := map[place]bool{}
	for _, e := range f.r.Exchanges {
		at := place{e.Stage, e.Input}
		if e.Group != f.group.Id || e.Cut != f.r.Cut || !stages[e.Stage] || seen[at] {
			return fmt.Errorf("rows for input %d of stage %d, of group %d and cut %d, are not this report's, or come twice", e.Input, e.Stage, e.Group, e.Cut)
		}
		seen[at] = true
		if err := checkExchange(f.r.Objects, e); err != nil {
			return fmt.Errorf("rows for input %d of stage %d: %w", e.Input, e.Stage, err)
		}
	}
	return nil
}

// checkInputs: a partition's positions do not fall, and are not beyond what is committed.
func (f *folder) checkInputs(old *pb.Partition, now []*pb.Input) error {
	at := map[uint32]uint64{}
	for _, in := range now {
		g := GroupOf(f.root, in.Group)
		if _, twice := at[in.Group]; twice || g == nil || in.Cut > g.Cut {
			return fmt.Errorf("it has read group %d up to cut %d, which is not committed", in.Group, in.Cut)
		}
		at[in.Group] = in.Cut
	}
	for _, in := range old.Inputs {
		if at[in.Group] < in.Cut {
			return fmt.Errorf("it had read group %d up to cut %d, now %d", in.Group, in.Cut, at[in.Group])
		}
	}
	return nil
}

// checkExchange checks the place and the blocks of an exchange whose object is one of objects.
func checkExchange(objects []*pb.Object, e *pb.Exchange) error {
	if len(e.Blocks) == 0 {
		return errors.New("there are no blocks")
	}
	total, at := int64(0), uint64(0)
	for _, b := range e.Blocks {
		if b.Lo < at || b.Hi <= b.Lo || b.Hi > HashSpace || b.Length <= 0 || b.Rows <= 0 || b.Length > 1<<40 {
			return fmt.Errorf("block [%d,%d) of %d bytes and %d rows", b.Lo, b.Hi, b.Length, b.Rows)
		}
		at = b.Hi
		total += b.Length
	}
	return checkBytes(objects, e.Object, e.Offset, total)
}

func (v *validator) exchanges() error {
	for i, e := range v.root.Exchanges {
		if !v.groups[e.Group] || e.Cut > v.root.Epoch {
			return fmt.Errorf("exchange %d is of group %d and cut %d", i, e.Group, e.Cut)
		}
		if err := checkExchange(v.root.Objects, e); err != nil {
			return fmt.Errorf("exchange %d: %w", i, err)
		}
	}
	return nil
}
