package file

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// encode returns the rows in a format; the caller puts the buffer back. The same rows give the same bytes.
func encode(f Format, rows array.RecordReader) (*bytes.Buffer, error) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	var err error
	switch f {
	case Parquet:
		err = encodeParquet(b, rows)
	case Arrow:
		err = encodeArrow(b, rows)
	case CSV:
		err = encodeCSV(b, rows)
	default:
		err = encodeJSONL(b, rows)
	}
	if err != nil {
		buffers.Put(b)
		return nil, err
	}
	return b, nil
}

// unclosed hides Close: the writers close what they write to.
type unclosed struct{ *bytes.Buffer }

func (unclosed) Close() error { return nil }

func encodeParquet(b *bytes.Buffer, rows array.RecordReader) error {
	props := []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false), parquet.WithStats(true),
		parquet.WithCreatedBy("sabot"), parquet.WithMaxRowGroupLength(1 << 20)}
	for _, f := range rows.Schema().Fields() {
		if f.Type.ID() == arrow.STRING {
			props = append(props, parquet.WithDictionaryFor(f.Name, true))
		}
	}
	w, err := pqarrow.NewFileWriter(rows.Schema(), unclosed{b}, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := w.WriteBuffered(rows.RecordBatch()); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return errors.Join(rows.Err(), w.Close())
}

func encodeArrow(b *bytes.Buffer, rows array.RecordReader) error {
	w, err := ipc.NewFileWriter(unclosed{b}, ipc.WithSchema(rows.Schema()))
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := w.Write(rows.RecordBatch()); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return errors.Join(rows.Err(), w.Close())
}

func encodeCSV(b *bytes.Buffer, rows array.RecordReader) error {
	w := csv.NewWriter(b)
	line := make([]string, rows.Schema().NumFields())
	for i, f := range rows.Schema().Fields() {
		line[i] = f.Name
	}
	if err := w.Write(line); err != nil {
		return err
	}
	for rows.Next() {
		rec := rows.RecordBatch()
		for r := range int(rec.NumRows()) {
			for i, c := range rec.Columns() {
				line[i] = ""
				if c.IsValid(r) {
					line[i] = textOf(c, r)
				}
			}
			if err := w.Write(line); err != nil {
				return err
			}
		}
	}
	w.Flush()
	return errors.Join(rows.Err(), w.Error())
}

// textOf returns a value as CSV and JSON write it.
func textOf(c arrow.Array, i int) string {
	switch c := c.(type) {
	case *array.Timestamp:
		return time.UnixMicro(int64(c.Value(i))).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	case *array.Binary:
		return string(c.Value(i))
	}
	return c.ValueStr(i)
}

func encodeJSONL(b *bytes.Buffer, rows array.RecordReader) error {
	for rows.Next() {
		rec := rows.RecordBatch()
		for r := range int(rec.NumRows()) {
			b.WriteByte('{')
			for i, c := range rec.Columns() {
				if i > 0 {
					b.WriteByte(',')
				}
				name, err := json.Marshal(rec.ColumnName(i))
				if err != nil {
					return err
				}
				b.Write(name)
				b.WriteByte(':')
				if err := encodeJSON(b, c, r); err != nil {
					return fmt.Errorf("column %q: %w", rec.ColumnName(i), err)
				}
			}
			b.WriteString("}\n")
		}
	}
	return rows.Err()
}

func encodeJSON(b *bytes.Buffer, c arrow.Array, i int) error {
	if c.IsNull(i) {
		b.WriteString("null")
		return nil
	}
	var v any
	switch c := c.(type) {
	case *array.Timestamp:
		v = textOf(c, i)
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

// finite returns v, or null for what JSON has no number for.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
