package segment

import (
	"encoding/binary"
	"math"
)

// Keys are the keys of a block as it holds them: ascending, and none of them copied.
type Keys struct {
	bytes   []byte
	offsets []byte // little-endian uint32s, one more than keys; nil: all keys have one length
	width   int
	n       int
}

// Len returns how many keys there are.
func (k *Keys) Len() int { return k.n }

// At returns key i. It is empty where offsets are malformed; no key is.
func (k *Keys) At(i int) []byte {
	if k.offsets == nil {
		return k.bytes[i*k.width : (i+1)*k.width : (i+1)*k.width]
	}
	from, to := binary.LittleEndian.Uint32(k.offsets[4*i:]), binary.LittleEndian.Uint32(k.offsets[4*i+4:])
	if from > to || int64(to) > int64(len(k.bytes)) {
		return nil
	}
	return k.bytes[from:to:to]
}

// Search returns the first key from number from on whose hash32 is at least hash.
func (k *Keys) Search(hash uint32, from int) int {
	lo, hi := from, k.n
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); k.hash(m) < hash {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

func (k *Keys) hash(i int) uint32 {
	if key := k.At(i); len(key) >= 4 {
		return hash32(key)
	}
	return 0
}

// Seek returns the keys of block i from its bytes, so that single rows of it can be looked for: Pick, called once, decodes those that are wanted. It is what
// Decode is not: cheap, for few rows of many. All is valid until the next call of Seek or Decode, and as long as b is not changed.
func (d *Decoder) Seek(r *Reader, i int, b []byte) (keys *Keys, err error) {
	defer guard("a block", &err)
	x, err := d.open(r, i, b)
	if err != nil {
		return nil, err
	}
	d.schema, d.keys = r.schema, Keys{n: x.rows}
	fixed := x.fixed(r.schema)
	x.next()
	if !fixed {
		d.keys.offsets = x.sized(4 * (x.rows + 1))
	}
	if d.keys.bytes = x.next(); fixed {
		d.keys.width = len(d.keys.bytes) / max(1, x.rows)
	}
	if x.err != nil || fixed && d.keys.width < 4 {
		return nil, corrupt("block %d: %w", i, errBuffer)
	}
	d.seek = x
	return &d.keys, nil
}

// Pick returns rows of the block that Seek has opened, by their numbers there. The rows are valid as long as the keys are.
func (d *Decoder) Pick(rows []int) (out *Rows, err error) {
	defer guard("a block", &err)
	x, r := &d.seek, &d.picked
	if len(r.Cols) != len(d.schema) {
		r.Cols = make([]Column, len(d.schema))
	}
	r.KeyOffsets, r.KeyBytes, r.Ops = append(r.KeyOffsets[:0], 0), r.KeyBytes[:0], r.Ops[:0]
	for _, i := range rows {
		key := d.keys.At(i)
		if len(key) < 4 {
			return nil, corrupt("a block: %w", errBuffer)
		}
		r.KeyBytes = append(r.KeyBytes, key...)
		r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
	}
	x.few = len(rows) <= few
	x.next()
	ops := x.parts()
	for _, i := range rows {
		op := Op(ops.at(i, i+1, 1)[0])
		if op > Delete {
			x.fail()
		}
		r.Ops = append(r.Ops, op)
	}
	for i, f := range d.schema {
		x.pick(kindOf(f.Type), &r.Cols[i], rows)
	}
	if x.err != nil {
		return nil, corrupt("a block: %w", x.err)
	}
	return r, nil
}

// few is up to how many rows are decompressed one by one.
const few = 4

// parts is a buffer of which parts are wanted.
type parts struct {
	x   *blockDecoder
	raw []byte
	tmp *[]byte
	all []byte // decompressed, unless few rows are picked
}

// parts returns the next buffer.
func (x *blockDecoder) parts() (p parts) {
	p.x = x
	if x.few {
		p.raw, p.tmp = x.raw()
	} else {
		p.all = x.next()
	}
	return p
}

// empty tells whether the buffer has nothing.
func (p *parts) empty() bool { return len(p.raw) == 0 && len(p.all) == 0 }

// at returns values [i,j) of the buffer, which are width bytes each. They are valid until the next call.
func (p *parts) at(i, j, width int) []byte {
	from, to := i*width, j*width
	b := p.all
	if p.x.few && p.tmp != nil {
		var err error
		if b, err = part(p.x.codec, p.raw, from, to, p.tmp); err == nil {
			return b
		}
		b = nil
	}
	if to > len(b) {
		p.x.fail()
		return make([]byte, 8) // enough for one value: the rows are refused
	}
	return b[from:to]
}

// pick decodes rows of the next column.
func (x *blockDecoder) pick(k kind, c *Column, rows []int) {
	c.init(k)
	valid := c.Valid
	c.Valid = nil
	if bits := x.parts(); !bits.empty() {
		c.Valid = room(valid, len(rows))
		for k, i := range rows {
			c.Valid[k] = bits.bit(i)
		}
	}
	b := x.parts()
	switch k {
	case kindInt:
		c.Ints = room(c.Ints, len(rows))
		for k, i := range rows {
			c.Ints[k] = int64(binary.LittleEndian.Uint64(b.at(i, i+1, 8)))
		}
	case kindFloat:
		c.Floats = room(c.Floats, len(rows))
		for k, i := range rows {
			c.Floats[k] = math.Float64frombits(binary.LittleEndian.Uint64(b.at(i, i+1, 8)))
		}
	case kindBool:
		c.Bools = room(c.Bools, len(rows))
		for k, i := range rows {
			c.Bools[k] = b.bit(i)
		}
	case kindBytes:
		x.pickBytes(c, rows, b)
	}
}

// pickBytes decodes rows of a column that has values of any length.
func (x *blockDecoder) pickBytes(c *Column, rows []int, offsets parts) {
	bytes := x.parts()
	c.Offsets, c.Bytes = append(c.Offsets[:0], 0), c.Bytes[:0]
	for _, i := range rows {
		two := offsets.at(i, i+2, 4)
		from, to := int(binary.LittleEndian.Uint32(two)), int(binary.LittleEndian.Uint32(two[4:]))
		if from > to {
			x.fail()
			to = from
		}
		if from < to {
			c.Bytes = append(c.Bytes, bytes.at(from, to, 1)...)
		}
		c.Offsets = append(c.Offsets, uint32(len(c.Bytes)))
	}
}

// bit returns bit i of the buffer.
func (p *parts) bit(i int) bool { return bit(p.at(i/8, i/8+1, 1), i%8) }

func bit(b []byte, i int) bool { return b[i/8]>>(i%8)&1 != 0 }
