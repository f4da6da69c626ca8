package benchmicro

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/datagen"
	"github.com/sabot-stream/sabot/internal/clock"
)

// dueRow is a row of the source, and counted what becomes of it.
type dueRow struct {
	Value   int64
	Created time.Time
}

type counted struct {
	Key, Sum int64
	Created  time.Time
}

const (
	peakRows   = 4_000_000
	loaded     = 4 * time.Second // at half of the peak; a quarter of it does not count
	quickLoad  = 600 * time.Millisecond
	checkpoint = time.Second
)

// Rows come at half the rate that the job reaches when they wait for it; a process function sums each key's values and passes on each row with the sum. What
// is measured is how long after it was due a row is at the sink, checkpoints each second. By hand a loop reads the same source and keeps the sums in a map.
func waits(quick bool, sink func(*sabot.Stream, *samples)) (*Race, error) {
	rows, long := int64(peakRows), loaded
	if quick {
		rows, long = quickRows, quickLoad
	}
	full := &samples{}
	source := datagen.Source{Rows: rows, Splits: 2, Keys: jobKeys, Rate: 1e9}
	d, err := runJob(context.Background(), sumJob(source, sink, full), checkpoint)
	if err := errors.Join(err, same("rows", full.rows, int(rows))); err != nil {
		return nil, err
	}
	source.Rate = float64(rows) / d.Seconds() / 2
	source.Rows = int64(source.Rate * long.Seconds())
	return &Race{
		Sabot: func(ctx context.Context) ([]float64, error) {
			s := &samples{from: clock.Real().Now().Add(long / 4).UnixMicro()}
			_, err := runJob(ctx, sumJob(source, sink, s), checkpoint)
			return s.quantiles(), errors.Join(err, same("rows", s.rows, int(source.Rows)))
		},
		Baseline: func(ctx context.Context) ([]float64, error) {
			s := &samples{from: clock.Real().Now().Add(long / 4).UnixMicro()}
			err := sumByHand(ctx, source, s)
			return s.quantiles(), errors.Join(err, same("rows", s.rows, int(source.Rows)))
		},
	}, nil
}

func sumJob(source datagen.Source, sink func(*sabot.Stream, *samples), to *samples) *sabot.Job {
	job := sabot.NewJob("sums")
	sink(sabot.Process(job.Source("rows", source).KeyBy("key"), "sums", func(p *sabot.Proc[int64, dueRow, counted]) {
		sum := sabot.NewValue[int64](p, "sum")
		p.OnRow(func(r dueRow) error {
			s, _ := sum.Get()
			sum.Put(s + r.Value)
			p.Emit(counted{p.Key(), s + r.Value, r.Created})
			return nil
		})
	}), to)
	return job
}

// sumByHand reads the splits of a source in turn.
func sumByHand(ctx context.Context, source datagen.Source, s *samples) error {
	env := sabot.Env{Now: clock.Real().Now}
	schema, splits, err := source.Describe(ctx, env)
	if err != nil {
		return err
	}
	var readers []sabot.Reader
	for _, split := range splits {
		r, err := source.Open(ctx, env, schema, split, "")
		if err != nil {
			return err
		}
		readers = append(readers, r)
	}
	key, value := schema.FieldIndices("key")[0], schema.FieldIndices("value")[0]
	sums := map[int64]int64{}
	for len(readers) > 0 {
		r := readers[0]
		readers = readers[1:]
		chunk, err := r.Read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if err := r.Close(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		readers = append(readers, r)
		if chunk.Rows == nil {
			continue
		}
		keys, values := ints(chunk.Rows, key), ints(chunk.Rows, value)
		for i, k := range keys {
			sums[k] += values[i]
		}
		s.note(chunk.Rows)
		chunk.Rows.Release()
	}
	return nil
}

// ints returns a column of integers or times.
func ints(b arrow.RecordBatch, col int) []int64 {
	d := b.Column(col).Data()
	return arrow.Int64Traits.CastFromBytes(d.Buffers()[1].Bytes())[d.Offset() : d.Offset()+d.Len()]
}

// quantile returns the value that a share q of some values do not exceed; 0 of none. It sorts them.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(len(of)-1, int(q*float64(len(of))))]
}
