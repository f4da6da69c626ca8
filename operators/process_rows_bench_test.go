package operators

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// A handler that adds to a value, with each key once, 8 times and 64 times in every batch, far apart: row by row, all rows of a key at once, and as
// a Go programmer would write it over a map.
func BenchmarkRowsOfAKey(b *testing.B) {
	for _, times := range []int{1, 8, 64} {
		in := repeated(b, times)
		want := int64(0)
		for _, v := range in.values {
			want += v
		}
		for name, setup := range map[string]func(*sabot.Proc[int64, benchRow, benchSum]){"by-row": func(p *sabot.Proc[int64, benchRow, benchSum]) {
			sum := sabot.NewValue[int64](p, "sum")
			p.OnRow(func(r benchRow) error {
				s, _ := sum.Get()
				sum.Put(s + r.V)
				return nil
			})
		}, "by-key": func(p *sabot.Proc[int64, benchRow, benchSum]) {
			sum := sabot.NewValue[int64](p, "sum")
			p.OnRows(func(rows []benchRow) error {
				s, _ := sum.Get()
				for _, r := range rows {
					s += r.V
				}
				sum.Put(s)
				return nil
			})
		}} {
			b.Run(fmt.Sprintf("%d-times/%s", times, name), func(b *testing.B) {
				b.ReportAllocs()
				fn := processFuncOf(setup)
				for range b.N {
					op := newProcessOp(b, fn, in.feed, newDisk(b, in.feed.keyFields())).(*process)
					in.run(b, op, &discard{})
					got := int64(0)
					for _, s := range op.keys.Cols[0].Ints {
						got += s
					}
					if got != want {
						b.Fatalf("the sums add up to %d, want %d", got, want)
					}
				}
				perRow(b)
			})
		}
		b.Run(fmt.Sprintf("%d-times/plain-map", times), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				m := map[int64]int64{}
				for _, x := range in.batches {
					keys, values := batch.Int64s(x.Cols[0]), batch.Int64s(x.Cols[1])
					for i, k := range keys {
						m[k] += values[i]
					}
				}
				got := int64(0)
				for _, s := range m {
					got += s
				}
				if got != want {
					b.Fatalf("the sums add up to %d, want %d", got, want)
				}
			}
			perRow(b)
		})
	}
}

// repeated makes batches in which each key comes so many times.
func repeated(b *testing.B, times int) *benchInput {
	r := rand.New(rand.NewPCG(2, 7))
	schema := arrow.NewSchema([]arrow.Field{{Name: "key", Type: int64Type, Nullable: true}, {Name: "v", Type: int64Type, Nullable: true}}, nil)
	in := &benchInput{feed: newFeed(b, schema, 0)}
	for range benchBatches {
		rows := make([]plainRow, benchBatch)
		for i, k := range r.Perm(benchBatch) {
			v := r.Int64N(1_000_000)
			rows[i] = plainRow{0, []any{int64(k / times), v}}
			in.values = append(in.values, v)
		}
		in.batches = append(in.batches, in.feed.batch(rows, nil))
	}
	return in
}
