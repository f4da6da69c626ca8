package objstate

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
)

// Memory bounds the state that the lanes of one worker have in memory. Any goroutine may use it.
type Memory struct {
	limit int64
	used  atomic.Int64
	busy  atomic.Int64 // that cannot be dropped before a cut is committed
}

// NewMemory returns a bound of so many bytes for tables, indexes and filters. What is not committed yet may exceed it: see Full.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// Limit returns the bound.
func (m *Memory) Limit() int64 { return m.limit }

// Used returns how many bytes there are.
func (m *Memory) Used() int64 { return m.used.Load() }

// Wants tells whether so much has changed that a cut should not wait for its time.
func (m *Memory) Wants() bool { return m != nil && m.busy.Load() > m.limit/6 }

// Full tells whether so much has changed that nothing more should come before a cut is committed.
func (m *Memory) Full() bool { return m != nil && m.busy.Load() > m.limit/2 }

// Managed is state that can be taken out of memory and read back. The lane's goroutine calls it.
type Managed interface {
	// Settle says up to which cut everything is committed, and so can be read back.
	Settle(committed uint64)
	// Memory returns how many bytes it takes, how many of them something is in, and how many of these cannot be dropped yet.
	Memory() Usage
	// Shrink drops about so many bytes, if it can.
	Shrink(bytes int64) (slots int)
}

// Usage is how much memory a table takes, in bytes.
type Usage struct {
	Held int64 // by the table
	Live int64 // of slots in use
	Busy int64 // of those, of slots that have changed and are not committed
}

// Add returns the sum.
func (u Usage) Add(v Usage) Usage { return Usage{u.Held + v.Held, u.Live + v.Live, u.Busy + v.Busy} }

// share is one store's part of a Memory.
type share struct{ used, busy int64 }

// Manage makes the store keep what m holds within its memory, and tell it what is committed.
func (s *Store) Manage(m Managed) { s.managed = append(s.managed, m) }

// Trim drops what has not been used lately when there is too much in memory. The lane calls it between batches.
func (s *Store) Trim() {
	if s.o.Committed != nil {
		committed := s.o.Committed()
		for _, m := range s.managed {
			m.Settle(committed)
		}
	}
	if len(s.managed) == 0 || s.o.Memory == nil {
		return
	}
	all := make([]Usage, len(s.managed))
	spare := s.spare.bytes()
	total := Usage{Held: s.indexBytes() + spare}
	for i, m := range s.managed {
		all[i] = m.Memory()
		total = total.Add(all[i])
	}
	s.tell(share{total.Held, total.Busy})
	if spare > 0 && s.o.Memory.used.Load() > s.o.Memory.limit {
		s.spare.drop()
		total.Held -= spare
		s.tell(share{total.Held, total.Busy})
	}
	if s.o.Memory.used.Load() <= s.o.Memory.limit || total.Held == 0 {
		return
	}
	// Tables do not give memory back: they are to have room for what comes, and not to grow. Each store does its part, and each of its tables.
	keep := float64(s.o.Memory.limit) / float64(s.o.Memory.used.Load())
	for i, m := range s.managed {
		if drop := all[i].Live - int64(keep*headroom*float64(all[i].Held)); drop > all[i].Live/64 {
			s.stats.Evicted += int64(m.Shrink(drop))
		}
	}
}

// headroom is the share of a table's memory that is in use after it has been trimmed.
const headroom = 0.9

func (s *Store) tell(now share) {
	s.o.Memory.used.Add(now.used - s.share.used)
	s.o.Memory.busy.Add(now.busy - s.share.busy)
	s.share = now
}

// Close closes what the store has open, and gives its memory back.
func (s *Store) Close() {
	for _, p := range s.parts {
		for _, l := range p.levels {
			s.shut(l.seg)
		}
	}
	if s.o.Memory != nil {
		s.tell(share{})
	}
}

// filterBytes is how much memory the filters of one part may take.
func (o Options) filterBytes() int64 {
	if o.Memory == nil {
		return 1 << 40
	}
	return o.Memory.limit / 16
}

// Bounded tells whether there is a bound on memory: then tables are partial from the start, so that something can be dropped at any time.
func (s *Store) Bounded() bool { return s.o.Memory != nil }

// Whole returns up to how many bytes of segments are read whole, so that nothing has to be looked up: as much as does not hold up a start.
func (s *Store) Whole() int64 {
	if s.o.Memory == nil {
		return wholeBytes
	}
	return min(wholeBytes, s.o.Memory.limit/32)
}

// wholeBytes is the most that a lane reads whole of a table, or of one of its buckets.
const wholeBytes = 16 << 20

func (s *Store) indexBytes() (n int64) {
	for _, p := range s.parts {
		n += p.indexes
	}
	return n
}

// Usage returns how much memory the table takes.
func (t *Table) Usage() Usage {
	fixed, slots := t.Index.bytes()
	slots += int64(cap(t.flags)) + 4*int64(cap(t.dirty)+cap(t.marks)+cap(t.filed)+cap(t.missing))
	for i := range t.Cols {
		slots += t.Cols[i].bytes()
	}
	n := int64(t.Slots())
	if n == 0 {
		return Usage{Held: fixed + slots}
	}
	each := float64(slots) / float64(n)
	return Usage{Held: fixed + slots, Live: fixed + int64(each*float64(t.Len())), Busy: int64(each * float64(t.Busy()))}
}

// sampled is how many texts are looked at to tell the size of all.
const sampled = 64

func (c *Column) bytes() int64 {
	n := 8*int64(cap(c.Ints)+cap(c.Floats)) + int64(cap(c.Bools)+cap(c.Valid)) + 16*int64(cap(c.Texts))
	if id := c.Field.Type.ID(); id != arrow.STRING && id != arrow.BINARY || len(c.Texts) == 0 {
		return n
	}
	step, sum := max(1, len(c.Texts)/sampled), 0
	for i := 0; i < len(c.Texts); i += step {
		sum += len(c.Texts[i])
	}
	return n + int64(sum)*int64(step)
}
