package sim

import (
	"strings"
	"testing"
)

// lapse is a rule that is taken away, or some of which one stands in for the other, and the scenario that goes wrong then; none: some seed does.
type lapse struct {
	rules    []string
	scenario string
	rare     bool // some hundred seeds pass before one fails: not in short tests
}

const tombstone = "a tombstone's segment is split, compacted on one side, merged"

func lapses() []lapse {
	all := []lapse{
		{rules: []string{NoBase}, rare: true},
		{rules: []string{NoTerm, NoGeneration}},
		{rules: []string{Unclipped}, scenario: tombstone},
		{rules: []string{WideClips}, scenario: tombstone},
		{rules: []string{AlwaysBottom}, scenario: "compaction of tombstones above older rows"},
		{rules: []string{NoNonce}, scenario: "identical bodies"},
		{rules: []string{OwnNonce}, scenario: "CAS answer lost"},
		{rules: []string{OtherBytes}, scenario: "CAS applied late, after a timeout"},
		{rules: []string{HoldsOn}, scenario: "split while the coordinator dies"},
		{rules: []string{NoFloor}, scenario: "compaction ends after it was given up, and its output is deleted"},
		{rules: []string{NoClonePin}},
		{rules: []string{ForeignDeletes}, scenario: "clone compacts, drops what is another's, and leaves it there"},
		{rules: []string{MixLanes}, rare: true},
	}
	for _, rule := range []string{HalfReport, GoesOn, AnyClaim, NoRowClip, ForgetsRead, AppendCompact, TornOutputs, NoInputCheck, MixBuckets, AmbiguousDone, RebaseOn412, SweepAll,
		NoPins, PinAfterCopy, RunlessNames, EarlyPublish, DropEarly, FinishEarly, ReuseNames, KeepNumbers, KeepGeneration, EagerWatermark} {
		all = append(all, lapse{rules: []string{rule}})
	}
	return all
}

func without(names ...string) Rules {
	rules := Rules{}
	for _, n := range names {
		rules[n] = true
	}
	return rules
}

// TestMutations takes rules away: some history must then go wrong.
func TestMutations(t *testing.T) {
	for _, l := range lapses() {
		t.Run(strings.Join(l.rules, " and "), func(t *testing.T) {
			if l.rare && testing.Short() {
				t.Skip("it takes some seconds to find a history")
			}
			run, n := func(seed int64) Outcome { return Seed(seed, *stepsFlag, without(l.rules...)) }, int64(4000)
			for _, sc := range scenarios() {
				if sc.name == l.scenario {
					run, n = func(seed int64) Outcome { return sc.run(seed, without(l.rules...)) }, 8
				}
			}
			for seed := range n {
				if o := run(seed); o.Bad != "" && !strings.HasPrefix(o.Bad, notReached) {
					t.Logf("seed %d, step %d: %.200s", seed, o.Step, o.Bad)
					return
				}
			}
			t.Errorf("no history of %d has gone wrong without it", n)
		})
	}
}

// TestRulesThatOthersCover takes away, all at once, the rules for which no history was ever found, see doc.go: should one begin to matter, this says so.
func TestRulesThatOthersCover(t *testing.T) {
	rules, n := without(NoSince, NoAskedUnder, NoCutID, NoRun), int64(300)
	if testing.Short() {
		n = 30
	}
	for seed := range n {
		if o := Seed(seed, *stepsFlag, rules); o.Bad != "" {
			t.Fatalf("seed %d, step %d: %s", seed, o.Step, o.Bad)
		}
	}
	for _, sc := range scenarios() {
		if o := sc.run(0, rules); o.Bad != "" {
			t.Errorf("%s: step %d: %s", sc.name, o.Step, o.Bad)
		}
	}
}
