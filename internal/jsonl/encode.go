// Package jsonl writes rows as JSON lines, the same for files and for standard output.
package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Encode appends each row of rec to b as an object on a line of its own: times in RFC 3339 with microseconds, bytes in base64, and null for NaN
// and the infinities, which JSON has no number for.
func Encode(b *bytes.Buffer, rec arrow.RecordBatch) error {
	names := make([][]byte, rec.NumCols())
	for i := range names {
		name, err := json.Marshal(rec.ColumnName(i))
		if err != nil {
			return err
		}
		names[i] = name
	}
	for r := range int(rec.NumRows()) {
		b.WriteByte('{')
		for i, c := range rec.Columns() {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(names[i])
			b.WriteByte(':')
			if err := value(b, c, r); err != nil {
				return fmt.Errorf("column %q: %w", rec.ColumnName(i), err)
			}
		}
		b.WriteString("}\n")
	}
	return nil
}

// Time returns a timestamp[us] as text.
func Time(us arrow.Timestamp) string {
	return time.UnixMicro(int64(us)).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

func value(b *bytes.Buffer, c arrow.Array, i int) error {
	if c.IsNull(i) {
		b.WriteString("null")
		return nil
	}
	var v any
	switch c := c.(type) {
	case *array.Timestamp:
		v = Time(c.Value(i))
	case *array.Float64:
		v = finite(c.Value(i))
	case *array.Float32:
		v = finite(float64(c.Value(i)))
	default:
		v = c.GetOneForMarshal(i)
	}
	out, err := json.Marshal(v)
	b.Write(out)
	return err
}

// finite returns v, or nil for what is no number.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
