package timers

import (
	"cmp"
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
	live    int
	buckets map[int64]*bucket
	near    [256]*bucket // some of them, by the number's lower bits
	order   []*bucket    // by number
	dirty   []*bucket    // in which timers were set since the last Changes; they may have become other buckets since
	spare   []*bucket
	kept    int // entries of those
	sorter  sorter
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{buckets: map[int64]*bucket{}} }

// Len returns the number of timers.
func (s *Set) Len() int { return s.live }

// Add sets a timer; it tells whether it was not set.
func (s *Set) Add(t Timer) bool {
	b := s.make(bucketOf(t.At))
	i := itemOf(t)
	at, was := b.find(i)
	if was >= fresh {
		return false
	}
	s.insert(b, i, at, was, fresh)
	b.note(i)
	if !b.dirty {
		b.dirty = true
		s.dirty = append(s.dirty, b)
	}
	return true
}

// Load sets a timer that the stored state has.
func (s *Set) Load(t Timer) {
	b := s.make(bucketOf(t.At))
	i := itemOf(t)
	if at, was := b.find(i); was >= fresh {
		b.entries[at] = i | item(stored)
	} else {
		s.insert(b, i, at, was, stored)
	}
}

func (s *Set) insert(b *bucket, i item, at int, was, now state) {
	s.live++
	b.add(i, at, was, now)
	if b.queue.sorted {
		b.queue.add(i)
	}
}

// bucket returns a bucket by its number, nil when there is none.
func (s *Set) bucket(number int64) *bucket {
	near := &s.near[uint64(number)%uint64(len(s.near))]
	if b := *near; b != nil && b.number == number {
		return b
	}
	b := s.buckets[number]
	if b != nil {
		*near = b
	}
	return b
}

// make returns a bucket by its number, a new one if there is none.
func (s *Set) make(number int64) *bucket {
	if b := s.bucket(number); b != nil {
		return b
	}
	b := &bucket{}
	if n := len(s.spare); n > 0 {
		b, s.spare = s.spare[n-1], s.spare[:n-1]
		s.kept -= len(b.entries)
	}
	b.reset(number)
	s.buckets[number] = b
	i, _ := slices.BinarySearchFunc(s.order, number, func(b *bucket, n int64) int { return cmp.Compare(b.number, n) })
	s.order = slices.Insert(s.order, i, b)
	return b
}

// keptEntries is how much of buckets that are over is kept for those to come: 32 MB.
const keptEntries = 4 << 20

// shut removes the first bucket, in which no timer is set.
func (s *Set) shut() {
	b := s.order[0]
	s.order = slices.Delete(s.order, 0, 1)
	delete(s.buckets, b.number)
	if near := &s.near[uint64(b.number)%uint64(len(s.near))]; *near == b {
		*near = nil
	}
	b.queue.clear(&s.sorter)
	if 8*b.used > len(b.entries) && s.kept+len(b.entries) <= keptEntries {
		s.kept += len(b.entries)
		s.spare = append(s.spare, b)
	}
}

// find returns the bucket and place of a timer, and its state.
func (s *Set) find(t Timer) (b *bucket, at int, is state) {
	if b = s.bucket(bucketOf(t.At)); b == nil {
		return nil, 0, none
	}
	at, is = b.find(itemOf(t))
	return b, at, is
}

// Within calls visit for the timers that are set from lo to hi, both included, and tells whether the stored state has them; visit changes nothing.
func (s *Set) Within(lo, hi sabot.Micros, visit func(t Timer, inStore bool)) {
	for _, b := range s.order {
		if b.number < bucketOf(lo) || b.number > bucketOf(hi) {
			continue
		}
		for _, e := range b.entries {
			if t := b.timer(e); e.set() && t.At >= lo && t.At <= hi {
				visit(t, e.state() == stored)
			}
		}
	}
}

// Renew says of a timer that was set since the last Changes, and loaded since, that the stored state does not have it after all.
func (s *Set) Renew(t Timer) {
	if b, at, is := s.find(t); is == stored {
		b.entries[at] = itemOf(t) | item(fresh)
	}
}

// Remove cancels a timer. It tells whether the timer was set, and whether the stored state has it.
func (s *Set) Remove(t Timer) (was, inStore bool) {
	b, at, is := s.find(t)
	if is < fresh {
		return false, false
	}
	s.live--
	b.drop(at)
	b.tidy(&s.sorter)
	return true, is == stored
}

// first returns the first bucket in which a timer is set, nil when there is none.
func (s *Set) first() *bucket {
	for len(s.order) > 0 {
		if b := s.order[0]; b.live > 0 {
			return b
		}
		s.shut()
	}
	return nil
}

// Pop removes and returns the earliest timer that is due: before w, or at w == sabot.MaxMicros any. Of one time, by id: a set that was read back
// fires the timers of a key as the one that was stored would have. Between keys the order is free.
func (s *Set) Pop(w sabot.Micros) (t Timer, inStore, ok bool) {
	b := s.first()
	if b == nil || b.number > bucketOf(w) {
		return Timer{}, false, false
	}
	i, at := b.first(&s.sorter)
	if t = b.timer(i); t.At >= w && w != sabot.MaxMicros {
		return Timer{}, false, false
	}
	inStore = b.entries[at].state() == stored
	s.live--
	b.drop(at)
	b.queue.pop()
	return t, inStore, true
}

// Next returns the time of the earliest timer.
func (s *Set) Next() (at sabot.Micros, ok bool) {
	b := s.first()
	if b == nil {
		return 0, false
	}
	i, _ := b.first(&s.sorter)
	return b.timer(i).At, true
}

// Changes calls put for the timers that have been set since its last call and still are, and counts them as stored.
func (s *Set) Changes(put func(Timer)) {
	for _, b := range s.dirty {
		b.settle(put)
		b.dirty = false
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
}

// Stored tells whether a timer is set, and the stored state has it.
func (s *Set) Stored(t Timer) bool {
	_, _, is := s.find(t)
	return is == stored
}

// Has tells whether a timer is set.
func (s *Set) Has(t Timer) bool {
	_, _, is := s.find(t)
	return is >= fresh
}
