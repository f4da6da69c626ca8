package objstate

import (
	"bytes"

	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Index maps keys to dense slots: open addressing over pointer-free arrays, at most half full. It probes with the lower bits of the hash;
// partitions use the upper ones. The zero Index is empty.
type Index struct {
	entries []uint64 // slot+1 below a tag of the hash; 0: free
	mask    uint64
	hashes  []uint64 // by slot
	keys    []keyAt  // by slot
	live    int
	free    []uint32
	arena   arena
}

// keyAt is where a key's bytes are.
type keyAt struct{ chunk, off, n uint32 }

// NoSlot is no slot.
const NoSlot = ^uint32(0)

const (
	firstEntries = 16
	chunkBytes   = 256 << 10
)

// arena keeps the bytes of keys in chunks, so that growing copies nothing.
type arena struct {
	chunks [][]byte
	waste  int
	used   int
}

func (a *arena) add(key []byte) keyAt {
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
	at := keyAt{uint32(last), uint32(len(c)), uint32(len(key))}
	a.chunks[last] = append(c, key...)
	a.used += len(key)
	return at
}

func (a *arena) get(k keyAt) []byte { return a.chunks[k.chunk][k.off : k.off+k.n : k.off+k.n] }

func tagOf(hash uint64) uint64 { return hash << 16 & 0xffffffff_00000000 }

// Len returns the number of keys.
func (x *Index) Len() int { return x.live }

// Slots returns how many slots have ever been in use: one more than the greatest.
func (x *Index) Slots() int { return len(x.hashes) }

// InUse tells whether a slot has a key.
func (x *Index) InUse(slot uint32) bool { return x.keys[slot].n > 0 }

// Key returns the key of a slot in use; it is valid until the slot is deleted, and must not be changed.
func (x *Index) Key(slot uint32) []byte { return x.arena.get(x.keys[slot]) }

// Hash returns the hash of a slot in use.
func (x *Index) Hash(slot uint32) uint64 { return x.hashes[slot] }

// Lookup returns the slot of a key, NoSlot when there is none.
func (x *Index) Lookup(hash uint64, key []byte) uint32 {
	if x.live == 0 {
		return NoSlot
	}
	tag := tagOf(hash)
	for i := hash & x.mask; ; i = (i + 1) & x.mask {
		e := x.entries[i]
		if e == 0 {
			return NoSlot
		}
		if e&^0xffffffff == tag {
			if slot := uint32(e) - 1; x.hashes[slot] == hash && bytes.Equal(x.arena.get(x.keys[slot]), key) {
				return slot
			}
		}
	}
}

// Upsert returns the slot of a key; fresh says that it is new.
func (x *Index) Upsert(hash uint64, key []byte) (slot uint32, fresh bool) {
	if 2*(x.live+1) > len(x.entries) {
		x.grow()
	}
	tag := tagOf(hash)
	i := hash & x.mask
	for ; ; i = (i + 1) & x.mask {
		e := x.entries[i]
		if e == 0 {
			break
		}
		if e&^0xffffffff == tag {
			if slot := uint32(e) - 1; x.hashes[slot] == hash && bytes.Equal(x.arena.get(x.keys[slot]), key) {
				return slot, false
			}
		}
	}
	at := x.arena.add(key)
	if n := len(x.free); n > 0 {
		slot = x.free[n-1]
		x.free = x.free[:n-1]
		x.hashes[slot], x.keys[slot] = hash, at
	} else {
		slot = uint32(len(x.hashes))
		x.hashes, x.keys = append(x.hashes, hash), append(x.keys, at)
	}
	x.entries[i] = tag | uint64(slot+1)
	x.live++
	return slot, true
}

// UpsertBatch sets dst to the slots of the given rows' keys, and calls fresh for new ones.
func (x *Index) UpsertBatch(hashes []uint64, keys rowkey.Column, rows []int32, dst []uint32, fresh func(slot uint32)) {
	for k, r := range rows {
		slot, isNew := x.Upsert(hashes[r], keys.At(int(r)))
		if isNew {
			fresh(slot)
		}
		dst[k] = slot
	}
}

func (x *Index) grow() {
	n := max(firstEntries, 2*len(x.entries))
	x.entries, x.mask = make([]uint64, n), uint64(n-1)
	isFree := make(map[uint32]bool, len(x.free))
	for _, s := range x.free {
		isFree[s] = true
	}
	for slot, hash := range x.hashes {
		if len(isFree) > 0 && isFree[uint32(slot)] {
			continue
		}
		i := hash & x.mask
		for x.entries[i] != 0 {
			i = (i + 1) & x.mask
		}
		x.entries[i] = tagOf(hash) | uint64(slot+1)
	}
}

// Delete removes a slot in use; it will be given out again.
func (x *Index) Delete(slot uint32) {
	hash := x.hashes[slot]
	i := hash & x.mask
	for uint32(x.entries[i]) != slot+1 {
		i = (i + 1) & x.mask
	}
	for j := i; ; { // close the gap, so that no probe ends early
		j = (j + 1) & x.mask
		e := x.entries[j]
		if e == 0 {
			break
		}
		home := x.hashes[uint32(e)-1] & x.mask
		if (j-home)&x.mask >= (j-i)&x.mask {
			x.entries[i] = e
			i = j
		}
	}
	x.entries[i] = 0
	x.live--
	x.free = append(x.free, slot)
	x.arena.waste += int(x.keys[slot].n)
	x.keys[slot] = keyAt{}
	if x.arena.waste > chunkBytes && 2*x.arena.waste > x.arena.used {
		x.repack()
	}
}

// repack copies the keys in use to new chunks.
func (x *Index) repack() {
	var a arena
	for _, e := range x.entries {
		if e != 0 {
			slot := uint32(e) - 1
			x.keys[slot] = a.add(x.arena.get(x.keys[slot]))
		}
	}
	x.arena = a
}

// bytes returns how much memory the index takes by itself, and for all its slots.
func (x *Index) bytes() (fixed, slots int64) {
	for _, c := range x.arena.chunks {
		slots += int64(cap(c))
	}
	return 8 * int64(cap(x.entries)), slots + 20*int64(cap(x.hashes)) + 4*int64(cap(x.free))
}

// Reset empties the index and keeps its memory.
func (x *Index) Reset() {
	clear(x.entries)
	x.hashes, x.keys, x.free, x.live = x.hashes[:0], x.keys[:0], x.free[:0], 0
	if len(x.arena.chunks) > 0 {
		x.arena.chunks = x.arena.chunks[:1]
		x.arena.chunks[0] = x.arena.chunks[0][:0]
	}
	x.arena.waste, x.arena.used = 0, 0
}
