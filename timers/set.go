package timers

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot"
)

// bucketWidth is the span of time whose timers are sorted together, in microseconds.
const bucketWidth = 60_000_000

// Timer is a timer that is set.
type Timer struct {
	At   sabot.Micros
	Slot uint32 // of the key
	ID   uint8  // which of the operator's timers
}

// Set holds timers. One goroutine uses it; the zero Set is not ready.
type Set struct {
	set     map[Timer]status
	buckets map[int64]*bucket
	order   []int64 // numbers of the buckets, ascending
	dirty   []Timer // set since the last Changes, perhaps gone since
}

type status struct{ stored bool }

// bucket holds timers, sorted from next on if sorted says so; cancelled ones are passed over when their turn comes.
type bucket struct {
	timers []Timer
	next   int
	sorted bool
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{set: map[Timer]status{}, buckets: map[int64]*bucket{}} }

// Len returns the number of timers.
func (s *Set) Len() int { return len(s.set) }

// Add sets a timer; it tells whether it was not set.
func (s *Set) Add(t Timer) bool {
	if _, ok := s.set[t]; ok {
		return false
	}
	s.set[t] = status{}
	s.dirty = append(s.dirty, t)
	s.insert(t)
	return true
}

// Load sets a timer that the stored state has.
func (s *Set) Load(t Timer) {
	if _, ok := s.set[t]; !ok {
		s.insert(t)
	}
	s.set[t] = status{stored: true}
}

func bucketOf(at sabot.Micros) int64 {
	b := int64(at) / bucketWidth
	if at < 0 && int64(at)%bucketWidth != 0 {
		b--
	}
	return b
}

// compare orders timers as they fire. Those of one time go by id: a set that was read back fires the timers of a key as the one that was
// stored would have. Between keys the order is free.
func compare(x, y Timer) int {
	if x.At != y.At {
		return cmp.Compare(x.At, y.At)
	}
	return cmp.Compare(x.ID, y.ID)
}

func (s *Set) insert(t Timer) {
	n := bucketOf(t.At)
	b := s.buckets[n]
	if b == nil {
		b = &bucket{sorted: true}
		s.buckets[n] = b
		i, _ := slices.BinarySearch(s.order, n)
		s.order = slices.Insert(s.order, i, n)
	}
	if last := len(b.timers) - 1; last >= b.next && compare(b.timers[last], t) > 0 {
		b.sorted = false
	}
	b.timers = append(b.timers, t)
}

// Remove cancels a timer. It tells whether the timer was set, and whether the stored state has it.
func (s *Set) Remove(t Timer) (was, stored bool) {
	st, ok := s.set[t]
	delete(s.set, t)
	return ok, st.stored
}

// Pop removes and returns the earliest timer that is due: before w, or at w == sabot.MaxMicros any. Of one time, by id.
func (s *Set) Pop(w sabot.Micros) (t Timer, stored, ok bool) {
	for len(s.order) > 0 {
		b := s.buckets[s.order[0]]
		if !b.sorted {
			slices.SortFunc(b.timers[b.next:], compare)
			b.sorted = true
		}
		for b.next < len(b.timers) {
			t = b.timers[b.next]
			if t.At >= w && w != sabot.MaxMicros {
				return t, false, false
			}
			b.next++
			if st, is := s.set[t]; is {
				delete(s.set, t)
				return t, st.stored, true
			}
		}
		delete(s.buckets, s.order[0])
		s.order = slices.Delete(s.order, 0, 1)
	}
	return Timer{}, false, false
}

// Next returns the time of the earliest timer.
func (s *Set) Next() (at sabot.Micros, ok bool) {
	for _, n := range s.order {
		b := s.buckets[n]
		at, ok = sabot.MaxMicros, false
		for _, t := range b.timers[b.next:] {
			if _, is := s.set[t]; is && (t.At < at || !ok) {
				at, ok = t.At, true
			}
		}
		if ok {
			return at, true
		}
	}
	return 0, false
}

// Changes calls put for the timers that have been set since its last call and still are, and counts them as stored.
func (s *Set) Changes(put func(Timer)) {
	for _, t := range s.dirty {
		if st, ok := s.set[t]; ok && !st.stored {
			s.set[t] = status{stored: true}
			put(t)
		}
	}
	s.dirty = s.dirty[:0]
}

// Has tells whether a timer is set.
func (s *Set) Has(t Timer) bool {
	_, ok := s.set[t]
	return ok
}
