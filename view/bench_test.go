package view

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/run"
)

// numbers is a source of the rows 0, 1, 2, ...
type numbers struct{ n int64 }

type number struct{ K int64 }

func (s numbers) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	schema, err := row.Schema(reflect.TypeFor[number]())
	return schema, []sabot.Split{{ID: "all", Bounded: true}}, err
}

func (s numbers) Open(_ context.Context, _ sabot.Env, schema *arrow.Schema, _ sabot.Split, _ sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[number]()
	return &numbersReader{n: s.n, schema: schema, e: e}, err
}

type numbersReader struct {
	next, n int64
	schema  *arrow.Schema
	e       *row.Encoder[number]
}

func (r *numbersReader) Read(ctx context.Context) (sabot.Chunk, error) {
	n := min(8192, r.n-r.next)
	for range n {
		r.e.Append(&number{r.next})
		r.next++
	}
	c := sabot.Chunk{After: sabot.Position(fmt.Sprint(r.next)), Done: float64(r.next) / float64(r.n)}
	if n > 0 {
		c.Rows = array.NewRecordBatch(r.schema, r.e.Flush(), n)
	}
	return c, nil // it never ends: the state stays as it is
}

func (r *numbersReader) Close() error { return nil }

// million returns a bucket with a job that keeps a value of each of a million keys.
func million(b *testing.B) objstore.Bucket {
	b.Helper()
	bucket, err := file.Open(b.TempDir(), file.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bucket.Close() })
	var seen atomic.Int64
	job := sabot.NewJob("seen")
	sabot.Process(job.Source("in", numbers{1 << 20}).KeyBy("k"), "all", func(p *sabot.Proc[int64, number, nothing]) {
		v := sabot.NewValue[int64](p, "v")
		w := sabot.NewValue[string](p, "w")
		p.OnRow(func(n number) error {
			v.Put(n.K * 3)
			w.Put(fmt.Sprint("the word of ", n.K))
			seen.Add(1)
			return nil
		})
	}).Sink("none", callback.Committed(func(context.Context, sabot.OutputID, []nothing) error { return nil }))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		for seen.Load() < 1<<20 && ctx.Err() == nil {
			time.Sleep(time.Millisecond) // until all rows are in the state; the last checkpoint has them
		}
		cancel()
	}()
	if _, err := run.Run(ctx, job, run.Options{Store: bucket, Checkpoint: 200 * time.Millisecond}); ctx.Err() == nil {
		b.Fatal(err)
	}
	return bucket
}

// BenchmarkGet gets the values of keys of a million, from a folder: by a view that has the indexes it needs, and by one that is opened for it.
func BenchmarkGet(b *testing.B) {
	bucket := million(b)
	open := func(b *testing.B) *View {
		v, err := Open(b.Context(), bucket, "seen")
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	r := rand.New(rand.NewPCG(1, 1))
	get := func(b *testing.B, v *View, n int) {
		keys := make([][]any, n)
		for i := range keys {
			keys[i] = []any{r.Int64N(1 << 20)}
		}
		rows, err := v.GetAll(b.Context(), "all", keys...)
		if err != nil {
			b.Fatal(err)
		}
		for i, of := range rows {
			if len(of) != 1 || of[0].Value("v") != keys[i][0].(int64)*3 {
				b.Fatalf("key %v has rows %v", keys[i], of)
			}
		}
	}
	for _, n := range []int{1, 100, 4096} {
		b.Run(fmt.Sprintf("keys=%d/open", n), func(b *testing.B) {
			for b.Loop() {
				v := open(b)
				get(b, v, n)
				v.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/key")
		})
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			v := open(b)
			defer v.Close()
			get(b, v, 4096)
			for b.Loop() {
				get(b, v, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/key")
		})
	}
	b.Run("scan", func(b *testing.B) {
		v := open(b)
		defer v.Close()
		for b.Loop() {
			rows := int64(0)
			for rec, err := range v.Batches(b.Context(), "all") {
				if err != nil {
					b.Fatal(err)
				}
				rows += rec.NumRows()
			}
			if rows != 1<<20 {
				b.Fatalf("%d rows", rows)
			}
		}
		b.ReportMetric(float64(b.N)*(1<<20)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
}
