package objstate

import "encoding/binary"

// arena keeps the bytes of long keys in chunks, so that growing copies nothing.
type arena struct {
	chunks [][]byte
	waste  int
	used   int
}

const chunkBytes = 256 << 10

// place is where a key's bytes are.
type place struct{ chunk, off, n uint32 }

func placeOf(cell []byte) place {
	return place{binary.LittleEndian.Uint32(cell), binary.LittleEndian.Uint32(cell[4:]), binary.LittleEndian.Uint32(cell[8:])}
}

func (p place) put(cell []byte) {
	binary.LittleEndian.PutUint32(cell, p.chunk)
	binary.LittleEndian.PutUint32(cell[4:], p.off)
	binary.LittleEndian.PutUint32(cell[8:], p.n)
}

func (a *arena) add(key []byte) place {
	last := len(a.chunks) - 1
	if last < 0 || len(a.chunks[last])+len(key) > cap(a.chunks[last]) {
		size := chunkBytes
		if last < 0 {
			size = 1024
		}
		a.chunks = append(a.chunks, make([]byte, 0, max(size, len(key))))
		last++
	}
	c := a.chunks[last]
	at := place{uint32(last), uint32(len(c)), uint32(len(key))}
	a.chunks[last] = append(c, key...)
	a.used += len(key)
	return at
}

func (a *arena) get(p place) []byte { return a.chunks[p.chunk][p.off : p.off+p.n : p.off+p.n] }

func (a *arena) bytes() (n int64) {
	for _, c := range a.chunks {
		n += int64(cap(c))
	}
	return n
}

// reset empties the arena and keeps its first chunk.
func (a *arena) reset() {
	if len(a.chunks) > 0 {
		a.chunks = a.chunks[:1]
		a.chunks[0] = a.chunks[0][:0]
	}
	a.waste, a.used = 0, 0
}
