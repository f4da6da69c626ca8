package timers

import "github.com/sabot-stream/sabot"

// Tracker combines the watermarks of several inputs: the least one, and it never falls. Inputs begin at sabot.NoTime.
type Tracker struct {
	inputs []sabot.Micros
	low    sabot.Micros
}

// NewTracker returns a tracker of n inputs.
func NewTracker(n int) *Tracker {
	t := &Tracker{inputs: make([]sabot.Micros, n), low: sabot.NoTime}
	for i := range t.inputs {
		t.inputs[i] = sabot.NoTime
	}
	return t
}

// Set raises the watermark of one input; a lower one than before is ignored. It returns the combined watermark and whether that rose.
func (t *Tracker) Set(input int, w sabot.Micros) (low sabot.Micros, rose bool) {
	if w <= t.inputs[input] {
		return t.low, false
	}
	was := t.inputs[input]
	t.inputs[input] = w
	if was > t.low { // another input holds it
		return t.low, false
	}
	low = sabot.MaxMicros
	for _, v := range t.inputs {
		low = min(low, v)
	}
	rose = low > t.low
	t.low = low
	return low, rose
}
