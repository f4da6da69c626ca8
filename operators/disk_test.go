package operators

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
)

// disk is the committed state of a lane: its segments, the references of its partitions, and its watermark.
type disk struct {
	t       testing.TB
	fields  []arrow.Field
	objects map[string][]byte
	parts   []rowkey.Range
	refs    []map[string][]objstate.Ref // by partition, and table; oldest first
	version int                         // of refs
	low     sabot.Micros
	now     *objstate.Store
	cut     uint64 // last one frozen
	done    uint64 // last one committed

	folder  bool             // objects are opened, as in a folder; each other store does so
	clock   func() time.Time // of processing time; nil: nothing goes by it
	memory  *objstate.Memory // nil: without bounds
	bounded bool             // there was a bound at some time
	others  int64            // bytes that other lanes take of it
	stats   objstate.Stats   // of stores before now
}

func newDisk(t testing.TB, keyFields []arrow.Field) *disk {
	return &disk{t: t, fields: keyFields, objects: map[string][]byte{}, parts: rowkey.Even(1), refs: []map[string][]objstate.Ref{{}}, low: sabot.NoTime}
}

// resume returns a store that begins with what is committed.
func (d *disk) resume() *objstate.Store {
	d.t.Helper()
	if d.now != nil {
		d.stats = d.total()
		d.now.Close()
	}
	o := objstate.Options{Ranges: d.parts, Watermark: d.low, KeyFields: d.fields, Refs: d.snapshot,
		Committed: func() uint64 { return d.done }, Memory: d.memory, Fetch: d.fetch}
	if d.folder = !d.folder; d.folder {
		o.Open = d.open
	}
	s, err := objstate.NewStore(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.now = s
	return s
}

// total returns the counts of all stores.
func (d *disk) total() objstate.Stats {
	s := d.now.Stats()
	return objstate.Stats{Lookups: d.stats.Lookups + s.Lookups, Blocks: d.stats.Blocks + s.Blocks, Evicted: d.stats.Evicted + s.Evicted}
}

func (d *disk) snapshot() objstate.Snapshot {
	return objstate.Snapshot{Version: d.version, Of: func(table string) (refs []objstate.Ref) {
		for _, p := range d.refs {
			refs = append(refs, p[table]...)
		}
		return refs
	}}
}

func (d *disk) fetch(spans []objstate.Span) ([][]byte, error) {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		out[i] = d.objects[s.Object][s.Off : s.Off+s.N]
	}
	return out, nil
}

// opened is an object that stays open for small reads.
type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

func (d *disk) open(object string) (objstore.ObjectReader, error) {
	return opened{bytes.NewReader(d.objects[object])}, nil
}

// write keeps a segment, and returns its name.
func (d *disk) write(seg []byte) string {
	name := fmt.Sprint("segment ", len(d.objects))
	d.objects[name] = bytes.Clone(seg)
	return name
}

// freeze takes the store's state at a barrier; commit encodes and commits it, which may be later.
func (d *disk) freeze(low sabot.Micros) (commit func()) {
	d.cut++
	cut, f := d.cut, d.now.Freeze(low, d.cut)
	return func() {
		d.t.Helper()
		d.done = cut
		d.version++
		if err := f.Encode(func(seg []byte, m objstate.Meta) error {
			name := d.write(seg)
			for _, r := range m.Ranges {
				p := d.refs[slices.Index(d.parts, r)]
				p[m.Table] = append(p[m.Table], objstate.Ref{Object: name, Length: int64(len(seg)), CRC: m.Info.CRC, Bucket: m.Bucket,
					Clip: r, Rows: int64(m.Info.Rows)})
			}
			return nil
		}); err != nil {
			d.t.Fatal(err)
		}
		for _, x := range f.Expired() {
			for _, p := range d.refs {
				p[x.Table] = slices.DeleteFunc(p[x.Table], func(r objstate.Ref) bool { return r.Bucket.Hi <= x.Before })
			}
		}
		d.low = low
	}
}

// compact merges a random run of references of one table and bucket of one partition, as a coordinator asks for it and folds it in.
func (d *disk) compact(r *rand.Rand) {
	p := d.refs[r.IntN(len(d.refs))]
	tables := slices.Sorted(maps.Keys(p))
	if len(tables) == 0 {
		return
	}
	table := tables[r.IntN(len(tables))]
	refs := p[table]
	if len(refs) == 0 {
		return
	}
	bucket := refs[r.IntN(len(refs))].Bucket
	var at []int
	for i, x := range refs {
		if x.Bucket == bucket {
			at = append(at, i)
		}
	}
	from := r.IntN(len(at))
	run := at[from : from+1+r.IntN(len(at)-from)]
	var in []objstate.Ref
	clip := refs[run[0]].Clip
	for k, i := range run {
		if k > 0 && slices.ContainsFunc(refs[run[0]+1:i], func(x objstate.Ref) bool {
			return x.Bucket != bucket && overlaps([]objstate.Ref{x}, refs[i], refs[i].Clip)
		}) {
			run = run[:k] // what follows would pass something older
			break
		}
		in = append(in, refs[i])
		clip = rowkey.Range{Lo: min(clip.Lo, refs[i].Clip.Lo), Hi: max(clip.Hi, refs[i].Clip.Hi)}
	}
	bottom := !overlaps(refs[:run[0]], in[0], clip)
	m := objstate.Merging{Inputs: in, Bottom: bottom, Passed: objstate.Passed{Event: d.low, Wall: sabot.NoTime}}
	if d.clock != nil {
		m.Passed.Wall = sabot.MicrosOf(d.clock())
	}
	for _, spec := range d.now.Specs() {
		if spec.Name == table {
			m.TTLs = spec.TTLs
		}
	}
	var seg []byte
	var info segment.Info
	err := objstate.CompactTo(d.fetch, m, func(b []byte, o objstate.Output) error {
		seg, info = b, o.Info
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []objstate.Ref
	for i, x := range refs {
		if i == run[0] && info.Rows > 0 {
			out = append(out, objstate.Ref{Object: d.write(seg), Length: int64(len(seg)), CRC: info.CRC, Bucket: bucket, Clip: clip, Rows: int64(info.Rows)})
		}
		if !slices.Contains(run, i) {
			out = append(out, x)
		}
	}
	p[table] = out
	d.version++
}

// overlaps tells whether one of refs may have rows of the keys that like has in a range.
func overlaps(refs []objstate.Ref, like objstate.Ref, in rowkey.Range) bool {
	return slices.ContainsFunc(refs, func(x objstate.Ref) bool {
		return !x.Clip.Intersect(in).Empty() && (x.Bucket == like.Bucket || x.Bucket.Lo < like.Bucket.Hi && like.Bucket.Lo < x.Bucket.Hi)
	})
}

// repartition divides the lane's hash space anew. No state is copied: a reference goes to each partition that overlaps it, clipped to that. The operator
// is to be made anew after it.
func (d *disk) repartition(n int) {
	parts := rowkey.Even(n)
	refs := make([]map[string][]objstate.Ref, n)
	for i, to := range parts {
		refs[i] = map[string][]objstate.Ref{}
		for _, from := range d.refs {
			for table, all := range from {
				for _, r := range all {
					if r.Clip = r.Clip.Intersect(to); !r.Clip.Empty() {
						refs[i][table] = joined(refs[i][table], r)
					}
				}
			}
		}
	}
	d.parts, d.refs = parts, refs
	d.version++
}

// joined appends a reference, or widens the clip of one to the same bytes that it continues, if nothing newer stands behind that.
func joined(refs []objstate.Ref, r objstate.Ref) []objstate.Ref {
	for i, l := range refs {
		if l.Object == r.Object && l.Offset == r.Offset && l.Clip.Hi == r.Clip.Lo && !overlaps(refs[i+1:], r, r.Clip) {
			refs[i].Clip.Hi = r.Clip.Hi
			return refs
		}
	}
	return append(refs, r)
}

// save returns what goes back to what is committed now. The operator is to be made anew after it.
func (d *disk) save() (restore func()) {
	clone := func(refs []map[string][]objstate.Ref) []map[string][]objstate.Ref {
		out := make([]map[string][]objstate.Ref, len(refs))
		for i, p := range refs {
			out[i] = map[string][]objstate.Ref{}
			for table, all := range p {
				out[i][table] = slices.Clone(all)
			}
		}
		return out
	}
	parts, refs, low := d.parts, clone(d.refs), d.low
	return func() {
		d.parts, d.refs, d.low, d.done = parts, clone(refs), low, d.cut // numbers of cuts go on
		d.version++
	}
}

// bound gives the lanes so much memory, from the next store on; 0: as much as they like.
func (d *disk) bound(limit int64) {
	if d.memory, d.others = nil, 0; limit > 0 {
		d.memory, d.bounded = objstate.NewMemory(limit), true
	}
}

// press makes other lanes take so much of the memory.
func (d *disk) press(bytes int64) {
	if d.memory == nil {
		return
	}
	s, err := objstate.NewStore(objstate.Options{Memory: d.memory, KeyFields: d.fields})
	if err != nil {
		d.t.Fatal(err)
	}
	s.Manage(otherLane(bytes - d.others))
	s.Trim()
	d.others = bytes
}

// otherLane is state of another lane, of so many bytes, that cannot be dropped. A negative one takes back what former ones have.
type otherLane int64

func (otherLane) Settle(uint64)            {}
func (o otherLane) Memory() objstate.Usage { return objstate.Usage{Held: int64(o)} }
func (otherLane) Shrink(int64) int         { return 0 }
