package segment

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Filter tells which hash32s a segment does not have: a split-block Bloom filter, one cache line for a question. Ten bits for each hash let about
// one foreign hash in a hundred pass. Its bytes are those that the segment holds. A nil Filter lets everything pass.
type Filter []byte

const (
	filterBlock = 32 // bytes
	filterBits  = 10 // for each hash
)

// newFilter returns an empty filter for n hashes.
func newFilter(n int) Filter {
	blocks := (n*filterBits + 8*filterBlock - 1) / (8 * filterBlock)
	return make(Filter, filterBlock*max(1, blocks))
}

// spread turns a hash32 into the number of a block and four bits of it, each in a word of its own.
func (f Filter) spread(hash uint32) (block uint64, m [4]uint64) {
	h := uint64(hash) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	block, _ = bits.Mul64(h, uint64(len(f)/filterBlock))
	h ^= h >> 32
	for i := range m {
		m[i] = 1<<(h&63) | 1<<(h>>6&63)
		h >>= 12
	}
	return block, m
}

func (f Filter) add(hash uint32) {
	block, m := f.spread(hash)
	b := f[block*filterBlock : (block+1)*filterBlock]
	for i, v := range m {
		binary.LittleEndian.PutUint64(b[8*i:], binary.LittleEndian.Uint64(b[8*i:])|v)
	}
}

// Has tells whether the segment may have the hash.
func (f Filter) Has(hash uint32) bool { return f == nil || f.missing(hash) == 0 }

// missing returns bits of the hash that are not set.
func (f Filter) missing(hash uint32) uint64 {
	block, m := f.spread(hash)
	b := f[block*filterBlock : (block+1)*filterBlock]
	return m[0]&^binary.LittleEndian.Uint64(b) | m[1]&^binary.LittleEndian.Uint64(b[8:]) |
		m[2]&^binary.LittleEndian.Uint64(b[16:]) | m[3]&^binary.LittleEndian.Uint64(b[24:])
}

// Sift appends the numbers, from first on, of the hashes that the segment may have. It does not branch on what it finds, so that the processor waits for many
// lines of a large filter at a time.
func (f Filter) Sift(hashes []uint32, first int, dst []int32) []int32 {
	n := len(dst)
	dst = slices.Grow(dst, len(hashes))[:n+len(hashes)]
	for i, h := range hashes {
		dst[n] = int32(first + i)
		v := uint64(0)
		if f != nil {
			v = f.missing(h)
		}
		n += int(1 - (v|-v)>>63) // one more when nothing is missing
	}
	return dst[:n]
}
