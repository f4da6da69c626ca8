package objstate

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Column is a value column of a table, by slot. Which slice is used follows from the type.
type Column struct {
	Field  arrow.Field
	Ints   []int64 // int64, timestamp[us]
	Floats []float64
	Bools  []bool
	Texts  []string // utf8, binary
	Valid  []bool   // of nullable columns
}

// extend makes the column one of n slots; new ones have zero values.
func (c *Column) extend(n int) {
	switch c.Field.Type.ID() {
	case arrow.FLOAT64:
		c.Floats = extended(c.Floats, n)
	case arrow.BOOL:
		c.Bools = extended(c.Bools, n)
	case arrow.STRING, arrow.BINARY:
		c.Texts = extended(c.Texts, n)
	default:
		c.Ints = extended(c.Ints, n)
	}
	if c.Field.Nullable {
		c.Valid = extended(c.Valid, n)
	}
}

func extended[T any](s []T, n int) []T {
	if old := len(s); n <= cap(s) {
		s = s[:n]
		clear(s[old:])
		return s
	}
	more := make([]T, n)
	copy(more, s)
	return more
}

// Zero sets the value of a slot to null, or the zero value.
func (c *Column) Zero(slot uint32) {
	switch {
	case c.Floats != nil:
		c.Floats[slot] = 0
	case c.Bools != nil:
		c.Bools[slot] = false
	case c.Texts != nil:
		c.Texts[slot] = ""
	default:
		c.Ints[slot] = 0
	}
	if c.Valid != nil {
		c.Valid[slot] = false
	}
}

func (c *Column) reset() {
	c.Ints, c.Floats, c.Bools, c.Texts, c.Valid = c.Ints[:0], c.Floats[:0], c.Bools[:0], c.Texts[:0], c.Valid[:0]
}

// load sets the value of a slot from row i of a segment's column.
func (c *Column) load(slot uint32, from *segment.Column, i int) {
	switch {
	case c.Floats != nil:
		c.Floats[slot] = from.Floats[i]
	case c.Bools != nil:
		c.Bools[slot] = from.Bools[i]
	case c.Texts != nil:
		c.Texts[slot] = string(from.Bytes[from.Offsets[i]:from.Offsets[i+1]])
	default:
		c.Ints[slot] = from.Ints[i]
	}
	if c.Valid != nil {
		c.Valid[slot] = from.Valid == nil || from.Valid[i]
	}
}

// What is known of a slot.
const (
	flagDirty  = 1 << iota // changed since the last barrier
	flagStored             // segments show it
	flagMarked             // something that hangs on it has changed since the last barrier
	flagFiled              // it is in a cut that may not be committed yet: reading it back might show what was before
	flagUsed               // since the clock hand came by; kept of partial tables only
	flagHollow             // what segments have of it is not in memory
	flagWanted             // it is hollow, and listed as missing

	flagBusy = flagDirty | flagMarked | flagFiled
)

// Table is a columnar table: an index from key to slot, and columns by slot. Keys are a stream's key, and hashes its hash.
//
// A table is complete, so that what is absent in memory is absent, or partial: then a key that is absent may be in segments. Upsert makes its slot
// hollow and lists it as missing; who uses the table fills what is missing before it looks at values.
type Table struct {
	Index
	Cols  []Column
	flags []uint8
	dirty []uint32
	marks []uint32
	gone  []goneKey // stored ones that were deleted since the last barrier

	filed    []uint32 // in the cut of that number, and perhaps deleted since
	filedCut uint64
	partial  bool
	missing  []uint32
	hand     uint32

	Expand Expand // nil: keys are the stream's, without a suffix
}

// goneKey is a deleted row as segments know it.
type goneKey struct {
	hash        uint64
	key, suffix []byte
}

// Expand turns a table's own key into the stream's key, its hash and a suffix, for tables whose keys are not a stream's. The suffix is valid until the next
// call.
type Expand func(own []byte) (hash uint64, key, suffix []byte)

// NewTable returns an empty table, which is complete.
func NewTable(schema segment.Schema) *Table {
	t := &Table{Cols: make([]Column, len(schema))}
	for i, f := range schema {
		t.Cols[i].Field = f
	}
	return t
}

// Upsert returns the slot of a key; a fresh one has null or zero values, and is missing when the table is partial. It does not mark the slot as changed.
func (t *Table) Upsert(hash uint64, key []byte) (slot uint32, fresh bool) {
	slot, fresh = t.Index.Upsert(hash, key)
	if fresh {
		t.prepare(slot)
	}
	if t.partial {
		t.see(slot, fresh)
	}
	return slot, fresh
}

// UpsertBatch sets dst to the slots of the given rows' keys.
func (t *Table) UpsertBatch(hashes []uint64, keys rowkey.Column, rows []int32, dst []uint32) {
	if !t.partial {
		t.Index.UpsertBatch(hashes, keys, rows, dst, t.prepare)
		return
	}
	t.Index.UpsertBatch(hashes, keys, rows, dst, t.prepareHollow)
	for _, slot := range dst {
		t.see(slot, false)
	}
}

// prepare makes room for the values of a fresh slot. One that was in use before has lost them when its key went.
func (t *Table) prepare(slot uint32) {
	if n := len(t.flags); int(slot) >= n {
		n = max(firstSlots, n+n/2)
		for i := range t.Cols {
			t.Cols[i].extend(n)
		}
		t.flags = extended(t.flags, n)
	}
}

func (t *Table) prepareHollow(slot uint32) {
	t.prepare(slot)
	t.flags[slot] = flagHollow
}

// Touch marks a slot as changed.
func (t *Table) Touch(slot uint32) {
	if f := t.flags[slot]; f&flagDirty == 0 {
		t.flags[slot] = f | flagDirty
		t.dirty = append(t.dirty, slot)
	}
}

// TouchAll marks slots as changed.
func (t *Table) TouchAll(slots []uint32) {
	flags := t.flags
	for _, slot := range slots {
		if f := flags[slot]; f&flagDirty == 0 {
			flags[slot] = f | flagDirty
			t.dirty = append(t.dirty, slot)
		}
	}
}

// Untouched tells whether a slot in use was never marked as changed since it was given out, and is not stored.
func (t *Table) Untouched(slot uint32) bool { return t.flags[slot]&(flagBusy|flagStored) == 0 }

// Delete removes a slot in use. A partial table keeps the slot without values for as long as segments may show its key.
func (t *Table) Delete(slot uint32) {
	stored := t.flags[slot]&flagStored != 0
	if stored {
		hash, key, suffix := t.expanded(slot)
		t.gone = append(t.gone, goneKey{hash, bytes.Clone(key), bytes.Clone(suffix)})
	}
	if t.Expand != nil || !t.partial {
		t.remove(slot)
		return
	}
	for i := range t.Cols {
		t.Cols[i].Zero(slot)
	}
	t.flags[slot] &^= flagDirty | flagStored // what is left of it in dirty is passed over
	if stored {
		t.Mark(slot)
	}
}

// Forget removes a slot in use, and leaves what segments show of it as it is.
func (t *Table) Forget(slot uint32) { t.remove(slot) }

// remove removes a slot in use and its values. Who goes through the columns finds no value in a slot that has no key.
func (t *Table) remove(slot uint32) {
	t.flags[slot] = 0
	for i := range t.Cols {
		t.Cols[i].Zero(slot)
	}
	t.Index.Delete(slot)
}

func (t *Table) expanded(slot uint32) (hash uint64, key, suffix []byte) {
	if t.Expand == nil {
		return t.Hash(slot), t.Key(slot), nil
	}
	return t.Expand(t.Key(slot))
}

// Reset empties the table, as if it had never been, and keeps its memory.
func (t *Table) Reset() {
	t.Index.Reset()
	for i := range t.Cols {
		t.Cols[i].reset()
	}
	t.flags, t.dirty, t.marks, t.gone, t.filed, t.missing = t.flags[:0], t.dirty[:0], t.marks[:0], t.gone[:0], t.filed[:0], t.missing[:0]
	t.partial, t.hand = false, 0
}

// freeze appends the changes since the last barrier to f, with a suffix behind each key and a time for the bucket.
func (t *Table) freeze(f *Frame, suffix []byte, at int64) {
	t.Settle(f.committed)
	if t.settleDirty(); len(t.dirty) > 0 {
		f.puts(t, t.dirty, suffix, at)
	}
	if len(t.gone) > 0 {
		t.freezeGone(f, suffix, at)
	}
	t.file(f.cut)
}

// settleDirty leaves in dirty what has to be written, once, and counts it as stored.
func (t *Table) settleDirty() {
	set := uint8(flagStored)
	if t.partial {
		set |= flagFiled
	}
	n := 0
	for _, slot := range t.dirty {
		if f := t.flags[slot]; f&flagDirty != 0 { // or else it was deleted meanwhile
			t.flags[slot] = f&^flagDirty | set
			t.dirty[n] = slot
			n++
		}
	}
	if t.dirty = t.dirty[:n]; t.partial {
		t.filed = append(t.filed, t.dirty...)
	}
}

// freezeGone adds deletes of stored keys that have not come back.
func (t *Table) freezeGone(f *Frame, suffix []byte, at int64) {
	done := make(map[string]bool, len(t.dirty)) // keys that were deleted and have come back: their puts say it all
	for _, slot := range t.dirty {
		_, key, own := t.expanded(slot)
		done[string(key)+"\x00"+string(own)] = true
	}
	for _, g := range t.gone {
		if id := string(g.key) + "\x00" + string(g.suffix); !done[id] {
			done[id] = true // deleted, come back and deleted again: once is enough
			if t.Expand != nil {
				suffix = g.suffix
			}
			f.delete(g.hash, g.key, suffix, at)
		}
	}
	t.gone = t.gone[:0]
}

// LoadRow applies row i of a segment to the key.
func (t *Table) LoadRow(hash uint64, key []byte, rows *segment.Rows, i int) {
	if rows.Ops[i] == segment.Delete {
		if slot := t.Lookup(hash, key); slot != NoSlot {
			t.unload(slot)
		}
		return
	}
	slot, fresh := t.Index.Upsert(hash, key)
	if fresh {
		t.prepare(slot)
	}
	t.flags[slot] |= flagStored
	for c := range t.Cols {
		t.Cols[c].load(slot, &rows.Cols[c], i)
	}
}

// unload takes back what older rows have loaded of a slot.
func (t *Table) unload(slot uint32) {
	if t.flags[slot]&flagHollow == 0 {
		t.remove(slot)
		return
	}
	for i := range t.Cols {
		t.Cols[i].Zero(slot)
	}
	t.flags[slot] &^= flagStored
}
