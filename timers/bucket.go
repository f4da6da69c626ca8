package timers

import (
	"slices"

	"github.com/sabot-stream/sabot"
)

// bucketBits is the binary logarithm of the span of time whose timers are sorted together, in microseconds: 17 seconds. With so many bits for
// the time within a bucket, an item is one word.
const (
	bucketBits  = 24
	bucketWidth = 1 << bucketBits
)

// item is a timer in its bucket: time within the bucket, id and node, from the highest bit down. Items are ordered as timers fire.
type item uint64

func itemOf(t Timer, n uint32) item {
	return item(uint64(t.At)&(bucketWidth-1)<<40 | uint64(t.ID)<<32 | uint64(n))
}

func (i item) node() uint32 { return uint32(i) }

func bucketOf(at sabot.Micros) int64 { return int64(at) >> bucketBits }

// bucket holds items: from next on in order once it has been sorted, which happens when its turn comes. What comes later and out of order goes
// to a heap. Items of timers that are gone are passed over; when they are most, they are removed.
type bucket struct {
	items  []item
	next   int
	sorted bool
	heap   []item
	dead   int // items of timers that are gone
}

func (b *bucket) add(i item) {
	if !b.sorted || len(b.items) == b.next || b.items[len(b.items)-1] <= i {
		b.items = append(b.items, i)
		return
	}
	b.heap = append(b.heap, i)
	for k := len(b.heap) - 1; k > 0; {
		up := (k - 1) / 2
		if b.heap[up] <= b.heap[k] {
			break
		}
		b.heap[up], b.heap[k] = b.heap[k], b.heap[up]
		k = up
	}
}

// first returns the first item of a timer that is set; ok is false when there is none.
func (b *bucket) first(x *table) (i item, ok bool) {
	if !b.sorted {
		slices.Sort(b.items[b.next:])
		b.sorted = true
	}
	for {
		switch {
		case len(b.heap) > 0 && (b.next == len(b.items) || b.heap[0] < b.items[b.next]):
			i = b.heap[0]
		case b.next < len(b.items):
			i = b.items[b.next]
		default:
			return 0, false
		}
		if x.nodes[i.node()].state != gone {
			return i, true
		}
		b.take(i, x)
		b.dead--
	}
}

// take removes the first item, which is i, and releases its node.
func (b *bucket) take(i item, x *table) {
	x.release(i.node())
	if b.next < len(b.items) && b.items[b.next] == i {
		b.next++
		return
	}
	last := len(b.heap) - 1
	b.heap[0], b.heap = b.heap[last], b.heap[:last]
	for k := 0; 2*k+1 < last; {
		c := 2*k + 1
		if c+1 < last && b.heap[c+1] < b.heap[c] {
			c++
		}
		if b.heap[k] <= b.heap[c] {
			break
		}
		b.heap[k], b.heap[c] = b.heap[c], b.heap[k]
		k = c
	}
}

// cancelled notes that one more of its timers is gone.
func (b *bucket) cancelled(x *table) {
	b.dead++
	if n := len(b.items) - b.next + len(b.heap); b.dead < 32 || 2*b.dead < n {
		return
	}
	isGone := func(i item) bool {
		if x.nodes[i.node()].state != gone {
			return false
		}
		x.release(i.node())
		return true
	}
	b.items = append(b.items[:0], b.items[b.next:]...)
	b.next = 0
	b.items = append(slices.DeleteFunc(b.items, isGone), slices.DeleteFunc(b.heap, isGone)...)
	b.heap, b.dead, b.sorted = nil, 0, false
}
