package benchcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control/pb"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// load is what a job has to do while its requests are counted.
type load struct {
	name         string
	coordinators int
	params       []string
	target       []float64 // of dollars a month
}

// requestWorkers is how many workers share the job whose requests are counted.
const requestWorkers = 2

// requests counts what the bucket is asked for, and what that would cost.
func (b *Bench) requests(ctx context.Context) error {
	for _, l := range []load{
		{"idle", 1, nil, []float64{5}},
		{"idle_with_standby", 2, nil, []float64{5}},
		{"1k", 1, []string{"--pace=1000", "--emit=100"}, nil},
		{"100k", 1, []string{"--pace=100000", "--emit=10000"}, nil},
	} {
		b.told("requests, %s", l.name)
		if err := b.requestsOf(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) requestsOf(ctx context.Context, l load) error {
	c, err := b.cluster("requests-"+l.name, time.Second, l.params...)
	if err != nil {
		return err
	}
	defer c.down(false)
	if l.params == nil { // some state first, then nothing more comes for hours
		if err := c.prepare(ctx, "--pace=5000", 1, requestWorkers, 20_000); err != nil {
			return err
		}
		c.params = append(c.params, "--pace=0.001")
	}
	for i := range l.coordinators {
		if err := c.coordinator(i); err != nil {
			return err
		}
	}
	if err := c.workers(requestWorkers); err != nil {
		return err
	}
	if err := c.answer(ctx); err != nil {
		return err
	}
	if err := c.quiet(ctx, l.params == nil); err != nil {
		return err
	}
	w, err := c.watch(ctx)
	if err != nil {
		return err
	}
	defer w.end()
	if _, err := w.until(ctx, "a checkpoint", func(*pb.Root) bool { return true }); err != nil {
		return err
	}
	began, first := clock.Real().Now(), w.count()
	n, err := c.callsDuring(ctx, pick(b, 4*time.Second, time.Minute))
	if err != nil {
		return err
	}
	took := clock.Real().Now().Sub(began).Seconds()
	commits := float64(w.count() - first)
	if commits == 0 && l.params != nil {
		return fmt.Errorf("no checkpoint was committed at a load of %s", l.name)
	}
	rate := requestsPerSecond{}
	for _, op := range metered.Ops {
		rate[op] = n[op] / took
		name := fmt.Sprintf("requests_%s_%s", l.name, op)
		if l.params == nil {
			b.figure(name, "1/h", rate[op]*3600)
		} else {
			b.figure(name, "1/checkpoint", n[op]/commits)
		}
	}
	if l.params != nil {
		b.figure(fmt.Sprintf("requests_%s_checkpoints", l.name), "1/s", commits/took)
	}
	stored, err := c.stored(ctx)
	if err != nil {
		return err
	}
	b.figure("stored_"+l.name, "MB", stored.bytes/1e6)
	b.figure("dollars_"+l.name, "$/month", dollarsPerMonth(rate, stored.bytes), l.target...)
	return nil
}

// prepare runs the job at a pace until so many rows are committed, and ends it with a last checkpoint.
func (c *cluster) prepare(ctx context.Context, pace string, coordinators, workers int, rows int64) error {
	params := c.params
	c.params = append(params[:len(params):len(params)], pace)
	w, err := c.up(ctx, coordinators, workers)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.rows(ctx, rows); err != nil {
		return err
	}
	c.down(true)
	c.params = params
	return nil
}

// quiet waits until every worker has a share, and then, when nothing flows, until the bucket has not been asked for anything for a while.
func (c *cluster) quiet(ctx context.Context, idle bool) error {
	for until := clock.Real().Now().Add(patience); ; {
		n, err := c.callsDuring(ctx, 3*time.Second)
		if err != nil {
			return err
		}
		_, s, err := c.leader(ctx) // nobody leads while the lease of the one before runs out
		share := err == nil && len(s.Workers) == requestWorkers && !slices.ContainsFunc(s.Workers, func(w *controlpb.WorkerStatus) bool { return !w.HasGroup })
		if share && (!idle || n[metered.GetRange]+n[metered.Delete] == 0) { // leases are renewed all the time
			return nil
		}
		if clock.Real().Now().After(until) {
			return errors.Join(fmt.Errorf("the measured job is not quiet after %s: %s", patience, s), err)
		}
		if err := c.alive(); err != nil {
			return err
		}
	}
}

// stored is what lies in a cluster's bucket.
type stored struct{ objects, bytes float64 }

func (c *cluster) stored(ctx context.Context) (s stored, err error) {
	bucket, err := bucketurl.Open(ctx, c.url)
	if err != nil {
		return s, err
	}
	defer bucket.Close()
	for o, err := range bucket.List(ctx, "") {
		if err != nil {
			return s, err
		}
		s.objects++
		s.bytes += float64(o.Size)
	}
	return s, nil
}
