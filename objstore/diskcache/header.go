package diskcache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

const (
	superSize  = 4096
	headerSize = 64
	magic      = "SABOTPG1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header describes the page in a slot.
type header struct {
	key  xxh3.Uint128
	page uint64
	n    uint32
	crc  uint32
}

// pageID names a page in memory. Different pages of one object never have the same.
type pageID struct{ hi, lo uint64 }

func (h *header) id() pageID { return pageID{h.key.Hi, h.key.Lo ^ h.page*0x9e3779b97f4a7c15} }

// checksum returns the CRC of a page, begun with a hash of what it is: one that lies in another's place does not pass.
func (h *header) checksum(data []byte) uint32 {
	const odd = 0x9e3779b97f4a7c15
	is := ((h.key.Lo^h.page)*odd ^ h.key.Hi ^ uint64(h.n)) * odd
	return crc32.Update(uint32(is>>32), castagnoli, data)
}

func (h *header) encode(b *[headerSize]byte) {
	binary.LittleEndian.PutUint64(b[0:], h.key.Lo)
	binary.LittleEndian.PutUint64(b[8:], h.key.Hi)
	binary.LittleEndian.PutUint64(b[16:], h.page)
	binary.LittleEndian.PutUint32(b[24:], h.n)
	binary.LittleEndian.PutUint32(b[28:], h.crc)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// decodeHeader returns ok false for a slot without a page.
func decodeHeader(b []byte, pageSize int) (h header, ok bool) {
	if binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return h, false
	}
	h.key.Lo, h.key.Hi = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	h.page, h.n, h.crc = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:])
	return h, h.n > 0 && int(h.n) <= pageSize
}

// super returns the beginning of an index.
func super(bucket string, pageSize int) []byte {
	b := make([]byte, superSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], uint32(pageSize))
	h := xxh3.HashString128(bucket)
	binary.LittleEndian.PutUint64(b[16:], h.Lo)
	binary.LittleEndian.PutUint64(b[24:], h.Hi)
	binary.LittleEndian.PutUint32(b[superSize-4:], crc32.Checksum(b[:superSize-4], castagnoli))
	return b
}

// readable tells whether an index is of this format, bucket and page size.
func readable(index []byte, bucket string, pageSize int) bool {
	return len(index) >= superSize && bytes.Equal(index[:superSize], super(bucket, pageSize))
}
