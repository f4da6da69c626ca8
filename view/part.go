package view

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// filterBytes is how much memory the filters of one table may take, in all partitions together.
const filterBytes = 64 << 20

// parts are what a view has read of the segments of each partition of each table: their indexes. The zero value is not usable.
type parts struct {
	mu sync.Mutex
	of map[partKey]*part
}

type partKey struct {
	table  string
	lo, hi uint64
}

// part is one partition of one table. It stays when the view moves to another checkpoint: segments that both have are not opened again.
type part struct {
	mu     sync.Mutex
	snap   *snapshot
	meta   *pb.Partition
	handle objstate.Handle
	fetch  objstate.Fetch // of the call at hand
	found  found
}

func (p *parts) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.of)
}

// keep drops the parts that a checkpoint does not have.
func (p *parts) keep(s *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := map[partKey]bool{}
	for _, t := range s.tables {
		for _, m := range s.partitions(t) {
			there[partKey{t.Name, m.Lo, m.Hi}] = true
		}
	}
	for k := range p.of {
		if !there[k] {
			delete(p.of, k)
		}
	}
}

// get returns the part of a partition.
func (p *parts) get(t *table, m *pb.Partition, partitions int) (*part, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := partKey{t.Name, m.Lo, m.Hi}
	if x := p.of[k]; x != nil {
		return x, nil
	}
	x, err := newPart(t, m, partitions)
	if err == nil {
		p.of[k] = x
	}
	return x, err
}

func newPart(t *table, m *pb.Partition, partitions int) (*part, error) {
	x := &part{}
	store, err := objstate.NewStore(objstate.Options{Ranges: []rowkey.Range{{Lo: m.Lo, Hi: m.Hi}}, KeyFields: t.Key,
		Memory: objstate.NewMemory(16 * filterBytes / int64(partitions)), // of which a part's filters take a sixteenth
		Refs: func() objstate.Snapshot {
			return objstate.Snapshot{Version: x.snap, Of: func(string) []objstate.Ref { return x.snap.refs(x.meta, t) }}
		},
		Fetch: func(spans []objstate.Span) ([][]byte, error) { return x.fetch(spans) }})
	if err != nil {
		return nil, err
	}
	x.handle = store.Add(objstate.Spec{Name: t.Name, Schema: t.stored}, &x.found) // as of one bucket: rows of a key are looked for in all of them
	return x, nil
}

// use makes the part one of a checkpoint, for one call.
func (p *part) use(s *snapshot, m *pb.Partition, f objstate.Fetch) { p.snap, p.meta, p.fetch = s, m, f }

// lookup returns what the partition has of the wanted keys: the newest rows, deletes among them.
func (p *part) lookup(wants []objstate.Want) (err error) {
	defer caught(&err)
	p.handle.Lookup(wants, 0)
	return nil
}

// caught turns the panic of a state that cannot be read into an error.
func caught(err *error) {
	switch v := recover().(type) {
	case nil:
	case *objstate.StorageError:
		*err = v
	default:
		panic(v)
	}
}

// reader returns a reader of spans.
func reader(ctx context.Context, read func(context.Context, []fetch.Range) ([][]byte, error)) objstate.Fetch {
	return func(spans []objstate.Span) ([][]byte, error) {
		ranges := make([]fetch.Range, len(spans))
		for i, s := range spans {
			ranges[i] = fetch.Range{Object: s.Object, Off: s.Off, N: s.N, Size: s.Size}
		}
		return read(ctx, ranges)
	}
}

// found collects the rows of a lookup. It is an objstate.Part that keeps nothing else.
type found struct {
	rows   *segment.Rows
	newest []int            // row, by number of the whole key
	wholes map[string]int   // numbers of whole keys
	keys   map[string][]int // of whole keys, by the stream's key
}

func (f *found) begin(schema segment.Schema) {
	*f = found{rows: segment.New(schema), wholes: map[string]int{}, keys: map[string][]int{}}
}

// Freeze implements objstate.Part. Nothing changes.
func (f *found) Freeze(*objstate.Frame) {}

// Load implements objstate.Part: of the rows of a whole key the newest comes last.
func (f *found) Load(_ uint64, key, _ []byte, rows *segment.Rows, i int) {
	row := f.rows.Len()
	f.rows.Append(rows, i)
	whole := rows.Key(i)
	n, ok := f.wholes[string(whole)]
	if ok {
		f.newest[n] = row
		return
	}
	n = len(f.newest)
	f.newest = append(f.newest, row)
	f.wholes[string(whole)] = n
	f.keys[string(key)] = append(f.keys[string(key)], n)
}

// of returns the newest rows of a stream's key, in the order of what stands behind it.
func (f *found) of(key []byte) []int {
	var rows []int
	for _, n := range f.keys[string(key)] {
		rows = append(rows, f.newest[n])
	}
	slices.SortFunc(rows, func(a, b int) int { return bytes.Compare(f.rows.Key(a), f.rows.Key(b)) })
	return rows
}
