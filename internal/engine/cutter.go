package engine

import (
	"sync"
	"sync/atomic"

	"github.com/sabot-stream/sabot/exchange"
)

// cutter collects the lanes' parts of the one cut that is in flight.
type cutter struct {
	lanes    int
	wakes    []chan struct{} // of the source lanes
	want     atomic.Uint64
	hold     atomic.Bool   // the sources give nothing behind the last barrier asked for
	alone    atomic.Bool   // the sources give nothing: there is no coordinator
	complete chan cutParts // one place: one cut in flight

	mu    sync.Mutex
	parts []*part
}

// cutParts are the parts of all lanes.
type cutParts struct {
	n     exchange.Cut
	parts []*part
}

// newCutter returns a cutter, whose sources may hold from the beginning; lanes and wakes are set before the lanes run.
func newCutter(hold bool) *cutter {
	c := &cutter{complete: make(chan cutParts, 1)}
	c.hold.Store(hold)
	return c
}

// ask makes the source lanes send barrier n, and give nothing behind it if they are to hold.
func (c *cutter) ask(n exchange.Cut, hold bool) {
	c.hold.Store(hold)
	c.want.Store(uint64(n))
	if c.lanes == 0 {
		c.complete <- cutParts{n: n}
	}
	c.wake()
}

// leaveAlone makes the source lanes give nothing, or go on: also when they held for a coordinator that is gone, since the next one knows nothing of that.
func (c *cutter) leaveAlone(alone bool) {
	c.alone.Store(alone)
	if !alone {
		c.hold.Store(false)
	}
	c.wake()
}

func (c *cutter) wake() {
	for _, w := range c.wakes {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// asked returns the number of the last barrier asked for.
func (c *cutter) asked() exchange.Cut { return exchange.Cut(c.want.Load()) }

// add takes one lane's part of cut n.
func (c *cutter) add(n exchange.Cut, p *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts = append(c.parts, p); len(c.parts) == c.lanes {
		c.complete <- cutParts{n, c.parts}
		c.parts = nil
	}
}
