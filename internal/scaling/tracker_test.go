package scaling

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// feed gives a tracker samples of a job in which so much arrives per second, and of which everything is read by workers that can do 1000 each.
func feed(tr *Tracker, from time.Time, seconds int, rows *int64, arrival int64, workers int) (last Status) {
	for i := range seconds {
		*rows += arrival
		last = tr.Observe(Sample{At: from.Add(time.Duration(i) * time.Second), Rows: *rows, Busy: float64(arrival) / 1000, Partitions: 48, Workers: workers})
	}
	return last
}

func TestTrackerMeasures(t *testing.T) {
	tr, rows := NewTracker(Limits{}), int64(0)
	if st := feed(tr, noon, 10, &rows, 3000, 4); st.Reason != Stale || st.Workers != 4 {
		t.Errorf("after ten seconds: %+v, want 4 workers: too little is known", st)
	}
	st := feed(tr, noon.Add(10*time.Second), 90, &rows, 3000, 4)
	if st.Facts.Arrival != 3000 || math.Abs(st.Facts.PerWorker-1000) > 1e-6 {
		t.Errorf("measured %v rows per second that come and %v for a worker, want 3000 and 1000", st.Facts.Arrival, st.Facts.PerWorker)
	}
	// Half of what comes waits: as much comes as before.
	for i := range 120 {
		rows += 3000
		st = tr.Observe(Sample{At: noon.Add(time.Duration(100+i) * time.Second), Rows: rows, Lag: int64(3000 * (i + 1)), Busy: 3, Partitions: 48, Workers: 4})
	}
	if math.Abs(st.Facts.Arrival-6000) > 1 {
		t.Errorf("measured %v rows per second that come, of which half wait: want 6000", st.Facts.Arrival)
	}
}

// A change of workers freezes the number, is measured, and teaches nothing about rates.
func TestTrackerWhileSharesMove(t *testing.T) {
	tr, rows := NewTracker(Limits{}), int64(0)
	before := feed(tr, noon, 100, &rows, 3000, 4)
	at := noon.Add(100 * time.Second)
	for i := range 20 {
		st := tr.Observe(Sample{At: at.Add(time.Duration(i) * time.Second), Rows: rows - 50_000, Partitions: 48, Workers: 1, Moving: true})
		if st.Workers != before.Workers || st.Reason != Moving {
			t.Fatalf("while shares move: %+v, want %d workers still", st, before.Workers)
		}
	}
	st := feed(tr, at.Add(20*time.Second), 60, &rows, 3000, 4)
	if st.Facts.Restart != 20*time.Second || math.Abs(st.Facts.PerWorker-1000) > 1e-6 {
		t.Errorf("after it: a change takes %v and a worker does %v, want 20 s and 1000", st.Facts.Restart, st.Facts.PerWorker)
	}
}

func TestTrackerFallsAfterTenMinutes(t *testing.T) {
	tr, rows := NewTracker(Limits{}), int64(0)
	feed(tr, noon, 100, &rows, 3000, 5)
	fell, last := time.Duration(0), 5
	for i := range 1200 {
		rows += 700
		at := noon.Add(time.Duration(100+i) * time.Second)
		st := tr.Observe(Sample{At: at, Rows: rows, Busy: 0.7, Partitions: 48, Workers: last})
		if st.Workers < last && fell == 0 {
			fell = at.Sub(noon.Add(100 * time.Second))
		}
		last = st.Workers
	}
	if last != 1 {
		t.Errorf("it falls to %d, want 1", last)
	}
	if fell < 10*time.Minute || fell > 13*time.Minute {
		t.Errorf("it falls after %v of less, want after ten minutes and not much more", fell)
	}
}

// Random loads, coming and going workers, moves and gaps: the bounds on how fast the number changes hold.
func TestTrackerKeepsItsBounds(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		tr, rows, lag, arrival := NewTracker(Limits{}), int64(0), int64(0), int64(1000)
		type made struct {
			at      time.Time
			workers int
			wanted  int
			frozen  bool
		}
		var all []made
		there, at, decided := 1+r.IntN(8), noon, false
		for range 4000 {
			at = at.Add(time.Second)
			if r.IntN(200) == 0 {
				arrival = int64(r.IntN(60_000))
			}
			if n := len(all); n > 0 && r.IntN(30) == 0 {
				there = max(1, all[n-1].workers-r.IntN(2)) // somebody starts and stops workers
			}
			can := int64(there) * 1000
			read := min(can, arrival+lag)
			rows, lag = rows+read, lag+arrival-read
			st := tr.Observe(Sample{At: at, Rows: rows, Lag: lag, Busy: float64(read) / 1000, Partitions: 48, Workers: there, Moving: r.IntN(100) == 0, Stale: r.IntN(100) == 0})
			frozen := st.Reason.Frozen()
			if n := len(all); n > 0 {
				last := all[n-1].workers
				switch {
				case frozen && st.Workers != last && decided:
					t.Fatalf("seed %d: %s, and yet from %d to %d", seed, st.Reason, last, st.Workers)
				case st.Workers > last && st.Workers > 2*there:
					t.Fatalf("seed %d: up to %d, where %d are there", seed, st.Workers, there)
				}
			}
			decided = decided || !frozen
			all = append(all, made{at, st.Workers, st.Wanted, frozen})
			if st.Workers < 1 || st.Workers > 48 {
				t.Fatalf("seed %d: %d workers for 48 partitions", seed, st.Workers)
			}
		}
		ups := time.Time{}
		for i := 1; i < len(all); i++ {
			m := all[i]
			if m.workers > all[i-1].workers {
				if !ups.IsZero() && m.at.Sub(ups) < time.Minute {
					t.Errorf("seed %d: two steps up within %v", seed, m.at.Sub(ups))
				}
				ups = m.at
			}
			if m.workers < all[i-1].workers {
				for k := i; k >= 0 && m.at.Sub(all[k].at) < 10*time.Minute; k-- {
					if !all[k].frozen && all[k].wanted > m.workers {
						t.Errorf("seed %d: down to %d, %v after %d were wanted", seed, m.workers, m.at.Sub(all[k].at), all[k].wanted)
					}
				}
			}
		}
	}
}
