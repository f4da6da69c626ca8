package batch

import (
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Scatter cuts batches by lane: histogram, permutation, gather. One goroutine uses it; what it returns is released in any.
type Scatter struct {
	bounds []uint32   // first hash32 of lanes 1, 2, ...
	first  [256]uint8 // lane of the least hash32 with a given upper byte
	pool   sync.Pool
	lane   []uint8
	perm   []int32
	starts []int32
}

// NewScatter returns a scatter into lanes whose ranges of hash32 begin at 0 and at each of bounds, ascending. At most
// 256 lanes.
func NewScatter(bounds []uint32) *Scatter {
	s := &Scatter{bounds: bounds, pool: sync.Pool{New: func() any { return &memoryOf{} }}, starts: make([]int32, len(bounds)+2)}
	for top := range s.first {
		s.first[top] = s.laneFrom(0, uint32(top)<<24)
	}
	return s
}

// laneFrom returns the lane of hash32 h, which is not below lane l.
func (s *Scatter) laneFrom(l uint8, h uint32) uint8 {
	for int(l) < len(s.bounds) && h >= s.bounds[l] {
		l++
	}
	return l
}

// Split returns one compact batch for each lane, nil where there are no rows. It consumes b, which must be compact and keyed.
func (s *Scatter) Split(b *Batch) []*Batch {
	out := make([]*Batch, len(s.bounds)+1)
	if len(s.bounds) == 0 {
		out[0] = b
		return out
	}
	defer b.Release()
	s.order(b.Hashes)
	for l := range out {
		if idx := s.perm[s.starts[l]:s.starts[l+1]]; len(idx) > 0 {
			out[l] = s.gather(b, idx)
		}
	}
	return out
}

// order sets perm to the rows by lane, and starts to where each lane begins in it.
func (s *Scatter) order(hashes []uint64) {
	n := len(hashes)
	if cap(s.lane) < n {
		s.lane, s.perm = make([]uint8, n), make([]int32, n)
	}
	s.lane, s.perm = s.lane[:n], s.perm[:n]
	clear(s.starts)
	if len(s.bounds) == 1 {
		bound := s.bounds[0]
		for i, h := range hashes {
			l := uint8(0)
			if rowkey.Hash32(h) >= bound {
				l = 1
			}
			s.lane[i] = l
		}
	} else {
		for i, h := range hashes {
			x := rowkey.Hash32(h)
			s.lane[i] = s.laneFrom(s.first[x>>24], x)
		}
	}
	var count [257]int32
	for _, l := range s.lane {
		count[l]++
	}
	sum := int32(0)
	for l := range len(s.bounds) + 1 {
		s.starts[l] = sum
		sum += count[l]
		count[l] = s.starts[l]
	}
	s.starts[len(s.bounds)+1] = sum
	for i, l := range s.lane {
		s.perm[count[l]] = int32(i)
		count[l]++
	}
}

func (s *Scatter) gather(b *Batch, idx []int32) *Batch {
	m := s.pool.Get().(*memoryOf)
	cols := make([]arrow.Array, len(b.Cols))
	for i, c := range b.Cols {
		cols[i] = gather(c, idx, m)
	}
	d := New(b.Schema, cols, len(idx), func() {
		m.reset()
		s.pool.Put(m)
	})
	d.Hashes = lend[uint64](m, len(idx))
	for k, i := range idx {
		d.Hashes[k] = b.Hashes[i]
	}
	if b.Times != nil {
		d.Times = lend[int64](m, len(idx))
		for k, i := range idx {
			d.Times[k] = b.Times[i]
		}
	}
	d.Keys = gatherKeys(b.Keys, idx, m)
	return d
}

func gatherKeys(c rowkey.Column, idx []int32, m *memoryOf) rowkey.Column {
	offs := lend[int32](m, len(idx)+1)
	total := int32(0)
	offs[0] = 0
	for k, i := range idx {
		total += c.Offsets[i+1] - c.Offsets[i]
		offs[k+1] = total
	}
	bytes := m.bytes(int(total))
	for k, i := range idx {
		copyShort(bytes[offs[k]:offs[k+1]], c.Bytes[c.Offsets[i]:c.Offsets[i+1]])
	}
	return rowkey.Column{Offsets: offs, Bytes: bytes}
}
