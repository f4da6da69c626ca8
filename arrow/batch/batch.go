package batch

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Batch is what runs between operators: columns of equal length in Arrow layout, and what the engine knows of each row. It is immutable but
// for Sel once it is passed on. An operator that is given a batch owns one reference and releases or passes it on exactly once.
type Batch struct {
	Schema *arrow.Schema
	Cols   []arrow.Array
	N      int     // rows of each column
	Sel    []int32 // selected rows, ascending; nil: all
	Times  []int64 // event time of each of the N rows, sabot.Micros; nil: the stream has none

	// After an exchange: the key of each of the N rows.
	Hashes []uint64      // xxh3-64 of the key's bytes; nil before the first exchange
	Keys   rowkey.Column // order-preserving bytes

	// Provenance, while the rows are in their source's stage; Source is empty after an exchange.
	Source, Split string
	FirstRow      int64 // number of row 0 within the split, from 0

	refs    atomic.Int32
	release func()
}

// New returns a batch with one reference. The batch owns the arrays: it releases each when its last reference goes, then calls release, if
// any (to recycle what backs Times, Hashes, Keys and Sel).
func New(schema *arrow.Schema, cols []arrow.Array, n int, release func()) *Batch {
	b := &Batch{Schema: schema, Cols: cols, N: n, release: release}
	b.refs.Store(1)
	return b
}

// Rows returns the number of selected rows.
func (b *Batch) Rows() int {
	if b.Sel != nil {
		return len(b.Sel)
	}
	return b.N
}

// Retain adds a reference.
func (b *Batch) Retain() { b.refs.Add(1) }

// Release drops a reference.
func (b *Batch) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("batch: released more often than retained")
	}
	for _, c := range b.Cols {
		c.Release()
	}
	if b.release != nil {
		b.release()
	}
}

// Shared tells whether the columns' memory goes back to somebody when the last reference goes: then nothing may keep the arrays beyond it.
func (b *Batch) Shared() bool { return b.release != nil }
