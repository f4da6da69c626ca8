package scaling

import (
	"cmp"
	"time"
)

// Over how long rates are measured, and when a measurement is too old to act on.
const (
	rateWindow   = time.Minute
	leastWindow  = 15 * time.Second // a shorter one tells nothing
	StaleAfter   = 5 * time.Second
	firstRestart = 10 * time.Second // taken for how long a change of workers stops the job until one has been seen
	// leastBusy is the least sum of the workers' busy shares from which it can be told what one of them can do.
	leastBusy = 0.05
)

// Sample is what is counted at one time.
type Sample struct {
	At         time.Time
	Rows       int64   // read since the run began
	Lag        int64   // rows that wait, as far as they are known
	Busy       float64 // sum over the workers of the share of time for which each is busy, 0 to 1
	Partitions int
	Workers    int
	Moving     bool
	Stale      bool
}

// Status is the last decision, and what it was made of.
type Status struct {
	Decision
	Facts Facts
}

// Tracker turns samples, taken about once a second, into decisions. One goroutine uses it.
type Tracker struct {
	limits  Limits
	samples []Sample // of the last minute, without a gap
	minutes []minute // oldest first, without a gap
	rate    float64  // of one worker, as measured last; 0: never
	restart time.Duration
	moves   time.Time // since when shares move; zero: they do not
	workers int       // of the last decision
	raised  time.Time
}

// minute is the greatest number wanted in one minute.
type minute struct {
	from, to time.Time
	wanted   int
}

// NewTracker returns a tracker that knows nothing yet.
func NewTracker(l Limits) *Tracker { return &Tracker{limits: l} }

// Observe takes a sample, whose time is after that of the one before, and decides.
func (t *Tracker) Observe(s Sample) Status {
	t.noteMove(s)
	f := Facts{At: s.At, Lag: float64(s.Lag), Restart: cmp.Or(t.restart, firstRestart), Partitions: s.Partitions, Workers: s.Workers, Moving: s.Moving, Stale: s.Stale}
	var enough bool
	f.Arrival, f.PerWorker, enough = t.measure(s)
	f.Stale = f.Stale || !s.Moving && !enough
	p := Past{Workers: t.workers, Raised: t.raised}
	p.Highest, p.Full = t.highest(s.At)
	d := Decide(t.limits, f, p)
	if t.workers == 0 && d.Reason.Frozen() { // nothing has been decided yet: go by what is there
		return Status{d, f}
	}
	if d.Workers > cmp.Or(t.workers, d.Workers) || t.workers == 0 && d.Workers > s.Workers {
		t.raised = s.At
	}
	t.workers = d.Workers
	if !d.Reason.Frozen() {
		t.note(s.At, d.Wanted)
	}
	return Status{d, f}
}

// noteMove measures how long changes of workers take.
func (t *Tracker) noteMove(s Sample) {
	switch {
	case s.Moving && t.moves.IsZero():
		t.moves = s.At
	case !s.Moving && !s.Stale && !t.moves.IsZero():
		t.restart, t.moves = s.At.Sub(t.moves), time.Time{}
	}
}

// measure returns the rate of arrivals, and that of one worker, and whether it has measured for long enough. What arrives is what is read and by how
// much the lag grows. While shares move, or measurements are missing, nothing is learned; what is known of one worker stays.
func (t *Tracker) measure(s Sample) (arrival, perWorker float64, enough bool) {
	if s.Moving || s.Stale {
		t.samples = t.samples[:0]
		return 0, t.rate, false
	}
	if n := len(t.samples); n > 0 && s.At.Sub(t.samples[n-1].At) > StaleAfter {
		t.samples = t.samples[:0]
	}
	t.samples = append(t.samples, s)
	for len(t.samples) > 2 && s.At.Sub(t.samples[1].At) >= rateWindow {
		t.samples = t.samples[1:]
	}
	first := t.samples[0]
	d := s.At.Sub(first.At).Seconds()
	if d < leastWindow.Seconds() {
		return 0, t.rate, false
	}
	read, busy := float64(s.Rows-first.Rows)/d, 0.0
	for i, x := range t.samples[1:] {
		busy += x.Busy * x.At.Sub(t.samples[i].At).Seconds() / d
	}
	if read > 0 && busy >= leastBusy {
		t.rate = read / busy
	}
	return max(0, read+float64(s.Lag-first.Lag)/d), t.rate, true
}

// highest returns the greatest number wanted within the ten minutes before now, and whether those are known.
func (t *Tracker) highest(now time.Time) (most int, full bool) {
	if len(t.minutes) == 0 || now.Sub(t.minutes[len(t.minutes)-1].to) > time.Minute {
		return 0, false
	}
	for _, m := range t.minutes {
		most = max(most, m.wanted)
	}
	return most, now.Sub(t.minutes[0].from) >= agree
}

// note adds a wanted number to the minute's maximum. A gap of more than a minute makes what was before worth nothing.
func (t *Tracker) note(now time.Time, wanted int) {
	n := len(t.minutes)
	if n > 0 && now.Sub(t.minutes[n-1].to) > time.Minute {
		t.minutes, n = nil, 0
	}
	if n == 0 || now.Sub(t.minutes[n-1].from) >= time.Minute {
		t.minutes = append(t.minutes, minute{from: now})
		n++
	}
	m := &t.minutes[n-1]
	m.to, m.wanted = now, max(m.wanted, wanted)
	for len(t.minutes) > 1 && now.Sub(t.minutes[1].from) >= agree { // the rest covers ten minutes
		t.minutes = t.minutes[1:]
	}
}
