package timers

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sabot-stream/sabot"
)

// The combined watermark is the least that any input has ever reached, and it is said to rise when it does and only then.
func TestTrackerIsTheLeastOfItsInputs(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		inputs := make([]sabot.Micros, 1+r.IntN(5))
		for i := range inputs {
			inputs[i] = sabot.NoTime
		}
		tr, low := NewTracker(len(inputs)), sabot.NoTime
		for step := range 100 {
			i := r.IntN(len(inputs))
			w := sabot.Micros(r.Int64N(int64(step+1)) - 20) // often lower than before
			switch r.IntN(40) {
			case 0:
				w = sabot.MaxMicros
			case 1:
				w = sabot.NoTime
			}
			inputs[i] = max(inputs[i], w)
			want := slices.Min(inputs)
			got, rose := tr.Set(i, w)
			if got != want || rose != (want > low) {
				t.Fatalf("seed %d, step %d: Set(%d, %d) is %d %v, want %d %v", seed, step, i, w, got, rose, want, want > low)
			}
			low = want
		}
	}
}

// An input that is silent holds the others; one that has ended does not.
func TestTrackerHoldsForSilentInputs(t *testing.T) {
	steps := []struct {
		input int
		w     sabot.Micros
		low   sabot.Micros
		rose  bool
	}{
		{0, 5, sabot.NoTime, false},
		{1, 7, sabot.NoTime, false},
		{2, 3, 3, true},
		{2, 9, 5, true},
		{2, sabot.MaxMicros, 5, false},
		{0, 4, 5, false},
		{0, sabot.MaxMicros, 7, true},
		{1, sabot.MaxMicros, sabot.MaxMicros, true},
		{1, 8, sabot.MaxMicros, false},
	}
	tr := NewTracker(3)
	for i, s := range steps {
		if low, rose := tr.Set(s.input, s.w); low != s.low || rose != s.rose {
			t.Errorf("step %d: Set(%d, %d) is %d %v, want %d %v", i, s.input, s.w, low, rose, s.low, s.rose)
		}
	}
}
