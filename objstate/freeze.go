package objstate

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Expiry says that all references of a table whose bucket ends at or before the time are dead.
type Expiry struct {
	Table  string
	Before sabot.Micros
}

// Frozen is a lane's state as of a barrier: what has changed since the one before.
type Frozen struct {
	s         *Store
	watermark sabot.Micros
	frames    []*Frame // by part; nil: nothing
}

// Freeze copies out what has changed since the last barrier. It is called at the barrier of a cut, by the lane, with the lane's watermark.
func (s *Store) Freeze(w sabot.Micros, cut uint64) *Frozen {
	f := &Frozen{s: s, watermark: w, frames: make([]*Frame, len(s.parts))}
	committed := s.committed(cut)
	for i, p := range s.parts {
		if !p.touched {
			continue // nothing has changed
		}
		fr := s.spare.take(p)
		fr.cut, fr.committed = cut, committed
		if p.Freeze(fr); fr.rows.Len() > 0 {
			f.frames[i] = fr
		}
	}
	return f
}

// committed returns the number of the last cut that is committed, at the barrier of another.
func (s *Store) committed(cut uint64) uint64 {
	if s.o.Committed == nil {
		return cut - 1
	}
	return s.o.Committed()
}

// Expired returns what the watermark of the barrier has made dead.
func (f *Frozen) Expired() []Expiry {
	var out []Expiry
	if f.watermark == sabot.NoTime {
		return nil
	}
	for _, p := range f.s.parts {
		if p.Before != nil {
			out = append(out, Expiry{p.Name, p.Before(f.watermark)})
		}
	}
	return out
}

// Meta describes an encoded segment.
type Meta struct {
	Table  string
	Bucket Interval
	Ranges []rowkey.Range // of the lane's, those that it holds rows of
	Info   segment.Info
}

// Encode sorts and encodes what was frozen, a segment for each table and time bucket, and hands them to add. It is called once; it may run in any
// goroutine, for one Frozen of a store at a time, in the order of the barriers.
func (f *Frozen) Encode(add func(seg []byte, m Meta) error) error {
	for i, fr := range f.frames {
		if fr == nil {
			continue
		}
		if err := f.encodePart(f.s.parts[i], fr, add); err != nil {
			return fmt.Errorf("encode table %q: %w", f.s.parts[i].Name, err)
		}
		f.frames[i] = nil
		f.s.spare.give(f.s.parts[i], fr)
	}
	return nil
}

func (f *Frozen) encodePart(p *part, fr *Frame, add func([]byte, Meta) error) error {
	if p.Base == 0 {
		return f.encode(p, Interval{}, &fr.rows, add)
	}
	f.forget(p)
	groups := map[Interval][]int{}
	var order []Interval
	for i := range fr.rows.Len() {
		b := f.bucket(p, fr, i)
		if groups[b] == nil {
			order = append(order, b)
		}
		groups[b] = append(groups[b], i)
	}
	if len(order) == 1 {
		return f.encode(p, order[0], &fr.rows, add)
	}
	slices.SortFunc(order, func(a, b Interval) int { return int(max(-1, min(1, a.Lo-b.Lo))) })
	for _, b := range order {
		rows := segment.New(p.Schema)
		for _, i := range groups[b] {
			rows.Append(&fr.rows, i)
		}
		if err := f.encode(p, b, rows, add); err != nil {
			return err
		}
	}
	return nil
}

// bucket returns the bucket of row i, and notes it as live in the row's range.
func (f *Frozen) bucket(p *part, fr *Frame, i int) Interval {
	t := sabot.Micros(fr.times[i])
	k, _ := slices.BinarySearchFunc(f.s.o.Ranges, uint64(binary.BigEndian.Uint32(fr.rows.Key(i))), func(r rowkey.Range, h uint64) int {
		if r.Hi <= h {
			return -1
		}
		return 1
	})
	for _, l := range p.live[k] {
		if l.Contains(t) {
			return l
		}
	}
	reference := f.watermark
	if reference == sabot.NoTime {
		reference = sabot.Micros(slices.Min(fr.times))
	}
	b := bucketOf(t, reference, p.Base, p.live[k])
	p.live[k] = append(p.live[k], b)
	return b
}

// forget drops the live intervals that have expired.
func (f *Frozen) forget(p *part) {
	if p.Before == nil || f.watermark == sabot.NoTime {
		return
	}
	dead := p.Before(f.watermark)
	for k := range p.live {
		p.live[k] = slices.DeleteFunc(p.live[k], func(i Interval) bool { return i.Hi <= dead })
	}
}

// cutBlockBytes is the size of blocks of what a cut writes: they are soon compacted, and larger ones cost less.
const cutBlockBytes = 32 << 10

func (f *Frozen) encode(p *part, b Interval, rows *segment.Rows, add func([]byte, Meta) error) error {
	perm := segment.Sort(rows, nil)
	var bounds []uint32
	for _, r := range f.s.o.Ranges[1:] {
		bounds = append(bounds, uint32(r.Lo))
	}
	seg, info, err := segment.Encode(make([]byte, 0, rows.Bytes()/2), p.Schema, rows, perm, segment.Options{Codec: segment.LZ4, Bounds: bounds, BlockBytes: cutBlockBytes})
	if err != nil {
		return err
	}
	m := Meta{Table: p.Name, Bucket: b, Info: info}
	k := 0
	for _, r := range f.s.o.Ranges {
		for k < len(perm) && uint64(binary.BigEndian.Uint32(rows.Key(int(perm[k])))) < r.Lo {
			k++
		}
		if k < len(perm) && uint64(binary.BigEndian.Uint32(rows.Key(int(perm[k])))) < r.Hi {
			m.Ranges = append(m.Ranges, r)
		}
	}
	return add(seg, m)
}
