package objstate

import "encoding/binary"

// slotKeys is the keys of slots, and their hashes. A short key lies in its slot's cell, with its length behind it:
//
//	0 ... n-1       the key, then zeros
//	size-1          n; 0: none, long: what is here is where the arena has the key
//
// Cells lie in blocks, so that growing copies nothing but the first ones.
type slotKeys struct {
	n      int
	shift  int // binary logarithm of a cell's bytes: narrow or wide, as the first key needs it
	cells  [][]byte
	hashes [][]uint64
	arena  arena
}

const (
	narrowShift, narrow = 4, 1 << narrowShift
	wideShift, wide     = 5, 1 << wideShift

	long = 0xff

	blockBits  = 13
	blockSlots = 1 << blockBits
	firstSlots = 16
)

func (k *slotKeys) cell(slot uint32) []byte {
	b := k.cells[slot>>blockBits]
	at := int(slot%blockSlots) << k.shift
	return b[at : at+1<<k.shift : at+1<<k.shift]
}

func (k *slotKeys) hash(slot uint32) uint64 { return k.hashes[slot>>blockBits][slot%blockSlots] }

func (k *slotKeys) inUse(slot uint32) bool {
	c := k.cell(slot)
	return c[len(c)-1] > 0
}

func (k *slotKeys) key(slot uint32) []byte {
	c := k.cell(slot)
	if n := int(c[len(c)-1]); n != long {
		return c[:n:n]
	}
	return k.arena.get(placeOf(c))
}

// is tells whether a slot has the key.
func (k *slotKeys) is(slot uint32, key []byte) bool {
	c := k.cell(slot)
	if len(key) < narrow && len(c) == narrow {
		lo, hi := pack(key)
		return binary.LittleEndian.Uint64(c) == lo && binary.LittleEndian.Uint64(c[8:]) == hi
	}
	if n := int(c[len(c)-1]); n != long {
		return string(c[:n]) == string(key)
	}
	return string(k.arena.get(placeOf(c))) == string(key)
}

// read reads the ends of the cells of slots, but for NoSlot.
func (k *slotKeys) read(ends *[stage]uint64, slots []uint32) {
	cells, shift, end := k.cells, k.shift&31, 1<<(k.shift&31)-8
	for i, slot := range slots {
		if slot == NoSlot {
			continue
		}
		b := cells[slot>>blockBits]
		ends[i&(stage-1)] = binary.LittleEndian.Uint64(b[int(slot%blockSlots)<<shift+end:])
	}
}

// holds is is, for a slot whose cell ends so.
func (k *slotKeys) holds(end uint64, slot uint32, key []byte) bool {
	if len(key) >= narrow || k.shift != narrowShift {
		return k.is(slot, key)
	}
	lo, hi := pack(key)
	return hi == end && lo == binary.LittleEndian.Uint64(k.cells[slot>>blockBits][int(slot%blockSlots)*narrow:])
}

// pack returns a key of less than 16 bytes as its cell has it.
func pack(key []byte) (lo, hi uint64) {
	n := len(key)
	switch {
	case n >= 8:
		lo, hi = binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:])>>(8*uint(16-n))
	case n >= 4:
		lo = uint64(binary.LittleEndian.Uint32(key)) | uint64(binary.LittleEndian.Uint32(key[n-4:]))<<(8*uint(n-4))
	default:
		for i, c := range key {
			lo |= uint64(c) << (8 * i)
		}
	}
	return lo, hi | uint64(n)<<56
}

// set gives a slot without a key one.
func (k *slotKeys) set(slot uint32, hash uint64, key []byte) {
	k.hashes[slot>>blockBits][slot%blockSlots] = hash
	c := k.cell(slot)
	switch {
	case len(key) < narrow && len(c) == narrow:
		lo, hi := pack(key)
		binary.LittleEndian.PutUint64(c, lo)
		binary.LittleEndian.PutUint64(c[8:], hi)
	case len(key) < len(c):
		copy(c, key)
		c[len(c)-1] = byte(len(key))
	default:
		k.arena.add(key).put(c)
		c[len(c)-1] = long
	}
}

// add returns a new slot, with the key.
func (k *slotKeys) add(hash uint64, key []byte) uint32 {
	if k.cells == nil {
		k.shift = narrowShift
		if len(key) >= narrow && len(key) < wide {
			k.shift = wideShift
		}
	}
	slot := uint32(k.n)
	b := int(slot >> blockBits)
	if b == len(k.cells) {
		n := blockSlots
		if b == 0 {
			n = firstSlots
		}
		k.cells, k.hashes = append(k.cells, make([]byte, n<<k.shift)), append(k.hashes, make([]uint64, n))
	} else if n := len(k.hashes[b]); int(slot)%blockSlots == n {
		cells, hashes := make([]byte, 2*n<<k.shift), make([]uint64, 2*n)
		copy(cells, k.cells[b])
		copy(hashes, k.hashes[b])
		k.cells[b], k.hashes[b] = cells, hashes
	}
	k.n++
	k.set(slot, hash, key)
	return slot
}

// drop takes a slot's key away. Its bytes stay until the slot is used again.
func (k *slotKeys) drop(slot uint32) {
	c := k.cell(slot)
	if c[len(c)-1] == long {
		k.arena.waste += int(placeOf(c).n)
	}
	c[len(c)-1] = 0
	if k.arena.waste > chunkBytes && 2*k.arena.waste > k.arena.used {
		k.repack()
	}
}

// repack copies the keys in the arena that are in use to new chunks.
func (k *slotKeys) repack() {
	var a arena
	for slot := range uint32(k.n) {
		if c := k.cell(slot); c[len(c)-1] == long {
			a.add(k.arena.get(placeOf(c))).put(c)
		}
	}
	k.arena = a
}

func (k *slotKeys) bytes() (n int64) {
	for i := range k.cells {
		n += int64(len(k.cells[i])) + 8*int64(len(k.hashes[i]))
	}
	return n + k.arena.bytes()
}

// reset takes all slots away and keeps their memory.
func (k *slotKeys) reset() {
	k.n = 0
	k.arena.reset()
}
