package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
	scratch  []byte
}

func (e *encoder) row(i int) int {
	if e.perm == nil {
		return i
	}
	return int(e.perm[i])
}

func (e *encoder) key(i int) []byte { return e.r.Key(e.row(i)) }

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
	n := e.r.Len()
	e.keyWidth = len(e.key(0))
	for i := range n {
		k := e.key(i)
		if len(k) < 4 {
			return fmt.Errorf("key %d has %d bytes; it begins with a hash of four", i, len(k))
		}
		if len(k) != e.keyWidth {
			e.keyWidth = 0
		}
		if i > 0 && bytes.Compare(e.key(i-1), k) >= 0 {
			return fmt.Errorf("key %x does not come after %x", k, e.key(i-1))
		}
	}
	return nil
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
	var body []byte
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
	nulls := e.keysAndOps(lo, hi, add)
	for i := range e.r.Cols {
		nulls = append(nulls, e.column(&e.r.Cols[i], kindOf(e.schema[i].Type), lo, hi, add))
	}
	if err != nil {
		return nil, err
	}
	at := len(dst)
	e.fb.Reset()
	dst = message(e.fb, dst, headerBatch, batchTable(e.fb, hi-lo, nulls, buffers, e.o.Codec), len(body))
	meta := len(dst) - at
	dst = append(dst, body...)
	e.blocks = append(e.blocks, BlockInfo{Offset: int64(at - e.base), meta: uint32(meta), body: uint32(len(body)), Rows: hi - lo,
		crc: crc32.Checksum(dst[at:], castagnoli), First: bytes.Clone(e.key(lo)), Last: bytes.Clone(e.key(hi - 1))})
	return dst, nil
}

func (e *encoder) keysAndOps(lo, hi int, add func([]byte)) (nulls []int) {
	s := e.scratch[:0]
	add(nil)
	if e.keyWidth == 0 {
		total := uint32(0)
		s = binary.LittleEndian.AppendUint32(s, 0)
		for i := lo; i < hi; i++ {
			total += uint32(len(e.key(i)))
			s = binary.LittleEndian.AppendUint32(s, total)
		}
		add(s)
		s = s[:0]
	}
	for i := lo; i < hi; i++ {
		s = append(s, e.key(i)...)
	}
	add(s)
	add(nil)
	s = s[:0]
	for i := lo; i < hi; i++ {
		s = append(s, byte(e.r.Ops[e.row(i)]))
	}
	add(s)
	e.scratch = s
	return []int{0, 0}
}

// column adds the buffers of a value column and returns its nulls.
func (e *encoder) column(c *Column, k kind, lo, hi int, add func([]byte)) (nulls int) {
	s := e.scratch[:0]
	if c.Valid != nil {
		for i := lo; i < hi; i++ {
			if !c.Valid[e.row(i)] {
				nulls++
			}
		}
	}
	if nulls > 0 {
		s = e.bits(s, lo, hi, func(row int) bool { return c.Valid[row] })
	}
	add(s)
	s = s[:0]
	switch k {
	case kindInt:
		for i := lo; i < hi; i++ {
			s = binary.LittleEndian.AppendUint64(s, uint64(c.Ints[e.row(i)]))
		}
	case kindFloat:
		for i := lo; i < hi; i++ {
			s = appendFloat(s, c.Floats[e.row(i)])
		}
	case kindBool:
		s = e.bits(s, lo, hi, func(row int) bool { return c.Bools[row] })
	case kindBytes:
		total := uint32(0)
		s = binary.LittleEndian.AppendUint32(s, 0)
		for i := lo; i < hi; i++ {
			row := e.row(i)
			total += c.Offsets[row+1] - c.Offsets[row]
			s = binary.LittleEndian.AppendUint32(s, total)
		}
		add(s)
		s = s[:0]
		for i := lo; i < hi; i++ {
			row := e.row(i)
			s = append(s, c.Bytes[c.Offsets[row]:c.Offsets[row+1]]...)
		}
	}
	add(s)
	e.scratch = s
	return nulls
}

func (e *encoder) bits(s []byte, lo, hi int, set func(row int) bool) []byte {
	for i := lo; i < hi; i++ {
		if (i-lo)%8 == 0 {
			s = append(s, 0)
		}
		if set(e.row(i)) {
			s[len(s)-1] |= 1 << ((i - lo) % 8)
		}
	}
	return s
}

// Checksum returns the CRC32C of bytes, as references carry it.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
