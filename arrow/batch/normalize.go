package batch

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
)

// timestampUS is the one type of time that runs through the engine.
var timestampUS = &arrow.TimestampType{Unit: arrow.Microsecond}

// canonical returns the type that stands for t in the engine, or nil when there is none.
func canonical(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.LargeStringType, *arrow.StringViewType:
		return arrow.BinaryTypes.String
	case *arrow.LargeBinaryType, *arrow.BinaryViewType, *arrow.FixedSizeBinaryType:
		return arrow.BinaryTypes.Binary
	case *arrow.TimestampType:
		return timestampUS
	case *arrow.Date64Type:
		return arrow.FixedWidthTypes.Date32
	case *arrow.Float16Type:
		return arrow.PrimitiveTypes.Float32
	case *arrow.DictionaryType:
		return canonical(t.ValueType)
	case *arrow.BooleanType, *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type, *arrow.Uint8Type, *arrow.Uint16Type,
		*arrow.Uint32Type, *arrow.Uint64Type, *arrow.Float32Type, *arrow.Float64Type, *arrow.StringType, *arrow.BinaryType, *arrow.Date32Type,
		*arrow.Decimal128Type, *arrow.NullType:
		return t
	}
	return nil
}

// NormalizeSchema returns the schema with canonical types and without metadata. A column that has none is an Invalid error.
func NormalizeSchema(s *arrow.Schema) (*arrow.Schema, error) {
	fields := make([]arrow.Field, s.NumFields())
	for i, f := range s.Fields() {
		t := canonical(f.Type)
		if t == nil {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("column %q has type %s, which a job cannot carry; leave it out where the data is "+
				"written, or turn it into scalar columns", f.Name, f.Type))
		}
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: f.Nullable}
	}
	return arrow.NewSchema(fields, nil), nil
}

// Normalize returns rec with canonical types. The caller releases the result; rec stays the caller's too.
func Normalize(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	same := true
	for _, f := range rec.Schema().Fields() {
		same = same && arrow.TypeEqual(canonical(f.Type), f.Type)
	}
	if same {
		rec.Retain()
		return rec, nil
	}
	schema, err := NormalizeSchema(rec.Schema())
	if err != nil {
		return nil, err
	}
	cols := make([]arrow.Array, rec.NumCols())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, f := range schema.Fields() {
		if cols[i], err = convert(rec.Column(i), f.Type); err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	return array.NewRecordBatch(schema, cols, rec.NumRows()), nil
}

func convert(c arrow.Array, to arrow.DataType) (arrow.Array, error) {
	if arrow.TypeEqual(c.DataType(), to) {
		c.Retain()
		return c, nil
	}
	switch c := c.(type) {
	case *array.LargeString:
		return shortOffsets(c.Data(), to)
	case *array.LargeBinary:
		return shortOffsets(c.Data(), to)
	case *array.Timestamp:
		return convertTimes(c), nil
	case *array.Dictionary:
		return convertDictionary(c, to)
	}
	b := array.NewBuilder(memory.DefaultAllocator, to)
	defer b.Release()
	for i := range c.Len() {
		if c.IsNull(i) {
			b.AppendNull()
			continue
		}
		switch c := c.(type) {
		case *array.StringView:
			b.(*array.StringBuilder).Append(c.Value(i))
		case *array.BinaryView:
			b.(*array.BinaryBuilder).Append(c.Value(i))
		case *array.FixedSizeBinary:
			b.(*array.BinaryBuilder).Append(c.Value(i))
		case *array.Date64:
			b.(*array.Date32Builder).Append(arrow.Date32FromTime(c.Value(i).ToTime()))
		case *array.Float16:
			b.(*array.Float32Builder).Append(c.Value(i).Float32())
		default:
			return nil, fmt.Errorf("cannot convert %s to %s", c.DataType(), to)
		}
	}
	return b.NewArray(), nil
}

// shortOffsets turns a column of 64-bit offsets into one of 32-bit offsets over the same bytes.
func shortOffsets(d arrow.ArrayData, to arrow.DataType) (arrow.Array, error) {
	n := d.Len()
	offs := make([]int32, n+1)
	var bytes *memory.Buffer
	if n > 0 && d.Buffers()[1] != nil {
		in := cast[int64](d.Buffers()[1].Bytes())[d.Offset() : d.Offset()+n+1]
		if in[n]-in[0] > math.MaxInt32 {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%d bytes of text in one batch are too many; write smaller batches", in[n]-in[0]))
		}
		for i, o := range in {
			offs[i] = int32(o - in[0])
		}
		if b := d.Buffers()[2]; b != nil {
			bytes = memory.NewBufferBytes(b.Bytes()[in[0]:in[n]])
		}
	}
	if bytes == nil {
		bytes = memory.NewBufferBytes([]byte{})
	}
	valid, nulls := validOf(d)
	out := array.NewData(to, n, []*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(offs)), bytes}, nil, nulls, 0)
	defer out.Release()
	return array.MakeFromData(out), nil
}

// validOf returns a copy of the validity bits from the column's offset on.
func validOf(d arrow.ArrayData) (*memory.Buffer, int) {
	if d.NullN() == 0 || d.Buffers()[0] == nil {
		return nil, 0
	}
	src := d.Buffers()[0].Bytes()
	bits := make([]byte, (d.Len()+7)/8)
	nulls := 0
	for i := range d.Len() {
		at := d.Offset() + i
		if src[at/8]>>(at%8)&1 != 0 {
			bits[i/8] |= 1 << (i % 8)
		} else {
			nulls++
		}
	}
	return memory.NewBufferBytes(bits), nulls
}

func convertTimes(c *array.Timestamp) arrow.Array {
	in := fixed[int64](c.Data())
	out := make([]int64, len(in))
	switch c.DataType().(*arrow.TimestampType).Unit {
	case arrow.Second:
		scale(out, in, 1_000_000)
	case arrow.Millisecond:
		scale(out, in, 1_000)
	case arrow.Microsecond:
		copy(out, in)
	case arrow.Nanosecond:
		for i, v := range in {
			q := v / 1000
			if v%1000 < 0 {
				q--
			}
			out[i] = q
		}
	}
	valid, nulls := validOf(c.Data())
	d := array.NewData(timestampUS, c.Len(), []*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(out))}, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

// scale multiplies, and stays at the ends of the range instead of overflowing.
func scale(out, in []int64, by int64) {
	for i, v := range in {
		switch {
		case v > math.MaxInt64/by:
			out[i] = math.MaxInt64
		case v < math.MinInt64/by:
			out[i] = math.MinInt64
		default:
			out[i] = v * by
		}
	}
}

func convertDictionary(c *array.Dictionary, to arrow.DataType) (arrow.Array, error) {
	values, err := convert(c.Dictionary(), to)
	if err != nil {
		return nil, err
	}
	defer values.Release()
	idx := make([]int32, c.Len())
	nulls := false
	for i := range idx {
		if c.IsNull(i) || values.Len() == 0 {
			nulls = true
			continue
		}
		idx[i] = int32(c.GetValueIndex(i))
	}
	if values.Len() == 0 {
		return array.MakeArrayOfNull(memory.DefaultAllocator, to, c.Len()), nil
	}
	out := Take(values, idx)
	if !nulls {
		return out, nil
	}
	defer out.Release()
	valid, n := validOf(c.Data())
	d := array.NewData(to, c.Len(), append([]*memory.Buffer{valid}, out.Data().Buffers()[1:]...), nil, n, 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}
