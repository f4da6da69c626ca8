package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// remoteEdge keeps a lane's rows for the next stage until the cut that sends them through the bucket. One goroutine uses it.
type remoteEdge struct {
	stage, input int // that reads them
	keys         keyer
	schema       *arrow.Schema // of what is sent
	scatter      *batch.Scatter
	bounds       []uint64 // of the blocks: one more than there are blocks
	blocks       [][]*batch.Batch
	pending      *atomic.Int64 // bytes of all remote edges of the group that wait for a cut
	bytes        int64
}

// keyer computes keys and hashes.
type keyer struct {
	encoder *rowkey.Encoder
	columns []int
}

func (k *keyer) add(b *batch.Batch) {
	cols := make([]arrow.Array, len(k.columns))
	for i, c := range k.columns {
		cols[i] = b.Cols[c]
	}
	var keys rowkey.Column
	k.encoder.Encode(cols, b.N, &keys)
	b.Keys, b.Hashes = keys, rowkey.Hash(keys, nil)
}

// The columns that go with rows between groups: their hash, and their event time where they have one.
const (
	hashColumn = "sabot.hash"
	timeColumn = "sabot.time"
)

// remoteSchema is the schema of rows on their way.
func remoteSchema(rows *arrow.Schema, timed bool) *arrow.Schema {
	fields := append(slices.Clone(rows.Fields()), arrow.Field{Name: hashColumn, Type: arrow.PrimitiveTypes.Uint64})
	if timed {
		fields = append(fields, arrow.Field{Name: timeColumn, Type: arrow.PrimitiveTypes.Int64})
	}
	return arrow.NewSchema(fields, nil)
}

func (e *remoteEdge) batch(b *batch.Batch) error {
	b = batch.Compact(b)
	k := batch.New(b.Schema, b.Cols, b.N, b.Release)
	for _, c := range b.Cols {
		c.Retain()
	}
	k.Times = b.Times
	e.keys.add(k)
	for i, part := range e.scatter.Split(k) {
		if part == nil {
			continue
		}
		e.blocks[i] = append(e.blocks[i], part)
		n := int64(len(part.Keys.Bytes)) + 24*int64(part.N)
		for _, c := range part.Cols {
			n += int64(c.Data().SizeInBytes())
		}
		e.bytes += n
		e.pending.Add(n)
	}
	return nil
}

func (e *remoteEdge) watermark(sabot.Micros) error { return nil } // the committed root tells it

// take gives up what was sent since the last cut.
func (e *remoteEdge) take() *remoteRows {
	r := &remoteRows{edge: e, blocks: e.blocks}
	e.blocks = make([][]*batch.Batch, len(e.blocks))
	e.pending.Add(-e.bytes)
	e.bytes = 0
	return r
}

// remoteRows are the rows of one edge of one lane in one cut.
type remoteRows struct {
	edge   *remoteEdge
	blocks [][]*batch.Batch
}

// encodeRemote joins what the lanes send to one input, block by block, and returns the exchange with its bytes; nil when there are no rows. The
// batches are released.
func encodeRemote(parts []*remoteRows) (*pb.Exchange, []byte, error) {
	edge := parts[0].edge
	x := &pb.Exchange{Stage: uint32(edge.stage), Input: uint32(edge.input)}
	var out []byte
	for i := range edge.blocks {
		var rows []*batch.Batch
		for _, p := range parts {
			rows = append(rows, p.blocks[i]...)
		}
		if len(rows) == 0 {
			continue
		}
		at := len(out)
		var n int64
		var err error
		if out, n, err = encodeBlock(out, edge.schema, rows); err != nil {
			return nil, nil, fmt.Errorf("encode rows for stage %d: %w", edge.stage, err)
		}
		x.Blocks = append(x.Blocks, &pb.Block{Lo: edge.bounds[i], Hi: edge.bounds[i+1], Length: int64(len(out) - at), Rows: n,
			Crc: crc32.Checksum(out[at:], castagnoli)})
	}
	if len(x.Blocks) == 0 {
		return nil, nil, nil
	}
	return x, out, nil
}

// encodeBlock appends batches to out as an Arrow IPC stream.
func encodeBlock(out []byte, schema *arrow.Schema, rows []*batch.Batch) ([]byte, int64, error) {
	full := make([]*batch.Batch, len(rows))
	n := int64(0)
	for i, b := range rows {
		full[i] = withHidden(schema, b)
		n += int64(b.N)
	}
	recs, err := joinSmall(schema, full)
	if err != nil {
		return nil, 0, err
	}
	buf := bytes.NewBuffer(out)
	w := ipc.NewWriter(buf, ipc.WithSchema(schema))
	for _, r := range recs {
		err = cmp.Or(err, w.Write(r))
		r.Release()
	}
	if err = cmp.Or(err, w.Close()); err != nil {
		return nil, 0, err
	}
	return buf.Bytes(), n, nil
}

// withHidden returns b, whose reference it takes over, with its hashes and times as columns.
func withHidden(schema *arrow.Schema, b *batch.Batch) *batch.Batch {
	cols := make([]arrow.Array, 0, schema.NumFields())
	for _, c := range b.Cols {
		c.Retain()
		cols = append(cols, c)
	}
	cols = append(cols, fixed(arrow.PrimitiveTypes.Uint64, arrow.Uint64Traits.CastToBytes(b.Hashes), b.N))
	if len(cols) < schema.NumFields() {
		cols = append(cols, fixed(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(b.Times), b.N))
	}
	return batch.New(schema, cols, b.N, b.Release)
}

func fixed(t arrow.DataType, values []byte, n int) arrow.Array {
	d := array.NewData(t, n, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

// decodeBlock returns the batches of a block, keyed. The caller releases them.
func decodeBlock(b []byte, rows *arrow.Schema, keys *keyer) ([]*batch.Batch, error) {
	recs, err := decodeSection(b)
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		if err := checkHidden(rec.Schema(), rows); err != nil {
			for _, rec := range recs {
				rec.Release()
			}
			return nil, err
		}
	}
	var out []*batch.Batch
	for _, rec := range recs {
		n := rows.NumFields()
		cols := make([]arrow.Array, n)
		for i := range cols {
			cols[i] = rec.Column(i)
			cols[i].Retain()
		}
		x := batch.New(rows, cols, int(rec.NumRows()), rec.Release)
		keys.add(x)
		if int(rec.NumCols()) > n+1 {
			x.Times = rec.Column(n + 1).(*array.Int64).Int64Values()
		}
		out = append(out, x)
	}
	return out, nil
}

// checkHidden tells whether columns are those of rows, with hashes and perhaps times behind them.
func checkHidden(got, rows *arrow.Schema) error {
	want := append(slices.Clone(rows.Fields()), arrow.Field{Name: "hash", Type: arrow.PrimitiveTypes.Uint64}, arrow.Field{Name: "time", Type: arrow.PrimitiveTypes.Int64})
	if n := got.NumFields(); n != len(want) && n != len(want)-1 {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("rows between groups have %d columns, want %d or %d", n, len(want)-1, len(want)))
	}
	for i, f := range got.Fields() {
		if !arrow.TypeEqual(f.Type, want[i].Type) {
			return sabot.WithKind(sabot.Corrupt, fmt.Errorf("column %d of rows between groups is %s, want %s", i, f.Type, want[i].Type))
		}
	}
	return nil
}
