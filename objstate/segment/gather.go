package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
)

// What follows adds the buffers of a block's columns. Rows says which rows, in which order; nil: all as they are, which need not be gathered.

func (w *Writer) keysAndOps(r *Rows, rows []uint32, add func([]byte)) (nulls []int, err error) {
	n := r.Len()
	if rows != nil {
		n = len(rows)
	}
	add(nil)
	if w.keyWidth == 0 {
		add(w.offsets(r.KeyOffsets, rows))
	}
	keys := w.bytes(r.KeyOffsets, r.KeyBytes, rows)
	if w.keyWidth > 0 && len(keys) != w.keyWidth*n {
		return nil, fmt.Errorf("%d keys of %d bytes have %d bytes", n, w.keyWidth, len(keys))
	}
	add(keys)
	add(nil)
	s := w.buffer(n)
	for k := range s {
		i := k
		if rows != nil {
			i = int(rows[k])
		}
		s[k] = byte(r.Ops[i])
	}
	add(s)
	return []int{0, 0}, nil
}

// column adds the buffers of a value column and returns its nulls.
func (w *Writer) column(c *Column, k kind, rows []uint32, add func([]byte)) (nulls int) {
	if nulls = c.nulls(rows); nulls > 0 {
		add(w.bits(c.Valid, rows))
	} else {
		add(nil)
	}
	switch k {
	case kindInt:
		add(w.ints(c.Ints, rows))
	case kindFloat:
		add(w.floats(c.Floats, rows))
	case kindBool:
		add(w.bits(c.Bools, rows))
	case kindBytes:
		add(w.offsets(c.Offsets, rows))
		add(w.bytes(c.Offsets, c.Bytes, rows))
	}
	return nulls
}

func (c *Column) nulls(rows []uint32) (n int) {
	if rows == nil {
		for _, valid := range c.Valid {
			if !valid {
				n++
			}
		}
		return n
	}
	if c.Valid != nil {
		for _, i := range rows {
			if !c.Valid[i] {
				n++
			}
		}
	}
	return n
}

func (w *Writer) ints(from []int64, rows []uint32) []byte {
	if rows == nil {
		return arrow.Int64Traits.CastToBytes(from) // all machines that this is built for are little-endian
	}
	s := w.buffer(8 * len(rows))
	for k, i := range rows {
		binary.LittleEndian.PutUint64(s[8*k:], uint64(from[i]))
	}
	return s
}

func (w *Writer) floats(from []float64, rows []uint32) []byte {
	if rows == nil {
		return arrow.Float64Traits.CastToBytes(from)
	}
	s := w.buffer(8 * len(rows))
	for k, i := range rows {
		binary.LittleEndian.PutUint64(s[8*k:], math.Float64bits(from[i]))
	}
	return s
}

// offsets returns the offsets of rows of variable width, from 0.
func (w *Writer) offsets(from []uint32, rows []uint32) []byte {
	if rows == nil {
		return arrow.Uint32Traits.CastToBytes(from) // of Rows, which begin at 0
	}
	s := w.buffer(4 * (len(rows) + 1))
	total := uint32(0)
	binary.LittleEndian.PutUint32(s, 0)
	for k, i := range rows {
		total += from[i+1] - from[i]
		binary.LittleEndian.PutUint32(s[4*(k+1):], total)
	}
	return s
}

// bytes returns rows of variable width one after the other.
func (w *Writer) bytes(offsets []uint32, from []byte, rows []uint32) []byte {
	if rows == nil {
		return from
	}
	s := w.buffer(0)
	for _, i := range rows {
		b := from[offsets[i]:offsets[i+1]]
		if n := len(b); n >= 8 && n <= 16 { // most keys: two stores that may overlap, instead of a call
			s = append(s, make([]byte, n)...)
			d := s[len(s)-n:]
			binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(b))
			binary.LittleEndian.PutUint64(d[n-8:], binary.LittleEndian.Uint64(b[n-8:]))
			continue
		}
		s = append(s, b...)
	}
	w.raw = s
	return s
}

func (w *Writer) bits(set []bool, rows []uint32) []byte {
	n := len(set)
	if rows != nil {
		n = len(rows)
	}
	s := w.buffer((n + 7) / 8)
	clear(s)
	for k := range n {
		i := k
		if rows != nil {
			i = int(rows[k])
		}
		if set[i] {
			s[k/8] |= 1 << (k % 8)
		}
	}
	return s
}
