package diskcache

import (
	"sync/atomic"
)

// slot is what is known in memory of a page on disk. Used, n, crc and id change under the cache's lock, while nobody has it pinned.
type slot struct {
	id   pageID
	n    uint32
	crc  uint32
	pins atomic.Int32 // readers, and one for a writer: the slot is not given to another page meanwhile
	hit  atomic.Bool  // since the hand passed
	used bool
}

// slots are all pages, and the hand of the clock. The cache's lock is over them; readers may hold it shared.
type slots struct {
	all   []slot
	index map[pageID]uint32
	used  int
	high  int // slots that have been written to: for those there is room on the disk
	free  int // where the search for an unused slot goes on
	hand  int
}

func (s *slots) find(id pageID) (int, bool) {
	i, ok := s.index[id]
	return int(i), ok
}

// fill gives slot i to a page.
func (s *slots) fill(i int, h *header) {
	x := &s.all[i]
	x.id, x.n, x.crc, x.used = h.id(), h.n, h.crc, true
	x.hit.Store(false)
	s.index[x.id] = uint32(i)
	s.used++
	s.high = max(s.high, i+1)
}

// drop forgets the page in slot i.
func (s *slots) drop(i int) {
	x := &s.all[i]
	if !x.used {
		return
	}
	delete(s.index, x.id)
	x.used = false
	s.used--
}

// take finds a slot for another page and pins it: an unused one, else one that has not been hit for a turn of the hand. Unless grow, only those
// that lie on the disk already. It returns -1 when all are pinned.
func (s *slots) take(grow bool) (i int, evicted bool) {
	limit := len(s.all)
	if !grow {
		limit = s.high
	}
	if s.used < limit {
		for range limit {
			s.free = (s.free + 1) % limit
			if x := &s.all[s.free]; !x.used && x.pins.Load() == 0 {
				x.pins.Store(1)
				return s.free, false
			}
		}
	}
	for range 2 * limit {
		s.hand = (s.hand + 1) % limit
		x := &s.all[s.hand]
		if x.pins.Load() > 0 || x.used && x.hit.Swap(false) {
			continue
		}
		evicted = x.used
		s.drop(s.hand)
		x.pins.Store(1)
		return s.hand, evicted
	}
	return -1, false
}
