package file

import (
	"bytes"
	"encoding/csv"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/sabot-stream/sabot/internal/jsonl"
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

// textOf returns a value as CSV writes it.
func textOf(c arrow.Array, i int) string {
	switch c := c.(type) {
	case *array.Timestamp:
		return jsonl.Time(c.Value(i))
	case *array.Binary:
		return string(c.Value(i))
	}
	return c.ValueStr(i)
}

func encodeJSONL(b *bytes.Buffer, rows array.RecordReader) error {
	for rows.Next() {
		if err := jsonl.Encode(b, rows.RecordBatch()); err != nil {
			return err
		}
	}
	return rows.Err()
}
