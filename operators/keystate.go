package operators

import (
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// wholeRows is the most rows of state that a lane reads whole: some 200 ms of a start. What compresses well may have many in few bytes.
const wholeRows = 1 << 18

// ready has the stored state in memory, or, when it is too large for that, lets it be read key by key.
func (p *process) ready() {
	if p.walled {
		p.wall = sabot.MicrosOf(p.cfg.Now())
	}
	if p.isReady {
		return
	}
	p.isReady = true
	stored, rows := int64(0), int64(0)
	for _, h := range p.parts {
		h.Touch()
		stored += h.Stored(objstate.Interval{})
		rows += h.StoredRows()
	}
	if stored > p.store.Whole() || rows > wholeRows || p.store.Bounded() && len(p.parts) > 0 {
		p.keys.BePartial()
	} else {
		for _, h := range p.parts {
			h.Load()
		}
	}
	for _, s := range []*timerState{p.event, p.proc} {
		if s != nil {
			s.ready()
		}
	}
	p.store.Manage(p)
}

// slotsOf returns the slots of the keys of a batch's rows, in their order, until the next batch. What is not in memory of them is read first, all together.
func (p *process) slotsOf(b *batch.Batch) []uint32 {
	rows := b.Sel
	if rows == nil {
		for i := len(p.ordinals); i < b.N; i++ {
			p.ordinals = append(p.ordinals, int32(i))
		}
		rows = p.ordinals[:b.N]
	}
	p.slots = slices.Grow(p.slots[:0], len(rows))[:len(rows)]
	p.keys.UpsertBatch(b.Hashes, b.Keys, rows, p.slots)
	if n := p.keys.Slots(); n > len(p.holds) {
		p.holds = append(p.holds, make([]uint32, n-len(p.holds))...)
	}
	p.fill()
	return p.slots
}

// reserve returns the slot of a key, whose state need not be in memory.
func (p *process) reserve(hash uint64, key []byte) uint32 {
	slot, _ := p.keys.Reserve(hash, key)
	for int(slot) >= len(p.holds) {
		p.holds = append(p.holds, 0)
	}
	return slot
}

// fill reads what is stored of the keys that are missing.
func (p *process) fill() {
	if len(p.keys.Missing()) == 0 {
		return
	}
	p.wants = p.keys.Wants(p.wants, nil)
	for _, h := range p.parts {
		h.Lookup(p.wants, 0)
	}
	p.keys.Filled()
}

func (p *process) fillOne(slot uint32) {
	if p.keys.IsHollow(slot) {
		p.keys.Want(slot)
		p.fill()
	}
}

// Settle implements objstate.Managed.
func (p *process) Settle(committed uint64) {
	p.keys.Settle(committed)
	if committed == p.settled {
		return
	}
	p.settled = committed
	p.vacated = slices.DeleteFunc(p.vacated, func(slot uint32) bool {
		if !p.keys.InUse(slot) || p.holds[slot] > 0 {
			return true // it has gone, or has come back
		}
		if !p.keys.Idle(slot) {
			return false
		}
		if p.keys.Drop(slot); p.slot == slot {
			p.slot = objstate.NoSlot
		}
		return true
	})
}

// Memory implements objstate.Managed.
func (p *process) Memory() objstate.Usage {
	u := p.keys.Usage()
	for _, e := range p.maps {
		u = u.Add(e.t.Usage())
	}
	return u
}

// Shrink implements objstate.Managed.
func (p *process) Shrink(bytes int64) (slots int) {
	n := p.keys.Len()
	if n == 0 {
		return 0
	}
	p.slot = objstate.NoSlot
	each := max(1, p.Memory().Live/int64(n))
	return p.keys.Evict(int(bytes/each)+1, p.drop)
}

// drop takes what a key has out of memory. Its slot stays as long as timers refer to it.
func (p *process) drop(slot uint32) {
	p.holds[slot] -= p.values(slot)
	for _, e := range p.maps {
		p.holds[slot] -= e.drop(slot)
	}
	if p.holds[slot] > 0 {
		p.keys.Hollow(slot)
		return
	}
	p.keys.Drop(slot)
}

// nullable returns the columns as segments are read: one that was added to a job lacks in what was written before, and is null there.
func nullable(s segment.Schema) segment.Schema {
	s = slices.Clone(s)
	for i := range s {
		s[i].Nullable = true
	}
	return s
}

// keyState is the keys' values as a part of the lane's state.
type keyState process

// Freeze implements objstate.Part.
func (s *keyState) Freeze(f *objstate.Frame) { f.Table(s.keys, nil, 0) }

// Load implements objstate.Part.
func (s *keyState) Load(hash uint64, key, _ []byte, rows *segment.Rows, i int) {
	p := (*process)(s)
	if rows.Ops[i] == segment.Delete {
		if slot := p.keys.Lookup(hash, key); slot != objstate.NoSlot {
			p.holds[slot] -= p.values(slot)
			if p.holds[slot] == 0 {
				p.keys.LoadRow(hash, key, rows, i)
				return
			}
			for c := range p.keys.Cols {
				p.keys.Cols[c].Zero(slot)
			}
		}
		return
	}
	slot := p.reserve(hash, key)
	p.holds[slot] -= p.values(slot)
	p.keys.LoadRow(hash, key, rows, i)
	if p.holds[slot] += p.values(slot); p.holds[slot] == 0 && !p.keys.IsHollow(slot) { // its values were of handles that are gone
		p.keys.Forget(slot)
	}
}

// values returns how many Value handles have a value in a slot.
func (p *process) values(slot uint32) (n uint32) {
	for c := range p.keys.Cols {
		if v := p.keys.Cols[c].Valid; v != nil && v[slot] {
			n++
		}
	}
	return n
}
