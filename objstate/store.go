package objstate

import (
	"cmp"
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
	Size           int64 // of the object; 0: not known
	Offset, Length int64
	CRC            uint32
	Bucket         Interval
	Clip           rowkey.Range
	Rows           int64
	Tail           int64 // bytes at the segment's end that have its filter, index and footer; 0: not known
}

// tail returns how many bytes of the segment's end tell what is in it.
func (r Ref) tail() int64 { return cmp.Or(r.Tail, segment.TailBytes(r.Length)) }

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
	Ranges    []rowkey.Range  // of the lane's partitions, ascending
	Watermark sabot.Micros    // committed; NoTime: none
	KeyFields []arrow.Field   // of the stage's key
	Refs      func() Snapshot // what is committed; asked whenever segments are read
	Committed func() uint64   // number of the last cut that is; nil: whatever was frozen is committed by the next Freeze
	Fetch     Fetch
	// Open opens an object for small reads, where these are cheap; nil: they are not, and go to Fetch, many at a time.
	Open   func(object string) (objstore.ObjectReader, error)
	Memory *Memory // nil: without bounds
}

// Snapshot is what one root has.
type Snapshot struct {
	Version any                      // of the root; two snapshots of one version are alike
	Of      func(table string) []Ref // references of the lane's partitions, oldest first in each
}

// Part is something that keeps keyed state in a Store. The lane's goroutine calls it.
type Part interface {
	// Freeze appends what has changed since the last call.
	Freeze(*Frame)
	// Load applies row i of a segment, whose memory is used again: rows of one key come oldest first. Suffix is the key behind the stream's key.
	Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int)
}

// Spec describes a part's table.
type Spec struct {
	Name   string // unique in the job
	Schema segment.Schema
	Base   int64                                    // width of the narrowest time bucket in microseconds; 0: the table has one bucket
	Before func(w sabot.Micros) (dead sabot.Micros) // buckets that end at or before are dead; nil: none are
	Time   func(suffix []byte) (t sabot.Micros)     // of a row, when there are buckets
	Single bool                                     // a key has one row, without a suffix, and the table one bucket: the newest row says everything
	TTLs   []TTL                                    // of its columns: compaction drops rows of which nothing lives
}

// Store is the state of one lane. The lane's goroutine uses it.
type Store struct {
	o       Options
	decoder *rowkey.Decoder
	parts   []*part
	managed []Managed
	share   share
	query   query
	spare   spareFrames
	files   int // that are open
	stats   Stats
}

// Stats counts what a store has read since it began.
type Stats struct {
	Lookups int64 // keys that were not in memory, for each part
	Blocks  int64 // read for them
	Evicted int64 // slots dropped from memory
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats { return s.stats }

type part struct {
	Spec
	Part
	touched bool
	live    [][]Interval // by range; used by the goroutine that encodes
	version any          // of levels
	levels  []level
	indexes int64 // bytes of them
	block   segment.Decoder
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

// Add declares a part. Nothing is read for it before Touch.
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

// Touch says that the part is used from now on: what changes in it is frozen. It returns false at a second call.
func (h Handle) Touch() bool {
	if h.p.touched {
		return false
	}
	h.p.touched = true
	if h.p.Base > 0 {
		for _, r := range h.s.o.Refs().Of(h.p.Name) {
			for k, rng := range h.s.o.Ranges {
				if !r.Clip.Intersect(rng).Empty() && !slices.Contains(h.p.live[k], r.Bucket) {
					h.p.live[k] = append(h.p.live[k], r.Bucket)
				}
			}
		}
	}
	return true
}

// dead returns the time up to which buckets and rows were dead when the store began.
func (h Handle) dead() sabot.Micros {
	if h.p.Before == nil || h.s.o.Watermark == sabot.NoTime {
		return sabot.NoTime
	}
	return h.p.Before(h.s.o.Watermark)
}

// Buckets returns the time buckets that hold something alive, ascending.
func (h Handle) Buckets() []Interval {
	var out []Interval
	dead := h.dead()
	for _, r := range h.s.o.Refs().Of(h.p.Name) {
		if r.Bucket.Hi > dead && !slices.Contains(out, r.Bucket) {
			out = append(out, r.Bucket)
		}
	}
	slices.SortFunc(out, func(a, b Interval) int { return cmp.Compare(a.Lo, b.Lo) })
	return out
}

// Stored returns how many bytes of segments a bucket has; with the zero Interval the whole part.
func (h Handle) Stored(b Interval) (n int64) {
	seen := map[segmentAt]bool{}
	for _, r := range h.s.o.Refs().Of(h.p.Name) {
		if at := (segmentAt{r.Object, r.Offset}); (b == Interval{} || r.Bucket == b) && !seen[at] {
			seen[at] = true
			n += r.Length
		}
	}
	return n
}

// StoredRows returns how many rows the part's segments have.
func (h Handle) StoredRows() (n int64) {
	seen := map[segmentAt]bool{}
	for _, r := range h.s.o.Refs().Of(h.p.Name) {
		if at := (segmentAt{r.Object, r.Offset}); !seen[at] {
			seen[at] = true
			n += r.Rows
		}
	}
	return n
}

// Load reads buckets whole, or without any the whole part, and applies them. Buckets of a partition that was united from several may overlap, and a key
// have rows in more than one: those that do are to be loaded together. It panics with a *StorageError when that cannot be read.
func (h Handle) Load(buckets ...Interval) {
	dead := h.dead()
	h.once(func() error {
		refs := slices.DeleteFunc(slices.Clone(h.s.o.Refs().Of(h.p.Name)), func(r Ref) bool {
			return len(buckets) > 0 && !slices.Contains(buckets, r.Bucket) || h.p.Base > 0 && r.Bucket.Hi <= dead
		})
		return h.s.load(h.p, refs, dead)
	})
}

// loadBytes is how much of segments is in memory at a time while they are read whole.
const loadBytes = 32 << 20

// load reads references whole, oldest first in each partition.
func (s *Store) load(p *part, refs []Ref, dead sabot.Micros) error {
	for len(refs) > 0 {
		var spans []Span
		total := int64(0)
		for _, r := range refs {
			if total += r.Length; total > loadBytes && len(spans) > 0 {
				break
			}
			spans = append(spans, r.span(0, r.Length))
		}
		data, err := s.o.Fetch(spans)
		if err != nil {
			return err
		}
		for i, b := range data {
			if err := s.loadRef(p, refs[i], b, dead); err != nil {
				return fmt.Errorf("segment of %s at %d: %w", refs[i].Object, refs[i].Offset, err)
			}
		}
		refs = refs[len(spans):]
	}
	return nil
}

func (s *Store) loadRef(p *part, r Ref, b []byte, dead sabot.Micros) error {
	if got := segment.Checksum(b); got != r.CRC {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("checksum %08x, want %08x", got, r.CRC))
	}
	seg, err := segment.OpenBytes(b)
	if err != nil {
		return err
	}
	for _, rng := range s.o.Ranges {
		clip := r.Clip.Intersect(rng)
		if clip.Empty() {
			continue
		}
		err := seg.Scan(clip.Lo, clip.Hi, func(rows *segment.Rows) error {
			rows, err := project(rows, seg.Schema(), p.Schema)
			if err != nil {
				return err
			}
			return s.apply(p, rows, dead)
		})
		if err != nil {
			return err
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
