package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
)

func TestMeterTellsWorkFromWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(clock.Real(), 0)
		_, before := m.shares(meterReading{}, time.Now())
		time.Sleep(500 * time.Millisecond) // at work
		m.begin(forInput)
		time.Sleep(300 * time.Millisecond)
		m.end()
		m.begin(forRoom)
		time.Sleep(200 * time.Millisecond)
		got, before := m.shares(before, time.Now()) // in the middle of a wait
		if want := (laneShares{busy: 0.5, blocked: 0.2}); got != want {
			t.Errorf("in the first second: %+v, want %+v", got, want)
		}
		time.Sleep(time.Second)
		if got, before = m.shares(before, time.Now()); got != (laneShares{blocked: 1}) {
			t.Errorf("in a second of waiting: %+v, want that it is blocked", got)
		}
		time.Sleep(250 * time.Millisecond)
		m.end()
		time.Sleep(750 * time.Millisecond)
		if got, before = m.shares(before, time.Now()); got != (laneShares{busy: 0.75, blocked: 0.25}) {
			t.Errorf("in a second with the end of a wait: %+v, want 0.75 and 0.25", got)
		}
		m.begin(forTurn)
		time.Sleep(time.Second)
		if got, _ = m.shares(before, time.Now()); got != (laneShares{busy: 1, throttled: 1}) {
			t.Errorf("in a second of waiting for its turn: %+v, want that it is busy with that", got)
		}
	})
}

func TestArrivalsTellForHowLongRowsWait(t *testing.T) {
	var a arrivals
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	if _, ok := a.note(at(0), 0, 50); ok {
		t.Error("nobody knows when the rows came that were there at the beginning")
	}
	for s := 1; s <= 10; s++ { // ten rows come each second; from the beginning 50 wait, and five are read each second
		_, ok := a.note(at(s), int64(5*s), int64(50+10*s-5*s))
		if ok != (s == 10) { // the first 50 are read
			t.Errorf("after %d s: known %v", s, ok)
		}
	}
	if d, ok := a.note(at(20), 110, 140); !ok || d != 14*time.Second {
		t.Errorf("the rows after 110 have waited for %v, %v; want 14 s, as 110 was the newest at second 6", d, ok)
	}
	if d, ok := a.note(at(21), 260, 0); !ok || d != 0 {
		t.Errorf("when all is read: %v, %v, want 0", d, ok)
	}
	if d, ok := a.note(at(25), 260, 7); !ok || d != 4*time.Second {
		t.Errorf("four seconds after all was read: %v, %v, want 4 s", d, ok)
	}
}

func TestArrivalsAreBounded(t *testing.T) {
	var a arrivals
	for s := range 10 * mostArrivals {
		d, ok := a.note(time.Unix(int64(s), 0), 10, int64(s)) // nothing is read any more
		if want := time.Duration(s) * time.Second; !ok || d != want {
			t.Fatalf("after %d s: %v, %v, want %v", s, d, ok, want)
		}
	}
	if n := len(a.seen); n > mostArrivals {
		t.Errorf("%d steps are remembered, want %d at most", n, mostArrivals)
	}
}

func TestTroubles(t *testing.T) {
	var all troubles
	older, newer := trouble{of: &all}, trouble{of: &all}
	if text, _ := all.told(time.Unix(9, 0)); text != "" {
		t.Errorf("without a failure: %q", text)
	}
	older.failed(time.Unix(10, 0), errors.New("first"))
	newer.failed(time.Unix(20, 0), errors.New("other"))
	older.failed(time.Unix(21, 0), errors.New("second"))
	if text, us := all.told(time.Unix(22, 0)); text != "second" || us != 12e6 {
		t.Errorf("told %q for %d us, want the last failure of what has failed for longest, for 12 s", text, us)
	}
	older.over()
	if text, us := all.told(time.Unix(22, 0)); text != "other" || us != 2e6 {
		t.Errorf("told %q for %d us, want what still fails", text, us)
	}
	newer.over()
	if text, _ := all.told(time.Unix(22, 0)); text != "" || all.retries.Load() != 3 {
		t.Errorf("at the end: %q and %d retries, want nothing and 3", text, all.retries.Load())
	}
}
