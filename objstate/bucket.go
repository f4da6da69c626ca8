package objstate

import (
	"slices"

	"github.com/sabot-stream/sabot"
)

// Interval is a time bucket: the times from Lo up to and without Hi. The zero Interval is the one bucket of a table that has no more.
type Interval struct{ Lo, Hi sabot.Micros }

// Contains tells whether t lies in the interval.
func (i Interval) Contains(t sabot.Micros) bool { return t >= i.Lo && t < i.Hi }

// endOfTime is the bucket of what is set for sabot.EndOfTime.
var endOfTime = Interval{sabot.MaxMicros - 1, sabot.MaxMicros}

// farthest bounds the times that intervals are aligned for; what lies beyond shares one bucket on each side.
const farthest = sabot.Micros(1) << 60

// bucketOf returns the interval for a time: the live one that contains it, or a new one, whose width is the largest power-of-two multiple of
// base that is at most a quarter of t's distance from the reference, or the base, aligned, and halved until it overlaps no live interval. Live intervals are
// of this function's making for the same base; then one of the base's own width always fits.
func bucketOf(t, reference sabot.Micros, base int64, live []Interval) Interval {
	for _, l := range live {
		if l.Contains(t) {
			return l
		}
	}
	switch {
	case t >= sabot.MaxMicros-1:
		return endOfTime
	case t >= farthest:
		return Interval{farthest, sabot.MaxMicros - 1}
	case t < -farthest:
		return Interval{sabot.NoTime, -farthest}
	}
	distance := int64(max(0, t-max(reference, -farthest)))
	width := base
	for width <= distance/8 && width < int64(farthest)/4 {
		width *= 2
	}
	for {
		lo := t - mod(t, width)
		i := Interval{max(lo, -farthest), min(lo+sabot.Micros(width), farthest)}
		if width <= base || !slices.ContainsFunc(live, func(l Interval) bool { return l.Lo < i.Hi && l.Hi > i.Lo }) {
			return i
		}
		width /= 2
	}
}

// mod returns t modulo width, not negative.
func mod(t sabot.Micros, width int64) sabot.Micros {
	m := t % sabot.Micros(width)
	if m < 0 {
		m += sabot.Micros(width)
	}
	return m
}

// Cluster is time buckets that overlap: those of one partition do not, those of several may, and those of one that was united from several. A key may
// have rows in more than one of them, so they are read together.
type Cluster struct {
	Interval // from the first to the last
	Buckets  []Interval
}

// Clusters returns buckets, which ascend, by their overlaps.
func Clusters(buckets []Interval) (out []Cluster) {
	for _, b := range buckets {
		if n := len(out); n == 0 || b.Lo >= out[n-1].Hi {
			out = append(out, Cluster{Interval: b})
		}
		last := &out[len(out)-1]
		last.Hi, last.Buckets = max(last.Hi, b.Hi), append(last.Buckets, b)
	}
	return out
}
