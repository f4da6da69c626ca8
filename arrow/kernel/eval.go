package kernel

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot/arrow/batch"
)

// vec is a value for every row, in the slice of its shape. Values of null rows are anything.
type vec struct {
	ints   []int64
	floats []float64
	bools  []bool
	text   func(i int) string
	null   []bool // nil: no nulls
}

func (v *vec) isNull(i int) bool { return v.null != nil && v.null[i] }

// frame is one evaluation.
type frame struct {
	cols []arrow.Array
	n    int
	bad  map[int32]string

	scratch *scratch
}

// fail notes that row i has no value, and why.
func (f *frame) fail(i int, reason string) {
	if f.bad == nil {
		f.bad = map[int32]string{}
	}
	if _, ok := f.bad[int32(i)]; !ok {
		f.bad[int32(i)] = reason
	}
}

func (f *frame) errors() error {
	if len(f.bad) == 0 {
		return nil
	}
	e := &RowErrors{}
	for i := range int32(f.n) {
		if why, ok := f.bad[i]; ok {
			e.Rows, e.Reasons = append(e.Rows, i), append(e.Reasons, why)
		}
	}
	return e
}

// Eval returns the expression's value for each of n rows; the caller releases it. With a *RowErrors the array is whole, and null at those rows.
func (p *Program) Eval(cols []arrow.Array, n int) (arrow.Array, error) {
	switch c := p.root.(type) {
	case *column:
		cols[c.i].Retain()
		return cols[c.i], nil
	case *opaque:
		cols[c.i].Retain()
		return cols[c.i], nil
	}
	f := &frame{cols: cols, n: n}
	v := p.root.eval(f)
	for i := range f.bad {
		if v.null == nil {
			v.null = make([]bool, n)
		}
		v.null[i] = true
	}
	return toArray(v, p.typ, n), f.errors()
}

// Select appends to dst the rows of sel (nil: all of n) for which the expression, which is of type bool, is true. With a *RowErrors those rows
// are left out, and the error may name rows outside of sel too.
func (p *Program) Select(cols []arrow.Array, n int, sel, dst []int32) ([]int32, error) {
	p.scratch.reset()
	f := &frame{cols: cols, n: n, scratch: &p.scratch}
	v := p.root.eval(f)
	if v.bools == nil {
		return dst, f.errors()
	}
	pass, null := v.bools, v.null // what is null, or has no value, is not true
	if f.bad != nil {
		pass = f.newBools()
		copy(pass, v.bools)
		for i := range f.bad {
			pass[i] = false
		}
	}
	if sel == nil {
		return appendTrue(dst, pass, null), f.errors()
	}
	for _, i := range sel {
		if pass[i] && (null == nil || !null[i]) {
			dst = append(dst, i)
		}
	}
	return dst, f.errors()
}

// appendTrue appends the indices of what is true and not null. It writes each index and moves on only behind the right ones: that costs less
// than a branch which nobody can predict.
func appendTrue(dst []int32, pass, null []bool) []int32 {
	dst = slices.Grow(dst, len(pass)+1)
	k := len(dst)
	out := dst[:k+len(pass)+1]
	if null == nil {
		for i, b := range pass {
			out[k] = int32(i)
			if b {
				k++
			}
		}
		return out[:k]
	}
	null = null[:len(pass)]
	for i, b := range pass {
		out[k] = int32(i)
		if b && !null[i] {
			k++
		}
	}
	return out[:k]
}

func toArray(v *vec, t arrow.DataType, n int) arrow.Array {
	if t.ID() == arrow.NULL {
		return array.NewNull(n)
	}
	var valid *memory.Buffer
	nulls := 0
	if v.null != nil {
		b := make([]byte, (n+7)/8)
		for i, null := range v.null {
			if null {
				nulls++
			} else {
				bitutil.SetBit(b, i)
			}
		}
		valid = memory.NewBufferBytes(b)
	}
	var bufs []*memory.Buffer
	switch {
	case t.ID() == arrow.BOOL:
		b := make([]byte, (n+7)/8)
		for i, x := range v.bools {
			if x {
				bitutil.SetBit(b, i)
			}
		}
		bufs = []*memory.Buffer{valid, memory.NewBufferBytes(b)}
	case isText(t):
		offs := make([]int32, n+1)
		var b []byte
		for i := range n {
			if !v.isNull(i) && v.text != nil {
				b = append(b, v.text(i)...)
			}
			offs[i+1] = int32(len(b))
		}
		bufs = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offs)), memory.NewBufferBytes(b)}
	case isFloat(t):
		bufs = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(atLeast(v.floats, n)))}
	case t.ID() == arrow.DATE32:
		days := make([]int32, n)
		for i, x := range v.ints {
			days[i] = int32(x)
		}
		bufs = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(days))}
	default:
		bufs = []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(atLeast(v.ints, n)))}
	}
	d := array.NewData(t, n, bufs, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

func atLeast[T any](v []T, n int) []T {
	if v == nil {
		return make([]T, n)
	}
	return v
}

// column is a column of a known shape; opaque one that is only passed on.
type (
	column struct {
		i int
		s shape
	}
	opaque struct{ i int }
)

func (c *opaque) shape() shape     { return nulls }
func (c *opaque) eval(*frame) *vec { return &vec{} }
func (c *column) shape() shape     { return c.s }

func (c *column) eval(f *frame) *vec {
	a := f.cols[c.i]
	v := &vec{}
	if a.NullN() > 0 {
		v.null = f.newBools()
		bits, off := a.NullBitmapBytes(), a.Data().Offset()
		for i := range v.null {
			at := off + i
			v.null[i] = bits[at>>3]>>(at&7)&1 == 0
		}
	}
	switch a := a.(type) {
	case *array.Boolean:
		v.bools = f.newBools()
		for i := range v.bools {
			v.bools[i] = a.Value(i)
		}
	case *array.Float64:
		v.floats = a.Float64Values()
	case *array.Float32:
		v.floats = convert[float64](a.Float32Values())
	case *array.String:
		v.text = a.Value
	case *array.Binary:
		v.text = func(i int) string { return string(a.Value(i)) }
	case *array.Int8:
		v.ints = convert[int64](a.Int8Values())
	case *array.Int16:
		v.ints = convert[int64](a.Int16Values())
	case *array.Int32:
		v.ints = convert[int64](a.Int32Values())
	case *array.Uint8:
		v.ints = convert[int64](a.Uint8Values())
	case *array.Uint16:
		v.ints = convert[int64](a.Uint16Values())
	case *array.Uint32:
		v.ints = convert[int64](a.Uint32Values())
	case *array.Uint64:
		v.ints = convert[int64](a.Uint64Values())
		for i, x := range v.ints {
			if x < 0 && !v.isNull(i) {
				f.fail(i, "the value is beyond int64, in which expressions are computed")
			}
		}
	case *array.Date32:
		v.ints = convert[int64](a.Date32Values())
	case *array.Null:
		return (&allNull{}).eval(f)
	default:
		v.ints = batch.Int64s(a)
	}
	return v
}

func convert[T, F int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 | arrow.Date32](in []F) []T {
	out := make([]T, len(in))
	for i, x := range in {
		out[i] = T(x)
	}
	return out
}

// Constants. They are spelled out for each row: the loops then need no case of their own, at the price of writing them.
type (
	constInt   struct{ v int64 }
	constFloat struct{ v float64 }
	constBool  struct{ v bool }
	constText  struct{ v string }
	allNull    struct{}
)

func (*constInt) shape() shape   { return ints }
func (*constFloat) shape() shape { return floats }
func (*constBool) shape() shape  { return bools }
func (*constText) shape() shape  { return texts }
func (*allNull) shape() shape    { return nulls }

func filled[T any](n int, x T) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = x
	}
	return v
}

func (c *constInt) eval(f *frame) *vec   { return &vec{ints: filled(f.n, c.v)} }
func (c *constFloat) eval(f *frame) *vec { return &vec{floats: filled(f.n, c.v)} }
func (c *constBool) eval(f *frame) *vec  { return &vec{bools: filled(f.n, c.v)} }
func (c *constText) eval(*frame) *vec    { return &vec{text: func(int) string { return c.v }} }

func (*allNull) eval(f *frame) *vec {
	return &vec{ints: make([]int64, f.n), floats: make([]float64, f.n), bools: f.newBools(), text: func(int) string { return "" },
		null: filled(f.n, true)}
}
