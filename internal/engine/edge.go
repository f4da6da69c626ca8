package engine

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/exchange"
)

// edge sends a lane's rows to the lanes of the next stage, by key. One goroutine uses it.
type edge struct {
	keys     *keyer
	scatter  *batch.Scatter
	to       []*exchange.Inbox
	producer int // in each inbox
	done     <-chan struct{}
	low      sabot.Micros // watermark sent last
	meter    *meter

	memory rowkey.Column
	hashes []uint64
}

func (e *edge) batch(b *batch.Batch) error {
	for i, part := range e.scatter.Split(e.keyed(batch.Compact(b))) {
		if part == nil {
			continue
		}
		part.Source, part.Split, part.FirstRow = "", "", 0
		if err := e.put(e.to[i], exchange.Message{Batch: part, Watermark: e.low}); err != nil {
			return err
		}
	}
	return nil
}

// keyed returns b with its rows' keys and hashes; it takes over b's reference. With several lanes behind the edge the scatter copies them, so
// their memory serves again; with one lane the batch goes there as it is.
func (e *edge) keyed(b *batch.Batch) *batch.Batch {
	cols := make([]arrow.Array, len(e.keys.columns))
	for i, c := range e.keys.columns {
		cols[i] = b.Cols[c]
	}
	if len(e.to) == 1 {
		e.memory, e.hashes = rowkey.Column{}, nil
	}
	e.keys.encoder.Encode(cols, b.N, &e.memory)
	e.hashes = rowkey.Hash(e.memory, e.hashes[:0])
	for _, c := range b.Cols {
		c.Retain()
	}
	k := batch.New(b.Schema, b.Cols, b.N, b.Release)
	k.Times, k.Keys, k.Hashes = b.Times, e.memory, e.hashes
	return k
}

func (e *edge) watermark(w sabot.Micros) error {
	e.low = w
	return e.send(exchange.Message{Watermark: w})
}

func (e *edge) barrier(n exchange.Cut) error {
	return e.send(exchange.Message{Watermark: e.low, Barrier: n})
}

func (e *edge) send(m exchange.Message) error {
	for _, in := range e.to {
		if err := e.put(in, m); err != nil {
			return err
		}
	}
	return nil
}

// put gives m to an inbox, and measures the wait for room there.
func (e *edge) put(in *exchange.Inbox, m exchange.Message) error {
	if in.Offer(e.producer, m) {
		return nil
	}
	e.meter.begin(forRoom)
	defer e.meter.end()
	return in.Put(e.done, e.producer, m)
}
