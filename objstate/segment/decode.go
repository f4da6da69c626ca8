package segment

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/apache/arrow-go/v18/arrow"
	flatbuffers "github.com/google/flatbuffers/go"
)

// Decoder decodes blocks into memory of its own, which the next call uses again. One goroutine uses it; the zero Decoder is ready.
type Decoder struct {
	rows   Rows
	tmp    [][]byte // decompressed buffers, by number
	seek   blockDecoder
	keys   Keys
	picked Rows   // in memory of their own
	schema Schema // of the segment of seek
}

// Decode returns the rows of block i from its bytes. They are valid until the next call, and as long as b is not changed.
func (d *Decoder) Decode(r *Reader, i int, b []byte) (rows *Rows, err error) {
	defer guard("a block", &err)
	x, err := d.open(r, i, b)
	if err != nil {
		return nil, err
	}
	x.all(r.schema)
	if x.err != nil {
		return nil, corrupt("block %d: %w", i, x.err)
	}
	return &d.rows, nil
}

// open checks the bytes of block i, and returns what takes its buffers.
func (d *Decoder) open(r *Reader, i int, b []byte) (x blockDecoder, err error) {
	bi := &r.blocks[i]
	if int64(len(b)) != bi.Length() {
		return x, corrupt("block %d has %d bytes, the index says %d", i, len(b), bi.Length())
	}
	if got := crc32.Checksum(b, castagnoli); got != bi.crc {
		return x, corrupt("the checksum of block %d is %08x, want %08x", i, got, bi.crc)
	}
	x = blockDecoder{d: d, body: b[bi.meta:], rows: bi.Rows}
	msg := rootTable(b[8:bi.meta])
	at := slot(&msg, 2)
	if at == 0 {
		return x, corrupt("block %d has no header", i)
	}
	rb := flatbuffers.Table{Bytes: msg.Bytes, Pos: msg.Indirect(at)}
	if c := slot(&rb, 3); c != 0 {
		t := flatbuffers.Table{Bytes: rb.Bytes, Pos: rb.Indirect(c)}
		x.codec = LZ4
		if s := slot(&t, 0); s != 0 {
			x.codec = Codec(t.GetByte(s) + 1)
		}
	}
	if s := slot(&rb, 0); s == 0 || rb.GetInt64(s) != int64(bi.Rows) {
		return x, corrupt("block %d has not the rows that the index says", i)
	}
	bufs := rb.Offset(4 + 2*2)
	if bufs == 0 {
		return x, corrupt("block %d has no buffers", i)
	}
	x.meta, x.at, x.left = rb.Bytes, rb.Vector(flatbuffers.UOffsetT(bufs)), rb.VectorLen(flatbuffers.UOffsetT(bufs))
	return x, nil
}

// decode decodes block i from its bytes; the rows are the caller's.
func (r *Reader) decode(i int, b []byte) (*Rows, error) { return new(Decoder).Decode(r, i, b) }

// blockDecoder takes the buffers of a block one after the other.
type blockDecoder struct {
	d     *Decoder
	body  []byte
	rows  int
	codec Codec
	meta  []byte
	at    flatbuffers.UOffsetT
	left  int
	taken int
	few   bool // rows are wanted: buffers are decompressed in parts
	err   error
}

// next returns the next buffer, decompressed.
func (x *blockDecoder) next() []byte {
	raw, tmp := x.raw()
	if tmp == nil {
		return nil
	}
	b, err := decompress(x.codec, raw, tmp)
	if err != nil && x.err == nil {
		x.err = err
	}
	return b
}

// raw returns the next buffer as the block holds it, and memory to decompress it to; nil: there is none.
func (x *blockDecoder) raw() (b []byte, tmp *[]byte) {
	if x.left == 0 || x.err != nil {
		x.fail()
		return nil, nil
	}
	off, n := int64(binary.LittleEndian.Uint64(x.meta[x.at:])), int64(binary.LittleEndian.Uint64(x.meta[x.at+8:]))
	x.at += 16
	x.left--
	if off < 0 || n < 0 || n > int64(len(x.body)) || off > int64(len(x.body))-n {
		x.fail()
		return nil, nil
	}
	if x.taken == len(x.d.tmp) {
		x.d.tmp = append(x.d.tmp, nil)
	}
	x.taken++
	return x.body[off : off+n], &x.d.tmp[x.taken-1]
}

func (x *blockDecoder) fail() {
	if x.err == nil {
		x.err = errBuffer
	}
}

// sized returns the next buffer, which must hold at least n bytes.
func (x *blockDecoder) sized(n int) []byte {
	b := x.next()
	if len(b) < n {
		x.fail()
		return make([]byte, n)
	}
	return b[:n]
}

// room returns a slice of n elements, in the memory of s where that is enough. It is never nil: a column is told by which of its slices is there.
func room[T any](s []T, n int) []T {
	if s == nil || cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// offsets returns the next buffer as offsets that ascend, in the memory of out, and then the bytes that they divide.
func (x *blockDecoder) offsets(out []uint32) ([]uint32, []byte) {
	out = room(out, x.rows+1)
	b := x.sized(4 * (x.rows + 1))
	last, ascends := uint32(0), true
	for i := range out {
		v := binary.LittleEndian.Uint32(b[4*i:])
		ascends = ascends && v >= last
		out[i], last = v, v
	}
	if !ascends {
		x.fail()
		clear(out)
		return out, nil
	}
	bytes := x.next()
	if out[0] != 0 || int64(out[x.rows]) > int64(len(bytes)) {
		x.fail()
		clear(out)
		return out, nil
	}
	return out, bytes[:out[x.rows]]
}

func (x *blockDecoder) all(schema Schema) {
	r := &x.d.rows
	if len(r.Cols) != len(schema) {
		r.Cols = make([]Column, len(schema))
	}
	x.keys(r, x.fixed(schema))
	x.next()
	ops := x.sized(x.rows)
	r.Ops = room(r.Ops, x.rows)
	for i, o := range ops {
		if o > byte(Delete) {
			x.fail()
		}
		r.Ops[i] = Op(o)
	}
	for i, f := range schema {
		x.column(kindOf(f.Type), &r.Cols[i])
	}
}

// fixed tells whether all keys of the block have one length: then they have no offsets.
func (x *blockDecoder) fixed(schema Schema) bool { return x.left-2-buffersOf(schema) == 2 }

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
func (x *blockDecoder) keys(r *Rows, fixed bool) {
	x.next()
	if !fixed {
		r.KeyOffsets, r.KeyBytes = x.offsets(r.KeyOffsets)
	} else {
		b := x.next()
		width := len(b) / max(1, x.rows)
		r.KeyOffsets = room(r.KeyOffsets, x.rows+1)
		for i := range r.KeyOffsets {
			r.KeyOffsets[i] = uint32(i * width)
		}
		if r.KeyBytes = b[:x.rows*width]; width < 4 {
			x.fail()
		}
		return
	}
	for i := range x.rows {
		if r.KeyOffsets[i+1]-r.KeyOffsets[i] < 4 {
			x.fail()
			return
		}
	}
}

func (x *blockDecoder) column(k kind, c *Column) {
	c.init(k)
	valid := c.Valid
	c.Valid = nil
	if b := x.next(); len(b) > 0 {
		if len(b) < (x.rows+7)/8 {
			x.fail()
			return
		}
		c.Valid = room(valid, x.rows)
		for i := range c.Valid {
			c.Valid[i] = bit(b, i)
		}
	}
	switch k {
	case kindInt:
		b := x.sized(8 * x.rows)
		c.Ints = room(c.Ints, x.rows)
		copy(arrow.Int64Traits.CastToBytes(c.Ints), b) // all machines that this is built for are little-endian
	case kindFloat:
		b := x.sized(8 * x.rows)
		c.Floats = room(c.Floats, x.rows)
		copy(arrow.Float64Traits.CastToBytes(c.Floats), b)
	case kindBool:
		b := x.sized((x.rows + 7) / 8)
		c.Bools = room(c.Bools, x.rows)
		for i := range c.Bools {
			c.Bools[i] = bit(b, i)
		}
	case kindBytes:
		c.Offsets, c.Bytes = x.offsets(c.Offsets)
	}
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
