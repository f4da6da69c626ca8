package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	pq "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// caught turns a panic of the Parquet or Arrow reader on a malformed file into an error.
func caught(path string, err *error) {
	if v := recover(); v != nil {
		*err = sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: the file is malformed: %v", path, v))
	}
}

// early returns an error of reading that is not io.EOF to its reader: where the file ends inside of something, the split has not ended.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", err.Error(), io.ErrUnexpectedEOF)
	}
	return err
}

func openParquetFile(ctx context.Context, path string) (f *pq.Reader, err error) {
	defer caught(path, &err)
	in, err := openInput(ctx, path)
	if err != nil {
		return nil, err
	}
	f, err = pq.NewParquetReader(in)
	if err != nil {
		in.Close()
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: it is no Parquet file, or cut short: %w", path, err))
	}
	return f, nil
}

func parquetSchema(ctx context.Context, path string) (schema *arrow.Schema, err error) {
	f, err := openParquetFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer caught(path, &err)
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err == nil {
		schema, err = r.Schema()
	}
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: %w", path, err))
	}
	if schema, err = batch.NormalizeSchema(schema); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return schema, nil
}

// parquetReader reads a file row group by row group. A position is the number of rows before it.
type parquetReader struct {
	path    string
	file    *pq.Reader
	arrow   *pqarrow.FileReader
	schema  *arrow.Schema
	leaves  []int // column chunks of the wanted columns
	maxRows int
	total   int64
	left    atomic.Int64 // rows behind those that Read has returned

	group int   // row group to open next
	got   int64 // rows of the row group before it
	row   int64 // position
	skip  int64 // rows of the next row group that come before it
	cur   pqarrow.RecordReader
	rec   arrow.RecordBatch // what is left of the last record

	closed bool
}

func openParquet(ctx context.Context, path string, schema *arrow.Schema, rows int, at sabot.Position) (*parquetReader, error) {
	row, err := rowPosition(path, at)
	if err != nil {
		return nil, err
	}
	f, err := openParquetFile(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &parquetReader{path: path, file: f, schema: schema, maxRows: rows, total: f.NumRows(), row: row, skip: row}
	r.left.Store(max(0, r.total-row))
	if err := r.prepare(); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// rowPosition reads a position that is a number of rows.
func rowPosition(path string, at sabot.Position) (row int64, err error) {
	if at == "" {
		return 0, nil
	}
	if _, err := fmt.Sscanf(string(at), "row %d", &row); err != nil || row < 0 {
		return 0, sabot.WithKind(sabot.Corrupt, fmt.Errorf("open %s: position %q is none of this format", path, at))
	}
	return row, nil
}

func (r *parquetReader) prepare() (err error) {
	defer caught(r.path, &err)
	r.arrow, err = pqarrow.NewFileReader(r.file, pqarrow.ArrowReadProperties{BatchSize: int64(r.maxRows)}, memory.DefaultAllocator)
	if err != nil {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: %w", r.path, err))
	}
	for _, f := range r.schema.Fields() {
		i := r.file.MetaData().Schema.ColumnIndexByName(f.Name)
		if i < 0 {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: it has no column %q", r.path, f.Name))
		}
		r.leaves = append(r.leaves, i)
	}
	var sum int64
	for i := range r.file.NumRowGroups() {
		sum += r.file.RowGroup(i).NumRows()
	}
	if sum != r.total {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("read %s: it says that it has %d rows, and its row groups have %d", r.path, r.total, sum))
	}
	for r.group < r.file.NumRowGroups() && r.skip >= r.file.RowGroup(r.group).NumRows() {
		r.skip -= r.file.RowGroup(r.group).NumRows()
		r.group++
	}
	return nil
}

// Read implements sabot.Reader.
func (r *parquetReader) Read(ctx context.Context) (c sabot.Chunk, err error) {
	defer caught(r.path, &err)
	if err := ctx.Err(); err != nil {
		return c, err
	}
	for r.rec == nil {
		if err := r.next(); err != nil {
			return c, err
		}
	}
	n := min(int64(r.maxRows), r.rec.NumRows())
	part := r.rec.NewSlice(0, n)
	if rest := r.rec; n == rest.NumRows() {
		r.rec = nil
		rest.Release()
	} else {
		r.rec = rest.NewSlice(n, rest.NumRows())
		rest.Release()
	}
	r.row += n
	r.left.Store(r.total - r.row)
	c = sabot.Chunk{After: sabot.Position(fmt.Sprintf("row %d", r.row)), Done: float64(r.row) / float64(max(1, r.total))}
	c.Rows, err = ordered(part, r.schema)
	return c, err
}

// Lag implements sabot.Lagger.
func (r *parquetReader) Lag() (int64, bool) { return r.left.Load(), true }

// next sets rec to the next rows that are not skipped, if this step brings any.
func (r *parquetReader) next() error {
	if r.cur == nil {
		if r.group >= r.file.NumRowGroups() {
			return io.EOF
		}
		cur, err := r.arrow.GetRecordReader(context.Background(), r.leaves, []int{r.group})
		if err != nil {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s, row group %d: %w", r.path, r.group, early(err)))
		}
		r.cur = cur
		r.group++
		r.got = 0
	}
	if !r.cur.Next() {
		err := r.cur.Err()
		r.cur.Release()
		r.cur = nil
		if err != nil && err != io.EOF {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s, row group %d: %w", r.path, r.group-1, early(err)))
		}
		if n := r.file.RowGroup(r.group - 1).NumRows(); r.got != n {
			return sabot.WithKind(sabot.Corrupt, fmt.Errorf("read %s, row group %d: it ends behind %d of its %d rows", r.path, r.group-1, r.got, n))
		}
		return nil
	}
	rec := r.cur.RecordBatch()
	n := rec.NumRows()
	r.got += n
	if r.skip >= n {
		r.skip -= n
		return nil
	}
	r.rec = rec.NewSlice(r.skip, n)
	r.skip = 0
	return nil
}

// Close implements sabot.Reader.
func (r *parquetReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.rec != nil {
		r.rec.Release()
		r.rec = nil
	}
	if r.cur != nil {
		r.cur.Release()
		r.cur = nil
	}
	return r.file.Close()
}

// ordered returns the record's columns of the schema, in its order and of its types. It releases rec; the caller releases the result.
func ordered(rec arrow.RecordBatch, schema *arrow.Schema) (arrow.RecordBatch, error) {
	defer rec.Release()
	norm, err := batch.Normalize(rec)
	if err != nil {
		return nil, err
	}
	defer norm.Release()
	cols := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		at := norm.Schema().FieldIndices(f.Name)
		if len(at) == 0 || !arrow.TypeEqual(norm.Column(at[0]).DataType(), f.Type) {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("column %q is not there as %s", f.Name, f.Type))
		}
		cols[i] = norm.Column(at[0])
	}
	return array.NewRecordBatch(schema, cols, norm.NumRows()), nil
}
