package operators

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// discard is a Collector that counts rows.
type discard struct{ rows int }

func (d *discard) Emit(b *batch.Batch) error {
	d.rows += b.Rows()
	b.Release()
	return nil
}
func (d *discard) Late(b *batch.Batch) error                  { return d.Emit(b) }
func (d *discard) Dead(*batch.Batch, int, string) error       { panic("a row was given up") }
func (d *discard) DeadKey([]byte, sabot.Micros, string) error { panic("a timer was given up") }
func (d *discard) Dropped(int)                                {}

const (
	benchBatch   = 4096
	benchBatches = 64
	benchRows    = benchBatch * benchBatches
)

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

// benchInput is rows of a key, an integer and a time, as batches and as the slices that a plain loop takes.
type benchInput struct {
	feed    *feed
	jitter  time.Duration
	span    int64 // microseconds
	batches []*batch.Batch
	texts   []string
	keys    []int64
	values  []int64
	times   []int64
}

// newBenchInput makes rows over some seconds of which each lies up to jitter behind.
func newBenchInput(b *testing.B, keyType arrow.DataType, keys int, span, jitter time.Duration) *benchInput {
	r := rand.New(rand.NewPCG(1, 9))
	schema := arrow.NewSchema([]arrow.Field{{Name: "key", Type: keyType, Nullable: true}, {Name: "v", Type: int64Type, Nullable: true}}, nil)
	in := &benchInput{feed: newFeed(b, schema, 0), jitter: jitter, span: span.Microseconds()}
	for k := range benchBatches {
		rows := make([]plainRow, benchBatch)
		for i := range rows {
			key, v := r.IntN(keys), r.Int64N(1_000_000)
			at := int64(k*benchBatch+i) * span.Microseconds() / benchRows
			if jitter > 0 {
				at -= r.Int64N(jitter.Microseconds())
			}
			rows[i] = plainRow{at, []any{int64(key), v}}
			in.keys, in.texts = append(in.keys, int64(key)), append(in.texts, fmt.Sprintf("key-%d", key))
			if keyType.ID() == arrow.STRING {
				rows[i].vals[0] = in.texts[len(in.texts)-1]
			}
			in.values, in.times = append(in.values, v), append(in.times, at)
		}
		in.batches = append(in.batches, in.feed.batch(rows, nil))
	}
	return in
}

// run gives the batches to an operator, each with the watermark behind it, and then lets the input end.
func (in *benchInput) run(b *testing.B, op Operator, out Collector) {
	for k, x := range in.batches {
		x.Retain()
		if err := op.Batch(x, out); err != nil {
			b.Fatal(err)
		}
		if err := op.Watermark(in.low(k), out); err != nil {
			b.Fatal(err)
		}
	}
	if err := op.Watermark(sabot.MaxMicros, out); err != nil {
		b.Fatal(err)
	}
}

// low returns the watermark behind batch k: no later row is before it.
func (in *benchInput) low(k int) sabot.Micros {
	return sabot.Micros(int64(k+1)*benchBatch*in.span/benchRows - in.jitter.Microseconds())
}

type plainAcc struct {
	n, sum, most int64
}

type plainResult[K comparable] struct {
	key              K
	start, end, n, m int64
	mean             float64
}

// plainWindows is tumbling count, avg and max as a Go programmer would write it; it returns how many results there are.
func plainWindows[K comparable](keys []K, in *benchInput, size int64) int {
	wins := map[int64]map[K]plainAcc{}
	results := 0
	fire := func(w int64) {
		for start, win := range wins {
			if start+size > w {
				continue
			}
			out := make([]plainResult[K], 0, len(win))
			for k, a := range win {
				out = append(out, plainResult[K]{k, start, start + size, a.n, a.most, float64(a.sum) / float64(a.n)})
			}
			results += len(out)
			delete(wins, start)
		}
	}
	var cur map[K]plainAcc
	start := int64(-1 << 62)
	for i, key := range keys {
		at := in.times[i]
		if at < start || at >= start+size {
			start = at - ((at%size)+size)%size
			if cur = wins[start]; cur == nil {
				cur = map[K]plainAcc{}
				wins[start] = cur
			}
		}
		a, v := cur[key], in.values[i]
		if a.n == 0 || v > a.most {
			a.most = v
		}
		a.n++
		a.sum += v
		cur[key] = a
		if i%benchBatch == benchBatch-1 {
			fire(int64(in.low(i / benchBatch)))
			start = -1 << 62
		}
	}
	fire(1 << 62)
	return results
}

// Tumbling windows of ten seconds with count, avg and max. "jitter" has times up to a fifth of a window out of order, around each window's end.
func BenchmarkWindow(b *testing.B) {
	for _, c := range []struct {
		name   string
		key    arrow.DataType
		keys   int
		jitter time.Duration
	}{
		{"300-strings", arrow.BinaryTypes.String, 300, 0},
		{"300-strings-jitter", arrow.BinaryTypes.String, 300, 2 * time.Second},
		{"100k-ints", int64Type, 100_000, 0},
	} {
		const size = 10 * time.Second
		in := newBenchInput(b, c.key, c.keys, 40*time.Second, c.jitter)
		spec := sabot.WindowSpec{Kind: sabot.TumblingWindow, Size: size, Slide: size, Aggs: []sabot.Agg{{Func: sabot.CountAgg, Name: "n"},
			{Func: sabot.AvgAgg, Column: "v", Name: "avg"}, {Func: sabot.MaxAgg, Column: "v", Name: "max"}}}
		results := plainWindows(in.keys, in, size.Microseconds())
		b.Run(c.name+"/operator", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				op, out := benchWindow(b, in, spec), &discard{}
				in.run(b, op, out)
				if out.rows != results {
					b.Fatalf("%d results, want %d", out.rows, results)
				}
			}
			perRow(b)
		})
		b.Run(c.name+"/plain-maps", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				n := 0
				if c.key.ID() == arrow.STRING {
					n = plainWindows(in.texts, in, size.Microseconds())
				} else {
					n = plainWindows(in.keys, in, size.Microseconds())
				}
				if n != results {
					b.Fatalf("%d results, want %d", n, results)
				}
			}
			perRow(b)
		})
	}
}

func benchWindow(b *testing.B, in *benchInput, spec sabot.WindowSpec) Operator {
	cfg := WindowConfig{Name: "w", Spec: spec, In: in.feed.schema, Out: windowOutput(in.feed.schema, spec), KeyFields: in.feed.keyFields()}
	op, err := NewWindow(cfg, newDisk(b, cfg.KeyFields).resume())
	if err != nil {
		b.Fatal(err)
	}
	return op
}
