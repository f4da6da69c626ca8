package sabot

import (
	"math"
	"time"
)

// Micros is a point in event time: microseconds since the Unix epoch, UTC. It is what the engine computes with; user code sees time.Time.
type Micros int64

const (
	// NoTime is the watermark before the first one: nothing is known yet, and nothing is late.
	NoTime Micros = math.MinInt64
	// MaxMicros is the watermark at the true end of input: no row is still to come.
	MaxMicros Micros = math.MaxInt64
)

// EndOfTime is the latest point an event-time timer can be set for. Such a timer fires once, last of all, when a bounded input ends; in an
// unbounded job it never fires.
var EndOfTime = MaxMicros.Time()

// MicrosOf returns t in microseconds, truncated; EndOfTime and anything later is MaxMicros.
func MicrosOf(t time.Time) Micros {
	const maxSec = math.MaxInt64 / 1_000_000
	switch s := t.Unix(); {
	case s >= maxSec:
		return MaxMicros
	case s <= -maxSec:
		return NoTime
	}
	return Micros(t.UnixMicro())
}

// Time returns m as a time.Time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }
