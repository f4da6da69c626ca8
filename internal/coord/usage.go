package coord

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// usage is how many references share a segment, and how much of each object is live.
type usage struct {
	sharers map[segmentAt]int64
	live    []int64 // by object
	state   int64   // bytes that references show
	stays   []bool  // by object: something in it cannot be written elsewhere
	sparse  []bool  // by object: it is to be emptied
}

type segmentAt struct {
	object uint32
	offset int64
}

func measure(root *pb.Root) usage {
	n := len(root.Objects)
	u := usage{sharers: map[segmentAt]int64{}, live: make([]int64, n), stays: make([]bool, n), sparse: make([]bool, n)}
	add := func(object uint32, offset, length int64) {
		at := segmentAt{object, offset}
		if u.sharers[at] == 0 {
			u.live[object] += length
		}
		u.sharers[at]++
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				add(r.Object, r.Offset, r.Length)
			}
		}
	}
	u.state = sum(u.live)
	section := func(object uint32, offset, length int64) {
		add(object, offset, length)
		u.stays[object] = true
	}
	for _, o := range root.Outputs {
		for _, s := range o.Sections {
			section(s.Object, s.Offset, s.Length)
		}
	}
	for _, d := range root.DeadSections {
		section(d.Section.Object, d.Section.Offset, d.Section.Length)
	}
	for _, e := range root.Exchanges {
		at := e.Offset
		for _, b := range e.Blocks {
			section(e.Object, at, b.Length)
			at += b.Length
		}
	}
	for _, p := range root.Pins {
		for _, o := range p.Objects {
			u.live[o], u.stays[o] = root.Objects[o].Size, true
		}
	}
	return u
}

// share is a reference's part of the bytes of its segment.
func (u usage) share(r *pb.Reference) int64 {
	return max(1, r.Length/u.sharers[segmentAt{r.Object, r.Offset}])
}

// empty chooses objects to be emptied: when more is dead than one part in slack of the state, and than least, those of which the smallest share is live,
// until half of that is left. Emptying one writes what is live in it elsewhere, and frees all of it.
func (u usage) empty(root *pb.Root, slack, least int64) {
	var dead int64
	var order []int
	for i, o := range root.Objects {
		if d := o.Size - u.live[i]; d > 0 && !u.stays[i] {
			dead += d
			order = append(order, i)
		}
	}
	may := max(u.state/slack, least)
	if dead <= may {
		return
	}
	share := func(i int) float64 { return float64(u.live[i]) / float64(root.Objects[i].Size) }
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(share(a), share(b)), cmp.Compare(a, b)) })
	for _, i := range order {
		if dead <= may/2 {
			return
		}
		u.sparse[i] = true
		dead -= root.Objects[i].Size - u.live[i]
	}
}

func sum(a []int64) (n int64) {
	for _, x := range a {
		n += x
	}
	return n
}
