package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Options of a segment.
type Options struct {
	Codec      Codec
	BlockRows  int      // most rows of a block; 0: as many as BlockBytes says
	BlockBytes int      // about how many bytes of rows, before compression, a block holds; 0: 8 KiB, which is what reading one key costs
	Bounds     []uint32 // first hash32 of partitions, ascending: blocks are cut there
	NoFilter   bool     // for segments that are always read whole
}

// How large a block is unless told otherwise.
const (
	defaultBlockBytes = 8 << 10
	leastBlockRows    = 32
	mostBlockRows     = 4096
)

// Info says what a segment is.
type Info struct {
	Rows             int
	Length           int64
	Tail             int64  // bytes at its end that have filter, index and footer
	CRC              uint32 // CRC32C of all its bytes
	MinHash, MaxHash uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	magic  = "ARROW1"
	format = "2"
)

// Encode appends the rows of r as a segment to dst. Perm is their order by key, as Sort gives it; nil: they are in order. Keys must ascend strictly.
func Encode(dst []byte, schema Schema, r *Rows, perm []uint32, o Options) ([]byte, Info, error) {
	n := r.Len()
	if len(schema) != len(r.Cols) || n == 0 {
		return nil, Info{}, fmt.Errorf("%d columns for a schema of %d, %d rows", len(r.Cols), len(schema), n)
	}
	if perm == nil {
		perm = make([]uint32, n)
		for i := range perm {
			perm[i] = uint32(i)
		}
	}
	width, err := checkKeys(r, perm)
	if err != nil {
		return nil, Info{}, err
	}
	if o.BlockRows == 0 {
		o.BlockRows = rowsOf(o.BlockBytes, r.Bytes()/int64(n))
	}
	w, err := NewWriter(dst, schema, width, o)
	if err != nil {
		return nil, Info{}, err
	}
	for lo := 0; lo < n; {
		hi := w.blockEnd(r, perm, lo)
		if err := w.block(r, perm[lo:hi]); err != nil {
			return nil, Info{}, err
		}
		lo = hi
	}
	return w.Finish()
}

// rowsOf returns how many rows of a size make a block of about so many bytes.
func rowsOf(blockBytes int, rowBytes int64) int {
	if blockBytes == 0 {
		blockBytes = defaultBlockBytes
	}
	return min(max(blockBytes/int(max(1, rowBytes)), leastBlockRows), mostBlockRows)
}

// Writer writes a segment block by block.
type Writer struct {
	schema   Schema
	columns  string
	o        Options
	dst      []byte
	base     int
	keyWidth int
	c        compressor
	fb       *flatbuffers.Builder
	blocks   []BlockInfo
	hashes   []uint32 // distinct, ascending
	rows     int
	pending  *Rows  // of Append
	left     int    // how many rows are to be added to it before its size is looked at
	raw      []byte // a buffer of the block in the making
	body     []byte // its buffers, compressed
	buffers  [][2]int
}

// NewWriter returns a writer that appends a segment to dst. KeyWidth is the length of every key; 0: they are of any length.
func NewWriter(dst []byte, schema Schema, keyWidth int, o Options) (*Writer, error) {
	columns, err := encodeSchema(schema)
	if err != nil {
		return nil, err
	}
	w := &Writer{schema: schema, columns: columns, o: o, base: len(dst), keyWidth: keyWidth, c: compressor{codec: o.Codec}, fb: flatbuffers.NewBuilder(1024)}
	dst = append(dst, magic+"\x00\x00"...)
	w.dst = message(w.fb, dst, headerSchema, schemaTable(w.fb, schema, keyWidth), 0)
	return w, nil
}

// Len returns how many bytes are written so far.
func (w *Writer) Len() int { return len(w.dst) - w.base }

// Rows returns how many rows there are so far.
func (w *Writer) Rows() int {
	if w.pending != nil {
		return w.rows + w.pending.Len()
	}
	return w.rows
}

// Finish ends the segment and returns dst with it.
func (w *Writer) Finish() ([]byte, Info, error) {
	if err := w.flush(); err != nil {
		return nil, Info{}, err
	}
	if w.rows == 0 {
		return nil, Info{}, errors.New("a segment without rows")
	}
	dst := append(w.dst, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
	body := len(dst)
	meta := [][2]string{{"sabot.format", format}, {"sabot.rows", fmt.Sprint(w.rows)}, {"sabot.columns", w.columns}, {"sabot.key", fmt.Sprint(w.keyWidth)}}
	region := func(name string, from int) {
		meta = append(meta, [2]string{name, fmt.Sprintf("%d,%d,%d", from-w.base, len(dst)-from, crc32.Checksum(dst[from:], castagnoli))})
	}
	if !w.o.NoFilter {
		f := newFilter(len(w.hashes))
		for _, h := range w.hashes {
			f.add(h)
		}
		at := len(dst)
		dst = append(dst, f...)
		region("sabot.filter", at)
	}
	at := len(dst)
	for _, b := range w.blocks {
		dst = b.append(dst)
	}
	region("sabot.index", at)
	meta = append(meta, [2]string{"sabot.check", fmt.Sprint(checkOf(meta))})
	w.fb.Reset()
	foot := footer(w.fb, w.schema, w.keyWidth, w.blocks, meta)
	dst = append(dst, foot...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(foot)))
	dst = append(dst, magic...)
	seg := dst[w.base:]
	return dst, Info{Rows: w.rows, Length: int64(len(seg)), Tail: int64(len(dst) - body), CRC: crc32.Checksum(seg, castagnoli), MinHash: w.hashes[0],
		MaxHash: w.hashes[len(w.hashes)-1]}, nil
}

// checkOf returns a checksum of what a footer tells.
func checkOf(meta [][2]string) uint32 {
	sum := crc32.New(castagnoli)
	for _, m := range meta {
		fmt.Fprintf(sum, "%s=%s\n", m[0], m[1]) // a hash takes everything
	}
	return sum.Sum32()
}

func hash32(key []byte) uint32 { return binary.BigEndian.Uint32(key) }

// checkKeys returns the length of all keys, 0 when they differ.
func checkKeys(r *Rows, perm []uint32) (width int, err error) {
	var last []byte
	for i, row := range perm {
		k := r.Key(int(row))
		if len(k) < 4 {
			return 0, fmt.Errorf("key %d has %d bytes; it begins with a hash of four", i, len(k))
		}
		if i == 0 {
			width = len(k)
		} else if !less(last, k) {
			return 0, fmt.Errorf("key %x does not come after %x", k, last)
		}
		if len(k) != width {
			width = 0
		}
		last = k
	}
	return width, nil
}

// less tells whether key a comes before b; both have four bytes at least, which decide mostly.
func less(a, b []byte) bool {
	if x, y := hash32(a), hash32(b); x != y {
		return x < y
	}
	return bytes.Compare(a, b) < 0
}

// blockEnd returns where the block that begins at row lo of perm ends: at BlockRows, or where a partition begins.
func (w *Writer) blockEnd(r *Rows, perm []uint32, lo int) int {
	hash := func(i int) uint32 { return hash32(r.Key(int(perm[i]))) }
	hi := min(lo+w.o.BlockRows, len(perm))
	i, _ := slices.BinarySearch(w.o.Bounds, hash(lo)+1)
	if i < len(w.o.Bounds) && hash(hi-1) >= w.o.Bounds[i] {
		bound := w.o.Bounds[i]
		for hi-1 > lo && hash(hi-1) >= bound {
			hi--
		}
	}
	return hi
}

// block appends rows of r as a record batch; nil: all of them, as they are.
func (w *Writer) block(r *Rows, rows []uint32) error {
	n, at := r.Len(), func(i int) int { return i }
	if rows != nil {
		n, at = len(rows), func(i int) int { return int(rows[i]) }
	}
	body := w.body[:0]
	buffers := w.buffers[:0]
	var err error
	add := func(raw []byte) {
		at := len(body)
		if err == nil {
			body, err = w.c.append(body, raw, len(buffers))
		}
		if err == nil {
			buffers = append(buffers, [2]int{at, len(body) - at})
			body = padded(body, len(body))
		}
	}
	nulls, keyErr := w.keysAndOps(r, rows, add)
	if keyErr != nil {
		return keyErr
	}
	for i := range r.Cols {
		nulls = append(nulls, w.column(&r.Cols[i], kindOf(w.schema[i].Type), rows, add))
	}
	if err != nil {
		return err
	}
	w.body, w.buffers = body, buffers
	start := len(w.dst)
	w.grow(len(body))
	w.fb.Reset()
	w.dst = message(w.fb, w.dst, headerBatch, batchTable(w.fb, n, nulls, buffers, w.o.Codec), len(body))
	meta := len(w.dst) - start
	w.dst = append(w.dst, body...)
	w.blocks = append(w.blocks, BlockInfo{Offset: int64(start - w.base), meta: uint32(meta), body: uint32(len(body)), Rows: n,
		crc: crc32.Checksum(w.dst[start:], castagnoli), First: bytes.Clone(r.Key(at(0))), Last: bytes.Clone(r.Key(at(n - 1)))})
	w.rows += n
	for i := range n {
		if h := hash32(r.Key(at(i))); len(w.hashes) == 0 || h != w.hashes[len(w.hashes)-1] {
			w.hashes = append(w.hashes, h)
		}
	}
	return nil
}

// grow makes room for a block whose buffers are n bytes. Go grows large slices by a quarter at a time, and copies a segment of many megabytes five times over.
func (w *Writer) grow(n int) {
	if n += 64 << 10; cap(w.dst)-len(w.dst) < n {
		w.dst = append(make([]byte, 0, max(2*cap(w.dst), len(w.dst)+n)), w.dst...)
	}
}

// buffer returns n bytes of any content, which live until the next call.
func (w *Writer) buffer(n int) []byte {
	w.raw = slices.Grow(w.raw[:0], n)[:n]
	return w.raw
}

// Checksum returns the CRC32C of bytes, as references carry it.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
