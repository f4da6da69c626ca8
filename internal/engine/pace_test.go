package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
)

func TestLimiterKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1000, clock.Real())
		began := time.Now()
		var wg sync.WaitGroup
		for range 2 { // lanes
			wg.Go(func() {
				for range 50 {
					if !l.wait(t.Context(), nil, newMeter(clock.Real(), 0)) {
						t.Error("the wait was ended by nobody")
						return
					}
					l.spent(20)
				}
			})
		}
		wg.Wait()
		// The last read of each lane is not waited for.
		if took := time.Since(began); took < 1940*time.Millisecond || took > 2*time.Second {
			t.Errorf("2000 rows at 1000 per second took %s", took)
		}
		if d := time.Until(l.free); d > 60*time.Millisecond {
			t.Errorf("after the last rows the next are %s away", d)
		}
	})
}

func TestLimiterSavesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10, clock.Real())
		time.Sleep(time.Hour)
		l.spent(10)
		began := time.Now()
		l.wait(t.Context(), nil, newMeter(clock.Real(), 0))
		if took := time.Since(began); took != time.Second {
			t.Errorf("after an hour without reading, 10 rows of 10 a second were paid for in %s", took)
		}
	})
}

func TestLimiterWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1, clock.Real())
		l.spent(1000)
		wake := make(chan struct{}, 1)
		wake <- struct{}{}
		if l.wait(t.Context(), wake, newMeter(clock.Real(), 0)) {
			t.Error("a cut did not end the wait")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if l.wait(ctx, nil, newMeter(clock.Real(), 0)) {
			t.Error("the end did not end the wait")
		}
	})
	if l := newLimiter(0, clock.Real()); l != nil || !l.wait(t.Context(), nil, newMeter(clock.Real(), 0)) {
		t.Error("without a limit there is something to wait for")
	}
}

func TestChunksShortenUnderALimit(t *testing.T) {
	for rate, want := range map[int]int{0: 8192, 1: 1, 50: 1, 100: 1, 1000: 10, 819_200: 8192, 100_000_000: 8192} {
		if got := chunkRows(rate); got != want {
			t.Errorf("at %d rows per second a chunk has %d rows, want %d", rate, got, want)
		}
	}
}

// waits tells whether a lane at low waits for the others.
func waits(t *testing.T, a *aligner, lane int, low sabot.Micros) bool {
	t.Helper()
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	return !a.wait(t.Context(), lane, low, wake, newMeter(clock.Real(), 0))
}

func TestAligner(t *testing.T) {
	a := newAligner(3)
	const s = sabot.Micros(1_000_000)
	a.set(0, 10*s)
	a.set(1, 12*s)
	if waits(t, a, 0, sabot.NoTime) {
		t.Error("a lane that reads a split's first rows waits")
	}
	if !waits(t, a, 0, 10*s) {
		t.Error("lane 0 does not wait for lane 2, which has not begun")
	}
	a.set(2, 11*s)
	if waits(t, a, 0, 10*s) {
		t.Error("the lowest lane waits")
	}
	if !waits(t, a, 1, 12*s) {
		t.Error("a lane two seconds ahead does not wait")
	}
	if waits(t, a, 2, 11*s) {
		t.Error("a lane within the slack waits")
	}
	a.advanced(1, s)
	if waits(t, a, 1, 12*s) {
		t.Error("a lane waits that is as far ahead as two of its reads")
	}
	for range 20 {
		a.advanced(1, 0)
	}
	if !waits(t, a, 1, 12*s) {
		t.Error("a large read is never forgotten")
	}
	a.set(0, sabot.MaxMicros)
	a.set(2, sabot.MaxMicros)
	if waits(t, a, 1, 12*s) {
		t.Error("a lane waits for others that have ended")
	}
}

func TestAlignerWakesWhenTheLowestMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAligner(2)
		a.set(0, 0)
		went := make(chan bool)
		go func() { went <- a.wait(t.Context(), 1, 1<<40, nil, newMeter(clock.Real(), 0)) }()
		synctest.Wait()
		select {
		case <-went:
			t.Fatal("the lane ahead does not wait")
		default:
		}
		a.set(0, 1<<40)
		if !<-went {
			t.Error("the wait ended without its turn")
		}
	})
}
