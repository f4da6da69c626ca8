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
	times []int64 // of parts with buckets
	timed bool

	cut       uint64 // that it is of
	committed uint64 // number of the last cut that is committed
}

func newFrame(p *part) *Frame { return &Frame{rows: *segment.New(p.Schema), timed: p.Base > 0} }

// expect makes room for n more rows with keys of so many bytes, at once: growing step by step is most of what a lane would stand still for.
func (f *Frame) expect(n, key int) {
	r := &f.rows
	r.KeyBytes, r.KeyOffsets, r.Ops = slices.Grow(r.KeyBytes, n*key), slices.Grow(r.KeyOffsets, n), slices.Grow(r.Ops, n)
	if f.timed {
		f.times = slices.Grow(f.times, n)
	}
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

// puts adds the rows of slots of a table, with a suffix behind each key where the table's own keys have none. It goes column by column: there is nothing to
// decide for each value.
func (f *Frame) puts(t *Table, slots []uint32, suffix []byte, at int64) {
	r, before := &f.rows, f.rows.Len()
	_, key, own := t.expanded(slots[0])
	f.expect(len(slots), 4+len(key)+len(own)+len(suffix))
	keys, offsets := r.KeyBytes, r.KeyOffsets
	for _, slot := range slots {
		hash, key, own := t.expanded(slot)
		if t.Expand != nil {
			suffix = own
		}
		keys = binary.BigEndian.AppendUint32(keys, rowkey.Hash32(hash))
		keys = append(append(keys, key...), suffix...)
		offsets = append(offsets, uint32(len(keys)))
	}
	r.KeyBytes, r.KeyOffsets = keys, offsets
	r.Ops = r.Ops[:before+len(slots)]
	for i := before; i < len(r.Ops); i++ {
		r.Ops[i] = segment.Put
	}
	if f.timed {
		for range slots {
			f.times = append(f.times, at)
		}
	}
	for i := range r.Cols {
		gather(&r.Cols[i], before, &t.Cols[i], slots)
	}
}

// gather appends the values of slots to a column that has so many.
func gather(c *segment.Column, before int, from *Column, slots []uint32) {
	switch {
	case from.Floats != nil:
		c.Floats = gathered(c.Floats, from.Floats, slots)
	case from.Bools != nil:
		c.Bools = gathered(c.Bools, from.Bools, slots)
	case from.Texts != nil:
		n := 0
		for _, slot := range slots {
			n += len(from.Texts[slot])
		}
		c.Bytes = slices.Grow(c.Bytes, n)
		for _, slot := range slots {
			c.Bytes = append(c.Bytes, from.Texts[slot]...)
			c.Offsets = append(c.Offsets, uint32(len(c.Bytes)))
		}
	default:
		c.Ints = gathered(c.Ints, from.Ints, slots)
	}
	switch {
	case from.Valid != nil && (c.Valid != nil || anyNull(from.Valid, slots)):
		if c.Valid == nil {
			c.Valid = slices.Repeat([]bool{true}, before)
		}
		c.Valid = gathered(c.Valid, from.Valid, slots)
	case c.Valid != nil:
		c.Valid = append(c.Valid, slices.Repeat([]bool{true}, len(slots))...)
	}
}

func gathered[T any](dst, from []T, slots []uint32) []T {
	at := len(dst)
	dst = slices.Grow(dst, len(slots))[:at+len(slots)]
	for i, slot := range slots {
		dst[at+i] = from[slot]
	}
	return dst
}

func anyNull(valid []bool, slots []uint32) bool {
	for _, slot := range slots {
		if !valid[slot] {
			return true
		}
	}
	return false
}

func (f *Frame) row(hash uint64, key, suffix []byte, at int64, op segment.Op) {
	r := &f.rows
	r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, rowkey.Hash32(hash))
	r.KeyBytes = append(append(r.KeyBytes, key...), suffix...)
	r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
	r.Ops = append(r.Ops, op)
	if f.timed {
		f.times = append(f.times, at)
	}
}

// delete adds a row that deletes its key.
func (f *Frame) delete(hash uint64, key, suffix []byte, at int64) {
	f.row(hash, key, suffix, at, segment.Delete)
	for i := range f.rows.Cols {
		c := &f.rows.Cols[i]
		c.Null(len(f.rows.Ops) - 1)
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
