package view

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
)

// Row is one row of a table. Its memory is the garbage collector's: it may be kept.
type Row struct {
	rec arrow.RecordBatch
	i   int
}

// Schema returns the row's columns.
func (r Row) Schema() *arrow.Schema { return r.rec.Schema() }

// Value returns the value of a column: nil (it is null, or there is no such column), bool, int64, uint64, float64, string, []byte, time.Time in UTC (of
// timestamps and dates), or decimal128.Num.
func (r Row) Value(column string) any {
	for i, f := range r.rec.Schema().Fields() {
		if f.Name == column {
			return valueOf(r.rec.Column(i), r.i)
		}
	}
	return nil
}

// Values returns the values of all columns.
func (r Row) Values() []any {
	out := make([]any, r.rec.NumCols())
	for i, c := range r.rec.Columns() {
		out[i] = valueOf(c, r.i)
	}
	return out
}

// Record returns the row as a batch of one row, which shares memory with it.
func (r Row) Record() arrow.RecordBatch { return r.rec.NewSlice(int64(r.i), int64(r.i)+1) }

// RecordOf returns the rows of one key, as Get returns them, as one batch; nil when there are none.
func RecordOf(rows []Row) arrow.RecordBatch {
	if len(rows) == 0 {
		return nil
	}
	first, last := rows[0], rows[len(rows)-1]
	return first.rec.NewSlice(int64(first.i), int64(last.i)+1)
}

func valueOf(c arrow.Array, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c := c.(type) {
	case *array.Boolean:
		return c.Value(i)
	case *array.Int8:
		return int64(c.Value(i))
	case *array.Int16:
		return int64(c.Value(i))
	case *array.Int32:
		return int64(c.Value(i))
	case *array.Int64:
		return c.Value(i)
	case *array.Uint8:
		return uint64(c.Value(i))
	case *array.Uint16:
		return uint64(c.Value(i))
	case *array.Uint32:
		return uint64(c.Value(i))
	case *array.Uint64:
		return c.Value(i)
	case *array.Float32:
		return float64(c.Value(i))
	case *array.Float64:
		return c.Value(i)
	case *array.String:
		return c.Value(i)
	case *array.Binary:
		return c.Value(i)
	case *array.Timestamp:
		return sabot.Micros(c.Value(i)).Time()
	case *array.Date32:
		return time.Unix(int64(c.Value(i))*24*3600, 0).UTC()
	case *array.Decimal128:
		return c.Value(i)
	}
	return nil
}
