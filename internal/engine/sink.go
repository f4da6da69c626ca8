package engine

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// sinkNode holds the rows of a committed sink until the next cut.
type sinkNode struct {
	name   string
	rng    string // which part of the key space, or which lane of a source stage, writes
	schema *arrow.Schema
	rows   []*batch.Batch
	n      int64
	counts counts
}

// pendingRows are the rows of one sink in one cut of one lane; the holder releases them.
type pendingRows struct {
	sink, rng string
	schema    *arrow.Schema
	batches   []*batch.Batch
	n         int64
}

func (s *sinkNode) batch(b *batch.Batch) error {
	s.counts.in += int64(b.Rows())
	s.n += int64(b.Rows())
	s.rows = append(s.rows, b)
	return nil
}

func (s *sinkNode) watermark(sabot.Micros) error { return nil }

func (s *sinkNode) take() *pendingRows {
	if s.n == 0 {
		return nil
	}
	p := &pendingRows{sink: s.name, rng: s.rng, schema: s.schema, batches: s.rows, n: s.n}
	s.rows, s.n = nil, 0
	return p
}

// immediateNode writes rows as they come.
type immediateNode struct {
	name  string
	write func(arrow.RecordBatch) error
}

// newImmediate binds the sink to the context of the group's run: Operator calls carry none.
func newImmediate(ctx context.Context, name string, sink sabot.ImmediateSink) *immediateNode {
	return &immediateNode{name: name, write: func(r arrow.RecordBatch) error { return sink.Write(ctx, r) }}
}

func (s *immediateNode) batch(b *batch.Batch) error {
	c := batch.Compact(b)
	defer c.Release()
	rec := batch.ToRecord(c)
	defer rec.Release()
	if err := s.write(rec); err != nil {
		return fmt.Errorf("write %d rows to sink %q: %w", c.N, s.name, err)
	}
	return nil
}

func (s *immediateNode) watermark(sabot.Micros) error { return nil }
