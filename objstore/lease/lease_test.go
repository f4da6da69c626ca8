package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/lease"
	"github.com/sabot-stream/sabot/objstore/mem"
)

const length = 3 * time.Second

func lead(t *testing.T, b objstore.Bucket, force bool) (objstore.Leadership, error) {
	t.Helper()
	return leadBy(t, &lease.Locker{Bucket: b, Clock: clock.Real()}, force)
}

func leadBy(t *testing.T, l *lease.Locker, force bool) (objstore.Leadership, error) {
	t.Helper()
	return l.Lead(t.Context(), "job/", length, force)
}

func mustLead(t *testing.T, b objstore.Bucket, force bool) objstore.Leadership {
	t.Helper()
	l, err := lead(t, b, force)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l objstore.Leadership) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

func isHeld(err error) bool {
	var held *objstore.HeldError
	return errors.As(err, &held)
}

func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New()
		first := mustLead(t, b, false)
		for range 3 {
			if _, err := lead(t, b, false); !isHeld(err) {
				t.Fatalf("a second leader: %v, want who leads", err)
			}
		}
		release(t, first)
		began := time.Now()
		second := mustLead(t, b, false)
		if took := time.Since(began); took > 0 {
			t.Errorf("a free lease was taken after %s", took)
		}
		release(t, second)
	})
}

// The holder dies: its bucket answers nobody any more.
func TestStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New()
		dying := fault.Wrap(b, nil)
		first := mustLead(t, dying, false)
		if _, err := lead(t, b, false); !isHeld(err) { // a standby waits: it calls again and again
			t.Fatal(err)
		}
		dying.Kill(errors.New("dead"))
		died := time.Now()
		var second objstore.Leadership
		for second == nil {
			l, err := lead(t, b, false)
			if err != nil && !isHeld(err) {
				t.Fatal(err)
			}
			second = l
		}
		if took := time.Since(died); took < length || took > 2*length {
			t.Errorf("the standby leads %s after the death, want between %s and %s", took, length, 2*length)
		}
		release(t, second)
		_ = first.Release() // of a dead process
	})
}

func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New()
		first := mustLead(t, b, false)
		began := time.Now()
		second := mustLead(t, b, true)
		if took := time.Since(began); took > 0 {
			t.Errorf("taking over by force took %s", took)
		}
		<-first.Lost()
		release(t, first)
		if _, err := lead(t, b, false); !isHeld(err) {
			t.Errorf("the release of a lost lease freed the new one: %v", err)
		}
		release(t, second)
	})
}

// A candidate that was stopped itself has seen nothing, however much time has passed.
func TestCandidateThatWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New()
		first := mustLead(t, b, false)
		_, err := leadBy(t, &lease.Locker{Bucket: b, Clock: &gaps{clock.Real(), time.Hour}}, false)
		if !isHeld(err) {
			t.Errorf("it was told %v, want who leads", err)
		}
		release(t, first)
	})
}

// gaps is the clock of a process that is stopped in its first sleeps.
type gaps struct {
	clock.Clock
	jump time.Duration
}

func (c *gaps) Now() time.Time { return c.Clock.Now().Add(-c.jump) }

func (c *gaps) Sleep(ctx context.Context, d time.Duration) error {
	if c.jump > 0 { // it wakes up long after, and the holder has done nothing meanwhile
		c.jump -= 10 * time.Minute
		return ctx.Err()
	}
	return c.Clock.Sleep(ctx, d)
}

func TestLeaseIsCheapWhileNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fault.Wrap(mem.New(), nil)
		l := mustLead(t, b, false)
		before := len(b.Calls())
		time.Sleep(time.Hour)
		writes, reads := 0, 0
		for _, c := range b.Calls()[before:] {
			if c.Op.Writes() {
				writes++
			} else {
				reads++
			}
		}
		if writes > 0 || reads > 720 || reads < 700 {
			t.Errorf("an hour alone cost %d writes and %d reads, want no write, and six looks at LEASE and STANDBY a minute", writes, reads)
		}
		release(t, l)
	})
}

// Answers are lost: the holder finds out what has become of its renewal, and stays.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		b := fault.Wrap(mem.New(), func(c fault.Call) (f fault.Fault) {
			if c.Op == fault.PutIf {
				switch n++; n % 3 {
				case 0:
					f.After = objstore.ErrAmbiguous
				case 1:
					f.Before = objstore.ErrAmbiguous
				}
			}
			return f
		})
		n = 1 // the first one succeeds
		l := mustLead(t, b, false)
		waits := &lease.Locker{Bucket: b, Clock: clock.Real()}
		for began := time.Now(); time.Since(began) < 10*time.Minute; { // somebody has to wait, so that it renews
			if _, err := leadBy(t, waits, false); !isHeld(err) {
				t.Fatal(err)
			}
		}
		select {
		case <-l.Lost():
			t.Error("the lease was lost to nobody")
		default:
		}
		_ = l.Release() // may fail like any other call
	})
}

// A standby says once in a while that it is there, and polls; it does not say so at each poll.
func TestStandbyIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fault.Wrap(mem.New(), nil)
		first := mustLead(t, b, false)
		waits := &lease.Locker{Bucket: b, Clock: clock.Real()}
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			if _, err := leadBy(t, waits, false); !isHeld(err) {
				t.Fatal(err)
			}
		}
		n := map[fault.Op]int{}
		for _, c := range b.Calls() {
			n[c.Op]++
		}
		// The holder renews each second, and looks for the standby as often; the standby polls each second, and registers each half minute.
		if n[fault.Put] < 18 || n[fault.Put] > 23 || n[fault.PutIf] < 570 || n[fault.PutIf] > 610 || n[fault.Get] > 1860 {
			t.Errorf("requests in ten minutes: %v", n)
		}
		release(t, first)
	})
}

// Who has waited and leads now renews rarely: nobody else waits. Another standby says to a new holder that it is there.
func TestLeaseIsCheapAfterATakeover(t *testing.T) {
	for _, another := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := fault.Wrap(mem.New(), nil)
			dying := fault.Wrap(b, nil)
			first := mustLead(t, dying, false)
			waits, other := &lease.Locker{Bucket: b, Clock: clock.Real()}, &lease.Locker{Bucket: b, Clock: clock.Real()}
			if another {
				if _, err := leadBy(t, other, false); !isHeld(err) {
					t.Fatal(err)
				}
			}
			if _, err := leadBy(t, waits, false); !isHeld(err) {
				t.Fatal(err)
			}
			dying.Kill(errors.New("dead"))
			var second objstore.Leadership
			for second == nil {
				l, err := leadBy(t, waits, false)
				if err != nil && !isHeld(err) {
					t.Fatal(err)
				}
				second = l
			}
			began, before := time.Now(), len(b.Calls())
			for time.Since(began) < 40*time.Second {
				if !another {
					time.Sleep(40 * time.Second)
				} else if _, err := leadBy(t, other, false); !isHeld(err) {
					t.Fatal(err)
				}
			}
			renewed := 0
			for _, c := range b.Calls()[before:] {
				if c.Op == fault.PutIf {
					renewed++
				}
			}
			if rarely := renewed <= 5; rarely == another {
				t.Errorf("another standby waits: %v; %d renewals in 40 s", another, renewed)
			}
			release(t, second)
			_ = first.Release() // of a dead process
		})
	}
}
