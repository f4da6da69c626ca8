package operators

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// entries is one Map handle's entries for all keys: a table whose own keys are the key's slot and the map's key. The entries of a key are
// linked, so that All and Len need no search.
type entries struct {
	p       *process
	t       *objstate.Table
	ttl     ttl
	intKeys bool
	own     []byte // scratch: an own key
	suffix  []byte // scratch: of expand
	head    []link // by the key's slot
	next    []link // by entry
	prev    []link // by entry
	count   []int32
	last    uint32 // entry that was looked for last, if it still has that key
	cursor  int
}

// link is an entry's slot plus one; 0: none.
type link uint32

// Map implements sabot.Host.
func (h host) Map(d sabot.StateDecl) any {
	p := h.p
	e := &entries{p: p, intKeys: d.Key.ID() == arrow.INT64, own: make([]byte, 4, 64), last: objstate.NoSlot, ttl: p.ttlOf(d)}
	spec := objstate.Spec{Name: p.cfg.Name + "." + d.Name, Schema: segment.Schema{{Name: "value", Type: d.Value}}}
	if d.TTL > 0 {
		e.ttl.col = 1
		spec.TTLs = []objstate.TTL{e.ttl.of("value", e.ttl.column())}
		spec.Schema = append(spec.Schema, arrow.Field{Name: e.ttl.column(), Type: int64Type})
		p.watch(e.ttl, e)
	}
	e.t = objstate.NewTable(spec.Schema)
	e.t.Expand = e.expand
	p.maps = append(p.maps, e)
	p.parts = append(p.parts, p.store.Add(spec, e))
	if e.intKeys {
		return mapOf(e, d.Value, ownInt, func(own []byte) int64 { return int64(binary.LittleEndian.Uint64(own)) })
	}
	return mapOf(e, d.Value, ownText, func(own []byte) string { return string(own) })
}

// mapOf returns the cell for values of the type.
func mapOf[K any](e *entries, t arrow.DataType, own func([]byte, K) []byte, key func([]byte) K) any {
	col := &e.t.Cols[0]
	switch t.ID() {
	case arrow.FLOAT64:
		return &mapCell[K, float64]{e: e, own: own, key: key, values: &col.Floats}
	case arrow.BOOL:
		return &mapCell[K, bool]{e: e, own: own, key: key, values: &col.Bools}
	case arrow.STRING:
		return &mapCell[K, string]{e: e, own: own, key: key, values: &col.Texts}
	case arrow.BINARY:
		return bytesMap[K]{&mapCell[K, string]{e: e, own: own, key: key, values: &col.Texts}}
	}
	return &mapCell[K, int64]{e: e, own: own, key: key, values: &col.Ints}
}

func ownInt(dst []byte, k int64) []byte   { return binary.LittleEndian.AppendUint64(dst, uint64(k)) }
func ownText(dst []byte, k string) []byte { return append(dst, k...) }
func slotOf(own []byte) uint32            { return binary.LittleEndian.Uint32(own) }

// hash mixes a short own key; longer ones are hashed as keys are.
func (e *entries) hash(own []byte) uint64 {
	if len(own) == 12 {
		h := binary.LittleEndian.Uint64(own[4:])*0x9e3779b97f4a7c15 ^ uint64(slotOf(own))*0xd6e8feb86659fd93
		h ^= h >> 32
		h *= 0xd6e8feb86659fd93
		return h ^ h>>29
	}
	return rowkey.HashOf(own)
}

// expand implements objstate.Expand.
func (e *entries) expand(own []byte) (hash uint64, key, suffix []byte) {
	slot := slotOf(own)
	if e.intKeys {
		e.suffix = rowkey.AppendInt64(e.suffix[:0], int64(binary.LittleEndian.Uint64(own[4:])))
	} else {
		e.suffix = rowkey.AppendString(e.suffix[:0], own[4:])
	}
	return e.p.keys.Hash(slot), e.p.keys.Key(slot), e.suffix
}

// Freeze implements objstate.Part.
func (e *entries) Freeze(f *objstate.Frame) {
	f.Table(e.t, nil, 0)
	if len(e.p.schema) == 0 && e == e.p.maps[0] { // the keys have no rows of their own
		f.Marks(e.p.keys)
	}
}

// Load implements objstate.Part.
func (e *entries) Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int) {
	deleted := rows.Ops[i] == segment.Delete
	slot := e.p.keys.Lookup(hash, key)
	if slot == objstate.NoSlot {
		if deleted {
			return
		}
		slot = e.p.reserve(hash, key)
	}
	binary.LittleEndian.PutUint32(e.own[:4], slot)
	own := e.own[:4]
	if e.intKeys {
		own = ownInt(own, int64(binary.BigEndian.Uint64(suffix[1:])^1<<63))
	} else {
		own = appendText(own, suffix)
	}
	h := e.hash(own)
	entry := e.t.Lookup(h, own)
	switch {
	case deleted && entry != objstate.NoSlot:
		e.unlink(entry, slot)
		e.t.Drop(entry)
		e.p.release(slot)
	case !deleted:
		e.t.LoadRow(h, own, rows, i)
		if entry == objstate.NoSlot {
			e.link(e.t.Lookup(h, own), slot)
			e.p.holds[slot]++
		}
	}
}

// appendText appends the text of an order-preserving field.
func appendText(dst, field []byte) []byte {
	for i := 1; i+2 < len(field); i++ {
		dst = append(dst, field[i])
		if field[i] == 0 {
			i++
		}
	}
	return dst
}

// lookup returns the entry of an own key, NoSlot when there is none. It is often the one of the last lookup: what is read is written next.
func (e *entries) lookup(own []byte) uint32 {
	if !e.t.Is(e.last, own) {
		e.last = e.t.Lookup(e.hash(own), own)
	}
	return e.last
}

// find returns the entry of an own key of the current slot, NoSlot when there is none, or none that lives.
func (e *entries) find(own []byte) uint32 {
	entry := e.lookup(own)
	if entry != objstate.NoSlot && e.ttl.col >= 0 && e.ttl.expired(e.t.Cols[1].Ints[entry], e.ttl.now(e.p)) {
		return objstate.NoSlot
	}
	return entry
}

func (e *entries) link(entry, slot uint32) {
	for int(slot) >= len(e.head) {
		e.head, e.count = append(e.head, 0), append(e.count, 0)
	}
	for int(entry) >= len(e.next) {
		e.next, e.prev = append(e.next, 0), append(e.prev, 0)
	}
	h := e.head[slot]
	e.next[entry], e.prev[entry] = h, 0
	if h != 0 {
		e.prev[h-1] = link(entry + 1)
	}
	e.head[slot] = link(entry + 1)
	e.count[slot]++
}

func (e *entries) unlink(entry, slot uint32) {
	n, p := e.next[entry], e.prev[entry]
	if n != 0 {
		e.prev[n-1] = p
	}
	if p != 0 {
		e.next[p-1] = n
	} else {
		e.head[slot] = n
	}
	e.count[slot]--
}

// remove removes an entry; the key's hold goes with it.
func (e *entries) remove(entry, slot uint32) {
	e.unlink(entry, slot)
	e.t.Delete(entry)
	e.p.keys.Mark(slot)
	e.p.holds[slot]--
}

// touch marks an entry as changed.
func (e *entries) touch(entry, slot uint32) {
	e.t.Touch(entry)
	e.p.keys.Mark(slot)
}

// drop takes a key's entries out of memory and returns how many there were. None has changed.
func (e *entries) drop(slot uint32) (n uint32) {
	if int(slot) >= len(e.head) {
		return 0
	}
	for l := e.head[slot]; l != 0; n++ {
		entry := uint32(l - 1)
		l = e.next[entry]
		e.t.Drop(entry)
	}
	e.head[slot], e.count[slot] = 0, 0
	return n
}

// sweep removes expired entries among a few.
func (e *entries) sweep(n int) {
	for range min(n, e.t.Slots()) {
		e.cursor = (e.cursor + 1) % e.t.Slots()
		entry := uint32(e.cursor)
		if !e.t.InUse(entry) || !e.ttl.expired(e.t.Cols[1].Ints[entry], e.ttl.passed(e.p)) {
			continue
		}
		slot := slotOf(e.t.Key(entry))
		e.p.holds[slot]++ // so that release finds it
		e.remove(entry, slot)
		e.p.release(slot)
	}
}

// stamp returns the time of last use of an entry that the current call puts; NoSlot: it is new.
func (e *entries) stamp(entry uint32) int64 {
	if e.ttl.col < 0 || entry == objstate.NoSlot {
		return e.ttl.stamp(e.p, 0, false)
	}
	return e.ttl.stamp(e.p, e.t.Cols[1].Ints[entry], true)
}

// mapCell is a Map handle.
type mapCell[K, V any] struct {
	e      *entries
	own    func(dst []byte, k K) []byte
	key    func(own []byte) K
	values *[]V // of the column, whose memory moves as it grows
	log    []mapChange[V]
}

type mapChange[V any] struct {
	own   []byte
	value V
	used  int64
	had   bool
}

// ownKey returns the own key of k for the current slot; it is valid until the next call.
func (c *mapCell[K, V]) ownKey(k K) []byte {
	e := c.e
	binary.LittleEndian.PutUint32(e.own[:4], e.p.slot)
	own := c.own(e.own[:4], k)
	e.own = own[:4:cap(own)]
	return own
}

// Get implements sabot.MapCell.
func (c *mapCell[K, V]) Get(k K) (v V, ok bool) {
	own := c.ownKey(k)
	entry := c.e.find(own)
	if entry == objstate.NoSlot {
		return v, false
	}
	if t := c.e.ttl; t.col >= 0 && t.onRead {
		if used, now := &c.e.t.Cols[1].Ints[entry], t.now(c.e.p); now > sabot.Micros(*used) {
			c.note(own, entry)
			*used = int64(now)
			c.e.touch(entry, c.e.p.slot)
		}
	}
	return (*c.values)[entry], true
}

// Put implements sabot.MapCell.
func (c *mapCell[K, V]) Put(k K, v V) {
	own := c.ownKey(k)
	entry := c.e.lookup(own)
	c.note(own, entry)
	c.set(own, entry, v, c.e.stamp(entry))
}

// Remove implements sabot.MapCell.
func (c *mapCell[K, V]) Remove(k K) {
	own := c.ownKey(k)
	if entry := c.e.lookup(own); entry != objstate.NoSlot {
		c.note(own, entry)
		c.e.remove(entry, slotOf(own))
	}
}

// Clear implements sabot.MapCell.
func (c *mapCell[K, V]) Clear() {
	e, slot := c.e, c.e.p.slot
	if int(slot) >= len(e.head) {
		return
	}
	for e.head[slot] != 0 {
		entry := uint32(e.head[slot] - 1)
		c.note(e.t.Key(entry), entry)
		e.remove(entry, slot)
	}
}

// set sets the entry of an own key, NoSlot: there is none yet.
func (c *mapCell[K, V]) set(own []byte, entry uint32, v V, used int64) {
	slot := slotOf(own)
	if entry == objstate.NoSlot {
		entry, _ = c.e.t.Upsert(c.e.hash(own), own)
		c.e.last = entry
		c.e.link(entry, slot)
		c.e.p.holds[slot]++
	}
	(*c.values)[entry] = v
	if c.e.ttl.col >= 0 {
		c.e.t.Cols[1].Ints[entry] = used
	}
	c.e.touch(entry, slot)
}

// Len implements sabot.MapCell. With a TTL it goes through the entries.
func (c *mapCell[K, V]) Len() (n int) {
	if int(c.e.p.slot) >= len(c.e.count) {
		return 0
	}
	if c.e.ttl.col < 0 {
		return int(c.e.count[c.e.p.slot])
	}
	c.All(func(K, V) bool {
		n++
		return true
	})
	return n
}

// All implements sabot.MapCell.
func (c *mapCell[K, V]) All(yield func(K, V) bool) {
	e := c.e
	if int(e.p.slot) >= len(e.head) {
		return
	}
	for l := e.head[e.p.slot]; l != 0; {
		entry := uint32(l - 1)
		l = e.next[entry] // the entry may be removed meanwhile
		if e.ttl.col >= 0 && e.ttl.expired(e.t.Cols[1].Ints[entry], e.ttl.now(e.p)) {
			continue
		}
		if !yield(c.key(e.t.Key(entry)[4:]), (*c.values)[entry]) {
			return
		}
	}
}

// note keeps an entry as it was, for undo.
func (c *mapCell[K, V]) note(own []byte, entry uint32) {
	if len(c.log) == 0 {
		c.e.p.logs = append(c.e.p.logs, c)
	}
	n := len(c.log)
	if n < cap(c.log) {
		c.log = c.log[:n+1]
	} else {
		c.log = append(c.log, mapChange[V]{})
	}
	l := &c.log[n]
	l.own, l.had = append(l.own[:0], own...), entry != objstate.NoSlot
	if l.had {
		l.value = (*c.values)[entry]
		if c.e.ttl.col >= 0 {
			l.used = c.e.t.Cols[1].Ints[entry]
		}
	}
}

func (c *mapCell[K, V]) undo() {
	for i := len(c.log) - 1; i >= 0; i-- {
		l := c.log[i]
		entry := c.e.lookup(l.own)
		if l.had {
			c.set(l.own, entry, l.value, l.used)
		} else if entry != objstate.NoSlot {
			c.e.remove(entry, slotOf(l.own))
		}
	}
}

func (c *mapCell[K, V]) forget() { c.log = c.log[:0] }

// bytesMap keeps bytes in a column of text.
type bytesMap[K any] struct{ c *mapCell[K, string] }

// Get implements sabot.MapCell.
func (b bytesMap[K]) Get(k K) ([]byte, bool) {
	s, ok := b.c.Get(k)
	return []byte(s), ok
}

// Put implements sabot.MapCell.
func (b bytesMap[K]) Put(k K, v []byte) { b.c.Put(k, string(v)) }

// Remove implements sabot.MapCell.
func (b bytesMap[K]) Remove(k K) { b.c.Remove(k) }

// Clear implements sabot.MapCell.
func (b bytesMap[K]) Clear() { b.c.Clear() }

// Len implements sabot.MapCell.
func (b bytesMap[K]) Len() int { return b.c.Len() }

// All implements sabot.MapCell.
func (b bytesMap[K]) All(yield func(K, []byte) bool) {
	b.c.All(func(k K, v string) bool { return yield(k, []byte(v)) })
}
