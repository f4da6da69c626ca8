package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sabot-stream/sabot"
)

// BlockInfo is a block as the index tells it.
type BlockInfo struct {
	Offset      int64 // in the segment
	Rows        int
	First, Last []byte // keys
	meta, body  uint32 // lengths
	crc         uint32
}

func (b BlockInfo) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Offset))
	for _, v := range []uint32{b.meta, b.body, uint32(b.Rows), b.crc} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	for _, k := range [][]byte{b.First, b.Last} {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(k)))
		dst = append(dst, k...)
	}
	return dst
}

// Reader reads a segment. Goroutines may share it.
type Reader struct {
	get    func(off, n int64) ([]byte, error)
	schema Schema
	rows   int
	blocks []BlockInfo
}

// tail is how much of a segment's end the first request fetches.
const tail = 64 << 10

// runBytes is the most that Scan fetches in one request, but for a block that is larger.
const runBytes = 4 << 20

func corrupt(format string, args ...any) error {
	return sabot.WithKind(sabot.Corrupt, fmt.Errorf("segment: "+format, args...))
}

// guard turns a panic of the flatbuffers runtime on malformed bytes into an error.
func guard(what string, err *error) {
	if v := recover(); v != nil {
		*err = corrupt("%s is malformed: %v", what, v)
	}
}

// OpenBytes opens a segment that is in memory.
func OpenBytes(b []byte) (*Reader, error) {
	return Open(func(off, n int64) ([]byte, error) {
		if off < 0 || n < 0 || off+n > int64(len(b)) {
			return nil, corrupt("bytes %d to %d of %d", off, off+n, len(b))
		}
		return b[off : off+n : off+n], nil
	}, int64(len(b)))
}

// Open opens a segment of size bytes, with one request for its end, and another where that does not hold the whole index. Get returns n bytes
// from off on.
func Open(get func(off, n int64) ([]byte, error), size int64) (r *Reader, err error) {
	defer guard("the footer", &err)
	end := min(size, tail)
	b, err := get(size-end, end)
	if err != nil {
		return nil, err
	}
	if len(b) < 10+len(magic) || string(b[len(b)-len(magic):]) != magic {
		return nil, corrupt("it does not end as one")
	}
	length := int64(binary.LittleEndian.Uint32(b[len(b)-len(magic)-4:]))
	rest := int64(len(b) - len(magic) - 4)
	if length > size-int64(len(magic))-4 {
		return nil, corrupt("its footer of %d bytes is longer than itself", length)
	}
	foot := b[max(0, rest-length):rest]
	if length > rest {
		if foot, err = get(size-int64(len(magic))-4-length, length); err != nil {
			return nil, err
		}
	}
	meta := custom(foot)
	if f := meta["sabot.format"]; f != "1" {
		return nil, corrupt("its format is %q, this version knows 1", f)
	}
	var at, n int64
	var crc uint32
	if _, err := fmt.Sscanf(meta["sabot.index"], "%d,%d,%d", &at, &n, &crc); err != nil || at < 0 || n < 0 || n > size || at > size-n {
		return nil, corrupt("its footer names no index")
	}
	r = &Reader{get: get}
	if _, err := fmt.Sscan(meta["sabot.rows"], &r.rows); err != nil {
		return nil, corrupt("its footer tells no rows")
	}
	if r.schema, err = decodeSchema(meta["sabot.columns"]); err != nil {
		return nil, corrupt("its columns: %w", err)
	}
	index, err := r.part(b, size, at, n)
	if err != nil {
		return nil, err
	}
	if got := crc32.Checksum(index, castagnoli); got != crc {
		return nil, corrupt("the checksum of its index is %08x, want %08x", got, crc)
	}
	return r, r.parseIndex(index, size)
}

// part returns a range of the segment, out of its fetched end where that holds it.
func (r *Reader) part(end []byte, size, off, n int64) ([]byte, error) {
	if from := size - int64(len(end)); off >= from {
		return end[off-from : off-from+n], nil
	}
	return r.get(off, n)
}

var errIndex = errors.New("it ends early")

func (r *Reader) parseIndex(b []byte, size int64) error {
	total := 0
	for len(b) > 0 {
		if len(b) < 24 {
			return corrupt("index: %w", errIndex)
		}
		i := BlockInfo{Offset: int64(binary.LittleEndian.Uint64(b)), meta: binary.LittleEndian.Uint32(b[8:]), body: binary.LittleEndian.Uint32(b[12:]),
			Rows: int(binary.LittleEndian.Uint32(b[16:])), crc: binary.LittleEndian.Uint32(b[20:])}
		b = b[24:]
		for _, k := range []*[]byte{&i.First, &i.Last} {
			if len(b) < 4 {
				return corrupt("index: %w", errIndex)
			}
			n := int(binary.LittleEndian.Uint32(b))
			if n < 4 || n > len(b)-4 {
				return corrupt("index: %w", errIndex)
			}
			*k, b = b[4:4+n], b[4+n:]
		}
		if i.Offset < 0 || i.Offset > size || int64(i.meta)+int64(i.body) > size-i.Offset || i.meta < 16 || i.Rows == 0 {
			return corrupt("index: block %d lies outside of the segment", len(r.blocks))
		}
		total += i.Rows
		r.blocks = append(r.blocks, i)
	}
	if total != r.rows {
		return corrupt("index: %d rows, the footer says %d", total, r.rows)
	}
	return nil
}

// Schema returns the value columns.
func (r *Reader) Schema() Schema { return r.schema }

// Rows returns the number of rows.
func (r *Reader) Rows() int { return r.rows }

// Blocks returns the blocks, in order of key.
func (r *Reader) Blocks() []BlockInfo { return r.blocks }

// Scan calls fn with the rows whose hash32 lies in [lo,hi), in order of key, a block at a time. The rows are fn's.
func (r *Reader) Scan(lo, hi uint64, fn func(*Rows) error) error {
	from, to := 0, len(r.blocks)
	for from < to && uint64(hash32(r.blocks[from].Last)) < lo {
		from++
	}
	for to > from && uint64(hash32(r.blocks[to-1].First)) >= hi {
		to--
	}
	for from < to {
		first, end := r.blocks[from].Offset, from
		for end < to && (end == from || r.blocks[end].end()-first <= runBytes) {
			end++
		}
		b, err := r.get(first, r.blocks[end-1].end()-first)
		if err != nil {
			return err
		}
		for ; from < end; from++ {
			bi := r.blocks[from]
			rows, err := r.decode(from, b[bi.Offset-first:bi.end()-first])
			if err != nil {
				return err
			}
			if rows = rows.clip(lo, hi); rows.Len() == 0 {
				continue
			}
			if err := fn(rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b BlockInfo) end() int64 { return b.Offset + int64(b.meta) + int64(b.body) }
