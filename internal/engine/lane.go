package engine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/exchange"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/operators"
)

// lane is what source lanes and keyed lanes share: the operators of one stage and what they leave behind for the next cut. One goroutine.
type lane struct {
	stage, index int
	nodes        []*node
	tickers      []*node
	sinks        []*sinkNode
	edges        []*edge
	remotes      []*remoteEdge
	store        *objstate.Store // keyed stages only
	ranges       []rowkey.Range  // of the lane's partitions
	keyFields    []arrow.Field
	keyDecoder   *rowkey.Decoder
	dead         *deadLetters
	dropped      int64 // processing-time timers
	low          sabot.Micros
	ended        bool
	meter        *meter
	touched      *atomic.Bool // something but rows has come since the last cut: time has passed, a split has ended

	now     *node // whose operator runs
	nowRows *batch.Batch
}

// enter notes which operator runs, for what a panic has to say, and returns what notes its end. That is not to be deferred: a panic on its way up
// must find the innermost operator still noted.
func (l *lane) enter(n *node, b *batch.Batch) func() {
	node, rows := l.now, l.nowRows
	l.now, l.nowRows = n, b
	return func() { l.now, l.nowRows = node, rows }
}

// part is what one lane contributes to a cut.
type part struct {
	lane    *lane // nil: a reader's
	low     sabot.Micros
	frozen  *objstate.Frozen
	froze   time.Duration // for which the lane stood still
	rows    []*pendingRows
	splits  []splitState
	counts  map[string]counts
	dead    []byte
	deaths  int64
	dropped int64
	ended   bool
	remote  []*remoteRows
	inputs  []position // of a reader
}

// freeze takes what the lane holds for the cut at its barrier, and passes the barrier on.
func (l *lane) freeze(n exchange.Cut) (*part, error) {
	began := l.meter.clock.Now()
	p := &part{lane: l, low: l.low, counts: map[string]counts{}, dropped: l.dropped, ended: l.ended}
	l.dropped = 0
	l.touched.Store(false)
	if l.store != nil {
		p.frozen = l.store.Freeze(l.low, uint64(n))
	}
	for _, s := range l.sinks {
		if r := s.take(); r != nil {
			p.rows = append(p.rows, r)
		}
		p.counts[s.name] = s.counts
		s.counts = counts{}
	}
	for _, n := range l.nodes {
		p.counts[n.name] = n.counts
		n.counts = counts{}
	}
	p.dead, p.deaths = l.dead.take()
	for _, e := range l.remotes {
		p.remote = append(p.remote, e.take())
	}
	p.froze = l.meter.clock.Now().Sub(began)
	for _, e := range l.edges {
		if err := e.barrier(n); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// keyValues returns the fields of a key for a message, or nil when the bytes are none.
func (l *lane) keyValues(key []byte) map[string]any {
	if l.keyDecoder == nil {
		return nil
	}
	values := make([]any, len(l.keyFields))
	if l.keyDecoder.Decode(key, values) != nil {
		return nil
	}
	m := make(map[string]any, len(values))
	for i, f := range l.keyFields {
		m[f.Name] = values[i]
	}
	return m
}

// PanicError is a panic in an operator or in user code.
type PanicError struct {
	Operator string
	Where    string // key and position, as far as they are known
	Value    any
	Stack    []byte
}

func (e *PanicError) Error() string {
	where := ""
	if e.Where != "" {
		where = " at " + e.Where
	}
	return fmt.Sprintf("panic in operator %q%s: %v", e.Operator, where, e.Value)
}

// recovered turns a panic of the lane's goroutine into an error.
func (l *lane) recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	if s, ok := v.(*objstate.StorageError); ok {
		*err = s
		return
	}
	p := &PanicError{Operator: fmt.Sprintf("stage %d", l.stage), Value: v, Stack: debug.Stack()}
	if l.now != nil {
		p.Operator = l.now.name
		p.Where = l.where()
	}
	*err = p
}

// where says which rows, and if the operator tells, which row and key are being processed.
func (l *lane) where() string {
	w := ""
	if b := l.nowRows; b != nil && b.Source != "" {
		w = fmt.Sprintf("rows %d to %d of %s", b.FirstRow, b.FirstRow+int64(b.N)-1, b.Split)
	}
	loc, ok := l.now.op.(operators.Locator)
	if !ok {
		return w
	}
	if row, key := loc.At(); key != nil {
		if w != "" {
			w += ", "
		}
		w += fmt.Sprintf("key %v, row %d of its batch", l.keyValues(key), row)
	}
	return w
}

// isStop tells whether err only says that the group stops.
func isStop(err error) bool { return errors.Is(err, exchange.ErrStopped) }
