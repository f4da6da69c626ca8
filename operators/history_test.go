package operators

import (
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/sabot-stream/sabot"
)

var (
	manySeeds = flag.Uint64("operators.seeds", 0, "how many random histories each test goes through; 0: a few")
	oneSeed   = flag.Int64("operators.seed", -1, "the one history to go through; negative: many")
)

// seeds returns the seeds of a test that is to go through so many histories.
func seeds(full int) iter.Seq[uint64] {
	n := uint64(full)
	switch {
	case *manySeeds > 0:
		n = *manySeeds
	case testing.Short():
		n = uint64(max(1, full/10))
	}
	return func(yield func(uint64) bool) {
		if *oneSeed >= 0 {
			yield(uint64(*oneSeed))
			return
		}
		for seed := range n {
			if !yield(seed) {
				return
			}
		}
	}
}

// rig is an operator beside its model.
type rig interface {
	open()               // makes the operator anew, of what is committed
	mark() (back func()) // back takes the model back to where it was at mark
	step(name string)    // takes both through a random step
	low() sabot.Micros   // watermark
}

// history is what happens to a rig besides steps: cuts, which may be committed late, restarts, compactions, other partitions, savepoints, and lack of memory.
type history struct {
	rig
	r         *rand.Rand
	disk      *disk
	unbounded bool   // all the time
	pending   func() // commits what was frozen; nil: nothing was
	frozen    func() // goes back to it
	kept      func() // goes back to what is committed
	saved     func() // goes back to a savepoint; nil: there is none
}

func newHistory(r *rand.Rand, d *disk, rig rig) *history {
	h := &history{rig: rig, r: r, disk: d, kept: rig.mark()}
	h.unbounded = h.r.IntN(5) == 0
	h.limit()
	rig.open()
	return h
}

// limits of memory: for nothing; for so much that a bucket may be read whole, and no table; and more.
var limits = []int64{0, 1, 64 << 10, 1 << 20, 8 << 20}

func (h *history) limit() {
	if !h.unbounded {
		h.disk.bound(limits[h.r.IntN(len(limits))])
	}
}

func (h *history) run(name string, steps int) {
	h.disk.t.Helper()
	for i := range steps {
		h.disk.now.Trim()
		h.event(fmt.Sprintf("%s, step %d", name, i))
	}
}

func (h *history) event(name string) {
	h.disk.t.Helper()
	switch x := h.r.IntN(30); {
	case x < 5:
		h.commit()
		h.frozen, h.pending = h.mark(), h.disk.freeze(h.low())
	case x < 7:
		h.commit()
	case x < 9:
		if h.r.IntN(3) > 0 {
			h.commit()
		}
		h.restart(h.kept)
	case x < 12:
		h.disk.compact(h.r)
	case x < 13 && h.saved != nil && h.r.IntN(2) == 0:
		h.saved()
	case x < 13:
		restore, back := h.disk.save(), h.kept
		h.saved = func() {
			restore()
			h.kept = back
			h.restart(back)
		}
	case x < 15 && h.disk.memory != nil:
		h.disk.press(h.disk.memory.Limit() * h.r.Int64N(4) / 2)
	default:
		h.step(name)
	}
}

func (h *history) commit() {
	if h.pending != nil {
		h.pending()
		h.pending, h.kept = nil, h.frozen
	}
}

// restart makes the operator anew, of what is committed.
func (h *history) restart(back func()) {
	h.pending = nil
	if h.r.IntN(2) == 0 {
		h.disk.repartition(1 + h.r.IntN(5))
	}
	h.limit()
	h.open()
	back()
}
