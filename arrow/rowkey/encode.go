package rowkey

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/zeebo/xxh3"

	"github.com/sabot-stream/sabot"
)

const (
	null  = 0
	value = 1
	sign  = 1 << 63
)

// AppendNull appends a null field.
func AppendNull(dst []byte) []byte { return append(dst, null) }

// AppendInt64 appends a signed integer, a date's days or a timestamp's microseconds.
func AppendInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, value), uint64(v)^sign)
}

// AppendUint64 appends an unsigned integer.
func AppendUint64(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, value), v)
}

// AppendFloat64 appends a float.
func AppendFloat64(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, value), orderedFloat(v))
}

// AppendBool appends a bool.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, value, 1)
	}
	return append(dst, value, 0)
}

// AppendString appends text or bytes.
func AppendString[T string | []byte](dst []byte, v T) []byte {
	dst = append(dst, value)
	for i := range len(v) {
		c := v[i]
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

func orderedFloat(v float64) uint64 {
	if v == 0 {
		v = 0 // -0 is +0
	}
	if v != v {
		return math.MaxUint64
	}
	b := math.Float64bits(v)
	if b&sign != 0 {
		return ^b
	}
	return b | sign
}

// Encoder encodes the keys of batches. One goroutine uses it.
type Encoder struct {
	appenders []func(col arrow.Array) func(dst []byte, i int) []byte
}

// NewEncoder returns an encoder of keys made of the given fields. A field of a type that cannot be a key is an Invalid error.
func NewEncoder(fields []arrow.Field) (*Encoder, error) {
	e := &Encoder{}
	for _, f := range fields {
		a := appender(f.Type)
		if a == nil {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("column %q cannot be a key: its type is %s", f.Name, f.Type))
		}
		e.appenders = append(e.appenders, a)
	}
	return e, nil
}

// Encode sets dst to the keys of n rows of the key columns; dst's memory is used again.
func (e *Encoder) Encode(cols []arrow.Array, n int, dst *Column) {
	dst.Offsets = append(dst.Offsets[:0], 0)
	dst.Bytes = dst.Bytes[:0]
	if encodeFixed(cols, n, dst) {
		return
	}
	if s, ok := onlyStrings(cols); ok {
		encodeStrings(s, n, dst)
		return
	}
	var few [4]func([]byte, int) []byte
	fs := few[:0]
	for i, a := range e.appenders {
		fs = append(fs, a(cols[i]))
	}
	for i := range n {
		for _, f := range fs {
			dst.Bytes = f(dst.Bytes, i)
		}
		dst.Offsets = append(dst.Offsets, int32(len(dst.Bytes)))
	}
}

// onlyStrings tells whether all columns are text without nulls, the most frequent kind of key.
func onlyStrings(cols []arrow.Array) ([]*array.String, bool) {
	s := make([]*array.String, len(cols))
	for i, c := range cols {
		col, ok := c.(*array.String)
		if !ok || col.NullN() > 0 {
			return nil, false
		}
		s[i] = col
	}
	return s, true
}

func encodeStrings(cols []*array.String, n int, dst *Column) {
	type text struct {
		offs  []int32
		bytes []byte
	}
	texts := make([]text, len(cols))
	size, zeros := 0, 0
	for i, c := range cols {
		t := text{offs: c.ValueOffsets()}
		if d := c.Data().Buffers()[2]; d != nil {
			t.bytes = d.Bytes()
		}
		if n > 0 {
			all := t.bytes[t.offs[0]:t.offs[n]]
			size, zeros = size+len(all)+3*n, zeros+bytes.Count(all, []byte{0})
		}
		texts[i] = t
	}
	b, offs, at := slices.Grow(dst.Bytes, size+zeros)[:size+zeros], dst.Offsets, 0
	for i := range n {
		for _, t := range texts {
			v := t.bytes[t.offs[i]:t.offs[i+1]]
			if zeros > 0 {
				at = len(AppendString(b[:at], v))
				continue
			}
			b[at] = value
			at += 1 + copy(b[at+1:], v)
			b[at], b[at+1] = 0, 1
			at += 2
		}
		offs = append(offs, int32(at))
	}
	dst.Bytes, dst.Offsets = b[:at], offs
}

// Hash appends the hashes of c's keys to dst.
func Hash(c Column, dst []uint64) []uint64 {
	n := c.Len()
	if n == 0 {
		return dst
	}
	dst = slices.Grow(dst, n)
	from := c.Offsets[0]
	for _, to := range c.Offsets[1:] {
		dst = append(dst, xxh3.Hash(c.Bytes[from:to]))
		from = to
	}
	return dst
}

// HashOf returns the hash of one key.
func HashOf(key []byte) uint64 { return xxh3.Hash(key) }

// Hash32 returns the part of a hash that chooses the partition.
func Hash32(h uint64) uint32 { return uint32(h >> 32) }

func nullable(col arrow.Array, f func([]byte, int) []byte) func([]byte, int) []byte {
	if col.NullN() == 0 {
		return f
	}
	return func(dst []byte, i int) []byte {
		if col.IsNull(i) {
			return AppendNull(dst)
		}
		return f(dst, i)
	}
}

func ints[T int8 | int16 | int32 | int64 | arrow.Date32 | arrow.Timestamp](col arrow.Array, v []T) func([]byte, int) []byte {
	return nullable(col, func(dst []byte, i int) []byte { return AppendInt64(dst, int64(v[i])) })
}

func uints[T uint8 | uint16 | uint32 | uint64](col arrow.Array, v []T) func([]byte, int) []byte {
	return nullable(col, func(dst []byte, i int) []byte { return AppendUint64(dst, uint64(v[i])) })
}

// appender returns what makes, for a column of type t, the function that appends its row i; nil when t cannot be a key.
func appender(t arrow.DataType) func(arrow.Array) func([]byte, int) []byte {
	switch t.ID() {
	case arrow.NULL:
		return func(arrow.Array) func([]byte, int) []byte {
			return func(dst []byte, _ int) []byte { return AppendNull(dst) }
		}
	case arrow.BOOL:
		return func(c arrow.Array) func([]byte, int) []byte {
			b := c.(*array.Boolean)
			return nullable(c, func(dst []byte, i int) []byte { return AppendBool(dst, b.Value(i)) })
		}
	case arrow.INT8:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Int8).Int8Values()) }
	case arrow.INT16:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Int16).Int16Values()) }
	case arrow.INT32:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Int32).Int32Values()) }
	case arrow.INT64:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Int64).Int64Values()) }
	case arrow.DATE32:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Date32).Date32Values()) }
	case arrow.TIMESTAMP:
		return func(c arrow.Array) func([]byte, int) []byte { return ints(c, c.(*array.Timestamp).TimestampValues()) }
	case arrow.UINT8:
		return func(c arrow.Array) func([]byte, int) []byte { return uints(c, c.(*array.Uint8).Uint8Values()) }
	case arrow.UINT16:
		return func(c arrow.Array) func([]byte, int) []byte { return uints(c, c.(*array.Uint16).Uint16Values()) }
	case arrow.UINT32:
		return func(c arrow.Array) func([]byte, int) []byte { return uints(c, c.(*array.Uint32).Uint32Values()) }
	case arrow.UINT64:
		return func(c arrow.Array) func([]byte, int) []byte { return uints(c, c.(*array.Uint64).Uint64Values()) }
	case arrow.FLOAT32:
		return func(c arrow.Array) func([]byte, int) []byte {
			v := c.(*array.Float32).Float32Values()
			return nullable(c, func(dst []byte, i int) []byte { return AppendFloat64(dst, float64(v[i])) })
		}
	case arrow.FLOAT64:
		return func(c arrow.Array) func([]byte, int) []byte {
			v := c.(*array.Float64).Float64Values()
			return nullable(c, func(dst []byte, i int) []byte { return AppendFloat64(dst, v[i]) })
		}
	case arrow.STRING:
		return func(c arrow.Array) func([]byte, int) []byte {
			s := c.(*array.String)
			return nullable(c, func(dst []byte, i int) []byte { return AppendString(dst, s.Value(i)) })
		}
	case arrow.BINARY:
		return func(c arrow.Array) func([]byte, int) []byte {
			s := c.(*array.Binary)
			return nullable(c, func(dst []byte, i int) []byte { return AppendString(dst, s.Value(i)) })
		}
	case arrow.DECIMAL128:
		return func(c arrow.Array) func([]byte, int) []byte {
			d := c.(*array.Decimal128)
			return nullable(c, func(dst []byte, i int) []byte { return appendDecimal(dst, d.Value(i)) })
		}
	}
	return nil
}

func appendDecimal(dst []byte, v decimal128.Num) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, value), uint64(v.HighBits())^sign)
	return binary.BigEndian.AppendUint64(dst, v.LowBits())
}
