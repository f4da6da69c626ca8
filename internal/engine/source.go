package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// sourceInput is one source in one lane.
type sourceInput struct {
	name    string
	spec    *sabot.SourceSpec
	impl    sabot.Source
	schema  *arrow.Schema // projected
	timeCol int           // in schema; -1: no event time
	flow    *flow
	to      []target
	sent    sabot.Micros
	lows    []atomic.Int64 // of this source in each lane, shared; MaxMicros where nothing holds the watermark
	counts  counts
}

// splitRun is one split being read.
type splitRun struct {
	in     *sourceInput
	split  sabot.Split
	reader sabot.Reader
	splitState
	lastRead uint64    // of the lane's reads, for turns
	quiet    time.Time // when it answered "nothing", without an answer of rows since; zero: it did not
	retry    time.Time // not asked before
	notifies bool      // it tells by poked when it may have rows
	poked    atomic.Bool
	listener atomic.Pointer[sabot.CommitListener]
	lagger   atomic.Pointer[sabot.Lagger]
	shown    atomic.Pointer[splitShown] // nil: nobody has read it since the group began
}

// splitState is what a cut says of a split.
type splitState struct {
	source   string
	id       sabot.SplitID
	position sabot.Position
	rows     int64
	dead     int64
	low      sabot.Micros
	done     float64
	ended    bool
	idling   bool // as of the last cut
}

// idle tells whether the split has answered "nothing" for its source's idle timeout.
func (s *splitRun) idle(now time.Time) bool {
	return s.in.spec.Idle > 0 && !s.quiet.IsZero() && now.Sub(s.quiet) >= s.in.spec.Idle
}

func (s *splitRun) open(ctx context.Context, env sabot.Env, wake chan<- struct{}) error {
	if s.reader != nil {
		return nil
	}
	r, err := s.in.impl.Open(ctx, env, s.in.schema, s.split, s.position)
	if err != nil {
		return fmt.Errorf("open split %q of source %q: %w", s.id, s.in.name, err)
	}
	s.reader = r
	if c, ok := r.(sabot.CommitListener); ok {
		s.listener.Store(&c)
		c.Committed(s.position)
	}
	if l, ok := r.(sabot.Lagger); ok {
		s.lagger.Store(&l)
	}
	if n, ok := r.(sabot.Notifier); ok {
		s.notifies = true
		n.Notify(func() {
			s.poked.Store(true)
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

func (s *splitRun) close() error {
	if s.reader == nil {
		return nil
	}
	err := s.reader.Close()
	s.reader = nil
	return err
}

// read reads one chunk and gives its rows to the operators.
func (l *sourceLane) read(ctx context.Context, s *splitRun) error {
	if err := s.open(ctx, l.env, l.wake); err != nil {
		return err
	}
	chunk, err := s.reader.Read(ctx)
	if errors.Is(err, io.EOF) {
		s.ended, s.done = true, 1
		l.touched.Store(true) // other groups learn of it from the root
		return s.close()
	}
	if err != nil {
		return fmt.Errorf("read split %q of source %q after position %q: %w", s.id, s.in.name, s.position, err)
	}
	for _, bad := range chunk.Bad {
		if err := l.dead.record(s.in.name, string(s.id), bad); err != nil {
			return err
		}
	}
	s.in.counts.dead += int64(len(chunk.Bad))
	n := int64(len(chunk.Bad))
	if chunk.Rows != nil {
		n += chunk.Rows.NumRows()
	}
	now := l.clock.Now()
	if n == 0 && (chunk.After == "" || chunk.After == s.position) { // nothing now
		if s.quiet.IsZero() {
			s.quiet = now
		}
		s.retry = now.Add(pollInterval)
		if s.notifies {
			s.retry = now.Add(notifyInterval)
		}
		if chunk.Rows != nil {
			chunk.Rows.Release()
		}
		return nil
	}
	s.quiet, s.retry = time.Time{}, time.Time{}
	if chunk.Rows != nil && chunk.Rows.NumRows() > 0 {
		if err := l.process(s, chunk.Rows, now); err != nil {
			return err
		}
	} else if chunk.Rows != nil {
		chunk.Rows.Release()
	}
	s.position, s.done = chunk.After, chunk.Done
	s.rows += n
	s.dead += int64(len(chunk.Bad))
	l.progress.read(n)
	return nil
}

// process gives the rows of one chunk to the operators and raises the split's watermark; it releases rec.
func (l *sourceLane) process(s *splitRun, rec arrow.RecordBatch, now time.Time) error {
	norm, err := batch.Normalize(rec)
	rec.Release()
	if err != nil {
		return fmt.Errorf("rows of source %q: %w", s.in.name, err)
	}
	if !norm.Schema().Equal(s.in.schema) && !sameColumns(norm.Schema(), s.in.schema) {
		norm.Release()
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("source %q gave columns %v where %v were asked for", s.in.name, norm.Schema(), s.in.schema))
	}
	b := batch.FromRecord(norm)
	norm.Release()
	b.Source, b.Split, b.FirstRow = s.in.name, string(s.id), s.rows
	s.in.counts.in += int64(b.N)
	s.in.flow.add(int64(b.N), bytesOf(b))
	low := s.low
	if s.in.timeCol >= 0 {
		top, sel, err := l.times(s, b, now)
		if err != nil {
			b.Release()
			return err
		}
		b.Sel = sel
		if top != sabot.NoTime {
			low = max(low, top-sabot.Micros(s.in.spec.MaxDelay.Microseconds()))
		}
	}
	s.in.counts.out += int64(b.Rows())
	if b.Rows() == 0 {
		b.Release()
	} else if err := send(s.in.to, b); err != nil {
		return err
	}
	s.low = low
	return nil
}

// earliest is the least event time of a row: what is subtracted from it, sizes and delays of windows, cannot overflow.
const earliest = -1 << 61

// times sets b's event times, and returns the greatest and the selection of rows whose time is usable; the others are dead-lettered.
func (l *sourceLane) times(s *splitRun, b *batch.Batch, now time.Time) (sabot.Micros, []int32, error) {
	col := b.Cols[s.in.timeCol]
	b.Times = batch.Int64s(col)
	limit := int64(sabot.MicrosOf(now.Add(s.in.spec.MaxFuture)))
	top, bottom := int64(sabot.NoTime), int64(sabot.MaxMicros)
	if col.NullN() == 0 {
		for _, t := range b.Times {
			top, bottom = max(top, t), min(bottom, t)
		}
	}
	if col.NullN() == 0 && top <= limit && bottom >= earliest {
		return sabot.Micros(top), nil, nil
	}
	top = int64(sabot.NoTime)
	sel := make([]int32, 0, b.N)
	for i, t := range b.Times {
		reason := ""
		switch {
		case col.IsNull(i):
			reason = fmt.Sprintf("event time %q is null", s.in.spec.TimeCol)
		case t > limit:
			reason = fmt.Sprintf("event time %s is more than %s ahead of the clock", sabot.Micros(t).Time().Format(time.RFC3339), s.in.spec.MaxFuture)
		case t < earliest:
			reason = fmt.Sprintf("event time %d us lies before all that can be computed with", t)
		default:
			top = max(top, t)
			sel = append(sel, int32(i))
			continue
		}
		s.in.counts.dead++
		s.dead++
		if err := l.dead.row(s.in.name, b, i, reason); err != nil {
			return 0, nil, err
		}
	}
	return sabot.Micros(top), sel, nil
}

// low returns the watermark of a source in this lane: the least of its splits that are not ended, nor idle. A lane whose splits are all idle
// goes with the other lanes.
func (l *sourceLane) lowOf(in *sourceInput, now time.Time) sabot.Micros {
	low, open := sabot.MaxMicros, false
	for _, s := range l.splits {
		if s.in != in || s.ended {
			continue
		}
		open = true
		if !s.idle(now) {
			low = min(low, s.low)
		}
	}
	in.lows[l.index].Store(int64(low))
	if !open || low != sabot.MaxMicros {
		return low
	}
	for i := range in.lows {
		low = min(low, sabot.Micros(in.lows[i].Load()))
	}
	if low == sabot.MaxMicros { // everybody is idle: not the end
		return in.sent
	}
	return low
}

// choose returns the split to read: of those that are not known to have nothing the one with the lowest watermark, unstarted ones first; a
// split without event time counts as the lowest; equals take turns. Nil: all are ended.
func (l *sourceLane) choose(now time.Time) *splitRun {
	for _, s := range l.splits {
		if s.poked.Swap(false) {
			s.retry = time.Time{}
		}
	}
	lowest := sabot.MaxMicros
	for _, s := range l.splits {
		if !s.ended && s.in.timeCol >= 0 && !s.retry.After(now) {
			lowest = min(lowest, s.low)
		}
	}
	low := func(s *splitRun) sabot.Micros {
		if s.in.timeCol < 0 {
			return lowest
		}
		return s.low
	}
	var best *splitRun
	for _, s := range l.splits {
		if s.ended {
			continue
		}
		if best == nil {
			best = s
			continue
		}
		order := 0
		if s.retry.After(now) || best.retry.After(now) {
			order = s.retry.Compare(best.retry)
		}
		if order == 0 {
			order = cmp.Compare(low(s), low(best))
		}
		if order == 0 {
			order = cmp.Compare(s.lastRead, best.lastRead)
		}
		if order < 0 {
			best = s
		}
	}
	return best
}

func sameColumns(a, b *arrow.Schema) bool {
	return slices.EqualFunc(a.Fields(), b.Fields(), func(x, y arrow.Field) bool {
		return x.Name == y.Name && arrow.TypeEqual(x.Type, y.Type)
	})
}
