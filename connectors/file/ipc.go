package file

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// arrowFile is an Arrow IPC file or stream.
type arrowFile struct {
	in     input
	file   *ipc.FileReader // nil: a stream
	stream *ipc.Reader
	i      int
}

func openArrowFile(ctx context.Context, path string) (a *arrowFile, err error) {
	defer caught(path, &err)
	f, err := openInput(ctx, path)
	if err != nil {
		return nil, err
	}
	a = &arrowFile{in: f}
	var magic [6]byte
	_, err = f.ReadAt(magic[:], 0)
	if err == nil && string(magic[:]) == "ARROW1" {
		a.file, err = ipc.NewFileReader(f)
	} else if err == nil {
		a.stream, err = ipc.NewReader(f)
	}
	if err != nil {
		f.Close()
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: it is no Arrow IPC file or stream, or cut short: %w", path, err))
	}
	return a, nil
}

func (a *arrowFile) schema() *arrow.Schema {
	if a.file != nil {
		return a.file.Schema()
	}
	return a.stream.Schema()
}

// next returns the next record, which the caller releases, or io.EOF.
func (a *arrowFile) next() (arrow.RecordBatch, error) {
	if a.file != nil {
		if a.i >= a.file.NumRecords() {
			return nil, io.EOF
		}
		rec, err := a.file.RecordBatchAt(a.i)
		a.i++
		return rec, early(err)
	}
	rec, err := a.stream.Read()
	if err == io.EOF { // and not an error because of one
		return nil, err
	}
	if err == nil {
		rec.Retain()
	}
	return rec, early(err)
}

// done returns the share of the input that next has read.
func (a *arrowFile) done() float64 {
	if a.file != nil {
		return float64(a.i) / float64(max(1, a.file.NumRecords()))
	}
	const endMark = 8 // behind the last record, where the writer put one
	at, err := a.in.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return min(1, float64(at+endMark)/float64(a.in.Size()))
}

func (a *arrowFile) close() error {
	if a.file != nil {
		return errors.Join(a.file.Close(), a.in.Close())
	}
	a.stream.Release()
	return a.in.Close()
}

func arrowSchema(ctx context.Context, path string) (*arrow.Schema, error) {
	a, err := openArrowFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer a.close()
	s, err := batch.NormalizeSchema(a.schema())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// arrowReader reads an Arrow IPC file or stream. A position is the number of rows before it.
type arrowReader struct {
	path    string
	in      *arrowFile
	schema  *arrow.Schema
	maxRows int
	row     int64
	skip    int64
	rec     arrow.RecordBatch // what is left of the last record
	begun   float64           // share of the input before rec's record
	ended   float64           // and behind it
	length  int64             // rows of rec's record
	closed  bool
}

func openArrow(ctx context.Context, path string, schema *arrow.Schema, rows int, at sabot.Position) (*arrowReader, error) {
	row, err := rowPosition(path, at)
	if err != nil {
		return nil, err
	}
	in, err := openArrowFile(ctx, path)
	if err != nil {
		return nil, err
	}
	return &arrowReader{path: path, in: in, schema: schema, maxRows: rows, row: row, skip: row}, nil
}

// Read implements sabot.Reader.
func (r *arrowReader) Read(ctx context.Context) (c sabot.Chunk, err error) {
	defer caught(r.path, &err)
	if err := ctx.Err(); err != nil {
		return c, err
	}
	for r.rec == nil {
		rec, err := r.in.next()
		if errors.Is(err, io.EOF) {
			return c, io.EOF
		}
		if err != nil {
			return c, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s after row %d: %w", r.path, r.row, err))
		}
		n := rec.NumRows()
		if r.skip < n {
			r.rec = rec.NewSlice(r.skip, n)
		}
		r.begun, r.ended, r.length = r.ended, r.in.done(), n
		r.skip = max(0, r.skip-n)
		rec.Release()
	}
	n := min(int64(r.maxRows), r.rec.NumRows())
	part, rest := r.rec.NewSlice(0, n), r.rec
	r.rec = nil
	if n < rest.NumRows() {
		r.rec = rest.NewSlice(n, rest.NumRows())
	}
	rest.Release()
	r.row += n
	c = sabot.Chunk{After: sabot.Position(fmt.Sprintf("row %d", r.row)), Done: r.ended}
	if r.rec != nil {
		c.Done -= (r.ended - r.begun) * float64(r.rec.NumRows()) / float64(r.length)
	}
	rows, err := ordered(part, r.schema)
	if err != nil {
		return sabot.Chunk{}, err
	}
	for i, col := range rows.Columns() {
		if err := checkArray(col); err != nil {
			rows.Release()
			return sabot.Chunk{}, sabot.WithKind(sabot.Corrupt, fmt.Errorf("read %s, rows %d to %d: column %q: %w", r.path, r.row-n+1, r.row, rows.ColumnName(i), err))
		}
	}
	c.Rows = rows
	return c, nil
}

// checkArray checks what the Arrow reader takes from the file unseen and all that follows relies on: that a column of a canonical type has its
// buffers, at the lengths that its rows need, and that its nulls are as many as it says.
func checkArray(c arrow.Array) error {
	d := c.Data()
	end := d.Offset() + d.Len()
	if bits := c.NullBitmapBytes(); len(bits) > 0 {
		if len(bits) < (end+7)/8 {
			return fmt.Errorf("its %d rows have %d bytes of nulls", d.Len(), len(bits))
		}
		if n := d.Len() - bitutil.CountSetBits(bits, d.Offset(), d.Len()); n != c.NullN() {
			return fmt.Errorf("it says that it has %d nulls, and has %d", c.NullN(), n)
		}
	} else if c.NullN() > 0 && c.DataType().ID() != arrow.NULL {
		return fmt.Errorf("it says that it has %d nulls, and shows none", c.NullN())
	}
	switch c := c.(type) {
	case *array.String:
		return c.ValidateFull()
	case *array.Binary:
		return c.ValidateFull()
	}
	if t, ok := c.DataType().(arrow.FixedWidthDataType); ok && d.Len() > 0 {
		if b := d.Buffers()[1]; b == nil || b.Len() < (end*t.BitWidth()+7)/8 {
			return fmt.Errorf("its %d rows have too few bytes", d.Len())
		}
	}
	return nil
}

// Close implements sabot.Reader.
func (r *arrowReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.rec != nil {
		r.rec.Release()
		r.rec = nil
	}
	return r.in.close()
}
