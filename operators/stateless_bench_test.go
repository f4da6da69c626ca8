package operators

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

type benchPair struct{ Key, V int64 }

// Operators that keep nothing, over two columns of integers, each beside the loop that a Go programmer would write for it.
func BenchmarkStateless(b *testing.B) {
	in := newBenchInput(b, int64Type, 1000, 10*time.Second, 0)
	run := func(name string, op func() (Operator, error), want int) {
		b.Run(name+"/operator", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				o, err := op()
				if err != nil {
					b.Fatal(err)
				}
				out := &discard{}
				in.run(b, o, out)
				if out.rows != want {
					b.Fatalf("%d rows, want %d", out.rows, want)
				}
			}
			perRow(b)
		})
	}
	plain := func(name string, loop func(keys, values []int64) int) {
		b.Run(name+"/plain-loop", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for range b.N {
				for _, x := range in.batches {
					n += loop(batch.Int64s(x.Cols[0]), batch.Int64s(x.Cols[1]))
				}
			}
			if n == 0 {
				b.Fatal("no rows")
			}
			perRow(b)
		})
	}
	kept := 0
	for _, v := range in.values {
		if v < 500_000 {
			kept++
		}
	}

	run("filter", func() (Operator, error) { return NewFilter(sabot.Col("v").Lt(500_000), in.feed.schema) }, kept)
	plain("filter", func(_, values []int64) int {
		sel := make([]int32, 0, len(values))
		for i, v := range values {
			if v < 500_000 {
				sel = append(sel, int32(i))
			}
		}
		return len(sel)
	})

	run("project", func() (Operator, error) {
		return NewProject([]sabot.Expr{sabot.Col("key"), sabot.Col("v").Mul(908).As("v")}, in.feed.schema, in.feed.schema)
	}, benchRows)
	plain("project", func(_, values []int64) int {
		out := make([]int64, len(values))
		for i, v := range values {
			out[i] = v * 908
		}
		return len(out)
	})

	run("flatmap", func() (Operator, error) {
		job := sabot.NewJob("test")
		sabot.FlatMap(job.Source("in", nil), "f", func(in benchPair, emit func(benchPair)) error {
			emit(benchPair{in.Key, in.V * 2})
			return nil
		})
		f := job.Impl("f").(sabot.RowFunc)
		out, _, err := f.Bind(in.feed.schema)
		if err != nil {
			return nil, err
		}
		return NewFunc(f, in.feed.schema, out)
	}, benchRows)
	plain("flatmap", func(keys, values []int64) int {
		outKeys, outValues := make([]int64, 0, len(keys)), make([]int64, 0, len(keys))
		for i, k := range keys {
			outKeys, outValues = append(outKeys, k), append(outValues, values[i]*2)
		}
		return len(outKeys) + len(outValues)
	})
}
