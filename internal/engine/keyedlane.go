package engine

import (
	"context"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/exchange"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/operators"
)

// keyedLane runs the operators of a keyed stage on what its inbox brings.
type keyedLane struct {
	lane
	inbox    *exchange.Inbox
	entry    [][]target // by edge: who takes its rows
	lows     []sabot.Micros
	clock    clock.Clock
	progress *progress
	cuts     *cutter
	room     *room
	poke     chan struct{} // something is committed
}

// run works until the context ends, which a failure of any lane brings about.
func (l *keyedLane) run(ctx context.Context) (err error) {
	defer l.recovered(&err)
	l.noteEnd() // it may have been reached before the group started again
	for ctx.Err() == nil {
		ev, ok := l.inbox.Take()
		if ok {
			if err := l.take(ev); err != nil {
				return err
			}
		}
		if len(l.tickers) > 0 {
			if err := l.tick(); err != nil {
				return err
			}
		}
		l.store.Trim()
		if l.room.look() {
			l.cuts.wake()
		}
		if !ok {
			l.wait(ctx)
		}
	}
	return nil
}

func (l *keyedLane) take(ev exchange.Event) error {
	if ev.Barrier != 0 {
		p, err := l.freeze(ev.Barrier)
		if err != nil {
			return err
		}
		l.cuts.add(ev.Barrier, p)
		return nil
	}
	if ev.Batch != nil {
		if err := send(l.entry[ev.Edge], ev.Batch); err != nil {
			return err
		}
	}
	// At a restart the producers announce watermarks that this lane had passed before: they are old.
	if !ev.Rose || ev.Watermark <= l.lows[ev.Edge] {
		return nil
	}
	l.lows[ev.Edge] = ev.Watermark
	l.touched.Store(true)
	for _, t := range l.entry[ev.Edge] {
		if err := t.watermark(ev.Watermark); err != nil {
			return err
		}
	}
	l.low = sabot.MaxMicros
	for _, w := range l.lows {
		l.low = min(l.low, w)
	}
	l.meter.low.Store(int64(l.low))
	l.noteEnd()
	return nil
}

// noteEnd notes, once, that every row has come and every window has fired.
func (l *keyedLane) noteEnd() {
	if l.low == sabot.MaxMicros && !l.ended {
		l.ended = true
		l.progress.laneEnded()
	}
}

// tick calls the operators whose processing time has come.
func (l *keyedLane) tick() error {
	now := sabot.MicrosOf(l.clock.Now())
	for _, n := range l.tickers {
		if at, ok := n.op.(operators.Ticker).NextTick(); ok && at <= now {
			if err := n.tick(now); err != nil {
				return err
			}
			l.touched.Store(true)
		}
	}
	return nil
}

// wait waits for input, the next tick or the end.
func (l *keyedLane) wait(ctx context.Context) {
	next, some := sabot.MaxMicros, false
	for _, n := range l.tickers {
		if at, ok := n.op.(operators.Ticker).NextTick(); ok {
			next, some = min(next, at), true
		}
	}
	var due <-chan time.Time
	if some {
		t := l.clock.NewTimer(max(0, next.Time().Sub(l.clock.Now())))
		defer t.Stop()
		due = t.C()
	}
	l.meter.begin(forInput)
	defer l.meter.end()
	select {
	case <-l.inbox.Ready():
	case <-l.poke:
	case <-due:
	case <-ctx.Done():
	}
}
