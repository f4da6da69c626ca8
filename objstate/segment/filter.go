package segment

import (
	"encoding/binary"
	"math/bits"
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
func (f Filter) Has(hash uint32) bool {
	if f == nil {
		return true
	}
	block, m := f.spread(hash)
	b := f[block*filterBlock : (block+1)*filterBlock]
	return binary.LittleEndian.Uint64(b)&m[0] == m[0] && binary.LittleEndian.Uint64(b[8:])&m[1] == m[1] &&
		binary.LittleEndian.Uint64(b[16:])&m[2] == m[2] && binary.LittleEndian.Uint64(b[24:])&m[3] == m[3]
}
