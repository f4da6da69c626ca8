package benchmicro

import (
	"fmt"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

const (
	batchRows = 4096
	batches   = 64
	inputRows = batchRows * batches
)

var (
	int64Type  = arrow.PrimitiveTypes.Int64
	stringType = arrow.BinaryTypes.String
)

// input is rows of a key, a value and a time, as keyed batches and as the slices that a loop by hand takes.
type input struct {
	schema  *arrow.Schema
	batches []*batch.Batch
	keys    []int64
	texts   []string // of keys, when they are strings
	values  []int64
	times   []int64
}

const inputSpan = 10_000_000 // microseconds of event time over all rows

// newInput makes rows with random keys, and as many columns more besides key and value.
func newInput(keyType arrow.DataType, keys, more int) (*input, error) {
	in := &input{schema: inputSchema(keyType, more)}
	encoder, err := rowkey.NewEncoder(in.keyFields())
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 9))
	for range batches {
		b := batch.NewBuilder(in.schema)
		times := make([]int64, batchRows)
		for i := range times {
			k, v := r.Int64N(int64(keys)), r.Int64N(1_000_000)
			times[i] = int64(len(in.keys)) * inputSpan / inputRows
			in.keys, in.values, in.times = append(in.keys, k), append(in.values, v), append(in.times, times[i])
			if keyType.ID() == arrow.STRING {
				in.texts = append(in.texts, textOf(k))
				b.AppendString(0, textOf(k))
			} else {
				b.AppendInt(0, k)
			}
			for c := 1; c < 2+more; c++ {
				b.AppendInt(c, v)
			}
		}
		x := batch.New(in.schema, b.Build(), batchRows, nil)
		x.Times = times
		encoder.Encode(x.Cols[:1], x.N, &x.Keys)
		x.Hashes = rowkey.Hash(x.Keys, nil)
		in.batches = append(in.batches, x)
	}
	return in, nil
}

func inputSchema(keyType arrow.DataType, more int) *arrow.Schema {
	fields := []arrow.Field{{Name: "key", Type: keyType}, {Name: "v", Type: int64Type}}
	for i := range more {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("more", i), Type: int64Type})
	}
	return arrow.NewSchema(fields, nil)
}

func (in *input) keyFields() []arrow.Field { return in.schema.Fields()[:1] }

func textOf(key int64) string { return fmt.Sprintf("key-%08d", key) }

// collector is an operators.Collector that counts rows.
type collector struct{ rows int }

// Emit implements operators.Collector.
func (c *collector) Emit(b *batch.Batch) error {
	c.rows += b.Rows()
	b.Release()
	return nil
}

// Late implements operators.Collector.
func (c *collector) Late(b *batch.Batch) error { return c.Emit(b) }

// Dead implements operators.Collector.
func (c *collector) Dead(_ *batch.Batch, i int, reason string) error {
	return fmt.Errorf("row %d was given up: %s", i, reason)
}

// DeadKey implements operators.Collector.
func (c *collector) DeadKey(key []byte, _ sabot.Micros, reason string) error {
	return fmt.Errorf("a timer of key %x was given up: %s", key, reason)
}

// Dropped implements operators.Collector.
func (c *collector) Dropped(int) {}
