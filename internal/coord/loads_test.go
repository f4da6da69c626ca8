package coord

import (
	"slices"
	"testing"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Shares go by load: what is hot is alone, and who comes takes from those who have most.
func TestDivideByLoad(t *testing.T) {
	for name, c := range map[string]struct {
		owners []uint32
		load   []float64
		live   []uint32
		want   []uint32
	}{
		"as it is":           {[]uint32{0, 0, 1, 1}, []float64{.2, .2, .2, .2}, []uint32{0, 1}, []uint32{0, 0, 1, 1}},
		"small differences":  {[]uint32{0, 0, 1, 1}, []float64{.25, .2, .2, .2}, []uint32{0, 1}, []uint32{0, 0, 1, 1}},
		"a hot one":          {[]uint32{0, 0, 0, 1, 1, 1}, []float64{.9, .1, .1, .1, .1, .1}, []uint32{0, 1}, []uint32{0, 1, 1, 1, 1, 1}},
		"somebody comes":     {[]uint32{0, 0, 0, 0}, []float64{.2, .2, .2, .2}, []uint32{0, 1}, []uint32{0, 0, 1, 1}},
		"somebody has gone":  {[]uint32{0, 2, 1, 2}, []float64{.4, .3, .1, .2}, []uint32{0, 1}, []uint32{0, 1, 1, 0}},
		"more than there is": {[]uint32{0}, []float64{1}, []uint32{0, 1, 2}, []uint32{0}},
	} {
		owners := slices.Clone(c.owners)
		items := make([]owned, len(owners))
		for i := range owners {
			items[i] = &owners[i]
		}
		divideByLoad(items, c.load, c.live)
		if !slices.Equal(owners, c.want) {
			t.Errorf("%s: %v, want %v", name, owners, c.want)
		}
	}
}

// Load counts when it is known of every partition of a stage, and a partition without any counts a little.
func TestLoadsOfAStage(t *testing.T) {
	st := &pb.Stage{Id: 1, Partitions: []*pb.Partition{{Lo: 0, Hi: 10}, {Lo: 10, Hi: 20}}}
	if got := (loads{laneKey{1, 0}: .5}).of(st); got != nil {
		t.Errorf("with a partition that nobody has told of: %v", got)
	}
	if got := loads(nil).of(st); got != nil {
		t.Errorf("without loads: %v", got)
	}
	if got := (loads{laneKey{1, 0}: .8, laneKey{1, 10}: 0}).of(st); len(got) != 2 || got[0] != .8 || got[1] < .039 || got[1] > .041 {
		t.Errorf("with one that is not busy: %v", got)
	}
}
