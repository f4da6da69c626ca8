// Package channel is a source of rows that the program itself makes: a job embedded in another program is fed through it.
//
//	orders := channel.New[Order]()
//	go func() {
//		defer orders.Close()
//		orders.Send(ctx, Order{...})
//	}()
//	err := run.Run(ctx, ordersJob(orders), run.Options{})
//
// A source keeps the rows that it was sent until a checkpoint has committed them, so a job that restarts within the process sees each row once.
// What a process that dies had not committed only the sender can bring again: Start tells from which row on. A sender that goes on from there
// makes it exactly once over any number of processes.
//
// Sending waits when too many rows are neither read nor committed: nothing is dropped.
package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/row"
)

// DefaultCapacity is how many uncommitted rows a source keeps before Send waits.
const DefaultCapacity = 1 << 20

// ErrClosed is returned by Send after Close.
var ErrClosed = errors.New("send to a channel source that is closed")

// Source is a sabot.Source of rows of struct type T. It is for one job; make it with New. All methods may be called from any goroutine.
type Source[T any] struct {
	capacity int
	started  chan struct{} // closed when first is known

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when Send may go on
	rows    []T           // that are not committed
	first   int64         // number of rows[0], from 0 in the run's order
	known   bool          // the job has said where it goes on
	closed  bool
	wake    func() // of the open reader; nil: there is none
}

// New returns a source with room for DefaultCapacity uncommitted rows.
func New[T any]() *Source[T] { return NewSize[T](DefaultCapacity) }

// NewSize returns a source with room for so many uncommitted rows, at least one.
func NewSize[T any](capacity int) *Source[T] {
	return &Source[T]{capacity: max(1, capacity), started: make(chan struct{}), changed: make(chan struct{})}
}

// Start waits until the job has begun, and returns the number of the row with which the sender goes on: 0 in a new run; in a resumed one the
// number of rows that are committed.
func (s *Source[T]) Start(ctx context.Context) (int64, error) {
	select {
	case <-s.started:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.first, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Send adds rows. It waits while the source is full, and returns ctx's error when that ends first: the rows before that one have been added, and
// sent tells how many.
func (s *Source[T]) Send(ctx context.Context, rows ...T) (sent int, err error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return sent, ErrClosed
		}
		n := min(len(rows)-sent, s.capacity-len(s.rows))
		s.rows = append(s.rows, rows[sent:sent+n]...)
		sent += n
		changed, wake := s.changed, s.wake
		s.mu.Unlock()
		if wake != nil && n > 0 {
			wake()
		}
		if sent == len(rows) {
			return sent, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return sent, ctx.Err()
		}
	}
}

// Close says that no rows follow: the job reads what is there, and its input ends. It may be called again.
func (s *Source[T]) Close() {
	s.mu.Lock()
	s.closed = true
	wake := s.wake
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Describe implements sabot.Source.
func (s *Source[T]) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	schema, err := row.Schema(reflect.TypeFor[T]())
	return schema, []sabot.Split{{ID: "channel"}}, err
}

// Open implements sabot.Source.
func (s *Source[T]) Open(_ context.Context, env sabot.Env, schema *arrow.Schema, _ sabot.Split, at sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[T]()
	if err != nil {
		return nil, err
	}
	next, err := number(at)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		s.first, s.known = next, true // rows that were sent before count from here
		close(s.started)
	}
	if next < s.first || next > s.first+int64(len(s.rows)) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("channel source: the job goes on after row %d, and rows %d to %d are here; the sender has to "+
			"begin anew, at the row that Start of a new source returns", next, s.first, s.first+int64(len(s.rows))))
	}
	r := &reader[T]{s: s, schema: schema, encoder: e, next: next, most: env.MaxRows}
	if r.most == 0 {
		r.most = 8192
	}
	for _, f := range schema.Fields() {
		idx := e.Schema().FieldIndices(f.Name)
		if len(idx) == 0 {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("channel source: %s has no column %q", reflect.TypeFor[T](), f.Name))
		}
		r.columns = append(r.columns, idx[0])
	}
	return r, nil
}

func number(at sabot.Position) (int64, error) {
	if at == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(at), 10, 64)
	if err != nil || n < 0 {
		return 0, sabot.WithKind(sabot.Corrupt, fmt.Errorf("channel source: position %q is none", at))
	}
	return n, nil
}

// committed frees the rows before number n.
func (s *Source[T]) committed(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := min(n-s.first, int64(len(s.rows)))
	if gone <= 0 {
		return
	}
	clear(s.rows[:gone])
	s.rows = s.rows[gone:]
	s.first += gone
	close(s.changed)
	s.changed = make(chan struct{})
}

type reader[T any] struct {
	s       *Source[T]
	schema  *arrow.Schema
	columns []int // in the encoder's schema
	encoder *row.Encoder[T]
	next    int64
	most    int
}

// Committed implements sabot.CommitListener.
func (r *reader[T]) Committed(p sabot.Position) {
	if n, err := number(p); err == nil {
		r.s.committed(n)
	}
}

// Notify implements sabot.Notifier.
func (r *reader[T]) Notify(wake func()) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.wake = wake
}

// Read implements sabot.Reader.
func (r *reader[T]) Read(ctx context.Context) (sabot.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return sabot.Chunk{}, err
	}
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	from := r.next - s.first
	rows := s.rows[from:min(int64(len(s.rows)), from+int64(r.most))]
	if len(rows) == 0 {
		if s.closed {
			return sabot.Chunk{}, io.EOF
		}
		return sabot.Chunk{After: r.position()}, nil
	}
	for i := range rows {
		r.encoder.Append(&rows[i])
	}
	r.next += int64(len(rows))
	all := r.encoder.Flush()
	defer func() {
		for _, c := range all {
			c.Release()
		}
	}()
	cols := make([]arrow.Array, len(r.columns))
	for i, c := range r.columns {
		cols[i] = all[c]
	}
	return sabot.Chunk{Rows: array.NewRecordBatch(r.schema, cols, int64(len(rows))), After: r.position()}, nil
}

// Lag implements sabot.Lagger.
func (r *reader[T]) Lag() (int64, bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return max(0, r.s.first+int64(len(r.s.rows))-r.next), true
}

func (r *reader[T]) position() sabot.Position {
	if r.next == 0 {
		return ""
	}
	return sabot.Position(strconv.FormatInt(r.next, 10))
}

// Close implements sabot.Reader.
func (r *reader[T]) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.wake = nil
	return nil
}
