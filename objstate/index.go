package objstate

import (
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Index maps keys to dense slots: open addressing over pointer-free pages, at most half full, by the lower half of the hash; partitions use the
// upper one. The zero Index is empty.
//
// An entry has all bits by which it was placed, so that pages grow without a look at the keys, and a probe reads a key only to say that it is the one.
// Both are one line of memory for a short key, and UpsertBatch reads those of many rows at a time.
type Index struct {
	dir  []*page // by the bits of the hash above those of a page; a page may be there more than once
	keys slotKeys
	live int
	free []uint32

	warmed entry // what warm has read, which is of no use
}

// NoSlot is no slot.
const NoSlot = ^uint32(0)

// Len returns the number of keys.
func (x *Index) Len() int { return x.live }

// Slots returns how many slots have ever been in use: one more than the greatest.
func (x *Index) Slots() int { return x.keys.n }

// InUse tells whether a slot has a key.
func (x *Index) InUse(slot uint32) bool { return x.keys.inUse(slot) }

// Key returns the key of a slot in use; it is valid until the slot is deleted, and must not be changed.
func (x *Index) Key(slot uint32) []byte { return x.keys.key(slot) }

// Is tells whether a slot, any or NoSlot, has the key.
func (x *Index) Is(slot uint32, key []byte) bool {
	return int64(slot) < int64(x.keys.n) && x.keys.is(slot, key)
}

// Hash returns the hash of a slot in use.
func (x *Index) Hash(slot uint32) uint64 { return x.keys.hash(slot) }

func (x *Index) page(hash uint64) *page { return x.dir[hash>>pageBits&uint64(len(x.dir)-1)] }

// Lookup returns the slot of a key, NoSlot when there is none.
func (x *Index) Lookup(hash uint64, key []byte) uint32 {
	if x.live == 0 {
		return NoSlot
	}
	p := x.page(hash)
	for i := hash; ; i++ {
		e := p.entries[i&uint64(len(p.entries)-1)]
		if e == 0 {
			return NoSlot
		}
		if e.tag() == uint32(hash) && x.keys.is(e.slot(), key) {
			return e.slot()
		}
	}
}

// Upsert returns the slot of a key; fresh says that it is new.
func (x *Index) Upsert(hash uint64, key []byte) (slot uint32, fresh bool) {
	if x.dir == nil {
		x.dir = []*page{newPage(firstEntries, 0)}
	}
	p := x.page(hash)
	i := hash
	for ; ; i++ {
		e := p.entries[i&uint64(len(p.entries)-1)]
		if e == 0 {
			break
		}
		if e.tag() == uint32(hash) && x.keys.is(e.slot(), key) {
			return e.slot(), false
		}
	}
	if n := len(x.free); n > 0 {
		slot = x.free[n-1]
		x.free = x.free[:n-1]
		x.keys.set(slot, hash, key)
	} else {
		slot = x.keys.add(hash, key)
	}
	x.live++
	if e := entryOf(hash, slot); p.full() {
		x.dir = grow(x.dir, p)
		x.page(hash).put(e)
	} else {
		p.entries[i&uint64(len(p.entries)-1)] = e
		p.live++
	}
	return slot, true
}

// stage is how many rows of a batch are looked for at a time: few enough for what was read for them to stay in the nearest cache.
const stage = 128

// fewRows is up to how many rows are not worth a stage.
const fewRows = 16

// staged is what is read for the rows of a stage.
type staged struct {
	entries [stage]entry  // the first of each row's probe
	ends    [stage]uint64 // of the cells of the rows' slots
}

// UpsertBatch sets dst to the slots of the given rows' keys, and calls fresh for new ones. It reads first the entries and then the cells of many rows, in
// loops that do nothing else: a processor has many such reads on their way at a time, where Upsert waits for one after the other.
func (x *Index) UpsertBatch(hashes []uint64, keys rowkey.Column, rows []int32, dst []uint32, fresh func(slot uint32)) {
	if len(rows) <= fewRows {
		for k, r := range rows {
			dst[k] = x.upsert(hashes[r], keys.At(int(r)), fresh)
		}
		return
	}
	var s staged
	for len(rows) > 0 {
		n := min(stage, len(rows))
		x.guess(&s, hashes, rows[:n], dst[:n])
		for k, r := range rows[:n] {
			key := keys.At(int(r))
			if slot := dst[k]; slot == NoSlot || !x.keys.holds(s.ends[k], slot, key) {
				dst[k] = x.upsert(hashes[r], key, fresh)
			}
		}
		rows, dst = rows[n:], dst[n:]
	}
}

func (x *Index) upsert(hash uint64, key []byte, fresh func(slot uint32)) uint32 {
	slot, isNew := x.Upsert(hash, key)
	if isNew {
		fresh(slot)
	}
	return slot
}

// guess sets dst to the slots that the rows' keys have if no other key has the lower half of their hashes, NoSlot where there is none, and reads the ends of their
// cells.
func (x *Index) guess(s *staged, hashes []uint64, rows []int32, dst []uint32) {
	if x.live == 0 {
		for k := range dst {
			dst[k] = NoSlot
		}
		return
	}
	dir := x.dir
	for k, r := range rows {
		h := hashes[r]
		p := dir[h>>pageBits&uint64(len(dir)-1)].entries
		s.entries[k&(stage-1)] = p[h&uint64(len(p)-1)]
	}
	for k, r := range rows {
		h, e := hashes[r], s.entries[k&(stage-1)]
		if e.tag() != uint32(h) && e != 0 {
			e = x.page(h).after(h)
		}
		dst[k] = e.slot() // NoSlot of none
	}
	x.keys.read(&s.ends, dst)
}

// warm reads the entries of slots that are about to be deleted, many on their way at a time.
func (x *Index) warm(slots []uint32) {
	sum := entry(0)
	for _, slot := range slots {
		h := x.keys.hash(slot)
		p := x.page(h).entries
		sum |= p[h&uint64(len(p)-1)]
	}
	x.warmed = sum // or the compiler would leave the reads out
}

// Delete removes a slot in use; it will be given out again.
func (x *Index) Delete(slot uint32) {
	hash := x.keys.hash(slot)
	x.page(hash).remove(entryOf(hash, slot))
	x.live--
	x.free = append(x.free, slot)
	x.keys.drop(slot)
}

// bytes returns how much memory the index takes by itself, and for all its slots.
func (x *Index) bytes() (fixed, slots int64) {
	for i, p := range x.dir {
		if p.first(i) {
			fixed += 8 * int64(len(p.entries))
		}
	}
	return fixed + 8*int64(len(x.dir)), x.keys.bytes() + 4*int64(cap(x.free))
}

// Reset empties the index and keeps its memory.
func (x *Index) Reset() {
	for i, p := range x.dir {
		if p.first(i) {
			clear(p.entries)
			p.live = 0
		}
	}
	x.keys.reset()
	x.free, x.live = x.free[:0], 0
}
