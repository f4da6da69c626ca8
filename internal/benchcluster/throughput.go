package benchcluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
)

// unlimited is a pace that no machine keeps: rows come as fast as they are taken.
const unlimited = "--pace=1e9"

// throughput measures how many rows per second are committed, by the number of workers, each of which has one processor: the median of several runs.
func (b *Bench) throughput(ctx context.Context) error {
	b.env = []string{"GOMAXPROCS=1"}
	defer func() { b.env = nil }()
	rates := map[int][]float64{}
	counts := []int{1, 2, 4}
	for run := range pick(b, 1, 3) {
		for _, workers := range counts {
			b.told("rows per second, %d workers, run %d", workers, run)
			rate, err := b.rate(ctx, fmt.Sprintf("throughput-%d-%d", workers, run), workers)
			if err != nil {
				return err
			}
			rates[workers] = append(rates[workers], rate)
		}
	}
	for _, workers := range counts {
		slices.Sort(rates[workers])
		b.figure(fmt.Sprintf("throughput_%d_workers", workers), "rows/s", rates[workers][len(rates[workers])/2])
	}
	return nil
}

func (b *Bench) rate(ctx context.Context, name string, workers int) (float64, error) {
	c, err := b.cluster(name, time.Second, unlimited, "--emit", "1000")
	if err != nil {
		return 0, err
	}
	defer c.down(false)
	w, err := c.begin(ctx, 1, workers)
	if err != nil {
		return 0, err
	}
	defer w.end()
	if _, err := w.until(ctx, "rows from all workers", func(root *pb.Root) bool {
		return len(checkpoint.Owners(root)) == workers && checkpoint.RowsRead(root) > 0
	}); err != nil {
		return 0, err
	}
	if err := clock.Real().Sleep(ctx, pick(b, time.Second, 5*time.Second)); err != nil {
		return 0, err
	}
	first := w.last()
	if err := clock.Real().Sleep(ctx, pick(b, 2*time.Second, 15*time.Second)); err != nil {
		return 0, err
	}
	if _, err := w.until(ctx, "a checkpoint", func(root *pb.Root) bool { return checkpoint.RowsRead(root) > checkpoint.RowsRead(first) }); err != nil {
		return 0, err
	}
	last := w.last()
	took := time.Duration(last.CommittedUs-first.CommittedUs) * time.Microsecond
	return float64(checkpoint.RowsRead(last)-checkpoint.RowsRead(first)) / took.Seconds(), nil
}

// latency measures how long rows are on their way from when they were due until a sink has them, committed.
func (b *Bench) latency(ctx context.Context) error {
	for _, interval := range []time.Duration{200 * time.Millisecond, time.Second} {
		for _, workers := range []int{1, 2} {
			b.told("latency at checkpoints each %s, %d workers", interval, workers)
			all, err := b.latencies(ctx, interval, workers)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("latency_%dms_%d_workers", interval.Milliseconds(), workers)
			b.seconds(name+"_p50", quantile(all, 0.5))
			b.seconds(name+"_p99", quantile(all, 0.99))
		}
	}
	return nil
}

func (b *Bench) latencies(ctx context.Context, interval time.Duration, workers int) ([]time.Duration, error) {
	c, err := b.cluster(fmt.Sprintf("latency-%dms-%d", interval.Milliseconds(), workers), interval, "--pace=1000")
	if err != nil {
		return nil, err
	}
	defer c.down(false)
	w, err := c.up(ctx, 1, workers)
	if err != nil {
		return nil, err
	}
	defer w.end()
	from := clock.Real().Now().UnixMicro()
	if err := clock.Real().Sleep(ctx, pick(b, 3*time.Second, 20*time.Second)); err != nil {
		return nil, err
	}
	var all []time.Duration
	err = samples(c.samples(), func(s sample) {
		if s.at >= from {
			all = append(all, time.Duration(s.at-s.row[1])*time.Microsecond)
		}
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the sinks of %d workers were given nothing meanwhile", workers)
	}
	slices.Sort(all)
	return all, err
}
