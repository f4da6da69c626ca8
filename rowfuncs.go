package sabot

import (
	"fmt"
	"reflect"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/row"
)

// Map turns each row into another. An error dead-letters the row.
func Map[In, Out any](s *Stream, name string, f func(In) (Out, error)) *Stream {
	if f == nil {
		return FlatMap[In, Out](s, name, nil)
	}
	return FlatMap(s, name, func(in In, emit func(Out)) error {
		out, err := f(in)
		if err == nil {
			emit(out)
		}
		return err
	})
}

// FlatMap turns each row into any number of rows. An error dead-letters the row, and drops what it emitted.
func FlatMap[In, Out any](s *Stream, name string, f func(in In, emit func(Out)) error) *Stream {
	out, n := s.then(KindFunc, name, rowFunc[In, Out]{f})
	n.Func = &FuncSpec{In: reflect.TypeFor[In]().String(), Out: reflect.TypeFor[Out]().String()}
	s.job.callable(n, f != nil)
	return out
}

// FilterFunc keeps the rows for which f is true. An error dead-letters the row.
func FilterFunc[In any](s *Stream, name string, f func(In) (bool, error)) *Stream {
	out, n := s.then(KindFunc, name, filterFunc[In]{f})
	n.Func = &FuncSpec{In: reflect.TypeFor[In]().String()}
	s.job.callable(n, f != nil)
	return out
}

// MapBatch turns each batch into another, of the columns of out. On a stream with event time it returns a row for each row. The function owns
// neither batch: it may keep nothing of the one, and the engine releases the other. An error dead-letters the batch's rows.
func MapBatch(s *Stream, name string, out *arrow.Schema, f func(arrow.RecordBatch) (arrow.RecordBatch, error)) *Stream {
	st, n := s.then(KindFunc, name, batchFunc{out, f})
	n.Func = &FuncSpec{In: "batch", Out: "batch"}
	s.job.callable(n, f != nil)
	if out == nil {
		s.job.problem(n.At, "MapBatch %q has no output schema", n.Name)
	}
	return st
}

func (j *Job) callable(n *Node, ok bool) {
	if !ok {
		j.problem(n.At, "the function of %q is nil", n.Name)
	}
}

// Rows returns the rows of a record as structs.
func Rows[T any](rec arrow.RecordBatch) ([]T, error) {
	d, err := row.NewDecoder[T](rec.Schema())
	if err != nil {
		return nil, WithKind(Invalid, err)
	}
	if err := d.Reset(rec.Columns()); err != nil {
		return nil, WithKind(Invalid, err)
	}
	out := make([]T, rec.NumRows())
	for i := range out {
		if err := d.Decode(i, &out[i]); err != nil {
			return nil, WithKind(Invalid, fmt.Errorf("row %d: %w", i, err))
		}
	}
	return out, nil
}

type rowFunc[In, Out any] struct {
	f func(In, func(Out)) error
}

func (f rowFunc[In, Out]) Bind(in *arrow.Schema) (*arrow.Schema, []string, error) {
	d, err := row.NewDecoder[In](in)
	if err != nil {
		return nil, nil, err
	}
	out, err := row.Schema(reflect.TypeFor[Out]())
	return out, d.Columns(), err
}

func (f rowFunc[In, Out]) Open(in *arrow.Schema) (RowFuncLane, error) {
	l := &rowFuncLane[In, Out]{f: f.f}
	var err error
	if l.Decoder, err = row.NewDecoder[In](in); err != nil {
		return nil, err
	}
	if l.out, err = row.NewEncoder[Out](); err != nil {
		return nil, err
	}
	l.emit = func(o Out) {
		l.emitting = o
		l.out.Append(&l.emitting)
	}
	return l, nil
}

type rowFuncLane[In, Out any] struct {
	*row.Decoder[In]
	f    func(In, func(Out)) error
	out  *row.Encoder[Out]
	emit func(Out)

	// The rows at hand: here, since on the stack of Row they would escape, at an allocation each.
	in       In
	emitting Out
}

func (l *rowFuncLane[In, Out]) Row(i int) error {
	if err := l.Decode(i, &l.in); err != nil {
		return err
	}
	return l.f(l.in, l.emit)
}

func (l *rowFuncLane[In, Out]) Emitted() int         { return l.out.Len() }
func (l *rowFuncLane[In, Out]) Truncate(n int)       { l.out.Truncate(n) }
func (l *rowFuncLane[In, Out]) Flush() []arrow.Array { return l.out.Flush() }

type filterFunc[In any] struct {
	f func(In) (bool, error)
}

func (f filterFunc[In]) Bind(in *arrow.Schema) ([]string, error) {
	d, err := row.NewDecoder[In](in)
	if err != nil {
		return nil, err
	}
	return d.Columns(), nil
}

func (f filterFunc[In]) Open(in *arrow.Schema) (FilterLane, error) {
	d, err := row.NewDecoder[In](in)
	return &filterLane[In]{Decoder: d, f: f.f}, err
}

type filterLane[In any] struct {
	*row.Decoder[In]
	f  func(In) (bool, error)
	in In // the row at hand, as in rowFuncLane
}

func (l *filterLane[In]) Keep(i int) (bool, error) {
	if err := l.Decode(i, &l.in); err != nil {
		return false, err
	}
	return l.f(l.in)
}

type batchFunc struct {
	out *arrow.Schema
	f   func(arrow.RecordBatch) (arrow.RecordBatch, error)
}

func (f batchFunc) Schema() *arrow.Schema                                 { return f.out }
func (f batchFunc) Call(rec arrow.RecordBatch) (arrow.RecordBatch, error) { return f.f(rec) }
