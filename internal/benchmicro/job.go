package benchmicro

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/datagen"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/run"
)

func jobWorks() []Work {
	latencies := []Unit{{Suffix: ".p50", Name: "ms"}, {Suffix: ".p99", Name: "ms"}, {Suffix: ".p999", Name: "ms"}}
	return []Work{
		{Name: "pipeline.window", Units: []Unit{{Name: "krows/s", More: true}, {Suffix: ".cpu", Name: "ns/row"}}, Open: windows},
		{Name: "latency.immediate", Units: latencies, Open: func(quick bool) (*Race, error) {
			return waits(quick, func(out *sabot.Stream, s *samples) { out.Immediate("out", immediate{s}) })
		}},
		{Name: "latency.committed", Units: latencies, Open: func(quick bool) (*Race, error) {
			return waits(quick, func(out *sabot.Stream, s *samples) { out.Sink("out", committed{s}) })
		}},
	}
}

const (
	jobKeys    = 10_000
	windowRows = 144_000_000 // of which a run takes five seconds and more, so several checkpoints
	quickRows  = 500_000
	windowSize = 10 * time.Second
	rowStep    = 20 * time.Microsecond // of event time
	never      = 24 * time.Hour
)

// A count and a sum by key in tumbling windows, of a job with checkpoints each second, against the same without any. Rows are made up and dropped at
// an immediate sink. The second figure is the time of all processors, which other programs on the machine move less.
func windows(quick bool) (*Race, error) {
	n := int64(windowRows)
	if quick {
		n = quickRows
	}
	rate := func(checkpoint time.Duration) Side {
		return func(ctx context.Context) ([]float64, error) {
			dropped := &samples{}
			job := sabot.NewJob("windows")
			job.Source("rows", datagen.Source{Rows: n, Splits: 2, Keys: jobKeys, Step: rowStep}, sabot.EventTime("at")).
				KeyBy("key").Window(sabot.Tumbling(windowSize)).
				Aggregate("sums", sabot.Count().As("n"), sabot.Sum("value").As("sum")).Immediate("out", immediate{dropped})
			var d time.Duration
			cpu, err := spent(func() (err error) {
				d, err = runJob(ctx, job, checkpoint)
				return err
			})
			return []float64{float64(n) / 1e3 / d.Seconds(), float64(cpu.Nanoseconds()) / float64(n)}, errors.Join(err, some(dropped.rows))
		}
	}
	return &Race{Sabot: rate(time.Second), Baseline: rate(never)}, nil
}

// runJob runs a bounded job to its end over a new bucket in a temporary folder.
func runJob(ctx context.Context, job *sabot.Job, checkpoint time.Duration) (d time.Duration, err error) {
	dir, err := os.MkdirTemp("", "sabot-bench")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return took(func() error {
		_, err := run.Run(ctx, job, run.Options{Bucket: dir, Checkpoint: checkpoint})
		return err
	})
}

// samples is what a sink was given.
type samples struct {
	mu   sync.Mutex
	rows int
	from int64 // rows that were due before do not count, in microseconds
	ages []time.Duration
}

// immediate is a sink that sees rows as they are produced.
type immediate struct{ s *samples }

// Write implements sabot.ImmediateSink.
func (i immediate) Write(_ context.Context, b arrow.RecordBatch) error {
	i.s.note(b)
	return nil
}

// committed is a sink that sees rows when their checkpoint is committed.
type committed struct{ s *samples }

// Roll implements sabot.Roller: each checkpoint's rows are published at once.
func (committed) Roll() (bytes int64, age time.Duration) { return 1, time.Millisecond }

// Publish implements sabot.Sink.
func (c committed) Publish(_ context.Context, _ sabot.OutputID, b arrow.RecordBatch) error {
	c.s.note(b)
	return nil
}

// sampled is how many rows there are to one whose age is noted.
const sampled = 16

// note notes how old rows are: the time since they were due.
func (s *samples) note(b arrow.RecordBatch) {
	now := clock.Real().Now().UnixMicro()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += int(b.NumRows())
	at := b.Schema().FieldIndices("created")
	if len(at) == 0 {
		return
	}
	created := ints(b, at[0])
	for i := 0; i < len(created); i += sampled {
		if created[i] >= s.from {
			s.ages = append(s.ages, time.Duration(now-created[i])*time.Microsecond)
		}
	}
}

// quantiles returns p50, p99 and p999 in milliseconds.
func (s *samples) quantiles() []float64 {
	var out []float64
	for _, q := range []float64{0.5, 0.99, 0.999} {
		out = append(out, quantile(s.ages, q).Seconds()*1e3)
	}
	return out
}
