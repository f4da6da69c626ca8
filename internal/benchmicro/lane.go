package benchmicro

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// Lane is the state of one lane: a table whose key is two integers, 16 bytes, and whose values are four, 32 bytes. Its segments are in a bucket.
type Lane struct {
	*objstate.Table
	Found int   // rows that lookups have found
	Sum   int64 // of the first values of those

	ctx     context.Context // of requests: a store asks for bytes without one
	bucket  objstore.Bucket
	fetcher *fetch.Fetcher
	store   *objstate.Store
	handle  objstate.Handle
	refs    []objstate.Ref
	cut     uint64
	whole   bool // what is read goes into the table, and is not only counted
}

// Values is how many integers a row of a Lane holds.
const Values = 4

var laneKey = []arrow.Field{{Name: "a", Type: int64Type}, {Name: "b", Type: int64Type}}

// NewLane returns a lane without any state.
func NewLane(ctx context.Context, bucket objstore.Bucket) (*Lane, error) {
	return newLane(ctx, bucket, fetch.New(bucket, fetch.Options{}), nil)
}

// Resume returns a lane that begins with what l has written, and has none of it in memory. It shares l's connection to the bucket.
func (l *Lane) Resume() (*Lane, error) { return newLane(l.ctx, l.bucket, l.fetcher, l.refs) }

func newLane(ctx context.Context, bucket objstore.Bucket, fetcher *fetch.Fetcher, refs []objstate.Ref) (*Lane, error) {
	schema := make(segment.Schema, Values)
	for i := range schema {
		schema[i] = arrow.Field{Name: fmt.Sprint("v", i), Type: int64Type}
	}
	l := &Lane{Table: objstate.NewTable(schema), ctx: ctx, bucket: bucket, fetcher: fetcher, refs: refs}
	o := objstate.Options{Ranges: rowkey.Even(1), Watermark: sabot.NoTime, KeyFields: laneKey, Fetch: l.fetch, Refs: func() objstate.Snapshot {
		return objstate.Snapshot{Version: len(l.refs), Of: func(string) []objstate.Ref { return l.refs }}
	}}
	if opener := objstore.OpenerOf(bucket); opener != nil { // as a worker reads a folder
		o.Open = func(object string) (objstore.ObjectReader, error) { return opener.OpenObject(ctx, object) }
	}
	var err error
	l.store, err = objstate.NewStore(o)
	if err != nil {
		return nil, err
	}
	l.handle = l.store.Add(objstate.Spec{Name: "t", Schema: schema, Single: true}, l)
	l.handle.Touch()
	return l, nil
}

func (l *Lane) fetch(spans []objstate.Span) ([][]byte, error) {
	ranges := make([]fetch.Range, len(spans))
	for i, s := range spans {
		ranges[i] = fetch.Range{Object: s.Object, Off: s.Off, N: s.N, Size: s.Size}
	}
	return l.fetcher.Fetch(l.ctx, ranges)
}

// Key is row n's key: two integers that say nothing of the order of rows.
func Key(n int64) (a, b int64) { return n * 0x1e3779b97f4a7c15, n }

// AppendKey appends row n's key as a lane has it.
func AppendKey(dst []byte, n int64) []byte {
	a, b := Key(n)
	return rowkey.AppendInt64(rowkey.AppendInt64(dst, a), b)
}

// Keys returns the keys of rows as a batch has them after an exchange.
func Keys(of []int64) (rowkey.Column, []uint64) {
	c := rowkey.Column{Offsets: make([]int32, 1, len(of)+1)}
	for _, n := range of {
		c.Bytes = AppendKey(c.Bytes, n)
		c.Offsets = append(c.Offsets, int32(len(c.Bytes)))
	}
	return c, rowkey.Hash(c, make([]uint64, 0, len(of)))
}

// Put sets the values of the rows of a batch, all of a row to the same. Slots is memory for as many.
func (l *Lane) Put(hashes []uint64, keys rowkey.Column, rows []int32, slots []uint32, value int64) {
	l.UpsertBatch(hashes, keys, rows, slots)
	for c := range l.Cols {
		values := l.Cols[c].Ints
		for _, slot := range slots {
			values[slot] = value
		}
	}
	l.TouchAll(slots)
}

// Find counts what segments have of the keys.
func (l *Lane) Find(wants []objstate.Want) { l.handle.Lookup(wants, 0) }

// ReadWhole reads all segments into the table.
func (l *Lane) ReadWhole() {
	l.whole = true
	l.handle.Load()
	l.whole = false
}

// Barrier copies out what has changed.
func (l *Lane) Barrier() *objstate.Frozen {
	l.cut++
	return l.store.Freeze(sabot.NoTime, l.cut)
}

// Write encodes what a barrier has copied out, and writes it to the bucket.
func (l *Lane) Write(f *objstate.Frozen) error {
	return f.Encode(func(seg []byte, m objstate.Meta) error { return l.put(seg, m.Info) })
}

func (l *Lane) put(seg []byte, info segment.Info) error {
	name := fmt.Sprintf("segment-%d-%08x", len(l.refs), info.CRC)
	if err := l.bucket.Put(l.ctx, name, seg); err != nil {
		return err
	}
	l.refs = append(l.refs, objstate.Ref{Object: name, Size: info.Length, Length: info.Length, CRC: info.CRC, Clip: rowkey.Range{Hi: rowkey.Space},
		Rows: int64(info.Rows)})
	return nil
}

// Compact merges all segments into one, and returns how many bytes that read.
func (l *Lane) Compact() (bytes int64, err error) {
	for _, r := range l.refs {
		bytes += r.Length
	}
	seg, info, err := objstate.Compact(l.fetch, l.refs, true)
	if err != nil {
		return 0, err
	}
	l.refs = nil
	return bytes, l.put(seg, info)
}

// Close ends the lane's reading of the bucket, which stays open.
func (l *Lane) Close() {
	l.Leave()
	l.fetcher.Close()
}

// Leave closes what this lane has open, but for the connection that lanes share.
func (l *Lane) Leave() { l.store.Close() }

// Freeze implements objstate.Part.
func (l *Lane) Freeze(f *objstate.Frame) { f.Table(l.Table, nil, 0) }

// Load implements objstate.Part.
func (l *Lane) Load(hash uint64, key, _ []byte, rows *segment.Rows, i int) {
	if l.whole {
		l.LoadRow(hash, key, rows, i)
		return
	}
	l.Found++
	l.Sum += rows.Cols[0].Ints[i]
}

// Fill puts n rows into the table, in batches of so many.
func (l *Lane) Fill(n, size int64) { l.fill(0, n, size) }

func (l *Lane) fill(from, n, size int64) {
	numbers, rows, slots := make([]int64, size), Ordinals(int(size)), make([]uint32, size)
	for end := from + n; from < end; from += size {
		k := min(size, end-from)
		for i := range k {
			numbers[i] = from + i
		}
		keys, hashes := Keys(numbers[:k])
		l.Put(hashes, keys, rows[:k], slots[:k], from)
	}
}

// Ordinals returns 0 to n-1: all rows of a batch.
func Ordinals(n int) []int32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}
