package operators

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/timers"
)

// host is a process operator as its function sees it.
type host struct{ p *process }

// Key implements sabot.Host.
func (h host) Key(i int) any {
	p := h.p
	if !p.decoded {
		if err := p.decoder.Decode(p.keys.Key(p.slot), p.fields); err != nil {
			panic(fmt.Sprintf("decode key: %v", err)) // this process encoded it
		}
		p.decoded = true
	}
	return p.fields[i]
}

// Now implements sabot.Host.
func (h host) Now() sabot.Micros { return h.p.now }

// Watermark implements sabot.Host.
func (h host) Watermark() sabot.Micros { return h.p.low }

// Value implements sabot.Host. The value is a column of the key table; with a TTL a second one holds the time of its last use.
func (h host) Value(d sabot.StateDecl) any {
	p := h.p
	col := len(p.schema)
	p.add(arrow.Field{Name: d.Name, Type: d.Value, Nullable: true})
	ttl := p.ttlOf(d)
	if d.TTL > 0 {
		ttl.col = len(p.schema)
		p.add(arrow.Field{Name: d.Name + "." + ttl.column(), Type: int64Type})
		p.expires = append(p.expires, ttl.of(d.Name, d.Name+"."+ttl.column()))
	}
	base := valueCell{p: p, col: col, ttl: ttl}
	switch d.Value.ID() {
	case arrow.FLOAT64:
		return newCell(base, func(c *objstate.Column) *[]float64 { return &c.Floats })
	case arrow.BOOL:
		return newCell(base, func(c *objstate.Column) *[]bool { return &c.Bools })
	case arrow.STRING:
		return newCell(base, func(c *objstate.Column) *[]string { return &c.Texts })
	case arrow.BINARY:
		return bytesCell{newCell(base, func(c *objstate.Column) *[]string { return &c.Texts })}
	}
	return newCell(base, func(c *objstate.Column) *[]int64 { return &c.Ints })
}

// newCell returns a cell of a column, which it finds once the key table has all its columns.
func newCell[T any](base valueCell, of func(*objstate.Column) *[]T) *cell[T] {
	c := &cell[T]{valueCell: base}
	p := base.p
	p.bind = append(p.bind, func() {
		column := &p.keys.Cols[c.col]
		c.values, c.valid = of(column), &column.Valid
	})
	if c.ttl.col >= 0 {
		p.watch(c.ttl, c)
	}
	return c
}

// add adds a column to the key table.
func (p *process) add(f arrow.Field) {
	p.schema = append(p.schema, f)
	p.keys = objstate.NewTable(p.schema)
}

// Timer implements sabot.Host.
func (h host) Timer(d sabot.StateDecl, fire func(time.Time) error) sabot.TimerCell {
	p := h.p
	id := uint8(len(p.fire))
	p.fire = append(p.fire, fire)
	if d.Domain == sabot.ByEventTime {
		if p.event == nil {
			p.event = p.newTimers("timers", func(w sabot.Micros) sabot.Micros { return w })
		}
		return &timerCell{p.event, id}
	}
	if p.proc == nil {
		p.proc = p.newTimers("ticks", nil)
	}
	return &timerCell{p.proc, id}
}

// timerBase is the width of the narrowest bucket of stored timers.
const timerBase = 60_000_000

func (p *process) newTimers(table string, before func(sabot.Micros) sabot.Micros) *timerState {
	s := &timerState{p: p, set: timers.NewSet()}
	s.handle = p.store.Add(objstate.Spec{Name: p.cfg.Name + "." + table, Base: timerBase, Before: before,
		Time: func(suffix []byte) sabot.Micros { return timerTime(endOf(suffix)) }}, s)
	return s
}

// valueCell is what cells of all types share.
type valueCell struct {
	p   *process
	col int
	ttl ttl
}

// cell is a Value handle: the current key's slot of a column.
type cell[T any] struct {
	valueCell
	values *[]T // of the column, whose memory moves as it grows
	valid  *[]bool
	log    []cellChange[T]
	cursor int // of sweeping
}

type cellChange[T any] struct {
	slot  uint32
	value T
	used  int64
	had   bool
}

func (c *cell[T]) has(slot uint32) bool { return (*c.valid)[slot] }

func (c *cell[T]) used(slot uint32) int64 {
	if c.ttl.col < 0 {
		return 0
	}
	return c.p.keys.Cols[c.ttl.col].Ints[slot]
}

// Get implements sabot.ValueCell.
func (c *cell[T]) Get() (v T, ok bool) {
	slot := c.p.slot
	if !c.has(slot) {
		return v, false
	}
	if c.ttl.col >= 0 {
		now := c.ttl.now(c.p)
		if c.ttl.expired(c.used(slot), now) {
			c.Clear()
			return v, false
		}
		if c.ttl.onRead && now > sabot.Micros(c.used(slot)) {
			c.note(slot)
			c.p.keys.Cols[c.ttl.col].Ints[slot] = int64(now)
			c.p.keys.Touch(slot)
		}
	}
	return (*c.values)[slot], true
}

// Put implements sabot.ValueCell.
func (c *cell[T]) Put(v T) {
	slot := c.p.slot
	c.note(slot)
	c.set(slot, v, c.ttl.stamp(c.p, c.used(slot), c.has(slot)))
}

// Clear implements sabot.ValueCell.
func (c *cell[T]) Clear() {
	slot := c.p.slot
	if !c.has(slot) {
		return
	}
	c.note(slot)
	c.clear(slot)
}

func (c *cell[T]) set(slot uint32, v T, used int64) {
	if !c.has(slot) {
		c.p.holds[slot]++
		(*c.valid)[slot] = true
	}
	(*c.values)[slot] = v
	if c.ttl.col >= 0 {
		c.p.keys.Cols[c.ttl.col].Ints[slot] = used
	}
	c.p.keys.Touch(slot)
}

func (c *cell[T]) clear(slot uint32) {
	if c.has(slot) {
		c.p.holds[slot]--
		c.p.keys.Cols[c.col].Zero(slot)
		c.p.keys.Touch(slot)
	}
}

// note keeps a slot's value as it was before the call, for undo.
func (c *cell[T]) note(slot uint32) {
	n := len(c.log)
	if n > 0 && c.log[n-1].slot == slot {
		return
	}
	if n == 0 {
		c.p.logs = append(c.p.logs, c)
	}
	c.log = append(c.log, cellChange[T]{slot, (*c.values)[slot], c.used(slot), c.has(slot)})
}

func (c *cell[T]) undo() {
	for i := len(c.log) - 1; i >= 0; i-- {
		if l := c.log[i]; l.had {
			c.set(l.slot, l.value, l.used)
		} else {
			c.clear(l.slot)
		}
	}
}

func (c *cell[T]) forget() { c.log = c.log[:0] }

// sweep clears expired values among a few slots, a different few each time. They have expired for every row that is not late.
func (c *cell[T]) sweep(n int) {
	for range min(n, c.p.keys.Slots()) {
		c.cursor = (c.cursor + 1) % c.p.keys.Slots()
		slot := uint32(c.cursor)
		if c.has(slot) && c.ttl.expired(c.used(slot), c.ttl.passed(c.p)) {
			c.p.holds[slot]++ // so that clear leaves the slot to release
			c.clear(slot)
			c.p.release(slot)
		}
	}
}

// bytesCell keeps bytes in a column of text.
type bytesCell struct{ c *cell[string] }

// Get implements sabot.ValueCell.
func (b bytesCell) Get() ([]byte, bool) {
	s, ok := b.c.Get()
	return []byte(s), ok
}

// Put implements sabot.ValueCell.
func (b bytesCell) Put(v []byte) { b.c.Put(string(v)) }

// Clear implements sabot.ValueCell.
func (b bytesCell) Clear() { b.c.Clear() }
