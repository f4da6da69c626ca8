package objstate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
)

var keyFields = []arrow.Field{{Name: "k", Type: arrow.BinaryTypes.String}}

var schema = segment.Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}

// plain is a table of a test: one bucket, or windows by end.
type plain struct {
	tables  map[int64]*Table // by time; 0: the only one
	timed   bool
	partial bool
}

func (p *plain) table(at int64) *Table {
	if p.tables[at] == nil {
		p.tables[at] = NewTable(schema)
		if p.partial {
			p.tables[at].BePartial()
		}
	}
	return p.tables[at]
}

func (p *plain) suffix(at int64) []byte {
	if !p.timed {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63)
}

// slot returns a key's slot, with what is stored of it in memory.
func (p *plain) slot(h Handle, at int64, key []byte) (*Table, uint32) {
	t := p.table(at)
	slot, _ := t.Upsert(rowkey.HashOf(key), key)
	if len(t.Missing()) > 0 {
		h.Lookup(t.Wants(nil, p.suffix(at)), sabot.Micros(at))
		t.Filled()
	}
	return t, slot
}

func (p *plain) Freeze(f *Frame) {
	for at, t := range p.tables {
		f.Table(t, p.suffix(at), at)
	}
}

func suffixTime(suffix []byte) sabot.Micros {
	return sabot.Micros(binary.BigEndian.Uint64(suffix) ^ 1<<63)
}

func (p *plain) Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int) {
	at := int64(0)
	if p.timed {
		at = int64(suffixTime(suffix))
	}
	p.table(at).LoadRow(hash, key, rows, i)
}

// world is a bucket, the committed references by partition, and what they must hold.
type world struct {
	t       *testing.T
	r       *rand.Rand
	objects map[string][]byte
	parts   []rowkey.Range
	refs    map[rowkey.Range]map[string][]Ref // by partition and table
	model   map[string]string                 // committed: table/time/key -> value
	now     map[string]string                 // uncommitted
	low     sabot.Micros

	partial   bool   // lanes read what is missing, and drop what they do not need
	version   int    // of refs
	committed uint64 // last cut that is committed
	frozen    []*Frozen
	filed     map[string]string // what they hold
	cuts      uint64
}

// lane is one lane's state in the world.
type lane struct {
	store  *Store
	ranges []rowkey.Range
	values *plain
	timed  *plain
	hv, ht Handle

	partial bool
}

// ready has what is stored of a part in memory, unless that is read key by key.
func (l *lane) ready(h Handle) {
	if h.Touch() && !l.partial {
		h.Load()
	}
}

func (w *world) fetch(spans []Span) ([][]byte, error) {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		b, ok := w.objects[s.Object]
		if !ok {
			return nil, fmt.Errorf("read %s: %w", s.Object, objstore.ErrNotFound)
		}
		out[i] = b[s.Off : s.Off+s.N]
	}
	return out, nil
}

// opened is an object that stays open for small reads.
type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

func (w *world) open(object string) (objstore.ObjectReader, error) {
	b, ok := w.objects[object]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", object, objstore.ErrNotFound)
	}
	return opened{bytes.NewReader(b)}, nil
}

func (w *world) lanes(n int) []*lane {
	var out []*lane
	open := w.open // as of a folder, or of a remote bucket
	if w.r == nil || w.r.IntN(2) == 0 {
		open = nil
	}
	for i := range n {
		l := &lane{ranges: w.parts[i*len(w.parts)/n : (i+1)*len(w.parts)/n], partial: w.partial}
		l.values, l.timed = &plain{tables: map[int64]*Table{}, partial: w.partial}, &plain{tables: map[int64]*Table{}, timed: true, partial: w.partial}
		var err error
		l.store, err = NewStore(Options{Ranges: l.ranges, Watermark: w.low, KeyFields: keyFields, Fetch: w.fetch, Open: open, Committed: func() uint64 { return w.committed },
			Refs: func() Snapshot {
				return Snapshot{Version: w.version, Of: func(table string) (refs []Ref) {
					for _, r := range l.ranges {
						refs = append(refs, w.refs[r][table]...)
					}
					return refs
				}}
			}})
		if err != nil {
			w.t.Fatal(err)
		}
		l.hv = l.store.Add(Spec{Name: "values", Schema: schema, Single: w.r == nil || w.r.IntN(2) == 0}, l.values)
		l.ht = l.store.Add(Spec{Name: "timed", Schema: schema, Base: 10, Time: suffixTime, Before: func(low sabot.Micros) sabot.Micros { return low }}, l.timed)
		out = append(out, l)
	}
	return out
}

func (w *world) change(lanes []*lane) {
	key := rowkey.AppendString(nil, fmt.Sprintf("key%d", w.r.IntN(60)))
	hash := rowkey.HashOf(key)
	i := slices.IndexFunc(lanes, func(l *lane) bool {
		return slices.ContainsFunc(l.ranges, func(r rowkey.Range) bool { return r.Contains(rowkey.Hash32(hash)) })
	})
	l := lanes[i]
	at, h, p := int64(0), l.hv, l.values
	if w.r.IntN(2) == 0 {
		at, h, p = int64(w.low)+1+w.r.Int64N(1<<w.r.IntN(12)), l.ht, l.timed
	}
	l.ready(h)
	p.table(at).Evict(w.r.IntN(4), p.table(at).Drop)
	p.table(at).Settle(w.committed)
	id := fmt.Sprintf("%d/%s", at, key)
	if w.r.IntN(3) == 0 {
		if t := p.table(at); t.Partial() || t.Lookup(hash, key) != NoSlot {
			t, slot := p.slot(h, at, key)
			w.check(t, slot, id)
			t.Delete(slot)
			delete(w.now, id)
		}
		return
	}
	t, slot := p.slot(h, at, key)
	w.check(t, slot, id)
	n := w.r.Int64N(1000)
	t.Cols[0].Ints[slot] = n
	t.Cols[1].Valid[slot] = n%3 > 0
	t.Cols[1].Texts[slot] = ""
	if n%3 > 0 {
		t.Cols[1].Texts[slot] = fmt.Sprint("text", n)
	}
	t.Touch(slot)
	w.now[id] = fmt.Sprint(n, t.Cols[1].Valid[slot], t.Cols[1].Texts[slot])
}

// check compares a slot with the model.
func (w *world) check(t *Table, slot uint32, id string) {
	got := ""
	if t.flags[slot]&(flagStored|flagDirty) != 0 {
		got = fmt.Sprint(t.Cols[0].Ints[slot], t.Cols[1].Valid[slot], t.Cols[1].Texts[slot])
	}
	if got != w.now[id] {
		w.t.Fatalf("%s is %q, want %q", id, got, w.now[id])
	}
}

// cut freezes, encodes and commits all lanes at a watermark.
func (w *world) cut(lanes []*lane) {
	w.freeze(lanes)
	w.commit(lanes)
}

// freeze takes what has changed, as of a watermark.
func (w *world) freeze(lanes []*lane) {
	w.low += sabot.Micros(w.r.IntN(30))
	w.cuts++
	for _, l := range lanes {
		for at := range l.timed.tables {
			if sabot.Micros(at) < w.low {
				delete(l.timed.tables, at) // fired: nothing is written for it
			}
		}
		w.frozen = append(w.frozen, l.store.Freeze(w.low, w.cuts))
	}
	w.expire()
	w.filed = maps.Clone(w.now)
}

// commit commits what was frozen last.
func (w *world) commit(lanes []*lane) {
	for k, fr := range w.frozen {
		l := lanes[k]
		if err := fr.Encode(func(seg []byte, m Meta) error {
			name := fmt.Sprintf("pack%d-%d", w.cuts, len(w.objects))
			w.objects[name] = bytes.Clone(seg)
			for _, r := range m.Ranges {
				w.refs[r][m.Table] = append(w.refs[r][m.Table], Ref{Object: name, Length: int64(len(seg)), CRC: m.Info.CRC, Bucket: m.Bucket, Clip: r, Rows: int64(m.Info.Rows)})
			}
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		for _, x := range fr.Expired() {
			for _, r := range l.ranges {
				w.refs[r][x.Table] = slices.DeleteFunc(w.refs[r][x.Table], func(f Ref) bool { return f.Bucket.Hi <= x.Before })
			}
		}
	}
	w.frozen, w.committed = nil, w.cuts
	w.version++
	w.model = w.filed
}

// expire takes out of the model what has passed.
func (w *world) expire() {
	for id := range w.now {
		var at int64
		if _, err := fmt.Sscan(id[:bytes.IndexByte([]byte(id), '/')], &at); err == nil && at != 0 && sabot.Micros(at) < w.low {
			delete(w.now, id)
		}
	}
}

// compact merges a random run of references of one table and bucket of one partition.
func (w *world) compact(n int) {
	p := w.parts[w.r.IntN(len(w.parts))]
	table := []string{"values", "timed"}[w.r.IntN(2)]
	refs := w.refs[p][table]
	if len(refs) == 0 {
		return
	}
	bucket := refs[w.r.IntN(len(refs))].Bucket
	var at []int
	for i, r := range refs {
		if r.Bucket == bucket {
			at = append(at, i)
		}
	}
	from := w.r.IntN(len(at))
	to := from + 1 + w.r.IntN(len(at)-from)
	var in []Ref
	for _, i := range at[from:to] {
		in = append(in, refs[i])
	}
	clip := in[0].Clip
	for _, r := range in {
		clip = rowkey.Range{Lo: min(clip.Lo, r.Clip.Lo), Hi: max(clip.Hi, r.Clip.Hi)}
	}
	seg, info, err := Compact(w.fetch, in, from == 0)
	if err != nil {
		w.t.Fatal(err)
	}
	gone := at[from:to]
	var out []Ref
	for i, r := range refs {
		if i == gone[0] && info.Rows > 0 {
			name := fmt.Sprintf("compact%d-%d", n, len(w.objects))
			w.objects[name] = seg
			out = append(out, Ref{Object: name, Length: int64(len(seg)), CRC: info.CRC, Bucket: bucket, Clip: clip, Rows: int64(info.Rows)})
		}
		if !slices.Contains(gone, i) {
			out = append(out, r)
		}
	}
	w.refs[p][table] = out
	w.version++
}

// repartition splits and merges partitions, without touching segments.
func (w *world) repartition(parts []rowkey.Range) {
	refs := map[rowkey.Range]map[string][]Ref{}
	for _, to := range parts {
		refs[to] = map[string][]Ref{}
		for _, from := range w.parts {
			for table, all := range w.refs[from] {
				for _, r := range all {
					if r.Clip = r.Clip.Intersect(to); !r.Clip.Empty() {
						refs[to][table] = append(refs[to][table], r)
					}
				}
			}
		}
	}
	w.parts, w.refs = parts, refs
	w.version++
}

// content reads everything that lanes hold.
func (w *world) content(lanes []*lane) map[string]string {
	out := map[string]string{}
	for _, l := range lanes {
		for h, p := range map[Handle]*plain{l.hv: l.values, l.ht: l.timed} {
			l.ready(h)
			w.askAll(l, h, p)
			for at, t := range p.tables {
				for slot := range uint32(t.Slots()) {
					if t.InUse(slot) && t.flags[slot]&(flagStored|flagDirty) != 0 {
						out[fmt.Sprintf("%d/%s", at, t.Key(slot))] = fmt.Sprint(t.Cols[0].Ints[slot], t.Cols[1].Valid[slot], t.Cols[1].Texts[slot])
					}
				}
			}
		}
	}
	return out
}

// askAll looks up every key that there may be.
func (w *world) askAll(l *lane, h Handle, p *plain) {
	ats := map[int64]bool{}
	for id := range w.model {
		var at int64
		if _, err := fmt.Sscan(id[:bytes.IndexByte([]byte(id), '/')], &at); err == nil && at != 0 == p.timed {
			ats[at] = true
		}
	}
	for at := range ats {
		for i := range 60 {
			key := rowkey.AppendString(nil, fmt.Sprintf("key%d", i))
			if slices.ContainsFunc(l.ranges, func(r rowkey.Range) bool { return r.Contains(rowkey.Hash32(rowkey.HashOf(key))) }) {
				p.slot(h, at, key)
			}
		}
	}
}

// scanned returns what a scan of segments shows, which is what is committed.
func (w *world) scanned(lanes []*lane) map[string]string {
	out := map[string]string{}
	for _, l := range lanes {
		for h, p := range map[Handle]*plain{l.hv: l.values, l.ht: l.timed} {
			buckets := []Interval{{}}
			if p.timed {
				buckets = h.Buckets()
			}
			for _, b := range buckets {
				if err := h.Scan(b.Lo, func(_ uint64, key, suffix []byte, rows *segment.Rows, i int) error {
					at := int64(0)
					if p.timed {
						at = int64(suffixTime(suffix))
						if sabot.Micros(at) < w.low {
							return nil
						}
					}
					c := rows.Cols[1]
					valid := c.Valid == nil || c.Valid[i]
					out[fmt.Sprintf("%d/%s", at, key)] = fmt.Sprint(rows.Cols[0].Ints[i], valid, string(c.Bytes[c.Offsets[i]:c.Offsets[i+1]]))
					return nil
				}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	return out
}
