package segment

import "github.com/apache/arrow-go/v18/arrow"

// Op says what a row of a segment does to its key.
type Op uint8

// The operations. Merge is reserved by the format.
const (
	Put    Op = 0
	Delete Op = 1
)

// Rows is a batch of keyed rows in columns: what a table freezes at a cut, what a writer encodes and what a reader yields.
type Rows struct {
	KeyOffsets []uint32 // one more than rows, from 0
	KeyBytes   []byte   // key: hash32 big-endian, then order-preserving bytes
	Ops        []Op
	Cols       []Column
}

// Len returns the number of rows.
func (r *Rows) Len() int { return len(r.Ops) }

// Bytes returns about how many bytes the rows are.
func (r *Rows) Bytes() int64 {
	n := len(r.KeyBytes) + r.Len()
	for i := range r.Cols {
		c := &r.Cols[i]
		n += 8*(len(c.Ints)+len(c.Floats)) + len(c.Bools) + 4*len(c.Offsets) + len(c.Bytes)
	}
	return int64(n)
}

// Reset removes all rows, and keeps their memory.
func (r *Rows) Reset() {
	r.KeyOffsets, r.KeyBytes, r.Ops = r.KeyOffsets[:1], r.KeyBytes[:0], r.Ops[:0]
	for i := range r.Cols {
		c := &r.Cols[i]
		c.Ints, c.Floats, c.Bools, c.Bytes, c.Valid = c.Ints[:0], c.Floats[:0], c.Bools[:0], c.Bytes[:0], nil
		if c.Offsets != nil {
			c.Offsets = c.Offsets[:1]
		}
	}
}

// Key returns key i; it aliases r.
func (r *Rows) Key(i int) []byte {
	return r.KeyBytes[r.KeyOffsets[i]:r.KeyOffsets[i+1]:r.KeyOffsets[i+1]]
}

// Column is one value column. Exactly one of the slices holds the values, by the field's type: Ints for int64 and timestamp[us], Floats for
// float64, Bools for bool, Offsets and Bytes for utf8 and binary. A Delete row and a null hold the zero value.
type Column struct {
	Ints    []int64
	Floats  []float64
	Bools   []bool
	Offsets []uint32
	Bytes   []byte
	Valid   []bool // nil: no nulls
}

// Schema lists the value columns of a table; names are unique and not "key" or "op".
type Schema []arrow.Field

// New returns rows of the schema, none yet.
func New(schema Schema) *Rows {
	r := &Rows{KeyOffsets: []uint32{0}, Cols: make([]Column, len(schema))}
	for i, f := range schema {
		r.Cols[i].init(kindOf(f.Type))
	}
	return r
}

// init makes the column one of a kind, without values. What it has of that kind already stays as memory.
func (c *Column) init(k kind) {
	switch {
	case k == kindInt && c.Ints == nil:
		c.Ints = []int64{}
	case k == kindFloat && c.Floats == nil:
		c.Floats = []float64{}
	case k == kindBool && c.Bools == nil:
		c.Bools = []bool{}
	case k == kindBytes && c.Offsets == nil:
		c.Offsets = []uint32{0}
	}
}

// Null appends a null to a column that has n values.
func (c *Column) Null(n int) {
	if c.Valid == nil {
		c.Valid = make([]bool, n, n+16)
		for i := range c.Valid {
			c.Valid[i] = true
		}
	}
	c.Valid = append(c.Valid, false)
	switch {
	case c.Floats != nil:
		c.Floats = append(c.Floats, 0)
	case c.Bools != nil:
		c.Bools = append(c.Bools, false)
	case c.Offsets != nil:
		c.Offsets = append(c.Offsets, uint32(len(c.Bytes)))
	default:
		c.Ints = append(c.Ints, 0)
	}
}

// Append appends row i of from, whose columns are r's.
func (r *Rows) Append(from *Rows, i int) {
	n := r.Len()
	r.KeyBytes = append(r.KeyBytes, from.Key(i)...)
	r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
	r.Ops = append(r.Ops, from.Ops[i])
	for k := range r.Cols {
		c, f := &r.Cols[k], &from.Cols[k]
		if f.Valid != nil && !f.Valid[i] {
			c.Null(n)
			continue
		}
		switch {
		case c.Floats != nil:
			c.Floats = append(c.Floats, f.Floats[i])
		case c.Bools != nil:
			c.Bools = append(c.Bools, f.Bools[i])
		case c.Offsets != nil:
			c.Bytes = append(c.Bytes, f.Bytes[f.Offsets[i]:f.Offsets[i+1]]...)
			c.Offsets = append(c.Offsets, uint32(len(c.Bytes)))
		default:
			c.Ints = append(c.Ints, f.Ints[i])
		}
		if c.Valid != nil {
			c.Valid = append(c.Valid, true)
		}
	}
}
