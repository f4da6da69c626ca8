package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	flatbuffers "github.com/google/flatbuffers/go"
)

// decode decodes block i from its bytes.
func (r *Reader) decode(i int, b []byte) (rows *Rows, err error) {
	bi := r.blocks[i]
	if got := crc32.Checksum(b, castagnoli); got != bi.crc {
		return nil, corrupt("the checksum of block %d is %08x, want %08x", i, got, bi.crc)
	}
	defer guard("a block", &err)
	d := blockDecoder{body: b[bi.meta:], rows: bi.Rows}
	msg := rootTable(b[8:bi.meta])
	at := slot(&msg, 2)
	if at == 0 {
		return nil, corrupt("block %d has no header", i)
	}
	rb := flatbuffers.Table{Bytes: msg.Bytes, Pos: msg.Indirect(at)}
	if c := slot(&rb, 3); c != 0 {
		t := flatbuffers.Table{Bytes: rb.Bytes, Pos: rb.Indirect(c)}
		d.codec = LZ4
		if s := slot(&t, 0); s != 0 {
			d.codec = Codec(t.GetByte(s) + 1)
		}
	}
	if s := slot(&rb, 0); s == 0 || rb.GetInt64(s) != int64(bi.Rows) {
		return nil, corrupt("block %d has not the rows that the index says", i)
	}
	bufs := rb.Offset(4 + 2*2)
	if bufs == 0 {
		return nil, corrupt("block %d has no buffers", i)
	}
	d.meta, d.at, d.left = rb.Bytes, rb.Vector(flatbuffers.UOffsetT(bufs)), rb.VectorLen(flatbuffers.UOffsetT(bufs))
	rows = d.all(r.schema)
	if d.err != nil {
		return nil, corrupt("block %d: %w", i, d.err)
	}
	return rows, nil
}

// blockDecoder takes the buffers of a block one after the other.
type blockDecoder struct {
	body  []byte
	rows  int
	codec Codec
	meta  []byte
	at    flatbuffers.UOffsetT
	left  int
	err   error
}

// next returns the next buffer, decompressed.
func (d *blockDecoder) next() []byte {
	if d.left == 0 || d.err != nil {
		d.fail()
		return nil
	}
	off, n := int64(binary.LittleEndian.Uint64(d.meta[d.at:])), int64(binary.LittleEndian.Uint64(d.meta[d.at+8:]))
	d.at += 16
	d.left--
	if off < 0 || n < 0 || n > int64(len(d.body)) || off > int64(len(d.body))-n {
		d.fail()
		return nil
	}
	b, err := decompress(d.codec, d.body[off:off+n])
	if err != nil && d.err == nil {
		d.err = err
	}
	return b
}

func (d *blockDecoder) fail() {
	if d.err == nil {
		d.err = errBuffer
	}
}

// sized returns the next buffer, which must hold at least n bytes.
func (d *blockDecoder) sized(n int) []byte {
	b := d.next()
	if len(b) < n {
		d.fail()
		return make([]byte, n)
	}
	return b[:n]
}

// offsets returns the next buffer as offsets that ascend, and then the bytes that they divide.
func (d *blockDecoder) offsets() ([]uint32, []byte) {
	b := d.sized(4 * (d.rows + 1))
	out := make([]uint32, d.rows+1)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
		if i > 0 && out[i] < out[i-1] {
			d.fail()
			return make([]uint32, d.rows+1), nil
		}
	}
	bytes := d.next()
	if out[0] != 0 || int64(out[d.rows]) > int64(len(bytes)) {
		d.fail()
		return make([]uint32, d.rows+1), nil
	}
	return out, append([]byte(nil), bytes[:out[d.rows]]...)
}

func (d *blockDecoder) all(schema Schema) *Rows {
	r := &Rows{Cols: make([]Column, len(schema))}
	d.keys(r, d.left-2-buffersOf(schema) == 2)
	d.next()
	ops := d.sized(d.rows)
	r.Ops = make([]Op, d.rows)
	for i, o := range ops {
		if o > byte(Delete) {
			d.fail()
		}
		r.Ops[i] = Op(o)
	}
	for i, f := range schema {
		r.Cols[i] = d.column(kindOf(f.Type))
	}
	return r
}

// buffersOf returns how many buffers the value columns have.
func buffersOf(schema Schema) int {
	n := 0
	for _, f := range schema {
		n += 2
		if kindOf(f.Type) == kindBytes {
			n++
		}
	}
	return n
}

// keys decodes the key column, of fixed width or not.
func (d *blockDecoder) keys(r *Rows, fixed bool) {
	d.next()
	if !fixed {
		r.KeyOffsets, r.KeyBytes = d.offsets()
	} else {
		b := d.next()
		width := len(b) / max(1, d.rows)
		r.KeyOffsets = make([]uint32, d.rows+1)
		for i := range r.KeyOffsets {
			r.KeyOffsets[i] = uint32(i * width)
		}
		r.KeyBytes = append([]byte(nil), b[:d.rows*width]...)
	}
	for i := range d.rows {
		if r.KeyOffsets[i+1]-r.KeyOffsets[i] < 4 {
			d.fail()
			return
		}
	}
}

func (d *blockDecoder) column(k kind) (c Column) {
	if b := d.next(); len(b) > 0 {
		if len(b) < (d.rows+7)/8 {
			d.fail()
			return c
		}
		c.Valid = make([]bool, d.rows)
		for i := range c.Valid {
			c.Valid[i] = b[i/8]>>(i%8)&1 != 0
		}
	}
	switch k {
	case kindInt:
		b := d.sized(8 * d.rows)
		c.Ints = make([]int64, d.rows)
		for i := range c.Ints {
			c.Ints[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case kindFloat:
		b := d.sized(8 * d.rows)
		c.Floats = make([]float64, d.rows)
		for i := range c.Floats {
			c.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case kindBool:
		b := d.sized((d.rows + 7) / 8)
		c.Bools = make([]bool, d.rows)
		for i := range c.Bools {
			c.Bools[i] = b[i/8]>>(i%8)&1 != 0
		}
	case kindBytes:
		c.Offsets, c.Bytes = d.offsets()
	}
	return c
}

// clip returns the rows whose hash32 lies in [lo,hi); r is in order.
func (r *Rows) clip(lo, hi uint64) *Rows {
	from, to := 0, r.Len()
	for from < to && uint64(hash32(r.Key(from))) < lo {
		from++
	}
	for to > from && uint64(hash32(r.Key(to-1))) >= hi {
		to--
	}
	if from == 0 && to == r.Len() {
		return r
	}
	c := &Rows{KeyOffsets: r.KeyOffsets[from : to+1], KeyBytes: r.KeyBytes, Ops: r.Ops[from:to], Cols: make([]Column, len(r.Cols))}
	for i, col := range r.Cols {
		c.Cols[i] = col.slice(from, to)
	}
	return c
}

func (c Column) slice(from, to int) Column {
	s := c
	if c.Ints != nil {
		s.Ints = c.Ints[from:to]
	}
	if c.Floats != nil {
		s.Floats = c.Floats[from:to]
	}
	if c.Bools != nil {
		s.Bools = c.Bools[from:to]
	}
	if c.Offsets != nil {
		s.Offsets = c.Offsets[from : to+1]
	}
	if c.Valid != nil {
		s.Valid = c.Valid[from:to]
	}
	return s
}
