package engine

import (
	"context"
	"sync"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
)

// limiter paces the rows that all source lanes read together. A nil limiter does not.
type limiter struct {
	perSecond float64
	clock     clock.Clock
	mu        sync.Mutex
	free      time.Time // when the next read may start
}

func newLimiter(rowsPerSecond int, c clock.Clock) *limiter {
	if rowsPerSecond <= 0 {
		return nil
	}
	return &limiter{perSecond: float64(rowsPerSecond), clock: c, free: c.Now()}
}

// wait waits for the lane's turn; false when a wake-up or the context's end came first.
func (l *limiter) wait(ctx context.Context, wake <-chan struct{}, m *meter) bool {
	if l == nil {
		return true
	}
	for {
		l.mu.Lock()
		d := l.free.Sub(l.clock.Now())
		l.mu.Unlock()
		if d <= 0 {
			return true
		}
		if !l.pause(ctx, d, wake, m) {
			return false
		}
	}
}

func (l *limiter) pause(ctx context.Context, d time.Duration, wake <-chan struct{}, m *meter) bool {
	t := l.clock.NewTimer(d)
	defer t.Stop()
	m.begin(forTurn)
	defer m.end()
	select {
	case <-t.C():
		return true
	case <-wake:
	case <-ctx.Done():
	}
	return false
}

// spent charges rows that were read.
func (l *limiter) spent(rows int64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.clock.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(rows) / l.perSecond * float64(time.Second)))
}

// chunkRows is the most rows of one read: under a limit about ten milliseconds' worth, so that a cut falls between rows.
func chunkRows(rowsPerSecond int) int {
	if rowsPerSecond <= 0 {
		return 8192
	}
	return min(8192, max(1, rowsPerSecond/100))
}

// aligner keeps the source lanes of a group near each other in event time: a lane that is far ahead of the lowest waits, so that files dealt
// in any way keep little state open.
type aligner struct {
	mu      sync.Mutex
	next    []sabot.Micros // watermark of what each lane reads next; MaxMicros: nothing to wait for
	step    []sabot.Micros // the largest advance of a lane in one read, fading
	changed chan struct{}
}

// minSlack is how far ahead a lane may always be; stepSlack how many of its own reads.
const (
	minSlack  = sabot.Micros(1_000_000)
	stepSlack = 4
)

func newAligner(lanes int) *aligner {
	a := &aligner{next: make([]sabot.Micros, lanes), step: make([]sabot.Micros, lanes), changed: make(chan struct{})}
	for i := range a.next {
		a.next[i] = sabot.NoTime
	}
	return a
}

func (a *aligner) set(lane int, low sabot.Micros) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next[lane] != low {
		a.next[lane] = low
		close(a.changed)
		a.changed = make(chan struct{})
	}
}

func (a *aligner) advanced(lane int, by sabot.Micros) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step[lane] = max(by, a.step[lane]*7/8)
}

// wait waits while low is far ahead of the lowest lane; false when a wake-up or the context's end came first. The lowest lane never waits. For the
// lane's meter it is a wait for the others' input.
func (a *aligner) wait(ctx context.Context, lane int, low sabot.Micros, wake <-chan struct{}, m *meter) bool {
	for {
		a.mu.Lock()
		least := sabot.MaxMicros
		for i, n := range a.next {
			if i != lane {
				least = min(least, n)
			}
		}
		slack := max(minSlack, stepSlack*a.step[lane])
		changed := a.changed
		a.mu.Unlock()
		if low == sabot.NoTime || least == sabot.MaxMicros || least >= low || least != sabot.NoTime && low-least <= slack {
			return true
		}
		m.begin(forInput)
		woken := false
		select {
		case <-changed:
		case <-wake:
			woken = true
		case <-ctx.Done():
			woken = true
		}
		m.end()
		if woken {
			return false
		}
	}
}
