package coord

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// assign divides the splits and partitions of root, which is in the making, among the groups of live: what a live group has it keeps, as far as
// its share goes, and the rest is dealt out evenly: by load where that is known of all partitions of a stage, and otherwise so that each group's number of
// splits, and of partitions of each stage, differ by one at most.
// Outputs and dead letters go with them. Groups whose share changes get a new generation; when the way between stages changes, memory for one
// group and the bucket for several, all that own anything do. It returns the groups that have to start again. Live is not empty, and its groups
// are listed in root.
func assign(root *pb.Root, live []uint32, loads loads) (changed []uint32) {
	before, shared := shares(root), checkpoint.Shared(root)
	slices.Sort(live)
	for _, src := range root.Sources {
		var open []owned
		for _, sp := range src.Splits {
			if !sp.Ended { // who owns an ended one does not matter for the load, but somebody reports it
				open = append(open, &sp.Group)
			} else if !slices.Contains(live, sp.Group) {
				sp.Group = live[0]
			}
		}
		divide(open, live)
	}
	for _, st := range root.Stages {
		all := make([]owned, len(st.Partitions))
		for i, p := range st.Partitions {
			all[i] = &p.Group
		}
		if by := loads.of(st); by != nil {
			divideByLoad(all, by, live)
		} else {
			divide(all, live)
		}
	}
	for _, o := range root.Outputs {
		if !slices.Contains(live, o.Group) {
			o.Group, o.Closed = live[0], true // who gets it need not start again, and so does not know that it is open
		}
	}
	for _, d := range root.DeadSections {
		if !slices.Contains(live, d.Group) {
			d.Group = live[0]
		}
	}
	after := shares(root)
	everybody := checkpoint.Shared(root) != shared
	for _, g := range root.Groups {
		own := after[g.Id]
		if slices.Equal(before[g.Id], own) && !(everybody && len(own) > 0) {
			continue
		}
		checkpoint.Raise(root, g.Id)
		g.Ended = false
		changed = append(changed, g.Id)
	}
	return changed
}

// owned is where the owner of a split or partition is written.
type owned = *uint32

// divide makes the owners live groups, each with the same number of items or one more. Items next to each other stay together where they can, so
// that a group reads one run of bytes of what is sent to its partitions.
func divide(items []owned, live []uint32) {
	n := len(items)
	room := map[uint32]int{}
	have := map[uint32]int{}
	for _, g := range items {
		have[*g]++
	}
	order := slices.Clone(live) // who has more keeps the larger share
	slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(have[b], have[a]) })
	for i, g := range order {
		room[g] = n / len(live)
		if i < n%len(live) {
			room[g]++
		}
	}
	var left []owned
	for _, g := range items {
		if room[*g] > 0 {
			room[*g]--
		} else {
			left = append(left, g)
		}
	}
	takers := slices.DeleteFunc(slices.Clone(live), func(g uint32) bool { return room[g] == 0 })
	for _, g := range left {
		for room[takers[0]] == 0 {
			takers = takers[1:]
		}
		*g = takers[0]
		room[takers[0]]--
	}
}

// share names one thing that a group owns.
type share struct {
	name string
	lo   uint64
}

func shares(root *pb.Root) map[uint32][]share {
	m := map[uint32][]share{}
	for _, src := range root.Sources {
		for _, sp := range src.Splits {
			m[sp.Group] = append(m[sp.Group], share{src.Name + "/" + sp.Id, 0})
		}
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			m[p.Group] = append(m[p.Group], share{"", uint64(st.Id)<<40 | p.Lo})
		}
	}
	return m
}

// rowsOf returns how many rows the splits of each group had given as of root.
func rowsOf(root *pb.Root) map[uint32]int64 {
	m := map[uint32]int64{}
	for _, src := range root.Sources {
		for _, sp := range src.Splits {
			m[sp.Group] += sp.Rows
		}
	}
	return m
}

// newGroup adds a group that owns nothing, and returns its id. No cut has the number of its base and an empty id, so only this root is a base for
// its first one.
func newGroup(root *pb.Root) uint32 {
	used := maps.Collect(func(yield func(uint32, bool) bool) {
		for _, g := range root.Groups {
			if !yield(g.Id, true) {
				return
			}
		}
	})
	id := uint32(0)
	for used[id] {
		id++
	}
	root.Groups = append(root.Groups, &pb.Group{Id: id, Generation: 1, Previous: -1, Cut: root.Epoch, Since: root.Epoch})
	return id
}
