package timers

import (
	"slices"

	"github.com/sabot-stream/sabot"
)

// Timer is a timer that is set.
type Timer struct {
	At   sabot.Micros
	Slot uint32 // of the key
	ID   uint8  // which of the operator's timers
}

// Set holds timers. One goroutine uses it; the zero Set is not ready.
type Set struct {
	table   table
	buckets map[int64]*bucket
	order   []int64  // numbers of the buckets, ascending
	dirty   []uint32 // nodes set since the last Changes, perhaps gone since, or of another timer
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{buckets: map[int64]*bucket{}} }

// Len returns the number of timers.
func (s *Set) Len() int { return s.table.live }

// Add sets a timer; it tells whether it was not set.
func (s *Set) Add(t Timer) bool {
	n, added := s.table.put(t)
	if added {
		s.dirty = append(s.dirty, n)
		s.insert(t, n)
	}
	return added
}

// Load sets a timer that the stored state has.
func (s *Set) Load(t Timer) {
	n, added := s.table.put(t)
	if added {
		s.insert(t, n)
	}
	s.table.nodes[n].state = stored
}

func (s *Set) insert(t Timer, n uint32) {
	k := bucketOf(t.At)
	b := s.buckets[k]
	if b == nil {
		b = &bucket{}
		s.buckets[k] = b
		i, _ := slices.BinarySearch(s.order, k)
		s.order = slices.Insert(s.order, i, k)
	}
	b.add(itemOf(t, n))
}

// Remove cancels a timer. It tells whether the timer was set, and whether the stored state has it.
func (s *Set) Remove(t Timer) (was, inStore bool) {
	n := s.table.find(t)
	if n == noNode {
		return false, false
	}
	inStore = s.table.nodes[n].state == stored
	s.table.drop(n)
	s.buckets[bucketOf(t.At)].cancelled(&s.table)
	return true, inStore
}

// first returns the first item and its bucket, nil when no timer is set.
func (s *Set) first() (*bucket, item) {
	for len(s.order) > 0 {
		b := s.buckets[s.order[0]]
		if i, ok := b.first(&s.table); ok {
			return b, i
		}
		delete(s.buckets, s.order[0])
		s.order = slices.Delete(s.order, 0, 1)
	}
	return nil, 0
}

// Pop removes and returns the earliest timer that is due: before w, or at w == sabot.MaxMicros any. Of one time, by id: a set that was read back
// fires the timers of a key as the one that was stored would have. Between keys the order is free.
func (s *Set) Pop(w sabot.Micros) (t Timer, inStore, ok bool) {
	b, i := s.first()
	if b == nil {
		return Timer{}, false, false
	}
	n := &s.table.nodes[i.node()]
	if n.at >= w && w != sabot.MaxMicros {
		return Timer{}, false, false
	}
	t, inStore = n.timer(), n.state == stored
	s.table.drop(i.node())
	b.take(i, &s.table)
	return t, inStore, true
}

// Next returns the time of the earliest timer.
func (s *Set) Next() (at sabot.Micros, ok bool) {
	b, i := s.first()
	if b == nil {
		return 0, false
	}
	return s.table.nodes[i.node()].at, true
}

// Changes calls put for the timers that have been set since its last call and still are, and counts them as stored.
func (s *Set) Changes(put func(Timer)) {
	for _, k := range s.dirty {
		if n := &s.table.nodes[k]; n.state == fresh {
			n.state = stored
			put(n.timer())
		}
	}
	s.dirty = s.dirty[:0]
}

// Stored tells whether a timer is set, and the stored state has it.
func (s *Set) Stored(t Timer) bool {
	n := s.table.find(t)
	return n != noNode && s.table.nodes[n].state == stored
}

// Has tells whether a timer is set.
func (s *Set) Has(t Timer) bool { return s.table.find(t) != noNode }
