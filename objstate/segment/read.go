package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"

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
	get      func(off, n int64) ([]byte, error)
	schema   Schema
	rows     int
	keyWidth int
	blocks   []BlockInfo
	lasts    []uint32 // hash32 of each block's last key: what is searched is close together
	filter   region
	kept     Filter // when it came with the index
}

// region is a part of a segment as its footer names it.
type region struct {
	off, n int64
	crc    uint32
}

// TailBytes returns how much of a segment's end is to be asked for where nobody has told how long that is: what mostly holds its footer and index, and the filter
// of a small one.
func TailBytes(size int64) int64 { return min(size, 64<<10+size/24) }

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
	}, int64(len(b)), TailBytes(int64(len(b))))
}

// Open opens a segment of size bytes, with one request for its last tail bytes, and others only where those do not hold the footer and the index: Info.Tail says how
// many do, and TailBytes guesses. Get returns n bytes from off on.
func Open(get func(off, n int64) ([]byte, error), size, tail int64) (r *Reader, err error) {
	defer guard("the footer", &err)
	b, err := get(size-tail, tail)
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
	r = &Reader{get: get}
	meta := custom(foot)
	if err := checkFooter(meta); err != nil {
		return nil, err
	}
	index, err := r.parseFooter(meta, size)
	if err != nil {
		return nil, err
	}
	from := size - int64(len(b))
	if r.filter.n > 0 && r.filter.off >= from {
		if r.kept, err = r.parseFilter(b[r.filter.off-from : r.filter.off-from+r.filter.n]); err != nil {
			return nil, err
		}
	}
	var raw []byte
	if index.off >= from {
		raw = b[index.off-from : index.off-from+index.n]
	} else if raw, err = get(index.off, index.n); err != nil {
		return nil, err
	}
	if got := crc32.Checksum(raw, castagnoli); got != index.crc {
		return nil, corrupt("the checksum of its index is %08x, want %08x", got, index.crc)
	}
	return r, r.parseIndex(bytes.Clone(raw), size) // its keys alias it, and would keep the rest
}

// checkFooter compares what a footer tells with its checksum.
func checkFooter(meta map[string]string) error {
	if f := meta["sabot.format"]; f != format {
		return corrupt("its format is %q, this version knows %s", f, format)
	}
	var told [][2]string
	for _, name := range []string{"sabot.format", "sabot.rows", "sabot.columns", "sabot.key", "sabot.filter", "sabot.index"} {
		if v, ok := meta[name]; ok {
			told = append(told, [2]string{name, v})
		}
	}
	if want := fmt.Sprint(checkOf(told)); meta["sabot.check"] != want {
		return corrupt("the checksum of its footer is %s, want %s", want, meta["sabot.check"])
	}
	return nil
}

// parseFooter takes in what the footer tells, and returns where the index is.
func (r *Reader) parseFooter(meta map[string]string, size int64) (index region, err error) {
	parse := func(name string, to *region) bool {
		_, err := fmt.Sscanf(meta[name], "%d,%d,%d", &to.off, &to.n, &to.crc)
		return err == nil && to.off >= 0 && to.n >= 0 && to.n <= size && to.off <= size-to.n
	}
	if !parse("sabot.index", &index) {
		return region{}, corrupt("its footer names no index")
	}
	if _, has := meta["sabot.filter"]; has && (!parse("sabot.filter", &r.filter) || r.filter.n == 0 || r.filter.n%filterBlock != 0) {
		return region{}, corrupt("its footer names a filter that cannot be one")
	}
	if _, err := fmt.Sscan(meta["sabot.rows"], &r.rows); err != nil {
		return region{}, corrupt("its footer tells no rows")
	}
	if _, err := fmt.Sscan(meta["sabot.key"], &r.keyWidth); err != nil {
		return region{}, corrupt("its footer tells no length of keys")
	}
	if r.schema, err = decodeSchema(meta["sabot.columns"]); err != nil {
		return region{}, corrupt("its columns: %w", err)
	}
	return index, nil
}

func (r *Reader) parseFilter(b []byte) (Filter, error) {
	if got := crc32.Checksum(b, castagnoli); got != r.filter.crc {
		return nil, corrupt("the checksum of its filter is %08x, want %08x", got, r.filter.crc)
	}
	return Filter(bytes.Clone(b)), nil
}

// FilterBytes returns how large the segment's filter is; 0: it has none.
func (r *Reader) FilterBytes() int64 { return r.filter.n }

// Filter returns the segment's filter, with a request unless it came with the index; nil when it has none.
func (r *Reader) Filter() (Filter, error) {
	if r.kept != nil || r.filter.n == 0 {
		return r.kept, nil
	}
	b, err := r.get(r.filter.off, r.filter.n)
	if err != nil {
		return nil, err
	}
	return r.parseFilter(b)
}

// IndexBytes returns about how much memory an open segment takes, its filter apart.
func (r *Reader) IndexBytes() int64 {
	n := int64(0)
	for i := range r.blocks {
		n += 100 + int64(len(r.blocks[i].First)+len(r.blocks[i].Last))
	}
	return n
}

// KeyWidth returns the length of every key; 0: they are of any length.
func (r *Reader) KeyWidth() int { return r.keyWidth }

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
		r.blocks, r.lasts = append(r.blocks, i), append(r.lasts, hash32(i.Last))
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

// Ahead returns the first block from number b on whose last key has at least the hash32. It is quick where that is near.
func (r *Reader) Ahead(hash uint32, b int) int {
	lasts := r.lasts[b:]
	end := 1
	for end < len(lasts) && lasts[end-1] < hash {
		end *= 2
	}
	from := end / 2
	i, _ := slices.BinarySearch(lasts[from:min(end, len(lasts))], hash)
	return b + from + i
}

// within returns the blocks that have hashes of [lo,hi), if any has.
func (r *Reader) within(lo, hi uint64) (from, to int) {
	from = sort.Search(len(r.blocks), func(i int) bool { return uint64(hash32(r.blocks[i].Last)) >= lo })
	to = from + sort.Search(len(r.blocks)-from, func(i int) bool { return uint64(hash32(r.blocks[from+i].First)) >= hi })
	return from, to
}

// Scan calls fn with the rows whose hash32 lies in [lo,hi), in order of key, a block at a time. The rows are fn's.
func (r *Reader) Scan(lo, hi uint64, fn func(*Rows) error) error {
	from, to := r.within(lo, hi)
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

func (b BlockInfo) end() int64 { return b.Offset + b.Length() }

// Length returns how many bytes the block has.
func (b BlockInfo) Length() int64 { return int64(b.meta) + int64(b.body) }
