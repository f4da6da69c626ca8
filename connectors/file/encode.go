package file

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

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
	if err := Write(b, f, rows); err != nil {
		buffers.Put(b)
		return nil, err
	}
	return b, nil
}

// Write writes rows to w in a format, as a Sink publishes them. What it holds in memory is a batch, or a million rows of Parquet. It does not close w, nor
// release the reader.
func Write(w io.Writer, f Format, rows array.RecordReader) error {
	switch f {
	case Parquet:
		return writeParquet(w, rows)
	case Arrow:
		return writeArrow(w, rows)
	case CSV:
		b := bufio.NewWriter(w)
		return errors.Join(writeRows(b, rows), b.Flush())
	}
	return writeJSONL(w, rows)
}

// FormatOf returns the format that the extension of a file's name tells; the error is Invalid.
func FormatOf(path string) (Format, error) { return formatOf(path, "") }

// unclosed hides Close: the writers close what they write to.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func writeParquet(to io.Writer, rows array.RecordReader) error {
	props := []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false), parquet.WithStats(true),
		parquet.WithCreatedBy("sabot"), parquet.WithMaxRowGroupLength(1 << 20)}
	for _, f := range rows.Schema().Fields() {
		if f.Type.ID() == arrow.STRING {
			props = append(props, parquet.WithDictionaryFor(f.Name, true))
		}
	}
	w, err := pqarrow.NewFileWriter(rows.Schema(), unclosed{to}, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
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

func writeArrow(to io.Writer, rows array.RecordReader) error {
	w, err := ipc.NewFileWriter(unclosed{to}, ipc.WithSchema(rows.Schema()))
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

// writeRows writes CSV. A null is written as nothing and an empty text as "", so that reading keeps them apart.
func writeRows(b *bufio.Writer, rows array.RecordReader) error {
	for i, f := range rows.Schema().Fields() {
		if i > 0 {
			b.WriteByte(',')
		}
		writeCSV(b, f.Name)
	}
	b.WriteByte('\n')
	for rows.Next() {
		rec := rows.RecordBatch()
		for r := range int(rec.NumRows()) {
			for i, c := range rec.Columns() {
				if i > 0 {
					b.WriteByte(',')
				}
				if c.IsValid(r) {
					writeCSV(b, textOf(c, r))
				}
			}
			b.WriteByte('\n')
		}
	}
	return rows.Err()
}

func writeCSV(b *bufio.Writer, field string) {
	if field != "" && !strings.ContainsAny(field, "\",\r\n") {
		b.WriteString(field)
		return
	}
	b.WriteByte('"')
	b.WriteString(strings.ReplaceAll(field, `"`, `""`))
	b.WriteByte('"')
}

// textOf returns a value as CSV writes it; bytes are base64.
func textOf(c arrow.Array, i int) string {
	if t, ok := c.(*array.Timestamp); ok {
		return jsonl.Time(t.Value(i))
	}
	return c.ValueStr(i)
}

func writeJSONL(w io.Writer, rows array.RecordReader) error {
	var b bytes.Buffer
	for rows.Next() {
		b.Reset()
		if err := jsonl.Encode(&b, rows.RecordBatch()); err != nil {
			return err
		}
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return rows.Err()
}
