// Package benchstate measures jobs with much keyed state. Of one whose state is larger than the memory that it may take: how fast it is, how much memory
// the process takes all the same, and how soon it has its first output after a start. Of ones with little and very much state: how soon they go on after a
// start, what they ask of their bucket for that, and what their checkpoints take.
package benchstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/metered"
	"github.com/sabot-stream/sabot/run"
)

// Case is one run of the job.
type Case struct {
	Bucket     string
	Keys       int64 // of which each has about 100 bytes of state
	Rows       int64 // after each key has come once
	Dist       Distribution
	Memory     int64 // bytes that the process may take; 0: no bound
	Checkpoint time.Duration
	Partitions int           // 0: as many as a job has by default
	TTL        time.Duration // after which a key that has had no row goes, by processing time; 0: never
	Profile    string        // where a profile of the processors goes; empty: there is none
}

// Result is what a run has shown.
type Result struct {
	Seconds float64 // from when each key had come to the commit of the last row
	Rows    int64   // in that time
	First   float64 // seconds from the start of the process to its first output; 0: there was none
	RSS     int64   // the most bytes of memory that the process took
	Written Sum     // objects, from the start of the process on
	CPU     float64 // seconds of processors that a process of its own took
}

type event struct{ Key, Value int64 }

type tally struct {
	Key   int64
	Count int64
}

// job counts the rows of each key, and keeps the last of them with what fills a state of about 100 bytes.
func (c Case) job(mark *progress, first func()) *sabot.Job {
	job := sabot.NewJob("state")
	filler := strings.Repeat("x", 64)
	var opts []sabot.StateOption
	if c.TTL > 0 {
		opts = append(opts, sabot.TTL(c.TTL), sabot.TTLClock(sabot.ByProcessingTime))
	}
	events := job.Source("events", keyed{keys: c.Keys, rows: c.Rows, dist: c.Dist, mark: mark})
	sabot.Process(events.KeyBy("key"), "tally", func(p *sabot.Proc[int64, event, tally]) {
		count := sabot.NewValue[int64](p, "count", opts...)
		last := sabot.NewValue[string](p, "last", opts...)
		p.OnRow(func(e event) error {
			n, _ := count.Get()
			count.Put(n + 1)
			last.Put(filler)
			if e.Value&1023 == 0 {
				p.Emit(tally{e.Key, n + 1})
			}
			return nil
		})
	}).Immediate("out", callback.Immediate(func(context.Context, []tally) error {
		first()
		return nil
	}))
	return job
}

// Run runs a case in this process: with rows to its end, without until each key has come once.
func Run(ctx context.Context, c Case) (r Result, err error) {
	began := time.Now()
	var mark progress
	var first atomic.Int64
	var log requests
	bucket, err := bucketurl.Open(ctx, c.Bucket)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan int64, 1)
	go func() { watched <- mark.watch(ctx, c.Keys+c.Rows, stop) }()
	_, err = run.Run(ctx, c.job(&mark, func() { first.CompareAndSwap(0, int64(time.Since(began))) }),
		run.Options{Store: log.watch(bucket, 0), Bucket: c.Bucket, Memory: c.Memory, Checkpoint: c.Checkpoint, Partitions: c.Partitions, Retain: -1})
	stop()
	end := <-watched
	if err != nil && !errors.Is(err, context.Canceled) {
		return Result{}, fmt.Errorf("the job of %d keys: %w", c.Keys, err)
	}
	r = Result{Rows: min(c.Rows, mark.given.Load()), First: time.Duration(first.Load()).Seconds(), RSS: mostMemory()}
	if b := mark.filled.Load(); b != 0 && end != 0 {
		r.Seconds = float64(end-b) / 1e9
	}
	for _, q := range log.until(time.Now()) {
		if q.op == metered.Put {
			r.Written = Sum{r.Written.N + 1, r.Written.Bytes + q.bytes}
		}
	}
	return r, nil
}

// mostMemory returns the most bytes of memory that this process has taken; 0 where the system does not tell.
func mostMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64) // 0: it says something else
			return n << 10
		}
	}
	return 0
}
