package coord

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// loads is how busy partitions keep their lanes, as shares of a lane's time. A nil loads says that it is not known, or not worth a move.
type loads map[laneKey]float64

const (
	// worthIt is how busy some lane must be for shares to go by load: below it all have time to spare.
	worthIt = 0.5
	// slack is how much more than its share a group keeps, so that small differences move nothing.
	slack = 0.25
	// least is the load of a partition that shows none, as a share of the average: they are not to end up on one worker.
	least = 0.1
)

// loads returns what the workers have told last. A lane's load is that of its partitions in equal parts: more is not known.
func (m *Machine) loads() loads {
	out, worth := loads{}, false
	for _, w := range m.members {
		if w.told.load == nil || !w.has {
			continue
		}
		for _, l := range w.told.load.Lanes {
			var own []laneKey
			for _, st := range m.root.Stages {
				for _, p := range st.Partitions {
					if st.Id == l.Stage && p.Group == w.group && p.Lo >= l.Lo && p.Hi <= l.Hi {
						own = append(own, laneKey{st.Id, p.Lo})
					}
				}
			}
			for _, k := range own {
				out[k] = l.Busy / float64(len(own))
			}
			worth = worth || len(own) > 0 && l.Busy >= worthIt
		}
	}
	if !worth {
		return nil
	}
	return out
}

// of returns the load of each partition of a stage, nil when it is not known of all.
func (l loads) of(st *pb.Stage) []float64 {
	out, sum := make([]float64, len(st.Partitions)), 0.0
	for i, p := range st.Partitions {
		x, ok := l[laneKey{st.Id, p.Lo}]
		if !ok {
			return nil
		}
		out[i], sum = x, sum+x
	}
	if sum == 0 {
		return nil
	}
	for i := range out {
		out[i] = max(out[i], least*sum/float64(len(out)))
	}
	return out
}

// divideByLoad makes the owners live groups. What a group has it keeps, in order, up to its share and some slack; the rest goes, the largest first, to
// whoever has least.
func divideByLoad(items []owned, load []float64, live []uint32) {
	share := 0.0
	for _, x := range load {
		share += x / float64(len(live))
	}
	has := map[uint32]float64{}
	var left []int
	for i, g := range items {
		if slices.Contains(live, *g) && (has[*g] == 0 || has[*g]+load[i] <= (1+slack)*share) {
			has[*g] += load[i]
		} else {
			left = append(left, i)
		}
	}
	slices.SortStableFunc(left, func(a, b int) int { return cmp.Compare(load[b], load[a]) })
	for _, i := range left {
		g := slices.MinFunc(live, func(a, b uint32) int { return cmp.Compare(has[a], has[b]) })
		*items[i] = g
		has[g] += load[i]
	}
}
