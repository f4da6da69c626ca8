package timers

import "slices"

// queue fires the timers of a bucket in order: those that were set when its turn came are sorted once, and what comes later and out of order goes to a heap.
// Timers that are gone stay in it until they are passed over, and one that was set again may be in it more than once.
type queue struct {
	sorted bool
	items  []item // from next on
	next   int
	heap   []item
}

func (q *queue) len() int { return len(q.items) - q.next + len(q.heap) }

// fill sets the queue to the timers of a bucket's entries that are set.
func (q *queue) fill(entries []item, s *sorter) { q.items, q.sorted = s.order(entries), true }

// clear empties the queue, and gives its memory to a sorter; it is to be filled before it is used.
func (q *queue) clear(s *sorter) {
	if q.sorted {
		s.give(q.items)
	}
	*q = queue{}
}

func (q *queue) add(i item) {
	if len(q.items) == q.next || q.items[len(q.items)-1] <= i {
		q.items = append(q.items, i)
		return
	}
	q.heap = append(q.heap, i)
	for k := len(q.heap) - 1; k > 0; {
		up := (k - 1) / 2
		if q.heap[up] <= q.heap[k] {
			break
		}
		q.heap[up], q.heap[k] = q.heap[k], q.heap[up]
		k = up
	}
}

// first returns the first item; there is one.
func (q *queue) first() item {
	if len(q.heap) > 0 && (q.next == len(q.items) || q.heap[0] < q.items[q.next]) {
		return q.heap[0]
	}
	return q.items[q.next]
}

// pop removes the first item.
func (q *queue) pop() {
	if len(q.heap) == 0 || q.next < len(q.items) && q.items[q.next] <= q.heap[0] {
		q.next++
		return
	}
	last := len(q.heap) - 1
	q.heap[0], q.heap = q.heap[last], q.heap[:last]
	for k := 0; 2*k+1 < last; {
		c := 2*k + 1
		if c+1 < last && q.heap[c+1] < q.heap[c] {
			c++
		}
		if q.heap[k] <= q.heap[c] {
			break
		}
		q.heap[k], q.heap[c] = q.heap[c], q.heap[k]
		k = c
	}
}

// sorter sorts items. It has the memory of a queue or two that are over.
type sorter struct{ spare [][]item }

func (s *sorter) take() []item {
	n := len(s.spare)
	if n == 0 {
		return nil
	}
	items := s.spare[n-1]
	s.spare = s.spare[:n-1]
	return items
}

func (s *sorter) give(items []item) {
	if len(s.spare) < 2 {
		s.spare = append(s.spare, items[:0])
	}
}

// The digits by which items are sorted: id, and the halves of the time within the bucket. Of one time and id the order is free.
const (
	digitBits = 11
	digits    = 1 << digitBits
	fewItems  = 256 // that comparing sorts faster
)

var digitShifts = [...]uint{32 + stateBits, 64 - 2*digitBits, 64 - digitBits}

// order returns the items of entries that are set, without their states, in order.
func (s *sorter) order(entries []item) []item {
	a := s.take()
	for _, e := range entries {
		if e.set() {
			a = append(a, e&^stateMask)
		}
	}
	if len(a) < fewItems {
		slices.Sort(a)
		return a
	}
	b := slices.Grow(s.take(), len(a))[:len(a)]
	for k, shift := range digitShifts {
		width := uint(digitBits)
		if k == 0 {
			width = 8
		}
		var count [digits]uint32
		for _, i := range a {
			count[uint64(i)>>shift&(1<<width-1)]++
		}
		if count[uint64(a[0])>>shift&(1<<width-1)] == uint32(len(a)) {
			continue // all are alike
		}
		sum := uint32(0)
		for d, c := range count {
			count[d] = sum
			sum += c
		}
		for _, i := range a {
			d := uint64(i) >> shift & (1<<width - 1)
			b[count[d]] = i
			count[d]++
		}
		a, b = b, a
	}
	s.give(b)
	return a
}
