// Package scaling says how many workers a job needs: the law is a pure function of what is measured, the tracker remembers what it needs.
//
//	required = (arrival/0.75 + lag/300s + arrival*restart/300s) / rate of one worker
//
// Workers are to be busy for three quarters of their time; what waits is to be read within five minutes, and so is what arrives while a change of
// workers stops the job. The number is snapped up so that partitions divide evenly, goes up at most twofold a minute, down only when ten minutes of
// maxima agree, and stays while shares move or measurements are missing: a number that nobody has measured never scales anything.
//
// The package does no I/O and has no clock. It starts and stops no workers: whoever does asks for the number.
package scaling

import (
	"math"
	"time"
)

// The constants of the law.
const (
	target  = 0.75            // share of a worker's rate that arrivals may take
	catchUp = 5 * time.Minute // in which what waits is to be read
	upEvery = time.Minute     // between two steps up
	upMost  = 2               // times as many workers, in one step
	// agree is how long every wanted number must have been below the present one, before it falls.
	agree = 10 * time.Minute
	// tooEven bounds how many more workers than balance asks for are taken for the sake of equal shares.
	tooEven = 1.5
)

// Limits are the operator's.
type Limits struct {
	Min int // workers at least; 1 when less
	Max int // workers at most; 0: as many as there are partitions
}

// Facts are what is measured at one time.
type Facts struct {
	At         time.Time
	Arrival    float64       // rows per second that come
	Lag        float64       // rows that wait
	PerWorker  float64       // rows per second that one worker can read when it is never idle; 0: not known
	Restart    time.Duration // how long a change of workers stops the job
	Partitions int           // into which the work can be divided; 0: not known
	Workers    int           // that are there
	Moving     bool          // shares are being dealt out
	Stale      bool          // some of it has not been measured lately
}

// Reason is why a decision is what it is.
type Reason int

// The reasons.
const (
	Steady    Reason = iota // as many as are wanted
	Up                      // more are wanted, and taken
	UpLimited               // more are wanted than one step may add
	UpWaits                 // more are wanted, and the last step up is less than a minute ago
	Down                    // fewer are wanted, and have been for ten minutes
	DownWaits               // fewer are wanted, but not for ten minutes yet
	Moving                  // shares are being dealt out
	Stale                   // measurements are missing
	Unknown                 // nobody knows yet what one worker can do
)

// String returns the reason as /v1/scaling says it.
func (r Reason) String() string {
	return [...]string{"steady", "up", "up-limited", "up-waits", "down", "down-waits", "moving", "stale", "unknown-rate"}[r]
}

// Frozen tells whether the decision is to leave things as they are because nothing can be known.
func (r Reason) Frozen() bool { return r == Moving || r == Stale || r == Unknown }

// Decision is how many workers there should be.
type Decision struct {
	Workers  int     // now
	Wanted   int     // if there were no bounds on how fast it may change
	Required float64 // of the formula, before snapping; 0 when frozen
	Reason   Reason
}

// Past is what the law has to know of earlier decisions.
type Past struct {
	Workers int       // of the last decision; 0: there is none
	Raised  time.Time // of the last step up
	Highest int       // wanted within the last ten minutes
	Full    bool      // those ten minutes are known
}

// Decide is the law.
func Decide(l Limits, f Facts, p Past) Decision {
	lo := max(1, l.Min)
	hi := max(lo, l.Max)
	if l.Max == 0 {
		hi = math.MaxInt
	}
	bound := func(n int) int { return min(max(n, lo), hi) }
	now := p.Workers
	if now == 0 {
		now = f.Workers
	}
	now = bound(now)
	d := Decision{Workers: now, Wanted: now}
	switch {
	case f.Stale:
		d.Reason = Stale
		return d
	case f.Moving:
		d.Reason = Moving
		return d
	case f.PerWorker <= 0 || f.Partitions <= 0:
		d.Reason = Unknown
		return d
	}
	d.Required = required(f)
	d.Wanted = bound(Snap(d.Required, f.Partitions))
	return p.step(d, now, max(lo, upMost*max(1, f.Workers)), f.At)
}

// step goes from now workers towards the wanted number, as fast as may be; most is what one step up may reach.
func (p Past) step(d Decision, now, most int, at time.Time) Decision {
	switch {
	case d.Wanted > now:
		switch {
		case most <= now:
			d.Reason = UpLimited // those asked for before are not there yet
		case !p.Raised.IsZero() && at.Sub(p.Raised) < upEvery:
			d.Reason = UpWaits
		case d.Wanted > most:
			d.Workers, d.Reason = most, UpLimited
		default:
			d.Workers, d.Reason = d.Wanted, Up
		}
	case d.Wanted < now:
		low := max(d.Wanted, p.Highest)
		switch {
		case !p.Full || low >= now:
			d.Reason = DownWaits
		default:
			d.Workers, d.Reason = low, Down
		}
	}
	return d
}

func required(f Facts) float64 {
	return (f.Arrival/target + f.Lag/catchUp.Seconds() + f.Arrival*f.Restart.Seconds()/catchUp.Seconds()) / f.PerWorker
}

// Snap returns how many workers do the work of so many ideal ones on a number of partitions, which cannot be divided: the smallest number whose
// busiest worker has no more than an even share among the ideal ones, and from there the next at which all shares are equal, unless that is half
// as many again. It is never above the number of partitions: more workers would have nothing to do.
func Snap(required float64, partitions int) int {
	if !(required > 1) { // also not a number
		return 1
	}
	most := int(float64(partitions) / required) // partitions of the busiest worker
	if most < 1 {
		return partitions
	}
	balanced := (partitions + most - 1) / most
	for n := balanced; n <= partitions && float64(n) < tooEven*float64(balanced); n++ {
		if partitions%n == 0 {
			return n
		}
	}
	return balanced
}
