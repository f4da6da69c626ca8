package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// CutStage is a part of what a worker does for a cut.
type CutStage string

// The stages, in their order.
const (
	Align  CutStage = "align"  // until the barrier has come to every lane
	Freeze CutStage = "freeze" // the longest that one lane stood still, within Align
	Encode CutStage = "encode"
	Upload CutStage = "upload"
)

// CutStages lists all there are.
var CutStages = []CutStage{Align, Freeze, Encode, Upload}

// cutStage follows the cut that is open. Any goroutine may use it.
type cutStage struct {
	w     *Worker
	now   atomic.Pointer[CutStage] // nil: no cut is open
	since atomic.Int64
}

// next ends the stage under way, which is measured, and begins another; an empty one is none.
func (c *cutStage) next(s CutStage) {
	now := c.w.cfg.Clock.Now()
	var begun *CutStage
	if s != "" {
		begun = &s
	}
	if was := c.now.Swap(begun); was != nil {
		c.w.observe(*was, now.Sub(time.Unix(0, c.since.Load())))
	}
	c.since.Store(now.UnixNano())
}

// under returns the stage under way, empty when there is none.
func (c *cutStage) under() string {
	if s := c.now.Load(); s != nil {
		return string(*s)
	}
	return ""
}

func (w *Worker) observe(s CutStage, took time.Duration) {
	if w.cfg.Observe != nil {
		w.cfg.Observe(s, took)
	}
}

// froze tells for how long the lane that stood still for longest did.
func (g *group) froze(parts []*part) {
	longest := time.Duration(0)
	for _, p := range parts {
		longest = max(longest, p.froze)
	}
	g.w.observe(Freeze, longest)
}

// troubles are what fails and is tried again: writes to the bucket, and publications. Any goroutine may use them.
type troubles struct {
	retries atomic.Int64

	mu    sync.Mutex
	under map[*trouble]bool
}

// trouble is one of them.
type trouble struct {
	of    *troubles
	since time.Time
	err   error
}

// failed notes a failure that is followed by another try.
func (t *trouble) failed(now time.Time, err error) {
	t.of.retries.Add(1)
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.err == nil {
		t.since = now
	}
	t.err = err
	if t.of.under == nil {
		t.of.under = map[*trouble]bool{}
	}
	t.of.under[t] = true
}

// over notes that there is no other try.
func (t *trouble) over() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	delete(t.of.under, t)
}

// told returns what has failed for longest, and for how long in microseconds; empty when there is nothing.
func (t *troubles) told(now time.Time) (text string, us int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for x := range t.under {
		if d := now.Sub(x.since).Microseconds(); text == "" || d > us {
			text, us = x.err.Error(), d
		}
	}
	return text, us
}

// trouble returns what has gone wrong for longest, of what is tried again and of the bucket's calls, and for how long in microseconds.
func (w *Worker) trouble(now time.Time) (text string, us int64) {
	text, us = w.troubles.told(now)
	if w.cfg.Trouble != nil {
		if what, lasts := w.cfg.Trouble(now); what != "" && lasts.Microseconds() > us {
			return what, lasts.Microseconds()
		}
	}
	return text, us
}

// Retries returns how often the worker has tried again to write to the bucket or to publish.
func (w *Worker) Retries() int64 { return w.troubles.retries.Load() }
