package engine

import (
	"sync/atomic"

	"github.com/sabot-stream/sabot/objstate"
)

// room tells a group's sources whether there is memory for what they would give. What has changed stays in memory until it is committed: when that is
// most of it, the sources wait for the cut that is asked for then. Any goroutine may use it.
type room struct {
	memory *objstate.Memory
	full   atomic.Bool
}

// look takes note of how things are, and tells whether there is room again.
func (r *room) look() (again bool) {
	full := r.memory.Full()
	return r.full.Swap(full) && !full
}
