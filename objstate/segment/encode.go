package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Options of a segment.
type Options struct {
	Codec     Codec
	BlockRows int      // most rows of a block; 0: 1024, or 4096 with zstd
	Bounds    []uint32 // first hash32 of partitions, ascending: blocks are cut there
}

// Info says what a segment is.
type Info struct {
	Rows             int
	Length           int64
	CRC              uint32 // CRC32C of all its bytes
	MinHash, MaxHash uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const magic = "ARROW1"

// Encode appends the rows of r as a segment to dst. Perm is their order by key, as Sort gives it; nil: they are in order. Keys must ascend strictly.
func Encode(dst []byte, schema Schema, r *Rows, perm []uint32, o Options) ([]byte, Info, error) {
	if perm == nil {
		perm = make([]uint32, r.Len())
		for i := range perm {
			perm[i] = uint32(i)
		}
	}
	e := &encoder{schema: schema, r: r, perm: perm, o: o, base: len(dst), c: compressor{codec: o.Codec}, fb: flatbuffers.NewBuilder(1024)}
	if o.BlockRows == 0 {
		e.o.BlockRows = 1024
		if o.Codec == Zstd {
			e.o.BlockRows = 4096
		}
	}
	return e.run(dst)
}

type encoder struct {
	schema   Schema
	r        *Rows
	perm     []uint32
	o        Options
	base     int
	keyWidth int
	c        compressor
	fb       *flatbuffers.Builder
	blocks   []BlockInfo
	raw      []byte // a buffer of the block in the making
	body     []byte // its buffers, compressed
}

func (e *encoder) key(i int) []byte { return e.r.Key(int(e.perm[i])) }

func (e *encoder) run(dst []byte) ([]byte, Info, error) {
	n := e.r.Len()
	columns, err := encodeSchema(e.schema)
	if err != nil {
		return nil, Info{}, err
	}
	if len(e.schema) != len(e.r.Cols) || n == 0 {
		return nil, Info{}, fmt.Errorf("%d columns for a schema of %d, %d rows", len(e.r.Cols), len(e.schema), n)
	}
	if err := e.checkKeys(); err != nil {
		return nil, Info{}, err
	}
	dst = append(dst, magic+"\x00\x00"...)
	e.fb.Reset()
	dst = message(e.fb, dst, headerSchema, schemaTable(e.fb, e.schema, e.keyWidth), 0)
	for lo := 0; lo < n; {
		hi := e.blockEnd(lo)
		if dst, err = e.block(dst, lo, hi); err != nil {
			return nil, Info{}, err
		}
		lo = hi
	}
	dst = append(dst, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
	at := len(dst)
	for _, b := range e.blocks {
		dst = b.append(dst)
	}
	index := fmt.Sprintf("%d,%d,%d", at-e.base, len(dst)-at, crc32.Checksum(dst[at:], castagnoli))
	e.fb.Reset()
	foot := footer(e.fb, e.schema, e.keyWidth, e.blocks, [][2]string{{"sabot.format", "1"}, {"sabot.rows", fmt.Sprint(n)},
		{"sabot.columns", columns}, {"sabot.index", index}})
	dst = append(dst, foot...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(foot)))
	dst = append(dst, magic...)
	seg := dst[e.base:]
	return dst, Info{Rows: n, Length: int64(len(seg)), CRC: crc32.Checksum(seg, castagnoli), MinHash: hash32(e.key(0)), MaxHash: hash32(e.key(n - 1))}, nil
}

func hash32(key []byte) uint32 { return binary.BigEndian.Uint32(key) }

func (e *encoder) checkKeys() error {
	e.keyWidth = len(e.key(0))
	var last []byte
	for i, row := range e.perm {
		k := e.r.Key(int(row))
		if len(k) < 4 {
			return fmt.Errorf("key %d has %d bytes; it begins with a hash of four", i, len(k))
		}
		if len(k) != e.keyWidth {
			e.keyWidth = 0
		}
		if i > 0 && !less(last, k) {
			return fmt.Errorf("key %x does not come after %x", k, last)
		}
		last = k
	}
	return nil
}

// less tells whether key a comes before b; both have four bytes at least, which decide mostly.
func less(a, b []byte) bool {
	if x, y := hash32(a), hash32(b); x != y {
		return x < y
	}
	return bytes.Compare(a, b) < 0
}

// blockEnd returns where the block that begins at row lo ends: at BlockRows, or where a partition begins.
func (e *encoder) blockEnd(lo int) int {
	hi := min(lo+e.o.BlockRows, e.r.Len())
	i, _ := slices.BinarySearch(e.o.Bounds, hash32(e.key(lo))+1)
	if i < len(e.o.Bounds) && hash32(e.key(hi-1)) >= e.o.Bounds[i] {
		bound := e.o.Bounds[i]
		for hi-1 > lo && hash32(e.key(hi-1)) >= bound {
			hi--
		}
	}
	return hi
}

// block appends the rows lo to hi as a record batch.
func (e *encoder) block(dst []byte, lo, hi int) ([]byte, error) {
	body := e.body[:0]
	var buffers [][2]int
	var err error
	add := func(raw []byte) {
		at := len(body)
		if err == nil {
			body, err = e.c.append(body, raw)
		}
		if err == nil {
			buffers = append(buffers, [2]int{at, len(body) - at})
			body = padded(body, len(body))
		}
	}
	rows := e.perm[lo:hi]
	nulls := e.keysAndOps(rows, add)
	for i := range e.r.Cols {
		nulls = append(nulls, e.column(&e.r.Cols[i], kindOf(e.schema[i].Type), rows, add))
	}
	if err != nil {
		return nil, err
	}
	e.body = body
	at := len(dst)
	e.fb.Reset()
	dst = message(e.fb, dst, headerBatch, batchTable(e.fb, hi-lo, nulls, buffers, e.o.Codec), len(body))
	meta := len(dst) - at
	dst = append(dst, body...)
	e.blocks = append(e.blocks, BlockInfo{Offset: int64(at - e.base), meta: uint32(meta), body: uint32(len(body)), Rows: hi - lo,
		crc: crc32.Checksum(dst[at:], castagnoli), First: bytes.Clone(e.key(lo)), Last: bytes.Clone(e.key(hi - 1))})
	return dst, nil
}

// buffer returns n bytes of any content, which live until the next call.
func (e *encoder) buffer(n int) []byte {
	e.raw = slices.Grow(e.raw[:0], n)[:n]
	return e.raw
}

func (e *encoder) keysAndOps(rows []uint32, add func([]byte)) (nulls []int) {
	add(nil)
	if e.keyWidth == 0 {
		add(e.offsets(e.r.KeyOffsets, rows))
	}
	add(e.bytes(e.r.KeyOffsets, e.r.KeyBytes, rows))
	add(nil)
	s := e.buffer(len(rows))
	for k, i := range rows {
		s[k] = byte(e.r.Ops[i])
	}
	add(s)
	return []int{0, 0}
}

// column adds the buffers of a value column and returns its nulls.
func (e *encoder) column(c *Column, k kind, rows []uint32, add func([]byte)) (nulls int) {
	if c.Valid != nil {
		for _, i := range rows {
			if !c.Valid[i] {
				nulls++
			}
		}
	}
	if nulls > 0 {
		add(e.bits(c.Valid, rows))
	} else {
		add(nil)
	}
	switch k {
	case kindInt:
		s := e.buffer(8 * len(rows))
		for k, i := range rows {
			binary.LittleEndian.PutUint64(s[8*k:], uint64(c.Ints[i]))
		}
		add(s)
	case kindFloat:
		s := e.buffer(8 * len(rows))
		for k, i := range rows {
			binary.LittleEndian.PutUint64(s[8*k:], math.Float64bits(c.Floats[i]))
		}
		add(s)
	case kindBool:
		add(e.bits(c.Bools, rows))
	case kindBytes:
		add(e.offsets(c.Offsets, rows))
		add(e.bytes(c.Offsets, c.Bytes, rows))
	}
	return nulls
}

// offsets returns the offsets of rows of variable width, from 0.
func (e *encoder) offsets(from []uint32, rows []uint32) []byte {
	s := e.buffer(4 * (len(rows) + 1))
	total := uint32(0)
	binary.LittleEndian.PutUint32(s, 0)
	for k, i := range rows {
		total += from[i+1] - from[i]
		binary.LittleEndian.PutUint32(s[4*(k+1):], total)
	}
	return s
}

// bytes returns rows of variable width one after the other.
func (e *encoder) bytes(offsets []uint32, from []byte, rows []uint32) []byte {
	s := e.buffer(0)
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
	e.raw = s
	return s
}

func (e *encoder) bits(set []bool, rows []uint32) []byte {
	s := e.buffer((len(rows) + 7) / 8)
	clear(s)
	for k, i := range rows {
		if set[i] {
			s[k/8] |= 1 << (k % 8)
		}
	}
	return s
}

// Checksum returns the CRC32C of bytes, as references carry it.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
