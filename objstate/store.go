package objstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
)

// Ref is a reference to a segment, within its clip.
type Ref struct {
	Object         string
	Offset, Length int64
	CRC            uint32
	Bucket         Interval
	Clip           rowkey.Range
	Rows           int64
}

// Fetch reads n bytes of an object from off on.
type Fetch func(object string, off, n int64) ([]byte, error)

// StorageError is a failure to read state. It unwinds the call into the operator as a panic; the lane recovers it, and the group starts again.
type StorageError struct {
	Table string
	Err   error
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("read state of table %q: %v", e.Table, e.Err)
}

// Unwrap returns the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// Options of a lane's state.
type Options struct {
	Ranges    []rowkey.Range           // of the lane's partitions, ascending
	Watermark sabot.Micros             // committed; NoTime: none
	KeyFields []arrow.Field            // of the stage's key
	Refs      func(table string) []Ref // the committed references of the lane's partitions, oldest first in each; asked when a table is first touched
	Fetch     Fetch
}

// Part is something that keeps keyed state in a Store. The lane's goroutine calls it.
type Part interface {
	// Freeze appends what has changed since the last call.
	Freeze(*Frame)
	// Load applies row i of a segment: rows of one key come oldest first. Suffix is the key behind the stream's key.
	Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int)
}

// Spec describes a part's table.
type Spec struct {
	Name   string // unique in the job
	Schema segment.Schema
	Base   int64                                    // width of the narrowest time bucket in microseconds; 0: the table has one bucket
	Before func(w sabot.Micros) (dead sabot.Micros) // buckets that end at or before are dead; nil: none are
	Time   func(suffix []byte) (t sabot.Micros)     // of a row, when there are buckets
}

// Store is the state of one lane.
type Store struct {
	o       Options
	decoder *rowkey.Decoder
	parts   []*part
}

type part struct {
	Spec
	Part
	loaded bool
	live   [][]Interval // by range; used by the goroutine that encodes
}

// NewStore returns a lane's state. Nothing is read before it is touched.
func NewStore(o Options) (*Store, error) {
	d, err := rowkey.NewDecoder(o.KeyFields)
	if err != nil {
		return nil, err
	}
	return &Store{o: o, decoder: d}, nil
}

// Watermark returns the committed watermark that the store began with.
func (s *Store) Watermark() sabot.Micros { return s.o.Watermark }

// Handle is a part's place in its store.
type Handle struct {
	s *Store
	p *part
}

// Add declares a part. Its state is read at the first Ready.
func (s *Store) Add(spec Spec, p Part) Handle {
	x := &part{Spec: spec, Part: p, live: make([][]Interval, len(s.o.Ranges))}
	s.parts = append(s.parts, x)
	return Handle{s, x}
}

// Specs returns the tables of all parts.
func (s *Store) Specs() []Spec {
	out := make([]Spec, len(s.parts))
	for i, p := range s.parts {
		out[i] = p.Spec
	}
	return out
}

// Ready makes sure that the part's state is in memory. It panics with a *StorageError when that cannot be read.
func (h Handle) Ready() {
	if h.p.loaded {
		return
	}
	h.p.loaded = true
	if err := h.s.load(h.p); err != nil {
		panic(&StorageError{h.p.Name, err})
	}
}

// load reads all references of a part.
func (s *Store) load(p *part) error {
	refs := s.o.Refs(p.Name)
	dead := sabot.NoTime
	if p.Before != nil && s.o.Watermark != sabot.NoTime {
		dead = p.Before(s.o.Watermark)
	}
	for i, r := range refs {
		for k, rng := range s.o.Ranges {
			if p.Base > 0 && !r.Clip.Intersect(rng).Empty() && !slices.Contains(p.live[k], r.Bucket) {
				p.live[k] = append(p.live[k], r.Bucket)
			}
		}
		if p.Base > 0 && r.Bucket.Hi <= dead {
			continue
		}
		if err := s.loadRef(p, r, dead); err != nil {
			if again := s.o.Refs(p.Name); i < len(again) && again[i] != r { // compacted meanwhile, and the old objects are gone
				return sabot.WithKind(sabot.Retry, err)
			}
			if errors.Is(err, objstore.ErrNotFound) { // the newest root that we know still names it
				return sabot.WithKind(sabot.Corrupt, err)
			}
			return err
		}
	}
	return nil
}

func (s *Store) loadRef(p *part, r Ref, dead sabot.Micros) error {
	b, err := s.o.Fetch(r.Object, r.Offset, r.Length)
	if err != nil {
		return err
	}
	at := fmt.Sprintf("segment of %s at %d", r.Object, r.Offset)
	if got := segment.Checksum(b); got != r.CRC {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("%s: checksum %08x, want %08x", at, got, r.CRC))
	}
	seg, err := segment.OpenBytes(b)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for _, rng := range s.o.Ranges {
		clip := r.Clip.Intersect(rng)
		if clip.Empty() {
			continue
		}
		err := seg.Scan(clip.Lo, clip.Hi, func(rows *segment.Rows) error {
			rows, err := segment.Project(rows, seg.Schema(), p.Schema)
			if err != nil {
				return sabot.WithKind(sabot.Invalid, err)
			}
			return s.apply(p, rows, dead)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

func (s *Store) apply(p *part, rows *segment.Rows, dead sabot.Micros) error {
	for i := range rows.Len() {
		k := rows.Key(i)[4:]
		n, err := s.decoder.Len(k)
		if err != nil {
			return err
		}
		if p.Base > 0 && p.Time(k[n:]) < dead {
			continue
		}
		p.Load(rowkey.HashOf(k[:n]), k[:n], k[n:], rows, i)
	}
	return nil
}

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

// Freeze copies out what has changed since the last barrier. It is called at the barrier, by the lane, with the lane's watermark.
func (s *Store) Freeze(w sabot.Micros) *Frozen {
	f := &Frozen{s: s, watermark: w, frames: make([]*Frame, len(s.parts))}
	for i, p := range s.parts {
		if !p.loaded {
			continue // not touched: nothing has changed
		}
		fr := newFrame(p.Schema)
		if p.Freeze(fr); fr.rows.Len() > 0 {
			f.frames[i] = fr
		}
	}
	return f
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

// Encode sorts and encodes what was frozen, a segment for each table and time bucket, and hands them to add. It may run in any goroutine, for
// one Frozen of a store at a time, in the order of the barriers.
func (f *Frozen) Encode(add func(seg []byte, m Meta) error) error {
	for i, fr := range f.frames {
		if fr == nil {
			continue
		}
		if err := f.encodePart(f.s.parts[i], fr, add); err != nil {
			return fmt.Errorf("encode table %q: %w", f.s.parts[i].Name, err)
		}
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

func (f *Frozen) encode(p *part, b Interval, rows *segment.Rows, add func([]byte, Meta) error) error {
	perm := segment.Sort(rows, nil)
	var bounds []uint32
	for _, r := range f.s.o.Ranges[1:] {
		bounds = append(bounds, uint32(r.Lo))
	}
	seg, info, err := segment.Encode(nil, p.Schema, rows, perm, segment.Options{Codec: segment.LZ4, Bounds: bounds})
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
