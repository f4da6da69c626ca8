package timers

import "github.com/sabot-stream/sabot"

// Tracker combines the watermarks of several inputs: the least one, and it never falls. Inputs begin at sabot.NoTime.
type Tracker struct {
	inputs  []sabot.Micros
	low     sabot.Micros
	holding int // inputs whose watermark is low: only the last of them to rise makes a look at all necessary
}

// NewTracker returns a tracker of n inputs.
func NewTracker(n int) *Tracker {
	t := &Tracker{inputs: make([]sabot.Micros, n), low: sabot.NoTime, holding: n}
	for i := range t.inputs {
		t.inputs[i] = sabot.NoTime
	}
	return t
}

// Set raises the watermark of one input; a lower one than before is ignored. It returns the combined watermark and whether that rose.
func (t *Tracker) Set(input int, w sabot.Micros) (low sabot.Micros, rose bool) {
	was := t.inputs[input]
	if w <= was {
		return t.low, false
	}
	t.inputs[input] = w
	if was > t.low {
		return t.low, false
	}
	if t.holding--; t.holding > 0 {
		return t.low, false
	}
	t.low = sabot.MaxMicros
	for _, v := range t.inputs {
		if v < t.low {
			t.low, t.holding = v, 0
		}
		if v == t.low {
			t.holding++
		}
	}
	return t.low, true
}
