package batch

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// FromRecord returns a batch of rec's columns, which must be of canonical types. It retains them; rec stays the caller's.
func FromRecord(rec arrow.RecordBatch) *Batch {
	cols := make([]arrow.Array, rec.NumCols())
	for i := range cols {
		cols[i] = rec.Column(i)
		cols[i].Retain()
	}
	return New(rec.Schema(), cols, int(rec.NumRows()), nil)
}

// ToRecord returns b's columns as a record, which the caller releases. B must be compact, and stays the caller's.
func ToRecord(b *Batch) arrow.RecordBatch {
	return array.NewRecordBatch(b.Schema, b.Cols, int64(b.N))
}

// Compact returns a batch of just the selected rows. It consumes b.
func Compact(b *Batch) *Batch {
	if b.Sel == nil {
		return b
	}
	defer b.Release()
	cols := make([]arrow.Array, len(b.Cols))
	for i, c := range b.Cols {
		cols[i] = Take(c, b.Sel)
	}
	d := New(b.Schema, cols, len(b.Sel), nil)
	d.Source, d.Split, d.FirstRow = b.Source, b.Split, b.FirstRow
	if b.Times != nil {
		d.Times = pick(b.Times, b.Sel)
	}
	if b.Hashes != nil {
		d.Hashes = pick(b.Hashes, b.Sel)
		d.Keys = gatherKeys(b.Keys, b.Sel, nil)
	}
	return d
}

func pick[T any](v []T, idx []int32) []T {
	out := make([]T, len(idx))
	for k, i := range idx {
		out[k] = v[i]
	}
	return out
}

// Int64s returns the values of a column of 8-byte integers or timestamps; it aliases the column.
func Int64s(c arrow.Array) []int64 {
	d := c.Data()
	return fixed[int64](d)
}

// fixed returns the values of a column of fixed width as a slice of T.
func fixed[T any](d arrow.ArrayData) []T {
	if d.Len() == 0 || d.Buffers()[1] == nil {
		return nil
	}
	return cast[T](d.Buffers()[1].Bytes())[d.Offset() : d.Offset()+d.Len()]
}

// cast returns the memory of b as a slice of T.
func cast[T any](b []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

// bytesOf returns a slice's memory.
func bytesOf[T any](v []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}
