package objstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
)

var keyFields = []arrow.Field{{Name: "k", Type: arrow.BinaryTypes.String}}

var schema = segment.Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}

// plain is a table of a test: one bucket, or windows by end.
type plain struct {
	tables map[int64]*Table // by time; 0: the only one
	timed  bool
}

func (p *plain) table(at int64) *Table {
	if p.tables[at] == nil {
		p.tables[at] = NewTable(schema)
	}
	return p.tables[at]
}

func (p *plain) Freeze(f *Frame) {
	for at, t := range p.tables {
		var suffix []byte
		if p.timed {
			suffix = binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63)
		}
		f.Table(t, suffix, at)
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
}

// lane is one lane's state in the world.
type lane struct {
	store  *Store
	ranges []rowkey.Range
	values *plain
	timed  *plain
	hv, ht Handle
}

func (w *world) fetch(object string, off, n int64) ([]byte, error) {
	b, ok := w.objects[object]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", object, objstore.ErrNotFound)
	}
	return b[off : off+n], nil
}

func (w *world) lanes(n int) []*lane {
	var out []*lane
	for i := range n {
		l := &lane{ranges: w.parts[i*len(w.parts)/n : (i+1)*len(w.parts)/n], values: &plain{tables: map[int64]*Table{}}, timed: &plain{tables: map[int64]*Table{}, timed: true}}
		var err error
		l.store, err = NewStore(Options{Ranges: l.ranges, Watermark: w.low, KeyFields: keyFields, Fetch: w.fetch, Refs: func(table string) (refs []Ref) {
			for _, r := range l.ranges {
				refs = append(refs, w.refs[r][table]...)
			}
			return refs
		}})
		if err != nil {
			w.t.Fatal(err)
		}
		l.hv = l.store.Add(Spec{Name: "values", Schema: schema}, l.values)
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
	at, t := int64(0), (*Table)(nil)
	if w.r.IntN(2) == 0 {
		l.hv.Ready()
		t = l.values.table(0)
	} else {
		l.ht.Ready()
		at = int64(w.low) + 1 + w.r.Int64N(1<<w.r.IntN(12))
		t = l.timed.table(at)
	}
	id := fmt.Sprintf("%d/%s", at, key)
	if w.r.IntN(3) == 0 {
		if slot := t.Lookup(hash, key); slot != NoSlot {
			t.Delete(slot)
			delete(w.now, id)
		}
		return
	}
	slot, _ := t.Upsert(hash, key)
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

// cut freezes, encodes and commits all lanes at a watermark.
func (w *world) cut(lanes []*lane, n int) {
	w.low += sabot.Micros(w.r.IntN(30))
	for _, l := range lanes {
		for at := range l.timed.tables {
			if sabot.Micros(at) < w.low {
				delete(l.timed.tables, at) // fired: nothing is written for it
			}
		}
		fr := l.store.Freeze(w.low)
		if err := fr.Encode(func(seg []byte, m Meta) error {
			name := fmt.Sprintf("pack%d-%d", n, len(w.objects))
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
	for id := range w.now {
		var at int64
		if _, err := fmt.Sscan(id[:bytes.IndexByte([]byte(id), '/')], &at); err == nil && at != 0 && sabot.Micros(at) < w.low {
			delete(w.now, id)
		}
	}
	w.model = maps.Clone(w.now)
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
			out = append(out, Ref{Object: name, Length: int64(len(seg)), CRC: info.CRC, Bucket: bucket, Clip: p, Rows: int64(info.Rows)})
		}
		if !slices.Contains(gone, i) {
			out = append(out, r)
		}
	}
	w.refs[p][table] = out
}

// content reads everything that lanes hold.
func content(lanes []*lane) map[string]string {
	out := map[string]string{}
	for _, l := range lanes {
		l.hv.Ready()
		l.ht.Ready()
		for _, p := range []*plain{l.values, l.timed} {
			for at, t := range p.tables {
				for slot := range uint32(t.Slots()) {
					if t.InUse(slot) {
						out[fmt.Sprintf("%d/%s", at, t.Key(slot))] = fmt.Sprint(t.Cols[0].Ints[slot], t.Cols[1].Valid[slot], t.Cols[1].Texts[slot])
					}
				}
			}
		}
	}
	return out
}

// Through random changes, cuts, compactions, expiry and restarts with other numbers of lanes the state is that of a plain map.
func TestStoreAgainstPlainMap(t *testing.T) {
	for seed := range uint64(60) {
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), objects: map[string][]byte{}, parts: rowkey.Even(1 + int(seed%6)), refs: map[rowkey.Range]map[string][]Ref{},
			model: map[string]string{}, now: map[string]string{}}
		for _, p := range w.parts {
			w.refs[p] = map[string][]Ref{}
		}
		lanes := w.lanes(1)
		for step := range 120 {
			switch x := w.r.IntN(20); {
			case x < 14:
				for range 5 {
					w.change(lanes)
				}
			case x < 17:
				w.cut(lanes, step)
			case x < 19:
				w.compact(step)
			default: // a restart loses what was not cut
				lanes = w.lanes(1 + w.r.IntN(len(w.parts)))
				w.now = maps.Clone(w.model)
				if diff := cmp.Diff(w.model, content(lanes)); diff != "" {
					t.Fatalf("seed %d, step %d: after a restart (-want +got):\n%s", seed, step, diff)
				}
			}
		}
	}
}

// A key born and dead between two barriers writes nothing.
func TestBornAndDeadWritesNothing(t *testing.T) {
	w := &world{t: t, objects: map[string][]byte{}, parts: rowkey.Even(1), refs: map[rowkey.Range]map[string][]Ref{rowkey.Even(1)[0]: {}}}
	l := w.lanes(1)[0]
	l.hv.Ready()
	tab := l.values.table(0)
	key := rowkey.AppendString(nil, "x")
	slot, _ := tab.Upsert(rowkey.HashOf(key), key)
	tab.Touch(slot)
	tab.Delete(slot)
	if err := l.store.Freeze(5).Encode(func([]byte, Meta) error { return errors.New("a segment was written") }); err != nil {
		t.Fatal(err)
	}
}

// What is missing or damaged is a StorageError of kind Corrupt that names the object.
func TestDamagedSegments(t *testing.T) {
	for name, damage := range map[string]func(w *world, object string){
		"missing": func(w *world, o string) { delete(w.objects, o) },
		"flipped": func(w *world, o string) { w.objects[o][100] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, r: rand.New(rand.NewPCG(1, 1)), objects: map[string][]byte{}, parts: rowkey.Even(1), now: map[string]string{},
				refs: map[rowkey.Range]map[string][]Ref{rowkey.Even(1)[0]: {}}}
			lanes := w.lanes(1)
			for range 100 {
				w.change(lanes)
			}
			w.cut(lanes, 1)
			ref := w.refs[w.parts[0]]["values"][0]
			damage(w, ref.Object)
			defer func() {
				err, ok := recover().(error)
				var se *StorageError
				if !ok || !errors.As(err, &se) || sabot.KindOf(err) != sabot.Corrupt || !bytes.Contains([]byte(err.Error()), []byte(ref.Object)) {
					t.Errorf("got %v, want a StorageError of kind Corrupt that names %s", err, ref.Object)
				}
			}()
			w.lanes(1)[0].hv.Ready()
			t.Error("damaged state was read without an error")
		})
	}
}

func TestBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		base := int64(1 + r.IntN(100))
		var live []Interval
		low := sabot.Micros(r.Int64N(1e6) - 5e5)
		for range 300 {
			at := low + sabot.Micros(r.Int64N(1<<r.IntN(40)))
			if r.IntN(50) == 0 {
				at = []sabot.Micros{sabot.MaxMicros, sabot.MaxMicros - 5, low, -1 << 61}[r.IntN(4)]
			}
			i := bucketOf(min(at, sabot.MaxMicros-1), low, base, live)
			if !i.Contains(min(at, sabot.MaxMicros-1)) {
				t.Fatalf("base %d: %v does not contain %d", base, i, at)
			}
			if slices.Contains(live, i) {
				continue
			}
			for _, l := range live {
				if l.Lo < i.Hi && l.Hi > i.Lo {
					t.Fatalf("base %d: %v overlaps %v", base, i, l)
				}
			}
			live = append(live, i)
			if len(live) > 120 { // four per doubling of the distance
				t.Fatalf("base %d: %d live buckets", base, len(live))
			}
			if r.IntN(20) == 0 {
				low += sabot.Micros(r.Int64N(1000))
				live = slices.DeleteFunc(live, func(l Interval) bool { return l.Hi <= low })
			}
		}
	}
}

func BenchmarkUpsert(b *testing.B) {
	for _, n := range []int{250, 10_000, 1_000_000} {
		keys := rowkey.Column{Offsets: []int32{0}}
		for i := range n {
			keys.Bytes = rowkey.AppendString(keys.Bytes, fmt.Sprintf("%07d", i))
			keys.Offsets = append(keys.Offsets, int32(len(keys.Bytes)))
		}
		hashes := rowkey.Hash(keys, nil)
		r := rand.New(rand.NewPCG(1, 1))
		const rows = 8192
		pick := make([]int32, rows)
		slots := make([]uint32, rows)
		per := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row") }
		shuffle := func() {
			for i := range pick {
				pick[i] = int32(r.IntN(n))
			}
		}
		b.Run(fmt.Sprintf("table/%d", n), func(b *testing.B) {
			t := NewTable(segment.Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}})
			for i := range n {
				t.Upsert(hashes[i], keys.At(i))
			}
			shuffle()
			b.ResetTimer()
			for range b.N {
				t.UpsertBatch(hashes, keys, pick, slots)
				c := t.Cols[0].Ints
				for _, s := range slots {
					c[s]++
				}
			}
			per(b)
		})
		b.Run(fmt.Sprintf("map/%d", n), func(b *testing.B) {
			m := make(map[string]*int64, n)
			for i := range n {
				m[string(keys.At(i))] = new(int64)
			}
			shuffle()
			b.ResetTimer()
			for range b.N {
				for _, p := range pick {
					*m[string(keys.At(int(p)))]++
				}
			}
			per(b)
		})
	}
}
