package objstate

import (
	"encoding/binary"
	"fmt"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// cursorBytes is how much of each segment is in memory while several are merged.
const cursorBytes = 512 << 10

// Merging says what is to be merged, and into what.
type Merging struct {
	Inputs []Ref // oldest first; each shows what is within its clip
	Bottom bool  // nothing older shows keys of the range: deletes vanish, and what has expired
	TTLs   []TTL
	Passed Passed
	Target int64 // bytes from which on an output ends, and another begins, before the next hash32; 0: there is one output
}

// clip is the range from the first to the last hash that an input may show.
func (m Merging) clip() rowkey.Range {
	c := m.Inputs[0].Clip
	for _, r := range m.Inputs {
		c = rowkey.Range{Lo: min(c.Lo, r.Clip.Lo), Hi: max(c.Hi, r.Clip.Hi)}
	}
	return c
}

// Output is a segment that a merge has written. The clips of all outputs, in order, are the range of the inputs' clips, without gaps.
type Output struct {
	Clip rowkey.Range
	Info segment.Info
}

// Compact merges segments into one: the newest row of a key wins, and at the bottom deletes vanish. The result has the columns of all. It has no rows, and
// no bytes, when nothing is left.
func Compact(fetch Fetch, inputs []Ref, bottom bool) (seg []byte, info segment.Info, err error) {
	err = CompactTo(fetch, Merging{Inputs: inputs, Bottom: bottom}, func(b []byte, o Output) error {
		seg, info = b, o.Info
		return nil
	})
	return seg, info, err
}

// CompactTo is Compact into several outputs, which it hands to write one after the other, each as soon as it is full; they are write's. In memory are the
// output in the making and a run of each input.
func CompactTo(fetch Fetch, m Merging, write func(seg []byte, o Output) error) error {
	w := outputs{target: m.Target, clip: m.clip(), write: write}
	segs := make([]*segment.Reader, len(m.Inputs))
	for i, r := range m.Inputs {
		seg, err := openRef(fetch, r)
		if err != nil {
			return fmt.Errorf("segment of %s at %d: %w", r.Object, r.Offset, err)
		}
		if w.schema = segment.Union(w.schema, seg.Schema()); i == 0 {
			w.width = seg.KeyWidth()
		} else if seg.KeyWidth() != w.width {
			w.width = 0
		}
		segs[i] = seg
	}
	cursors := make([]*segment.Cursor, len(m.Inputs))
	for i, r := range m.Inputs {
		cursors[i] = segs[i].Cursor(w.schema, r.Clip.Lo, r.Clip.Hi, cursorBytes)
	}
	w.expect = expected(segs, m.Inputs)
	expiry := newExpiry(w.schema, m.TTLs, m.Passed)
	err := segment.MergeRuns(cursors, func(x segment.Run) error {
		if m.Bottom {
			return w.appendLiving(x, expiry)
		}
		return w.append(x)
	})
	if err == nil {
		err = w.end(w.clip.Hi)
	}
	if err != nil {
		return fmt.Errorf("merge %d segments of %s: %w", len(m.Inputs), m.Inputs[0].Object, err)
	}
	return nil
}

// expected returns about how many bytes of blocks the inputs show.
func expected(segs []*segment.Reader, inputs []Ref) (n int64) {
	for i, s := range segs {
		for _, b := range s.Blocks() {
			if inputs[i].Clip.Contains(binary.BigEndian.Uint32(b.First)) {
				n += b.Length()
			}
		}
	}
	return n
}

// outputs writes rows, whose keys ascend, as segments of a size.
type outputs struct {
	schema segment.Schema
	width  int
	target int64
	expect int64        // bytes of all of them, about and at most
	clip   rowkey.Range // that is still to be written
	write  func([]byte, Output) error

	w    *segment.Writer // nil: none has begun
	last uint32          // hash32 of the last row
}

// appendLiving appends what of a run is to be kept at the bottom: neither deletes nor what has expired.
func (o *outputs) appendLiving(x segment.Run, e *expiry) error {
	dead := func(i int) bool { return x.Rows.Ops[i] == segment.Delete || e.expired(x.Rows, i) }
	for from, i := x.From, x.From; i <= x.To; i++ {
		if i < x.To && !dead(i) {
			continue
		}
		if i == x.To && from == x.From {
			return o.append(x) // all of it
		}
		if from < i {
			if err := o.append(segment.Run{Rows: x.Rows, From: from, To: i}); err != nil {
				return err
			}
		}
		from = i + 1
	}
	return nil
}

func (o *outputs) append(x segment.Run) error {
	if o.w != nil && o.target > 0 && int64(o.w.Len()) >= o.target {
		from := x.From
		for x.From < x.To && o.hash(x, x.From) == o.last { // rows of one hash stay together: clips go by it
			x.From++
		}
		if from < x.From {
			if err := o.w.AppendRows(x.Rows, from, x.From); err != nil {
				return err
			}
			x = segment.Run{Rows: x.Rows, From: x.From, To: x.To}
		}
		if x.From == x.To {
			return nil
		}
		if err := o.end(uint64(o.hash(x, x.From))); err != nil {
			return err
		}
	}
	if o.w == nil {
		var err error
		if o.w, err = segment.NewWriter(nil, o.schema, o.width, segment.Options{Codec: segment.LZ4}); err != nil {
			return err
		}
		room := o.expect
		if o.target > 0 {
			room = min(room, o.target)
		}
		o.w.Reserve(int(room + room/16))
	}
	o.last = o.hash(x, x.To-1)
	return o.w.AppendRun(x)
}

func (o *outputs) hash(x segment.Run, i int) uint32 { return binary.BigEndian.Uint32(x.Rows.Key(i)) }

// end ends the output that has begun, if one has, before a hash.
func (o *outputs) end(before uint64) error {
	if o.w == nil {
		return nil
	}
	seg, info, err := o.w.Finish()
	if err != nil {
		return err
	}
	clip := rowkey.Range{Lo: o.clip.Lo, Hi: before}
	o.expect = max(0, o.expect-info.Length)
	o.w, o.clip.Lo = nil, before
	return o.write(seg, Output{clip, info})
}

// CompactWhole is up to how many bytes a segment is read whole, by one request, to be merged; a larger one is read in runs.
const CompactWhole = 1 << 20

// openRef opens the segment of a reference by itself.
func openRef(fetch Fetch, r Ref) (*segment.Reader, error) {
	if r.Length <= CompactWhole {
		b, err := fetch.One(r.span(0, r.Length))
		if err != nil {
			return nil, err
		}
		if got := segment.Checksum(b); got != r.CRC {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("checksum %08x, want %08x", got, r.CRC))
		}
		return segment.OpenBytes(b)
	}
	return segment.Open(func(off, n int64) ([]byte, error) {
		if off < 0 || n < 0 || off > r.Length-n {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("bytes %d to %d of a segment of %d", off, off+n, r.Length))
		}
		return fetch.One(r.span(off, n))
	}, r.Length, r.tail())
}
