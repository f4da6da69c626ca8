package timers

import "github.com/sabot-stream/sabot"

// bucketBits is the binary logarithm of the span of time of a bucket, in microseconds: 4 seconds. With so many bits for the time within its bucket a timer
// is one word.
const (
	bucketBits  = 22
	bucketWidth = 1 << bucketBits
)

// item is a timer in its bucket: time within the bucket, id, slot and state, from the highest bit down. Items are ordered as timers fire.
type item uint64

// state is what is known of a timer.
type state uint8

const (
	none   state = iota
	gone         // it was set, and has fired or was cancelled
	fresh        // set, and not in the stored state
	stored       // set, and in the stored state

	stateBits = 2
	stateMask = 1<<stateBits - 1
)

func itemOf(t Timer) item {
	return item(uint64(t.At)<<(64-bucketBits) | uint64(t.ID)<<(32+stateBits) | uint64(t.Slot)<<stateBits)
}

func (i item) state() state { return state(i & stateMask) }

func (i item) set() bool { return i.state() >= fresh }

func bucketOf(at sabot.Micros) int64 { return int64(at) >> bucketBits }

// bucket is the timers of a span of time: a hash set of items, and, once its turn has come, what fires them in order.
type bucket struct {
	number  int64
	entries []item // open addressing; 0: free
	shift   uint   // leaves of a hash its place in entries
	used    int    // entries that are not free
	live    int    // of those, of timers that are set

	dirty  bool   // it is in the set's list of buckets with fresh timers
	recent []item // those that have been fresh since the last Changes, or
	many   bool   // they are so many that all entries are to be looked at

	queue queue
}

const leastEntries = 16

// reset makes the bucket an empty one.
func (b *bucket) reset(number int64) {
	if b.entries == nil {
		b.resize(leastEntries)
	}
	clear(b.entries)
	b.number, b.used, b.live, b.recent, b.many = number, 0, 0, b.recent[:0], false
}

func (b *bucket) resize(n int) {
	b.entries, b.shift = make([]item, n), 64
	for ; n > 1; n /= 2 {
		b.shift--
	}
}

// find returns the place of a timer, or where it belongs, and its state.
func (b *bucket) find(i item) (at int, s state) {
	h := uint64(i) >> stateBits
	h = (h ^ h>>31) * 0x9e3779b97f4a7c15
	mask := len(b.entries) - 1
	for at = int(h >> b.shift); ; at++ {
		e := b.entries[at&mask]
		if e == 0 {
			return at & mask, none
		}
		if e^i <= stateMask {
			return at & mask, e.state()
		}
	}
}

// add sets a timer that is not set, whose place is that which find returned.
func (b *bucket) add(i item, at int, was, now state) {
	if b.live++; was == gone {
		b.entries[at] = i | item(now)
		return
	}
	b.entries[at] = i | item(now)
	if b.used++; 8*b.used > 5*len(b.entries) {
		b.rebuild()
	}
}

// drop takes back that a timer is set. Its entry stays, so that no search ends early.
func (b *bucket) drop(at int) {
	b.entries[at] = b.entries[at]&^stateMask | item(gone)
	b.live--
}

// rebuild leaves the timers that are set, in a set of fitting size.
func (b *bucket) rebuild() {
	old := b.entries
	n := leastEntries
	for 8*(b.live+1) > 3*n {
		n *= 2
	}
	b.resize(n)
	b.used = 0
	for _, e := range old {
		if e.set() {
			at, _ := b.find(e &^ stateMask)
			b.entries[at] = e
			b.used++
		}
	}
}

// tidy gives memory back when most of it is of timers that were cancelled.
func (b *bucket) tidy(s *sorter) {
	if b.used-b.live > 32+3*b.live {
		b.rebuild()
	}
	if b.queue.sorted && b.queue.len() > 64+2*b.live {
		b.queue.clear(s)
	}
}

// note remembers that a timer is fresh.
func (b *bucket) note(i item) {
	if b.many = b.many || len(b.recent) >= len(b.entries)/8; !b.many {
		b.recent = append(b.recent, i)
	}
}

// settle calls put for the timers that are fresh, and makes them stored.
func (b *bucket) settle(put func(Timer)) {
	if b.many {
		for at, e := range b.entries {
			if e.state() == fresh {
				b.entries[at] = e | item(stored)
				put(b.timer(e))
			}
		}
	}
	for _, i := range b.recent {
		if at, s := b.find(i); s == fresh {
			b.entries[at] |= item(stored)
			put(b.timer(i))
		}
	}
	b.recent, b.many = b.recent[:0], false
}

func (b *bucket) timer(i item) Timer {
	at := b.number<<bucketBits | int64(i>>(64-bucketBits))
	return Timer{At: sabot.Micros(at), Slot: uint32(i >> stateBits), ID: uint8(i >> (32 + stateBits))}
}

// first returns the first timer of those that are set, of which there is one at least, and its place.
func (b *bucket) first(s *sorter) (i item, at int) {
	if !b.queue.sorted {
		b.queue.fill(b.entries, s)
	}
	for {
		i = b.queue.first()
		at, state := b.find(i)
		if state >= fresh {
			return i, at
		}
		b.queue.pop() // it is gone
	}
}
