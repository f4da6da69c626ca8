package engine

import (
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
)

// waiting says for what a lane waits.
type waiting int32

const (
	forInput waiting = iota + 1
	forRoom          // behind it: back-pressure
	forTurn          // under a limit of rows per second
)

// meter measures how a lane spends its time. Its lane calls begin and end around each wait, and never for a row; any goroutine may read it. What is
// not waiting is work, that of the connectors included; so is waiting for a turn, as nobody else can read those rows meanwhile.
type meter struct {
	clock clock.Clock
	low   atomic.Int64    // watermark of what the lane has done
	spent [4]atomic.Int64 // ns, by what it waited for; of waits that have ended
	kind  atomic.Int32    // of the wait under way; 0: there is none
	since atomic.Int64    // its begin
}

func newMeter(c clock.Clock, low sabot.Micros) *meter {
	m := &meter{clock: c}
	m.low.Store(int64(low))
	return m
}

func (m *meter) begin(k waiting) {
	m.since.Store(m.clock.Now().UnixNano())
	m.kind.Store(int32(k))
}

func (m *meter) end() {
	k := m.kind.Swap(0)
	m.spent[k].Add(m.clock.Now().UnixNano() - m.since.Load())
}

// waited returns how long the lane has waited up to now, all in all.
func (m *meter) waited(now time.Time) (r meterReading) {
	r.at = now
	for k := range m.spent {
		r.waited[k] = time.Duration(m.spent[k].Load())
	}
	if k := m.kind.Load(); k != 0 {
		r.waited[k] += max(0, time.Duration(now.UnixNano()-m.since.Load()))
	}
	return r
}

// meterReading is what a meter showed at a time.
type meterReading struct {
	at     time.Time
	waited [4]time.Duration // by what for
}

// laneShares are shares of a time.
type laneShares struct {
	busy, blocked float64
	throttled     float64 // part of busy
}

// shares returns how the lane has spent the time since an earlier reading.
func (m *meter) shares(before meterReading, now time.Time) (s laneShares, r meterReading) {
	r = m.waited(now)
	d := now.Sub(before.at)
	if d <= 0 {
		return s, before
	}
	share := func(x time.Duration) float64 { return min(1, max(0, float64(x)/float64(d))) }
	spent := func(k waiting) time.Duration { return r.waited[k] - before.waited[k] }
	s.busy, s.blocked, s.throttled = share(d-spent(forInput)-spent(forRoom)), share(spent(forRoom)), share(spent(forTurn))
	return s, r
}

// arrivals remembers when the rows of a split that is read as they come were the newest.
type arrivals struct {
	seen []arrival // ascending; the first is the newest one not above what is read, if there is such
}

type arrival struct {
	at     time.Time
	newest int64 // number of the rows that were there
}

// mostArrivals bounds what is remembered of a split: a quarter of an hour by the second, and more by coarser steps.
const mostArrivals = 1024

// note takes in how many rows are there at a time, and how many of them are read, and returns for how long the first of the others has waited; false
// when that is longer than can be known.
func (a *arrivals) note(now time.Time, read, lag int64) (time.Duration, bool) {
	a.seen = append(a.seen, arrival{now, read + lag})
	for len(a.seen) > 1 && a.seen[1].newest <= read {
		a.seen = a.seen[1:]
	}
	if len(a.seen) > mostArrivals { // every other one goes
		kept := a.seen[:1]
		for i := 2; i < len(a.seen); i += 2 {
			kept = append(kept, a.seen[i])
		}
		a.seen = kept
	}
	if lag <= 0 {
		return 0, true
	}
	first := a.seen[0]
	return now.Sub(first.at), first.newest <= read
}
