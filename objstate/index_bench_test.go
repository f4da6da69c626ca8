package objstate

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

const (
	benchRows  = 4096
	benchDrawn = 1 << 20 // keys that are drawn from all
)

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

// Random keys of a table that has all of them are counted and summed, a batch at a time.
func BenchmarkUpsert(b *testing.B) {
	for _, n := range []int64{1000, 100_000, 1_000_000} {
		tab := NewTable(segment.Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "sum", Type: arrow.PrimitiveTypes.Int64}})
		plain := map[int64][2]int64{}
		for k := range n {
			key := rowkey.AppendInt64(nil, k)
			tab.Upsert(rowkey.HashOf(key), key)
			plain[k] = [2]int64{}
		}
		r := rand.New(rand.NewPCG(1, 3))
		drawn := make([]int64, benchDrawn)
		var keys []rowkey.Column
		var hashes [][]uint64
		for i := range drawn {
			if i%benchRows == 0 {
				keys = append(keys, rowkey.Column{Offsets: []int32{0}})
			}
			drawn[i] = r.Int64N(n)
			c := &keys[len(keys)-1]
			c.Bytes = rowkey.AppendInt64(c.Bytes, drawn[i])
			c.Offsets = append(c.Offsets, int32(len(c.Bytes)))
		}
		for _, c := range keys {
			hashes = append(hashes, rowkey.Hash(c, nil))
		}
		rows, slots := make([]int32, benchRows), make([]uint32, benchRows)
		for i := range rows {
			rows[i] = int32(i)
		}
		b.Run(fmt.Sprintf("%d/table", n), func(b *testing.B) {
			for i := range b.N {
				at := i % len(keys)
				tab.UpsertBatch(hashes[at], keys[at], rows, slots)
				n, sum := tab.Cols[0].Ints, tab.Cols[1].Ints
				for k, slot := range slots {
					n[slot]++
					sum[slot] += int64(k)
				}
				tab.TouchAll(slots)
			}
			perRow(b, benchRows)
		})
		b.Run(fmt.Sprintf("%d/map", n), func(b *testing.B) {
			for i := range b.N {
				from := i * benchRows % benchDrawn
				for k, key := range drawn[from : from+benchRows] {
					t := plain[key]
					plain[key] = [2]int64{t[0] + 1, t[1] + int64(k)}
				}
			}
			perRow(b, benchRows)
		})
	}
}
