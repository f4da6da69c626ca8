package scaling

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The simulated job.
const (
	dayPartitions = 48
	workerRate    = 10_000 // rows per second of one worker
	stopFor       = 8      // seconds for which a change of workers stops the job
	startFor      = 45     // seconds from a wish to a worker: a poll of the autoscaler, and the start of a container
)

// arrivals returns how many rows come in each second of a day: little by night, much by day, noise, and bursts of some minutes.
func arrivals(r *rand.Rand) []float64 {
	day := make([]float64, 24*3600)
	for s := range day {
		h := float64(s) / 3600
		day[s] = 60_000 - 50_000*math.Cos((h-4)/24*2*math.Pi) // 10,000 at four in the morning, 110,000 at four in the afternoon
		day[s] *= 1 + 0.1*r.NormFloat64()
	}
	for range 8 {
		from, length, by := r.IntN(len(day)), 120+r.IntN(480), 1.4+0.8*r.Float64()
		for s := from; s < min(len(day), from+length); s++ {
			day[s] *= by
		}
	}
	for s := range day {
		day[s] = max(0, day[s])
	}
	return day
}

// dayResult is what a day came to.
type dayResult struct {
	rescales    int
	lags        []float64 // seconds for which the row read at each second had waited
	workerHours float64
}

// live runs a day with a fleet that follows the tracker.
func live(day []float64) dayResult {
	tr := NewTracker(Limits{})
	var res dayResult
	var came, read float64
	var total []float64 // rows that have come by the end of each second
	there, moving, oldest := 2, 0, 0
	var wishes []int // what was wished startFor seconds ago comes first
	for s, rows := range day {
		came += rows
		total = append(total, came)
		busy := 0.0
		if moving > 0 {
			moving--
		} else {
			n := min(shareRate(there), came-read)
			read += n
			busy = n / workerRate
		}
		for oldest < s && total[oldest] <= read {
			oldest++
		}
		res.lags = append(res.lags, float64(s-oldest))
		res.workerHours += float64(there) / 3600
		st := tr.Observe(Sample{At: noon.Add(time.Duration(s) * time.Second), Rows: int64(read), Lag: int64(came - read), Busy: busy, Partitions: dayPartitions,
			Workers: there, Moving: moving > 0})
		if wishes = append(wishes, st.Workers); len(wishes) > startFor {
			if wish := wishes[0]; wish != there {
				there, moving = wish, stopFor
				res.rescales++
			}
			wishes = wishes[1:]
		}
	}
	return res
}

// shareRate returns what n workers read in a second when rows are spread evenly over the partitions: the busiest worker tells.
func shareRate(n int) float64 {
	busiest := (dayPartitions + n - 1) / n
	return workerRate * float64(dayPartitions) / float64(busiest)
}

// A day of a job with a daily curve and bursts: few changes, nobody waits for long, and fewer worker-hours than a fleet that is always big enough.
func TestDay(t *testing.T) {
	const mostRescales, mostLag = 40, 60.0 // the curve alone passes 6 sizes of fleet up and 6 down, and each of 8 bursts one or two up and down
	for seed := range uint64(5) {
		day := arrivals(rand.New(rand.NewPCG(seed, 7)))
		res := live(day)
		slices.Sort(res.lags)
		p99, worst := res.lags[len(res.lags)*99/100], res.lags[len(res.lags)-1]
		fixed := fixedFleet(day)
		t.Logf("seed %d: %d rescales, lag p50 %.0f s, p99 %.0f s, worst %.0f s; %.0f worker-hours, %.0f with %d workers all day (%.0f%%)", seed, res.rescales,
			res.lags[len(res.lags)/2], p99, worst, res.workerHours, float64(24*fixed), fixed, 100*res.workerHours/float64(24*fixed))
		if res.rescales > mostRescales {
			t.Errorf("seed %d: %d changes of workers in a day, want %d at most", seed, res.rescales, mostRescales)
		}
		if p99 >= mostLag {
			t.Errorf("seed %d: in one second of a hundred rows have waited for %v s or more, want less than %v", seed, p99, mostLag)
		}
		if res.workerHours >= float64(24*fixed) {
			t.Errorf("seed %d: %v worker-hours, want less than the %d of a fleet for the peak", seed, res.workerHours, 24*fixed)
		}
	}
}

// fixedFleet returns how many workers, each busy to its limit and none with more partitions than another, read what comes in the day's busiest minute.
func fixedFleet(day []float64) int {
	most, sum := 0.0, 0.0
	for s, rows := range day {
		sum += rows
		if s >= 60 {
			sum -= day[s-60]
			most = max(most, sum/60)
		}
	}
	return int(math.Ceil(most / workerRate))
}
