package sim

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
)

var (
	seedsFlag = flag.Int("sim.seeds", 0, "seeds to run; 0: as many as a normal test run has time for")
	fromFlag  = flag.Int64("sim.from", 0, "the first of these seeds")
	seedFlag  = flag.Int64("sim.seed", -1, "the one seed to run, with its trace")
	stepsFlag = flag.Int("sim.steps", 3000, "steps of a history with faults, before it may end")
)

// report fails the test, and shows the shortest history that fails alike.
func report(t *testing.T, seed int64, o Outcome, rules Rules) {
	t.Helper()
	made := Shrink(o.Made, *stepsFlag, rules, o.Bad, 400)
	short := Replay(made, *stepsFlag, rules, true)
	t.Fatalf("seed %d, step %d: %s\nreplay it by: go test ./internal/sim -run TestSeeds -sim.seed=%d -sim.steps=%d -v\nshrunk from %d choices to %d: %s\n%s", seed, o.Step, o.Bad,
		seed, *stepsFlag, len(o.Made), len(made), short.Bad, strings.Join(short.Trace[max(0, len(short.Trace)-60):], "\n"))
}

// wanted is what the histories of some hundred seeds must have had, all together.
var wanted = []string{"409", "412", "answers lost", "applied late", "clocks that jump", "clones", "clones let go", "commits", "commits refused or lost",
	"compactions folded", "compactions over a change of partitions", "compactions too late", "compactions with two outputs", "coordinators killed", "copies", "cuts of several objects",
	"cuts too large to keep", "cut open for too long, starting the group again", "deletes", "drains", "early", "filed again", "folded below the epoch", "fresh",
	"goes on", "late rows", "published", "puts refused or lost", "refused: another generation", "refused: another term", "refused: committed already",
	"reports doubled", "reports late", "reports lost", "rescaled", "savepoints", "stale reads", "swept", "takeovers", "went back",
	"worker has not been heard of, its share goes to others", "workers killed"}

func TestSeeds(t *testing.T) {
	if *seedFlag >= 0 {
		o := Seed(*seedFlag, *stepsFlag, nil)
		if o.Bad != "" {
			report(t, *seedFlag, o, nil)
		}
		t.Log(o.Stats)
		return
	}
	n := 1200
	if testing.Short() {
		n = 250
	}
	if *seedsFlag > 0 {
		n = *seedsFlag
	}
	all := map[string]int{}
	for i := range int64(n) {
		seed := *fromFlag + i
		o := Seed(seed, *stepsFlag, nil)
		if o.Bad != "" {
			report(t, seed, o, nil)
		}
		for k, v := range o.Stats {
			all[k] += v
		}
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%-60s %d", k, all[k])
	}
	for _, k := range wanted {
		if all[k] == 0 {
			t.Errorf("no history of %d had any of: %s", n, k)
		}
	}
}
