package operators

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// rowFunc runs a Go function that turns a row into any number of rows.
type rowFunc struct {
	forward
	out  *arrow.Schema
	lane sabot.RowFuncLane
}

// NewFunc returns the operator of a Go function: a sabot.RowFunc, sabot.FilterFuncNode or sabot.BatchFunc; out is the schema of its rows.
func NewFunc(impl any, in, out *arrow.Schema) (Operator, error) {
	switch f := impl.(type) {
	case sabot.RowFunc:
		lane, err := f.Open(in)
		return &rowFunc{out: out, lane: lane}, err
	case sabot.FilterRowFunc:
		lane, err := f.Open(in)
		return &filterFunc{lane: lane}, err
	case sabot.BatchFunc:
		return &batchFunc{f: f, out: out}, nil
	}
	return nil, fmt.Errorf("a function of type %T is none that the engine knows", impl)
}

// Batch calls the function for each row. What a row's call emitted keeps that row's time, key and provenance.
func (f *rowFunc) Batch(b *batch.Batch, out Collector) error {
	defer b.Release()
	if err := f.lane.Reset(b.Cols); err != nil {
		return err
	}
	from := make([]int32, 0, b.Rows()) // the input row of each emitted row
	err := each(b, func(i int32) error {
		if err := f.lane.Row(int(i)); err != nil {
			f.lane.Truncate(len(from))
			return out.Dead(b, int(i), err.Error())
		}
		for n := f.lane.Emitted(); len(from) < n; {
			from = append(from, i)
		}
		return nil
	})
	if err != nil || len(from) == 0 {
		return err
	}
	return out.Emit(follow(b, f.out, f.lane.Flush(), from))
}

// follow returns a batch of new columns whose row i comes from row from[i] of b.
func follow(b *batch.Batch, schema *arrow.Schema, cols []arrow.Array, from []int32) *batch.Batch {
	d := batch.New(schema, cols, len(from), nil)
	d.Source, d.Split, d.FirstRow = b.Source, b.Split, b.FirstRow
	if b.Times != nil {
		d.Times = make([]int64, len(from))
		for i, r := range from {
			d.Times[i] = b.Times[r]
		}
	}
	if b.Hashes != nil {
		d.Hashes = make([]uint64, len(from))
		d.Keys.Offsets = make([]int32, 1, len(from)+1)
		for i, r := range from {
			d.Hashes[i] = b.Hashes[r]
			d.Keys.Bytes = append(d.Keys.Bytes, b.Keys.At(int(r))...)
			d.Keys.Offsets = append(d.Keys.Offsets, int32(len(d.Keys.Bytes)))
		}
	}
	return d
}

// filterFunc keeps the rows for which a Go function says so.
type filterFunc struct {
	forward
	lane sabot.FilterLane
}

func (f *filterFunc) Batch(b *batch.Batch, out Collector) error {
	if err := f.lane.Reset(b.Cols); err != nil {
		b.Release()
		return err
	}
	sel := make([]int32, 0, b.Rows())
	err := each(b, func(i int32) error {
		keep, err := f.lane.Keep(int(i))
		if err != nil {
			return out.Dead(b, int(i), err.Error())
		}
		if keep {
			sel = append(sel, i)
		}
		return nil
	})
	if err != nil {
		b.Release()
		return err
	}
	return emitSelected(b, sel, out)
}

// batchFunc runs a Go function from record to record. Its rows cannot be traced to input rows: they keep an event time only when they are as
// many as the input's.
type batchFunc struct {
	forward
	f   sabot.BatchFunc
	out *arrow.Schema
}

func (f *batchFunc) Batch(b *batch.Batch, out Collector) error {
	c := batch.Compact(b)
	defer c.Release()
	rec := batch.ToRecord(c)
	defer rec.Release()
	got, err := f.f.Call(rec)
	if err != nil {
		for i := range c.N {
			if err := out.Dead(c, i, err.Error()); err != nil {
				return err
			}
		}
		return nil
	}
	if got == nil || got.NumRows() == 0 {
		return nil
	}
	defer got.Release()
	if err := fits(got, f.out); err != nil {
		return sabot.WithKind(sabot.Invalid, err)
	}
	if c.Times != nil && got.NumRows() != int64(c.N) {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("the function returned %d rows for %d: a batch function of a stream with event time "+
			"returns one row for each; use FlatMap where rows come and go", got.NumRows(), c.N))
	}
	cols := make([]arrow.Array, got.NumCols())
	for i, col := range got.Columns() {
		cols[i] = array.NewSlice(col, 0, got.NumRows())
	}
	if int(got.NumRows()) != c.N {
		return out.Emit(batch.New(f.out, cols, int(got.NumRows()), nil))
	}
	c.Retain()
	return out.Emit(derived(c, f.out, cols, false, nil))
}

// fits tells whether a record is one of a schema: its names and types, and nulls only where they are declared.
func fits(rec arrow.RecordBatch, schema *arrow.Schema) error {
	got := rec.Schema()
	if got.NumFields() != schema.NumFields() {
		return fmt.Errorf("the function returned %d columns where it declared %d", got.NumFields(), schema.NumFields())
	}
	for i, f := range schema.Fields() {
		g := got.Field(i)
		switch {
		case g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type):
			return fmt.Errorf("the function returned column %q of %s where it declared %q of %s", g.Name, g.Type, f.Name, f.Type)
		case !f.Nullable && rec.Column(i).NullN() > 0:
			return fmt.Errorf("the function returned nulls in column %q, which it declared without", f.Name)
		}
	}
	return nil
}
