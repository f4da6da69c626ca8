package scaling

import (
	"math"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	// 48 partitions, four workers of 1000 rows per second each, and arrivals that four of them take at three quarters of their rate.
	usual := Facts{At: noon, Arrival: 3000, PerWorker: 1000, Partitions: 48, Workers: 4}
	with := func(f func(*Facts)) Facts {
		x := usual
		f(&x)
		return x
	}
	calm := Past{Workers: 4, Raised: noon.Add(-time.Hour), Highest: 4, Full: true}
	tests := map[string]struct {
		limits Limits
		facts  Facts
		past   Past
		want   Decision
	}{
		"as many as are wanted":     {facts: usual, past: calm, want: Decision{4, 4, 4, Steady}},
		"more arrives":              {facts: with(func(f *Facts) { f.Arrival = 4400 }), past: calm, want: Decision{6, 6, 4400. / 750, Up}},
		"lag counts over 5 minutes": {facts: with(func(f *Facts) { f.Lag = 600_000 }), past: calm, want: Decision{6, 6, 6, Up}},
		"what a restart makes wait counts likewise": {facts: with(func(f *Facts) { f.Restart = 200 * time.Second }), past: calm,
			want: Decision{6, 6, 6, Up}},
		"at most twofold": {facts: with(func(f *Facts) { f.Arrival = 30_000 }), past: calm, want: Decision{8, 48, 40, UpLimited}},
		"one step a minute": {facts: with(func(f *Facts) { f.Arrival = 4400 }), past: Past{Workers: 4, Raised: noon.Add(-59 * time.Second), Highest: 4, Full: true},
			want: Decision{4, 6, 4400. / 750, UpWaits}},
		"workers that have not come yet are not doubled": {facts: with(func(f *Facts) { f.Arrival = 30_000 }), past: Past{Workers: 8, Raised: noon.Add(-time.Hour)},
			want: Decision{8, 48, 40, UpLimited}},
		"less arrives, for ten minutes": {facts: with(func(f *Facts) { f.Arrival = 1500 }), past: Past{Workers: 4, Highest: 2, Full: true}, want: Decision{2, 2, 2, Down}},
		"down to the highest of ten minutes": {facts: with(func(f *Facts) { f.Arrival = 1500 }), past: Past{Workers: 4, Highest: 3, Full: true},
			want: Decision{3, 2, 2, Down}},
		"less arrives, not for ten minutes":            {facts: with(func(f *Facts) { f.Arrival = 1500 }), past: Past{Workers: 4, Highest: 2}, want: Decision{4, 2, 2, DownWaits}},
		"more was wanted of late":                      {facts: with(func(f *Facts) { f.Arrival = 1500 }), past: calm, want: Decision{4, 2, 2, DownWaits}},
		"shares move":                                  {facts: with(func(f *Facts) { f.Moving, f.Arrival = true, 9000 }), past: calm, want: Decision{4, 4, 0, Moving}},
		"nothing was measured":                         {facts: with(func(f *Facts) { f.Stale, f.Arrival, f.Workers = true, 0, 0 }), past: calm, want: Decision{4, 4, 0, Stale}},
		"nobody knows what a worker can do":            {facts: with(func(f *Facts) { f.PerWorker = 0 }), past: calm, want: Decision{4, 4, 0, Unknown}},
		"the first decision begins with what is there": {facts: with(func(f *Facts) { f.PerWorker = 0 }), want: Decision{4, 4, 0, Unknown}},
		"nothing arrives":                              {facts: with(func(f *Facts) { f.Arrival = 0 }), past: Past{Workers: 4, Highest: 1, Full: true}, want: Decision{1, 1, 0, Down}},
		"the operator's least": {limits: Limits{Min: 3}, facts: with(func(f *Facts) { f.Arrival = 0 }), past: Past{Workers: 4, Highest: 3, Full: true},
			want: Decision{3, 3, 0, Down}},
		"the operator's most":  {limits: Limits{Max: 5}, facts: with(func(f *Facts) { f.Arrival = 30_000 }), past: calm, want: Decision{5, 5, 40, Up}},
		"most below what runs": {limits: Limits{Max: 2}, facts: usual, past: Past{Workers: 4}, want: Decision{2, 2, 4, Steady}},
		"partitions bound it":  {facts: with(func(f *Facts) { f.Arrival, f.Partitions = 30_000, 6 }), past: calm, want: Decision{6, 6, 40, Up}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := Decide(c.limits, c.facts, c.past)
			if math.Abs(got.Required-c.want.Required) > 1e-9 {
				t.Errorf("required %v, want %v", got.Required, c.want.Required)
			}
			got.Required = c.want.Required
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSnap(t *testing.T) {
	tests := []struct {
		required   float64
		partitions int
		want       int
	}{
		{0, 48, 1}, {1, 48, 1}, {1.01, 48, 2}, {2.5, 48, 3}, {4.1, 48, 6}, {6.1, 48, 8},
		{9, 48, 12},  // 10 would do, with shares of 4 and 5
		{13, 48, 16}, // shares of 3
		{16.5, 48, 24},
		{24.5, 48, 48}, {100, 48, 48},
		{2, 47, 3}, // a prime number of partitions cannot be shared evenly but by 1 and 47
		{5, 7, 7}, {1.5, 1, 1}, {math.Inf(1), 8, 8}, {math.NaN(), 8, 1},
	}
	for _, c := range tests {
		if got := Snap(c.required, c.partitions); got != c.want {
			t.Errorf("Snap(%v, %d) = %d, want %d", c.required, c.partitions, got, c.want)
		}
	}
}

// Whatever is required, the busiest worker has no more than an even share among the ideal ones, nobody has none, and it is not much more than needed.
func TestSnapIsBalanced(t *testing.T) {
	for partitions := 1; partitions <= 130; partitions++ {
		for required := 0.3; required < float64(partitions); required += 0.37 {
			n := Snap(required, partitions)
			if n < 1 || n > partitions {
				t.Fatalf("Snap(%v, %d) = %d", required, partitions, n)
			}
			busiest := (partitions + n - 1) / n
			if float64(busiest) > float64(partitions)/max(1, required) {
				t.Errorf("Snap(%v, %d) = %d: the busiest worker has %d partitions, more than an even share of %v", required, partitions, n, busiest,
					float64(partitions)/required)
			}
		}
	}
}
