package benchstate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/metered"
	"github.com/sabot-stream/sabot/run"
)

// LargeCase is one run of a job that keeps much for each key.
type LargeCase struct {
	Bucket     string
	Keys       int64
	Value      int   // bytes that are kept of each key, and do not compress
	Rows       int64 // after each key has come once
	AtOnce     int64 // rows that a split gives in one read; 0: as many as the engine takes
	Burst      int64 // rows between which the source waits until all before are committed; 0: it does not
	Memory     int64 // bytes that the process may take; 0: no bound
	Checkpoint time.Duration
	Latency    time.Duration // by which each request takes longer
	Cache      string        // folder for pages of state
	Began      int64         // when the process was started, in ns since 1970
	Profile    string        // where a profile of the processors goes; empty: there is none
}

// LargeResult is what a run has shown.
type LargeResult struct {
	Output    float64 // seconds from the start of the process to the first output row; 0: there was none
	Committed float64 // likewise, of a sink that sees committed rows only
	Calls     map[metered.Op]Sum
	Chain     int // of Calls, one after another
	Reads     Sum // of open files
	Cuts      []Cut
	RSS       int64
}

// Sum is how many requests there were, and what they read or wrote. All of a LargeResult are those before the first output row.
type Sum struct{ N, Bytes int64 }

// Cut is a checkpoint of a whole burst.
type Cut struct {
	Stall  float64            // for which the lane that stood still for longest did, in seconds
	Commit float64            // from the barrier until the sources knew that it was committed
	Stages map[string]float64 // of what is in Commit, by name
}

const largeJob = "large"

// state is what is known of a key: how many of its rows there were.
type state struct {
	Key   int64
	Count int64
}

// kept returns the bytes that are kept of a key whose count is n.
func kept(buf []byte, key, n int64) []byte {
	x := uint64(key)*0x9e3779b97f4a7c15 + uint64(n)
	for i := range buf {
		if i&7 == 0 {
			x = mix(x + 0x9e3779b97f4a7c15)
		}
		buf[i] = byte(x >> (8 * (i & 7)))
	}
	return buf
}

// job counts the rows of each key and keeps bytes that depend on key and count; it makes sure that what comes back is what was kept. Rows after the
// first of a key are passed on, so that every output needs state.
func (c LargeCase) job(mark *progress, output, committed func()) *sabot.Job {
	job := sabot.NewJob(largeJob)
	events := job.Source("events", keyed{keys: c.Keys, rows: c.Rows, most: c.AtOnce, burst: c.Burst, dist: Uniform, mark: mark})
	seen := sabot.Process(events.KeyBy("key"), "kept", func(p *sabot.Proc[int64, event, state]) {
		count, bytes := sabot.NewValue[int64](p, "count"), sabot.NewValue[string](p, "bytes")
		buf := make([]byte, c.Value)
		p.OnRow(func(e event) error {
			n, _ := count.Get()
			if was, ok := bytes.Get(); ok && was != string(kept(buf, e.Key, n)) {
				return fmt.Errorf("key %d has other bytes than were kept at its row %d", e.Key, n)
			}
			count.Put(n + 1)
			bytes.Put(string(kept(buf, e.Key, n+1)))
			if n > 0 {
				p.Emit(state{e.Key, n + 1})
			}
			return nil
		})
	})
	seen.Immediate("output", callback.Immediate(func(context.Context, []state) error {
		output()
		return nil
	}))
	seen.Sink("committed", prompt{callback.Committed(func(context.Context, sabot.OutputID, []state) error {
		committed()
		return nil
	})})
	return job
}

// prompt is a sink that is given the rows of each checkpoint at once.
type prompt struct{ sabot.Sink }

// Roll implements sabot.Roller.
func (prompt) Roll() (bytes int64, age time.Duration) { return 1, time.Millisecond }

// RunLarge runs a case in this process, until all its rows are committed.
func RunLarge(ctx context.Context, c LargeCase) (r LargeResult, err error) {
	plain, err := bucketurl.Open(ctx, c.Bucket)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	var (
		log       requests
		mark      progress
		first     onceAt
		committed onceAt
		cuts      cutLog
	)
	work, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan int64, 1)
	mark.burst = func() { cuts.committed(mark.given.Load(), c.Burst) }
	go func() { watched <- mark.watch(work, c.Keys+c.Rows, stop) }()
	_, err = run.Run(work, c.job(&mark, func() {
		first.now(func() { r.Reads = Sum{log.reads.Load(), log.reread.Load()} })
	}, func() { committed.now(nil) }),
		run.Options{Store: log.watch(plain, c.Latency), Bucket: c.Bucket, Memory: c.Memory, Checkpoint: c.Checkpoint, Retain: -1, CacheDir: c.Cache,
			FailOnBadRecord: true, OnCut: cuts.stage})
	stop()
	<-watched
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return r, fmt.Errorf("the job of %d keys: %w", c.Keys, err)
	}
	r.Output, r.Committed, r.RSS, r.Cuts = first.since(c.Began), committed.since(c.Began), mostMemory(), cuts.whole
	if at := first.at.Load(); at != 0 {
		before := log.until(time.Unix(0, at))
		r.Chain, r.Calls = chain(before), map[metered.Op]Sum{}
		for _, q := range before {
			s := r.Calls[q.op]
			r.Calls[q.op] = Sum{s.N + 1, s.Bytes + q.bytes}
		}
	}
	return r, nil
}

// onceAt is when something was first there. Any goroutine may use it.
type onceAt struct {
	once sync.Once
	at   atomic.Int64 // ns since 1970; 0: not yet
}

func (o *onceAt) now(do func()) {
	o.once.Do(func() {
		if do != nil {
			do()
		}
		o.at.Store(clock.Real().Now().UnixNano())
	})
}

// since returns the seconds from a time, in ns, until then; 0: it has not been.
func (o *onceAt) since(began int64) float64 {
	if at := o.at.Load(); at != 0 {
		return time.Duration(at - began).Seconds()
	}
	return 0
}

// cutLog follows the cuts of bursts. Any goroutine may use it.
type cutLog struct {
	mu      sync.Mutex
	now     Cut
	barrier time.Time
	begun   int   // since a burst was committed
	given   int64 // rows, up to then
	whole   []Cut
}

// stage notes the end of a stage of a cut.
func (l *cutLog) stage(name string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch name {
	case "align": // the first
		l.begun++
		l.now, l.barrier = Cut{Stages: map[string]float64{}}, clock.Real().Now().Add(-took)
	case "freeze":
		l.now.Stall = took.Seconds()
		return
	}
	l.now.Stages[name] = took.Seconds()
}

// committed notes that a burst is committed, up to which so many rows were given.
func (l *cutLog) committed(given, burst int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun == 1 && given-l.given == burst { // else it is of several cuts, or had begun before this run
		l.now.Commit = clock.Real().Now().Sub(l.barrier).Seconds()
		l.whole = append(l.whole, l.now)
	}
	l.begun, l.given = 0, given
}
