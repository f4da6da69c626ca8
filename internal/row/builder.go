package row

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Builder builds columns of canonical types value by value. The caller appends one value to every column for each row.
type Builder struct {
	cols []column
}

type column struct {
	t     arrow.DataType
	ints  []int64
	flts  []float64
	bits  []bool
	decs  []decimal128.Num
	offs  []int32
	bytes []byte
	valid []bool // nil: no nulls so far
	n     int
}

// NewBuilder returns a builder of the schema's columns.
func NewBuilder(schema *arrow.Schema) *Builder {
	b := &Builder{cols: make([]column, schema.NumFields())}
	for i, f := range schema.Fields() {
		b.cols[i].t = f.Type
		b.cols[i].reset()
	}
	return b
}

func (c *column) reset() {
	t, n, size := c.t, c.n, len(c.bytes)
	*c = column{t: t}
	switch t.ID() {
	case arrow.BOOL:
		c.bits = make([]bool, 0, n)
	case arrow.STRING, arrow.BINARY:
		c.offs = append(make([]int32, 0, n+1), 0)
		c.bytes = make([]byte, 0, size)
	case arrow.FLOAT32, arrow.FLOAT64:
		c.flts = make([]float64, 0, n)
	case arrow.DECIMAL128:
		c.decs = make([]decimal128.Num, 0, n)
	default:
		c.ints = make([]int64, 0, n)
	}
}

// Len returns the number of rows, by the first column.
func (b *Builder) Len() int {
	if len(b.cols) == 0 {
		return 0
	}
	return b.cols[0].n
}

func (c *column) added() {
	c.n++
	if c.valid != nil {
		c.valid = append(c.valid, true)
	}
}

// AppendInt appends to a column of integers (unsigned ones by their bits), dates or timestamps.
func (b *Builder) AppendInt(col int, v int64) {
	c := &b.cols[col]
	c.ints = append(c.ints, v)
	c.added()
}

// AppendFloat appends to a column of floats.
func (b *Builder) AppendFloat(col int, v float64) {
	c := &b.cols[col]
	c.flts = append(c.flts, v)
	c.added()
}

// AppendBool appends to a column of bools.
func (b *Builder) AppendBool(col int, v bool) {
	c := &b.cols[col]
	c.bits = append(c.bits, v)
	c.added()
}

// AppendBytes appends to a column of text or bytes.
func (b *Builder) AppendBytes(col int, v []byte) {
	c := &b.cols[col]
	c.bytes = append(c.bytes, v...)
	c.offs = append(c.offs, int32(len(c.bytes)))
	c.added()
}

// AppendString appends to a column of text or bytes.
func (b *Builder) AppendString(col int, v string) {
	c := &b.cols[col]
	c.bytes = append(c.bytes, v...)
	c.offs = append(c.offs, int32(len(c.bytes)))
	c.added()
}

// AppendDecimal appends to a column of decimals.
func (b *Builder) AppendDecimal(col int, v decimal128.Num) {
	c := &b.cols[col]
	c.decs = append(c.decs, v)
	c.added()
}

// AppendNull appends a null to a column of any type.
func (b *Builder) AppendNull(col int) {
	c := &b.cols[col]
	if c.valid == nil {
		c.valid = make([]bool, c.n, c.n+16)
		for i := range c.valid {
			c.valid[i] = true
		}
	}
	c.valid = append(c.valid, false)
	c.n++
	switch c.t.ID() {
	case arrow.NULL:
	case arrow.BOOL:
		c.bits = append(c.bits, false)
	case arrow.STRING, arrow.BINARY:
		c.offs = append(c.offs, int32(len(c.bytes)))
	case arrow.FLOAT32, arrow.FLOAT64:
		c.flts = append(c.flts, 0)
	case arrow.DECIMAL128:
		c.decs = append(c.decs, decimal128.Num{})
	default:
		c.ints = append(c.ints, 0)
	}
}

// Truncate drops the rows from n on.
func (b *Builder) Truncate(n int) {
	for i := range b.cols {
		c := &b.cols[i]
		if c.n <= n {
			continue
		}
		c.n = n
		if c.valid != nil {
			c.valid = c.valid[:n]
		}
		switch c.t.ID() {
		case arrow.NULL:
		case arrow.BOOL:
			c.bits = c.bits[:n]
		case arrow.STRING, arrow.BINARY:
			c.offs = c.offs[:n+1]
			c.bytes = c.bytes[:c.offs[n]]
		case arrow.FLOAT32, arrow.FLOAT64:
			c.flts = c.flts[:n]
		case arrow.DECIMAL128:
			c.decs = c.decs[:n]
		default:
			c.ints = c.ints[:n]
		}
	}
}

// Build returns the columns, which the caller releases, and begins anew.
func (b *Builder) Build() []arrow.Array {
	out := make([]arrow.Array, len(b.cols))
	for i := range b.cols {
		out[i] = b.cols[i].build()
		b.cols[i].reset()
	}
	return out
}

func (c *column) build() arrow.Array {
	if c.t.ID() == arrow.NULL {
		return array.NewNull(c.n)
	}
	var valid *memory.Buffer
	nulls := 0
	if c.valid != nil {
		bits := make([]byte, (c.n+7)/8)
		for i, v := range c.valid {
			if v {
				bitutil.SetBit(bits, i)
			} else {
				nulls++
			}
		}
		valid = memory.NewBufferBytes(bits)
	}
	data := array.NewData(c.t, c.n, append([]*memory.Buffer{valid}, c.buffers()...), nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func (c *column) buffers() []*memory.Buffer {
	one := func(b []byte) []*memory.Buffer { return []*memory.Buffer{memory.NewBufferBytes(b)} }
	switch c.t.ID() {
	case arrow.BOOL:
		bits := make([]byte, (c.n+7)/8)
		for i, v := range c.bits {
			if v {
				bitutil.SetBit(bits, i)
			}
		}
		return one(bits)
	case arrow.STRING, arrow.BINARY:
		return []*memory.Buffer{memory.NewBufferBytes(bytesOf(c.offs)), memory.NewBufferBytes(c.bytes)}
	case arrow.FLOAT64:
		return one(bytesOf(c.flts))
	case arrow.FLOAT32:
		return one(bytesOf(narrow[float32](c.flts)))
	case arrow.DECIMAL128:
		return one(bytesOf(c.decs))
	case arrow.INT8, arrow.UINT8:
		return one(bytesOf(narrow[int8](c.ints)))
	case arrow.INT16, arrow.UINT16:
		return one(bytesOf(narrow[int16](c.ints)))
	case arrow.INT32, arrow.UINT32, arrow.DATE32:
		return one(bytesOf(narrow[int32](c.ints)))
	}
	return one(bytesOf(c.ints))
}

func narrow[T int8 | int16 | int32 | float32, F int64 | float64](v []F) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = T(x)
	}
	return out
}

// bytesOf returns a slice's memory.
func bytesOf[T any](v []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}
