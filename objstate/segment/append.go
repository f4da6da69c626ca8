package segment

import (
	"bytes"
	"cmp"
	"slices"
)

// Append adds row i of r, whose key comes after all before it; who calls it sees to that, and Options.Bounds does not count.
func (w *Writer) Append(r *Rows, i int) error { return w.AppendRows(r, i, i+1) }

// AppendRows is Append of rows [from,to).
func (w *Writer) AppendRows(r *Rows, from, to int) error {
	if w.pending == nil {
		w.pending = New(w.schema)
	}
	each := max(1, r.Bytes()/int64(max(1, r.Len())))
	for from < to {
		n := min(w.room(each), to-from)
		w.pending.AppendRows(r, from, from+n)
		from += n
		if w.room(each) > 0 {
			continue
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

// room returns how many rows of so many bytes the block in the making takes before it is full, at least one more than none.
func (w *Writer) room(each int64) int {
	if w.o.BlockRows > 0 {
		return w.o.BlockRows - w.pending.Len()
	}
	left := w.blockBytes() - w.pending.Bytes()
	if left <= 0 {
		return 0
	}
	return min(int((left+each-1)/each), mostBlockRows-w.pending.Len())
}

func (w *Writer) blockBytes() int64 { return int64(cmp.Or(w.o.BlockBytes, defaultBlockBytes)) }

func (w *Writer) flush() error {
	if w.pending == nil || w.pending.Len() == 0 {
		return nil
	}
	err := w.block(w.pending, nil)
	w.pending.Reset()
	return err
}

// AppendRun adds the rows of a run. A run that is a whole block of another segment is taken over as it is stored there, where that fits.
func (w *Writer) AppendRun(x Run) error {
	if !w.takes(x) {
		return w.AppendRows(x.Rows, x.From, x.To)
	}
	if w.pending != nil && w.pending.Len() > 0 {
		if w.pending.Bytes() < w.blockBytes()/2 { // one block of both, rather than one of a few rows
			w.pending.AppendRows(x.Rows, x.From, x.To)
			return w.flush()
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	b := x.block
	b.Offset = int64(len(w.dst) - w.base)
	b.First, b.Last = bytes.Clone(b.First), bytes.Clone(b.Last)
	w.dst = append(w.dst, x.stored...)
	w.blocks = append(w.blocks, b)
	w.rows += b.Rows
	w.addHashes(x.Rows)
	return nil
}

// takes tells whether a run's block may stand in the segment as it is: it is of the segment's columns, of about its size of blocks, and begins where one may.
func (w *Writer) takes(x Run) bool {
	if x.stored == nil || w.o.BlockRows > 0 || x.of.keyWidth != w.keyWidth || !same(x.of.schema, w.schema) || (len(w.dst)-w.base)%8 != 0 || len(x.stored)%8 != 0 {
		return false
	}
	n := x.Rows.Bytes()
	return n >= w.blockBytes()/2 && n <= 2*w.blockBytes()
}

func (w *Writer) addHashes(r *Rows) {
	for i := range r.Len() {
		if h := hash32(r.Key(i)); len(w.hashes) == 0 || h != w.hashes[len(w.hashes)-1] {
			w.hashes = append(w.hashes, h)
		}
	}
}

// Reserve makes room for n more bytes at once.
func (w *Writer) Reserve(n int) { w.dst = slices.Grow(w.dst, n) }

// AppendRows appends rows [i,j) of from, whose columns are r's.
func (r *Rows) AppendRows(from *Rows, i, j int) {
	n, at := r.Len(), uint32(len(r.KeyBytes))-from.KeyOffsets[i]
	r.KeyBytes = append(r.KeyBytes, from.KeyBytes[from.KeyOffsets[i]:from.KeyOffsets[j]]...)
	for _, o := range from.KeyOffsets[i+1 : j+1] {
		r.KeyOffsets = append(r.KeyOffsets, o+at)
	}
	r.Ops = append(r.Ops, from.Ops[i:j]...)
	for k := range r.Cols {
		r.Cols[k].appendRows(n, &from.Cols[k], i, j)
	}
}

// appendRows appends values [i,j) of a column of the same type to one that has n.
func (c *Column) appendRows(n int, from *Column, i, j int) {
	switch {
	case from.Valid != nil && slices.Contains(from.Valid[i:j], false):
		if c.Valid == nil {
			c.Valid = slices.Grow(c.Valid, n+j-i)
			for range n {
				c.Valid = append(c.Valid, true)
			}
		}
		c.Valid = append(c.Valid, from.Valid[i:j]...)
	case c.Valid != nil:
		for range j - i {
			c.Valid = append(c.Valid, true)
		}
	}
	switch {
	case c.Floats != nil:
		c.Floats = append(c.Floats, from.Floats[i:j]...)
	case c.Bools != nil:
		c.Bools = append(c.Bools, from.Bools[i:j]...)
	case c.Offsets != nil:
		at := uint32(len(c.Bytes)) - from.Offsets[i]
		c.Bytes = append(c.Bytes, from.Bytes[from.Offsets[i]:from.Offsets[j]]...)
		for _, o := range from.Offsets[i+1 : j+1] {
			c.Offsets = append(c.Offsets, o+at)
		}
	default:
		c.Ints = append(c.Ints, from.Ints[i:j]...)
	}
}
