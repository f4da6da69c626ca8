package rowkey

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// fixed is the size of an integer's field.
const fixed = 9

// encodeFixed sets dst to the keys of n rows whose columns are all signed integers, dates or timestamps without nulls, column by column; false: they are not.
func encodeFixed(cols []arrow.Array, n int, dst *Column) bool {
	for _, c := range cols {
		switch c.DataType().ID() {
		case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.DATE32, arrow.TIMESTAMP:
			if c.NullN() > 0 {
				return false
			}
		default:
			return false
		}
	}
	size := fixed * len(cols)
	b := slices.Grow(dst.Bytes, size*n)[:size*n]
	for i, c := range cols {
		switch c := c.(type) {
		case *array.Int8:
			putInts(b, fixed*i, size, c.Int8Values())
		case *array.Int16:
			putInts(b, fixed*i, size, c.Int16Values())
		case *array.Int32:
			putInts(b, fixed*i, size, c.Int32Values())
		case *array.Int64:
			putInts(b, fixed*i, size, c.Int64Values())
		case *array.Date32:
			putInts(b, fixed*i, size, c.Date32Values())
		case *array.Timestamp:
			putInts(b, fixed*i, size, c.TimestampValues())
		}
	}
	offsets := slices.Grow(dst.Offsets, n)
	for i := range n {
		offsets = append(offsets, int32((i+1)*size))
	}
	dst.Bytes, dst.Offsets = b, offsets
	return true
}

// putInts puts the fields of a column's values at one place of each key of so many bytes.
func putInts[T int8 | int16 | int32 | int64 | arrow.Date32 | arrow.Timestamp](b []byte, at, size int, values []T) {
	for _, v := range values[:len(b)/size] {
		f := b[at : at+fixed]
		f[0] = value
		binary.BigEndian.PutUint64(f[1:], uint64(int64(v))^sign)
		at += size
	}
}
