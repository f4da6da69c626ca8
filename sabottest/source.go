package sabottest

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/row"
)

// source gives out the rows that were fed, one by one, each when the one before is committed: so there is a checkpoint behind each row.
type source[T any] struct {
	rows []T
}

// Source returns a source of rows of type T, in one bounded split, which the harness feeds.
func Source[T any]() sabot.Source { return &source[T]{} }

func (s *source[T]) feed(rows []any) error {
	for _, r := range rows {
		t, ok := r.(T)
		if !ok {
			return fmt.Errorf("a row of type %T was fed to a source of %s", r, reflect.TypeFor[T]())
		}
		s.rows = append(s.rows, t)
	}
	return nil
}

// Describe implements sabot.Source.
func (s *source[T]) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	schema, err := row.Schema(reflect.TypeFor[T]())
	return schema, []sabot.Split{{ID: "fed", Bounded: true}}, err
}

// Open implements sabot.Source.
func (s *source[T]) Open(_ context.Context, _ sabot.Env, schema *arrow.Schema, _ sabot.Split, at sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[T]()
	if err != nil {
		return nil, err
	}
	r := &reader[T]{s: s, schema: schema, encoder: e}
	if at != "" {
		if _, err := fmt.Sscan(string(at), &r.next); err != nil {
			return nil, fmt.Errorf("position %q: %w", at, err)
		}
	}
	return r, nil
}

type reader[T any] struct {
	s       *source[T]
	schema  *arrow.Schema
	encoder *row.Encoder[T]
	next    int

	mu    sync.Mutex
	known int // committed position
	wake  func()
}

// Notify implements sabot.Notifier.
func (r *reader[T]) Notify(wake func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake = wake
}

// Committed implements sabot.CommitListener.
func (r *reader[T]) Committed(p sabot.Position) {
	n := 0
	if p != "" {
		if _, err := fmt.Sscan(string(p), &n); err != nil {
			return // not one of this reader's
		}
	}
	r.mu.Lock()
	r.known = n
	wake := r.wake
	r.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Read implements sabot.Reader.
func (r *reader[T]) Read(context.Context) (sabot.Chunk, error) {
	r.mu.Lock()
	wait := r.known < r.next
	r.mu.Unlock()
	after := sabot.Position(fmt.Sprint(r.next))
	if r.next == 0 {
		after = ""
	}
	if wait {
		return sabot.Chunk{After: after}, nil
	}
	if r.next == len(r.s.rows) {
		return sabot.Chunk{}, io.EOF
	}
	r.encoder.Append(&r.s.rows[r.next])
	r.next++
	all := r.encoder.Flush()
	defer func() {
		for _, c := range all {
			c.Release()
		}
	}()
	cols := make([]arrow.Array, r.schema.NumFields())
	for i, f := range r.schema.Fields() {
		cols[i] = all[r.encoder.Schema().FieldIndices(f.Name)[0]]
	}
	return sabot.Chunk{Rows: array.NewRecordBatch(r.schema, cols, 1), After: sabot.Position(fmt.Sprint(r.next)),
		Done: float64(r.next) / float64(len(r.s.rows))}, nil
}

// Close implements sabot.Reader.
func (r *reader[T]) Close() error { return nil }
