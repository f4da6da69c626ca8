package lease_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/lease"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// line is a network between a holder and a standby.
type line struct {
	holder atomic.Pointer[lease.Holder] // nil: nobody listens
	state  atomic.Int32
}

const (
	good     = iota
	refuses  // says at once that nobody is there
	swallows // takes everything and answers nothing
	mute     // the holder is asked, and its answer is lost
)

func (l *line) ask(ctx context.Context, addrs []string, leadership, standby string) error {
	h, state := l.holder.Load(), l.state.Load()
	switch {
	case h == nil || state == refuses || len(addrs) == 0:
		return errors.New("connection refused")
	case state == swallows:
		<-ctx.Done()
		return ctx.Err()
	case state == mute:
		h.Answer(leadership, standby)
		<-ctx.Done()
		return ctx.Err()
	case !h.Answer(leadership, standby):
		return errors.New("another leads")
	}
	return nil
}

// listens makes a leader known that can be asked.
func (l *line) listens(held objstore.Leadership) *lease.Holder {
	h := held.(*lease.Holder)
	l.holder.Store(h)
	h.Announce([]string{"leader:7070"})
	time.Sleep(time.Millisecond) // it is written
	return h
}

func standby(b objstore.Bucket, l *line) *lease.Locker {
	return &lease.Locker{Bucket: b, Clock: clock.Real(), Ask: l.ask}
}

// until calls Lead, as one that waits does, until it leads or the time is over.
func until(t *testing.T, l *lease.Locker, d time.Duration) objstore.Leadership {
	t.Helper()
	for began := time.Now(); time.Since(began) < d; {
		switch got, err := leadBy(t, l, false); {
		case err == nil:
			return got
		case !isHeld(err):
			t.Fatal(err)
		}
	}
	return nil
}

// requests counts calls since there were so many.
func requests(b *fault.Bucket, since int) (writes, reads int) {
	for _, c := range b.Calls()[since:] {
		if c.Op.Writes() {
			writes++
		} else {
			reads++
		}
	}
	return writes, reads
}

// As long as the leader answers, a standby costs next to nothing.
func TestStandbyThatIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := fault.Wrap(mem.New(), nil), new(line)
		first := mustLead(t, b, false)
		l.listens(first)
		began, before := time.Now(), len(b.Calls())
		waits := standby(b, l)
		if _, err := leadBy(t, waits, false); !isHeld(err) || time.Since(began) > 0 {
			t.Fatalf("told %v after %s, want who leads, at once", err, time.Since(began))
		}
		if until(t, waits, time.Hour) != nil {
			t.Fatal("it took over from a leader that answers")
		}
		if writes, reads := requests(b, before); writes > 0 || reads > 720+65 {
			t.Errorf("an hour with a standby cost %d writes and %d reads, want none and the leader's 720 with one a minute of the standby", writes, reads)
		}
		release(t, first)
	})
}

// However the leader ends, the standby leads in time.
func TestStandbyThatIsAnsweredTakesOver(t *testing.T) {
	for _, c := range []struct {
		name       string
		end        func(h *lease.Holder, l *line, b *fault.Bucket)
		after, til time.Duration
	}{
		{"it is killed", func(_ *lease.Holder, l *line, b *fault.Bucket) { l.state.Store(refuses); b.Kill(errors.New("dead")) }, length, 2 * length},
		{"it freezes", func(_ *lease.Holder, l *line, b *fault.Bucket) { l.state.Store(swallows); b.Kill(errors.New("frozen")) }, length, 3 * length},
		{"it goes", func(h *lease.Holder, l *line, _ *fault.Bucket) { l.state.Store(refuses); release(t, h) }, 0, length / 3},
	} {
		for offset := range 12 { // of the end, to all that is done from time to time
			synctest.Test(t, func(t *testing.T) {
				b, l := mem.New(), new(line)
				dying := fault.Wrap(b, nil)
				first := mustLead(t, dying, false)
				h := l.listens(first)
				waits := standby(b, l)
				if until(t, waits, time.Minute) != nil {
					t.Fatal("it took over from a leader that answers")
				}
				died := make(chan time.Time, 1)
				go func() {
					time.Sleep(time.Duration(offset) * 970 * time.Millisecond)
					died <- time.Now()
					c.end(h, l, dying)
				}()
				second := until(t, waits, 10*time.Minute)
				if second == nil {
					t.Fatalf("%s: nobody takes over", c.name)
				}
				if took := time.Since(<-died); took < c.after || took > c.til {
					t.Errorf("%s, offset %d: the standby leads after %s, want between %s and %s", c.name, offset, took, c.after, c.til)
				}
				release(t, second)
				_ = first.Release() // of a dead process
			})
		}
	}
}

// A leader that lives and is not reached any more keeps its job through the bucket; when it is reached again, the bucket is left alone.
func TestLeaderThatIsNotReached(t *testing.T) {
	for _, state := range []int32{refuses, swallows, mute} {
		for offset := range 6 {
			synctest.Test(t, func(t *testing.T) {
				b, l, logs := fault.Wrap(mem.New(), nil), new(line), new(bytes.Buffer)
				first := mustLead(t, b, false)
				h := l.listens(first)
				waits, other := standby(b, l), standby(b, l)
				waits.Log = slog.New(slog.NewTextHandler(logs, nil))
				reached := new(line)
				reached.holder.Store(h)
				other.Ask = reached.ask // a second standby that reaches it all the time changes nothing
				ended := make(chan bool)
				go func() { ended <- until(t, other, 35*time.Minute) != nil }()
				if until(t, waits, time.Minute) != nil {
					t.Fatal("it took over from a leader that answers")
				}
				go func() {
					time.Sleep(time.Duration(offset) * 1940 * time.Millisecond)
					l.state.Store(state)
				}()
				if until(t, waits, 10*time.Minute) != nil {
					t.Fatalf("state %d, offset %d: it took over from a leader that lives", state, offset)
				}
				l.state.Store(good)
				before := 0
				time.AfterFunc(40*time.Second, func() { before = len(b.Calls()) }) // it asks again by then
				if until(t, waits, 20*time.Minute) != nil || <-ended {
					t.Fatal("it took over from a leader that answers")
				}
				if writes, _ := requests(b, before); writes > 0 {
					t.Errorf("state %d, offset %d: %d writes while the leader answers again", state, offset, writes)
				}
				if n := strings.Count(logs.String(), "level=WARN"); n != 1 || !strings.Contains(logs.String(), "leader:7070") {
					t.Errorf("state %d, offset %d: the log says, want one warning with the address:\n%s", state, offset, logs)
				}
				release(t, first)
			})
		}
	}
}

// A leader whose address leads nowhere is told from the bucket, whenever the standby comes, and keeps its job; when it dies the standby leads.
func TestAddressThatLeadsNowhere(t *testing.T) {
	for offset := range 24 {
		synctest.Test(t, func(t *testing.T) {
			b, l := mem.New(), new(line)
			dying := fault.Wrap(b, nil)
			first := mustLead(t, dying, false)
			l.listens(first)
			l.state.Store(swallows)
			time.Sleep(time.Duration(offset) * 490 * time.Millisecond)
			waits := standby(b, l)
			if until(t, waits, 10*time.Minute) != nil {
				t.Fatalf("offset %d: it took over from a leader that lives", offset)
			}
			dying.Kill(errors.New("dead"))
			died := time.Now()
			second := until(t, waits, time.Minute)
			if second == nil || time.Since(died) > 2*length+length/3 { // it may be asked once in between
				t.Fatalf("offset %d: the standby leads after %s, want within %s", offset, time.Since(died), 2*length)
			}
			release(t, second)
			_ = first.Release() // of a dead process
		})
	}
}

// Two candidates that wait in the bucket overwrite each other's word; one of them is answered later.
func TestTwoStandbys(t *testing.T) {
	for offset := range 12 {
		synctest.Test(t, func(t *testing.T) {
			b, l := mem.New(), new(line)
			first := mustLead(t, b, false)
			h := l.listens(first)
			l.state.Store(refuses)
			reached := new(line)
			reached.holder.Store(h)
			reached.state.Store(refuses)
			ended := make(chan bool)
			go func() {
				time.Sleep(time.Duration(offset) * 970 * time.Millisecond)
				ended <- until(t, standby(b, reached), 10*time.Minute) != nil
			}()
			time.AfterFunc(time.Minute, func() { reached.state.Store(good) })
			if until(t, standby(b, l), 10*time.Minute) != nil || <-ended {
				t.Errorf("offset %d: a standby took over from a leader that lives", offset)
			}
			release(t, first)
		})
	}
}

// What leads at an address may be another: it is not taken for the leader.
func TestAnotherLeaderAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := mem.New(), new(line)
		dead := fault.Wrap(b, nil)
		first := mustLead(t, dead, false)
		l.listens(first)
		stranger := mustLead(t, mem.New(), false)
		l.holder.Store(stranger.(*lease.Holder))
		dead.Kill(errors.New("dead"))
		second := until(t, standby(b, l), time.Minute)
		if second == nil {
			t.Fatal("an answer of another job's leader kept the standby from leading")
		}
		if stranger.(*lease.Holder).Answer("", "s") {
			t.Error("a leader says that it holds a leadership without a name")
		}
		release(t, second)
		release(t, stranger)
		if stranger.(*lease.Holder).Answer("", "s") {
			t.Error("a leader that has gone answers")
		}
		_ = first.Release() // of a dead process
	})
}

// A leader that was stopped while another took over learns of it although it writes nothing.
func TestLeaderThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.New()
		first := mustLead(t, b, false)
		second := mustLead(t, b, true)
		began := time.Now()
		<-first.Lost()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it learnt of it after %s", took)
		}
		if first.(*lease.Holder).Answer("whatever", "s") {
			t.Error("it answers all the same")
		}
		release(t, first)
		release(t, second)
	})
}

// A standby that comes before the leader listens waits in the bucket, and leaves it alone as soon as it can ask.
func TestLeaderThatListensLater(t *testing.T) {
	for _, later := range []time.Duration{time.Second, 20 * time.Second} { // before it has found STANDBY, and after
		synctest.Test(t, func(t *testing.T) {
			b, l := fault.Wrap(mem.New(), nil), new(line)
			first := mustLead(t, b, false)
			waits := standby(b, l)
			go func() {
				time.Sleep(later)
				l.listens(first)
			}()
			before := 0
			time.AfterFunc(later+5*length, func() { before = len(b.Calls()) }) // the standby's first poll may be ten seconds away
			if until(t, waits, 5*time.Minute) != nil {
				t.Fatal("it took over from a leader that lives")
			}
			if writes, _ := requests(b, before); writes > 0 {
				t.Errorf("listening after %s: %d writes for a standby that asks the leader", later, writes)
			}
			release(t, first)
		})
	}
}
