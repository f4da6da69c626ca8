package metered

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// When a Watch speaks.
const (
	// slow is how long a call may take before it is named.
	slow = 2 * time.Second
	// failures in a row of one operation, the last not longer ago than recent, are named: one alone is tried again and forgotten.
	failures = 2
	recent   = 30 * time.Second
)

// Watch knows what a bucket does not do: which calls it leaves unanswered, and which operations fail again and again. The zero value is ready. Any
// goroutine may use it.
type Watch struct {
	mu      sync.Mutex
	under   map[*watched]bool
	failing map[Op]failing
}

// watched is a call under way.
type watched struct {
	op    Op
	key   string
	began time.Time
}

// failing is an operation that has failed since it last succeeded.
type failing struct {
	since, last time.Time
	times       int
	key         string
	err         error
}

func (w *Watch) begin(op Op, key string, now time.Time) *watched {
	c := &watched{op, key, now}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under == nil {
		w.under, w.failing = map[*watched]bool{}, map[Op]failing{}
	}
	w.under[c] = true
	return c
}

// end notes how a call has ended. What its caller gave up says nothing of the bucket.
func (w *Watch) end(ctx context.Context, c *watched, now time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.under, c)
	switch o := outcome(err); {
	case o == OK || o == NotFound || o == Precondition:
		delete(w.failing, c.op)
	case ctx.Err() != nil:
	default:
		f := w.failing[c.op]
		if f.times == 0 {
			f.since = c.began
		}
		f.times++
		f.last, f.key, f.err = now, c.key, err
		w.failing[c.op] = f
	}
}

// Trouble returns what has been wrong for longest, and for how long; empty when nothing is.
func (w *Watch) Trouble(now time.Time) (what string, lasts time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.under {
		if now.Sub(c.began) < slow {
			continue
		}
		f := w.failing[c.op]
		since, text := c.began, fmt.Sprintf("%s of %s is not answered", c.op, c.key)
		if f.times > 0 {
			since, text = f.since, fmt.Sprintf("%s, and has failed before: %v", text, f.err)
		}
		if d := now.Sub(since); d > lasts {
			what, lasts = text, d
		}
	}
	for op, f := range w.failing {
		if d := now.Sub(f.since); f.times >= failures && now.Sub(f.last) < recent && d > lasts {
			what, lasts = fmt.Sprintf("%s of %s fails: %v", op, f.key, f.err), d
		}
	}
	return what, lasts
}
