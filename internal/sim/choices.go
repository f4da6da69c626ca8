package sim

import (
	"math/rand"
	"slices"
)

// choices decide everything that is left to chance in a history. The dull choice is always 0.
type choices struct {
	r      *rand.Rand // nil: only the script
	script []uint16
	at     int
	made   []uint16
	fair   *rand.Rand // not nil: what comes is no part of the history any more, and only has to come to its end
}

// intn returns a number below n.
func (c *choices) intn(n int) int {
	if c.fair != nil {
		return c.fair.Intn(n)
	}
	v := 0
	switch {
	case c.at < len(c.script):
		v = int(c.script[c.at]) % n
	case c.r != nil:
		v = c.r.Intn(n)
	}
	c.at++
	c.made = append(c.made, uint16(v))
	return v
}

// oneIn is true once in n.
func (c *choices) oneIn(n int) bool { return c.intn(n) == n-1 }

// shrink returns a shorter history that fails alike: fails runs one, and tells how many choices it took until it failed, or 0 when it did not.
func shrink(made []uint16, fails func([]uint16) int, attempts int) []uint16 {
	best := slices.Clone(made)
	try := func(c []uint16) bool {
		if attempts <= 0 {
			return false
		}
		attempts--
		if n := fails(c); n > 0 {
			best = slices.Clone(c[:min(n, len(c))])
			return true
		}
		return false
	}
	for size := max(1, len(best)/2); size > 0 && attempts > 0; size /= 2 {
		for at := 0; at < len(best) && attempts > 0; {
			end := min(at+size, len(best))
			if try(append(slices.Clone(best[:at]), best[end:]...)) {
				continue
			}
			dull := slices.Clone(best)
			clear(dull[at:min(end, len(dull))])
			if !slices.Equal(dull, best) {
				try(dull)
			}
			at += size
		}
	}
	return best
}
