package operators

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// plainRow is a row as plain values: nil, bool, int64 (all signed integers, timestamps and dates), uint64, float64 or string.
type plainRow struct {
	time int64
	vals []any
}

func (r plainRow) String() string { return fmt.Sprint(sabot.Micros(r.time), r.vals) }

// feed makes batches of rows of one schema, keyed by some of its columns, and counts those that nobody has released.
type feed struct {
	t       testing.TB
	schema  *arrow.Schema
	key     []int
	encoder *rowkey.Encoder
	open    int
}

func newFeed(t testing.TB, schema *arrow.Schema, key ...int) *feed {
	t.Helper()
	f := &feed{t: t, schema: schema, key: key}
	var err error
	if f.encoder, err = rowkey.NewEncoder(f.keyFields()); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *feed) keyFields() []arrow.Field {
	fields := make([]arrow.Field, len(f.key))
	for i, k := range f.key {
		fields[i] = f.schema.Field(k)
	}
	return fields
}

// batch returns the rows as a batch of which sel is selected; nil: all.
func (f *feed) batch(rows []plainRow, sel []int32) *batch.Batch {
	b := batch.NewBuilder(f.schema)
	times := make([]int64, len(rows))
	for i, r := range rows {
		times[i] = r.time
		for c, v := range r.vals {
			appendPlain(b, c, v)
		}
	}
	f.open++
	out := batch.New(f.schema, b.Build(), len(rows), func() { f.open-- })
	out.Times, out.Sel = times, sel
	cols := make([]arrow.Array, len(f.key))
	for i, k := range f.key {
		cols[i] = out.Cols[k]
	}
	f.encoder.Encode(cols, out.N, &out.Keys)
	out.Hashes = rowkey.Hash(out.Keys, nil)
	return out
}

// deselect chooses which of n rows are selected; nil, in one case of two: all.
func deselect(r *rand.Rand, n int) []int32 {
	if r.IntN(2) == 0 {
		return nil
	}
	sel := make([]int32, 0, n)
	for i := range n {
		if r.IntN(5) > 0 {
			sel = append(sel, int32(i))
		}
	}
	return sel
}

// picked returns the rows of a selection.
func picked(rows []plainRow, sel []int32) []plainRow {
	if sel == nil {
		return rows
	}
	out := make([]plainRow, len(sel))
	for k, i := range sel {
		out[k] = rows[i]
	}
	return out
}

func appendPlain(b *batch.Builder, c int, v any) {
	switch v := v.(type) {
	case nil:
		b.AppendNull(c)
	case bool:
		b.AppendBool(c, v)
	case int64:
		b.AppendInt(c, v)
	case uint64:
		b.AppendInt(c, int64(v))
	case float64:
		b.AppendFloat(c, v)
	case string:
		b.AppendString(c, v)
	default:
		panic(fmt.Sprintf("no column takes a %T", v))
	}
}

// plainValue returns row i of a column.
func plainValue(c arrow.Array, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c := c.(type) {
	case *array.Boolean:
		return c.Value(i)
	case *array.Uint64:
		return c.Value(i)
	case *array.Float64:
		return c.Value(i)
	case *array.String:
		return c.Value(i)
	case *array.Int64:
		return c.Value(i)
	case *array.Int32:
		return int64(c.Value(i))
	case *array.Timestamp:
		return int64(c.Value(i))
	}
	panic("no plain value for a column of " + c.DataType().String())
}

// recorder is a Collector that keeps what an operator hands on.
type recorder struct {
	t        testing.TB
	rows     []plainRow
	late     []plainRow
	dead     []plainRow
	reasons  []string
	deadKeys []string // key bytes, time and reason
	dropped  int
}

func (r *recorder) read(b *batch.Batch) (out []plainRow) {
	defer b.Release()
	r.t.Helper()
	for c, col := range b.Cols {
		if col.Len() != b.N || !arrow.TypeEqual(col.DataType(), b.Schema.Field(c).Type) {
			r.t.Fatalf("column %d has %d rows of %s, want %d of %s", c, col.Len(), col.DataType(), b.N, b.Schema.Field(c).Type)
		}
	}
	each(b, func(i int32) error {
		if got, want := b.Hashes[i], rowkey.HashOf(b.Keys.At(int(i))); got != want {
			r.t.Fatalf("row %d has hash %x, want %x, that of its key", i, got, want)
		}
		out = append(out, r.row(b, int(i)))
		return nil
	})
	return out
}

func (r *recorder) row(b *batch.Batch, i int) plainRow {
	p := plainRow{time: b.Times[i], vals: make([]any, len(b.Cols))}
	for c, col := range b.Cols {
		p.vals[c] = plainValue(col, i)
	}
	return p
}

func (r *recorder) Emit(b *batch.Batch) error {
	r.rows = append(r.rows, r.read(b)...)
	return nil
}

func (r *recorder) Late(b *batch.Batch) error {
	r.late = append(r.late, r.read(b)...)
	return nil
}

func (r *recorder) Dead(b *batch.Batch, i int, reason string) error {
	r.dead = append(r.dead, r.row(b, i))
	r.reasons = append(r.reasons, reason)
	return nil
}

func (r *recorder) DeadKey(key []byte, at sabot.Micros, reason string) error {
	r.deadKeys = append(r.deadKeys, fmt.Sprintf("%x %d %s", key, at, reason))
	return nil
}

func (r *recorder) Dropped(timers int) { r.dropped += timers }

// lines returns rows as text, to compare; sorted when their order is free.
func lines(rows []plainRow, sorted bool) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.String()
	}
	if sorted {
		slices.Sort(out)
	}
	return out
}

// same fails the test when two lists of text differ.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
