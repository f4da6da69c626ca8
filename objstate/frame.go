package objstate

import (
	"encoding/binary"
	"slices"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Frame is what one part has changed between two barriers, copied out: rows in no order, each with the time that chooses its bucket.
type Frame struct {
	rows  segment.Rows
	times []int64

	cut       uint64 // that it is of
	committed uint64 // number of the last cut that is committed
}

func newFrame(schema segment.Schema) *Frame { return &Frame{rows: *segment.New(schema)} }

// expect makes room for n more rows with keys like one of a table, at once: growing step by step is most of what a lane would stand still for.
func (f *Frame) expect(n, key int) {
	r := &f.rows
	r.KeyBytes, r.KeyOffsets, r.Ops = slices.Grow(r.KeyBytes, n*key), slices.Grow(r.KeyOffsets, n), slices.Grow(r.Ops, n)
	f.times = slices.Grow(f.times, n)
	for i := range r.Cols {
		c := &r.Cols[i]
		switch {
		case c.Floats != nil:
			c.Floats = slices.Grow(c.Floats, n)
		case c.Bools != nil:
			c.Bools = slices.Grow(c.Bools, n)
		case c.Offsets != nil:
			c.Offsets = slices.Grow(c.Offsets, n)
		default:
			c.Ints = slices.Grow(c.Ints, n)
		}
	}
}

// put begins a row; the caller appends one value to each column.
func (f *Frame) put(hash uint64, key, suffix []byte, at int64) {
	f.row(hash, key, suffix, at, segment.Put)
}

func (f *Frame) row(hash uint64, key, suffix []byte, at int64, op segment.Op) {
	r := &f.rows
	r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, rowkey.Hash32(hash))
	r.KeyBytes = append(append(r.KeyBytes, key...), suffix...)
	r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
	r.Ops = append(r.Ops, op)
	f.times = append(f.times, at)
}

// delete adds a row that deletes its key.
func (f *Frame) delete(hash uint64, key, suffix []byte, at int64) {
	f.row(hash, key, suffix, at, segment.Delete)
	for i := range f.rows.Cols {
		c := &f.rows.Cols[i]
		c.Null(len(f.rows.Ops) - 1)
	}
}

// value appends the value of a slot to column i.
func (f *Frame) value(i int, from *Column, slot uint32) {
	c := &f.rows.Cols[i]
	if from.Valid != nil && !from.Valid[slot] {
		c.Null(len(f.rows.Ops) - 1)
		return
	}
	switch {
	case from.Floats != nil:
		c.Floats = append(c.Floats, from.Floats[slot])
	case from.Bools != nil:
		c.Bools = append(c.Bools, from.Bools[slot])
	case from.Texts != nil:
		c.Bytes = append(c.Bytes, from.Texts[slot]...)
		c.Offsets = append(c.Offsets, uint32(len(c.Bytes)))
	default:
		c.Ints = append(c.Ints, from.Ints[slot])
	}
	if c.Valid != nil {
		c.Valid = append(c.Valid, true)
	}
}

// Row adds a row of a part that keeps no Table: its op, and for a put one int64 for each column.
func (f *Frame) Row(hash uint64, key, suffix []byte, at int64, op segment.Op, values ...int64) {
	if op == segment.Delete {
		f.delete(hash, key, suffix, at)
		return
	}
	f.row(hash, key, suffix, at, op)
	for i, v := range values {
		f.rows.Cols[i].Ints = append(f.rows.Cols[i].Ints, v)
		if c := &f.rows.Cols[i]; c.Valid != nil {
			c.Valid = append(c.Valid, true)
		}
	}
}

// Table adds what has changed in a table since the last barrier, with a suffix behind each key and the time that chooses the bucket.
func (f *Frame) Table(t *Table, suffix []byte, at int64) { t.freeze(f, suffix, at) }

// Marks takes note of the slots of a table without rows that something has changed that hangs on them: it is in this cut.
func (f *Frame) Marks(t *Table) {
	t.Settle(f.committed)
	t.file(f.cut)
}
