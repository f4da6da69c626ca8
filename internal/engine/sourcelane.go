package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/exchange"
	"github.com/sabot-stream/sabot/internal/clock"
)

// How long a split that answered "nothing" is left alone: one that tells when it has rows is asked all the same at times.
const (
	pollInterval   = 20 * time.Millisecond
	notifyInterval = time.Second
)

// sourceLane reads splits and runs the operators of stage 0.
type sourceLane struct {
	lane
	inputs   []*sourceInput
	splits   []*splitRun
	env      sabot.Env
	clock    clock.Clock
	limit    *limiter
	align    *aligner
	progress *progress
	cuts     *cutter
	room     *room
	wake     chan struct{} // a cut is asked for
	reads    uint64
}

// run works until the context ends, which a failure of any lane brings about.
func (l *sourceLane) run(ctx context.Context) (err error) {
	defer func() {
		for _, s := range l.splits {
			if e := s.close(); e != nil && err == nil {
				err = fmt.Errorf("close split %q of source %q: %w", s.id, s.in.name, e)
			}
		}
	}()
	defer l.recovered(&err)
	var last exchange.Cut
	if err := l.advance(); err != nil { // announces the committed watermarks
		return err
	}
	for ctx.Err() == nil {
		if c := l.cuts.asked(); c > last {
			last = c
			if err := l.cut(c); err != nil {
				return err
			}
			continue
		}
		s := l.choose(l.clock.Now())
		full := l.room.none()
		if s == nil || full || l.cuts.hold.Load() || l.cuts.alone.Load() {
			if s == nil {
				if err := l.finish(); err != nil {
					return err
				}
			}
			waits := forInput
			if full {
				waits = forRoom
			}
			l.meter.begin(waits)
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
			l.meter.end()
			continue
		}
		if d := s.retry.Sub(l.clock.Now()); d > 0 { // no split has anything to give
			l.pause(ctx, d)
			if err := l.advance(); err != nil { // a split may have become idle
				return err
			}
			continue
		}
		if !l.align.wait(ctx, l.index, s.low, l.wake, l.meter) || !l.limit.wait(ctx, l.wake, l.meter) {
			continue // a cut, or the end
		}
		l.reads++
		s.lastRead = l.reads
		before, rows := s.low, s.rows
		if err := l.read(ctx, s); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.show(l.clock.Now())
		l.limit.spent(s.rows - rows)
		if before != sabot.NoTime {
			l.align.advanced(l.index, s.low-before)
		}
		if err := l.advance(); err != nil {
			return err
		}
	}
	return nil
}

// pause waits until a split may have rows, a split becomes idle, or something else is to be done, for d at most.
func (l *sourceLane) pause(ctx context.Context, d time.Duration) {
	now := l.clock.Now()
	for _, s := range l.splits {
		if left := s.quiet.Add(s.in.spec.Idle).Sub(now); !s.ended && !s.quiet.IsZero() && left > 0 {
			d = min(d, left)
		}
	}
	t := l.clock.NewTimer(d)
	defer t.Stop()
	l.meter.begin(forInput)
	defer l.meter.end()
	select {
	case <-t.C():
	case <-l.wake:
	case <-ctx.Done():
	}
}

// advance passes on the watermarks that have risen.
func (l *sourceLane) advance() error {
	now := l.clock.Now()
	l.low = sabot.MaxMicros
	for _, in := range l.inputs {
		w := l.lowOf(in, now)
		if w > in.sent {
			in.sent = w
			for _, t := range in.to {
				if err := t.watermark(w); err != nil {
					return err
				}
			}
		}
		l.low = min(l.low, in.sent)
	}
	l.meter.low.Store(int64(l.low))
	next := sabot.MaxMicros // what the lane would read next: splits without rows to give hold nobody back
	for _, s := range l.splits {
		if !s.ended && s.in.timeCol >= 0 && s.quiet.IsZero() {
			next = min(next, s.low)
		}
		if s.idle(now) != s.idling {
			l.touched.Store(true) // likewise
		}
	}
	l.align.set(l.index, next)
	return nil
}

// finish notes, once, that all splits are read and all watermarks sent.
func (l *sourceLane) finish() error {
	if l.ended {
		return nil
	}
	if err := l.advance(); err != nil {
		return err
	}
	l.ended = true
	l.progress.laneEnded()
	return nil
}

func (l *sourceLane) cut(n exchange.Cut) error {
	p, err := l.freeze(n)
	if err != nil {
		return err
	}
	for _, in := range l.inputs {
		c := p.counts[in.name]
		p.counts[in.name] = c.plus(in.counts)
		in.counts = counts{}
	}
	for _, s := range l.splits {
		s.idling = s.idle(l.clock.Now())
		st := s.splitState
		p.splits = append(p.splits, st)
	}
	l.cuts.add(n, p)
	return nil
}

func (c counts) plus(d counts) counts {
	return counts{c.in + d.in, c.out + d.out, c.late + d.late, c.dead + d.dead}
}
