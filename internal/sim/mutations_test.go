package sim

import (
	"strings"
	"testing"
)

// without are the rules that are taken away together: some stand in for one another, so that a history goes wrong only without both.
var without = [][]string{
	{NoBase, NoGeneration}, {NoTerm, NoGeneration}, {NoFloor}, {GoesOn, NoBase}, {AnyClaim, NoBase}, {NoRowClip}, {ForgetsRead}, {AppendCompact},
	{NoInputCheck}, {MixBuckets}, {AmbiguousDone}, {RebaseOn412}, {SweepAll}, {NoPins}, {PinAfterCopy}, {RunlessNames}, {EarlyPublish}, {DropEarly},
	{FinishEarly}, {ReuseNames}, {KeepNumbers}, {KeepGeneration}, {EagerWatermark},
}

// TestMutations takes rules away: some history must then go wrong.
func TestMutations(t *testing.T) {
	for _, names := range without {
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			rules := Rules{}
			for _, n := range names {
				rules[n] = true
			}
			for seed := range int64(4000) {
				if o := Seed(seed, *stepsFlag, rules); o.Bad != "" {
					t.Logf("seed %d, step %d: %.200s", seed, o.Step, o.Bad)
					return
				}
			}
			t.Error("no history has gone wrong without it")
		})
	}
}
