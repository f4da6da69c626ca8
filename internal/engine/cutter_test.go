package engine

import "testing"

// TestSourcesHoldForOneCoordinator: a coordinator that dies in a change of partitions leaves sources that hold; the next one knows nothing of it, and sees
// nothing new that it would ask a cut for.
func TestSourcesHoldForOneCoordinator(t *testing.T) {
	c := newCutter(false)
	c.lanes = 1
	for _, step := range []struct {
		name  string
		do    func()
		holds bool
	}{
		{"a cut that holds", func() { c.ask(3, true) }, true},
		{"the coordinator is gone", func() { c.leaveAlone(true) }, true},
		{"another goes on", func() { c.leaveAlone(false) }, false},
		{"its change of partitions", func() { c.ask(4, true) }, true},
		{"a cut that does not hold", func() { c.ask(5, false) }, false},
	} {
		step.do()
		if got := c.hold.Load(); got != step.holds {
			t.Errorf("%s: the sources hold: %v, want %v", step.name, got, step.holds)
		}
	}
}
