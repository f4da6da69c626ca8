package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/engine"
	"github.com/sabot-stream/sabot/internal/telemetry"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/fetch"
	"github.com/sabot-stream/sabot/objstore/lease"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// defaultPartitions is the number of keyed partitions of a new run.
const defaultPartitions = 8

// drainTimeout is how long a stopped job may take for its last checkpoint.
const drainTimeout = 90 * time.Second

// ErrAborted is what Run returns when Options.Abort has ended it.
var ErrAborted = errors.New("the run was aborted")

// Options say how a job runs. The zero value runs it in the folder .sabot.
type Options struct {
	Bucket          string            // URL; ".sabot" when empty
	Buckets         []objstore.Scheme // stores besides folders, memory and S3, for Bucket and for the job's sources and sinks
	Store           objstore.Bucket   // used instead of Bucket when set; the caller closes it
	As              string            // the job's name, where it is not its own: that of a clone
	Fresh           bool              // start a new run
	AllowStateLoss  bool              // go on with another graph also where state or positions are lost by that
	Drain           bool              // read nothing new: bring to its end what is committed, so that another graph can go on, and stop
	Checkpoint      time.Duration     // between checkpoints; 1s when 0
	Partitions      int               // of a new run; 8 when 0; a resumed run must agree
	Retain          int               // checkpoints kept to fall back to; 3 when 0, none below 0
	RetainEvery     time.Duration     // between two of them; 5m when 0
	Lanes           int               // goroutines per stage; GOMAXPROCS when 0
	Rate            int               // most rows per second to read; 0: no limit
	Lease           time.Duration     // how long a stopped process keeps its job; 5s when 0
	TakeOver        bool              // take the job over from a live process
	Wait            bool              // wait for another process to end instead of failing
	FailOnBadRecord bool
	Abort           <-chan struct{}   // closed: end at once, without a last checkpoint, as a crash would; may be nil
	Log             *slog.Logger      // nil: discarded
	Clock           clock.Clock       // nil: the wall clock
	Notice          func(text string) // told what a person should know at the start; nil: nobody
	HTTP            string            // address for /metrics, /livez and /readyz, and /v1/scaling of a coordinator; empty: none
	Pprof           bool              // serve /debug/pprof there too
	MinWorkers      int               // that /v1/scaling asks for at least; 1 when 0
	MaxWorkers      int               // and at most; as many as there are partitions when 0
	Memory          int64             // bytes that the process may take; a third of it for keyed state, and what does not fit is read back when it is used. 0: no bound
	CacheDir        string            // folder for pages of state; empty: none for a local bucket, sabot in the user's cache folder for a remote one
	CacheSize       int64             // bytes that they may take; the lesser of 10 GiB and a quarter of the free space when 0, none below 0
	// OnCut is told of each stage of a cut that has ended in this process, which it must not hold up: align (until the barrier has come to every lane),
	// freeze (the longest that a lane stood still, within align), encode, upload. Any goroutine may call it; nil: nobody is told.
	OnCut func(stage string, took time.Duration)

	role   role
	unread int64 // bytes of rows on their way between workers; the engine's own when 0

	// ask asks the coordinator at one of some addresses whether it holds a leadership; nil: only the bucket tells.
	ask       func(ctx context.Context, addrs []string, leadership, standby string) error
	onState   func(engine.StateStats)                                      // told what lanes have read of their state; nil: nobody
	onFetched func(fetch.Stats)                                            // told at the end what was fetched; nil: nobody
	cacheFile func(path string) (diskcache.File, error)                    // opens files of the disk cache; nil: as they are
	watch     func(ctx context.Context, stats func() (engine.Stats, bool)) // shows progress until ctx ends
}

func (o *Options) defaults() error {
	var bad []error
	if o.Checkpoint < 0 || o.Lease < 0 || o.RetainEvery < 0 {
		bad = append(bad, errors.New("--checkpoint, --lease and --retain-every cannot be negative"))
	}
	if o.Partitions < 0 || o.Partitions > 1<<16 {
		bad = append(bad, fmt.Errorf("--partitions %d: it must be 1 to 65536", o.Partitions))
	}
	if o.Retain > 100 {
		bad = append(bad, fmt.Errorf("--retain %d: it must be at most 100", o.Retain))
	}
	if o.Drain && o.Fresh {
		bad = append(bad, errors.New("--drain ends what is there, --fresh begins anew: give one of them"))
	}
	if o.Rate < 0 || o.Lanes < 0 || o.Lanes > 256 {
		bad = append(bad, errors.New("--rate and --lanes cannot be negative, and --lanes is at most 256"))
	}
	if o.MinWorkers < 0 || o.MaxWorkers < 0 || o.MaxWorkers > 0 && o.MaxWorkers < o.MinWorkers {
		bad = append(bad, errors.New("--min-workers and --max-workers cannot be negative, and the first is at most the second"))
	}
	if o.Bucket == "" {
		o.Bucket = ".sabot"
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = time.Second
	}
	if o.Lease == 0 {
		o.Lease = 5 * time.Second
	}
	if o.Lanes == 0 {
		o.Lanes = min(256, runtime.GOMAXPROCS(0))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return sabot.WithKind(sabot.Invalid, errors.Join(bad...))
}

// Run runs a job until its input has ended and all its output is published. When ctx ends before that, it takes a last checkpoint and returns
// context.Cause(ctx). The Result is filled as far as it is known, also with an error. Errors carry a sabot.Kind.
func Run(ctx context.Context, job *sabot.Job, o Options) (Result, error) {
	ctx = bucketurl.With(ctx, o.Buckets...)
	r, done, err := open(ctx, job, o)
	if err != nil {
		return Result{}, err
	}
	defer done()
	o.boundMemory()
	defer r.openFetcher()()
	leader, err := r.lead(ctx)
	if err != nil {
		return Result{}, err
	}
	if leader != nil {
		defer func() { _ = leader.Release() }() // the lock goes with the process at the latest
	}
	return r.run(ctx, leader)
}

// localRun is one process's run of a job, coordinator and worker together.
type localRun struct {
	opt    Options
	job    *sabot.Job
	plan   *sabot.Plan
	bucket objstore.Bucket
	fetch  *fetch.Fetcher // of state; nil in a coordinator
	paths  checkpoint.Paths
	store  *checkpoint.Store

	mayDiffer bool   // the number of partitions may: the job can have been rescaled since its start
	stoodBy   string // fingerprint of the graph that ran when this process began to stand by; empty: it did not

	worker atomic.Pointer[engine.Worker] // that runs; nil: none
	driver atomic.Pointer[coord.Driver]  // likewise

	watch metered.Watch      // over the bucket
	tele  *telemetry.Process // nil: nobody is told anything by HTTP
	scale *autoscale         // nil: nobody asks how many workers the job needs
}

// lead makes this process the job's only one; nil where no other can be.
func (r *localRun) lead(ctx context.Context) (objstore.Leadership, error) {
	if r.bucket.Limits().Private {
		return nil, nil
	}
	locker := objstore.LockerOf(r.bucket)
	if locker == nil {
		locker = &lease.Locker{Bucket: r.bucket, Clock: r.opt.Clock, Ask: r.opt.ask, Log: r.opt.Log}
	}
	told := false
	for {
		l, err := locker.Lead(ctx, r.paths.Prefix(), r.opt.Lease, r.opt.TakeOver)
		var held *objstore.HeldError
		if ctx.Err() != nil && err != nil {
			return nil, context.Cause(ctx)
		}
		if !errors.As(err, &held) {
			return l, err
		}
		if !r.opt.Wait {
			return nil, sabot.WithKind(sabot.Fenced, fmt.Errorf("job %q in bucket %s: %w; wait for it to end (--wait), stop it, or take the job over "+
				"(--take-over)", r.plan.Job, r.opt.Bucket, err))
		}
		if !told {
			r.opt.Notice(fmt.Sprintf("Waiting: %v.", err))
			told = true
			if root, _, err := r.store.Read(ctx); err == nil { // when there is none, there is nothing to change
				r.stoodBy = root.Fingerprint
			}
		}
	}
}

func (r *localRun) run(ctx context.Context, leader objstore.Leadership) (Result, error) {
	graph, root, version, before, err := r.begin(ctx)
	if err != nil || root == nil {
		return before, err
	}
	return r.work(ctx, leader, graph, root, version)
}

// work runs coordinator and worker until one of them ends.
func (r *localRun) work(ctx context.Context, leader objstore.Leadership, graph *bind.Graph, root *pb.Root, version objstore.Version) (Result, error) {
	toWorker, toCoordinator := coord.NewPipe()
	worker := engine.New(engine.Config{Graph: graph, Name: "local", Impl: r.job.Impl, DeadLetters: r.job.DeadLetterSink(), Bucket: r.bucket, Fetch: r.fetch, Paths: r.paths,
		Clock: r.opt.Clock, Log: r.opt.Log, Lanes: r.opt.Lanes, Rate: r.opt.Rate, FailOnBad: r.opt.FailOnBadRecord, Memory: r.opt.stateMemory(), Hold: r.opt.Drain,
		Observe: r.cutObserver(), Trouble: r.watch.Trouble, OnState: r.opt.onState})
	driver := coord.NewDriver(coord.Options{Interval: r.opt.Checkpoint, Log: r.opt.Log, Clock: r.opt.Clock, Retain: r.opt.Retain,
		RetainEvery: r.opt.RetainEvery, Trouble: r.watch.Trouble}, r.store)

	// The job outlives ctx by its last checkpoint.
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	r.worker.Store(worker)
	r.driver.Store(driver)
	if r.opt.Drain {
		driver.RequestDrain()
	}
	go driver.Attach(work, "local", toWorker)
	workerEnd := make(chan error, 1)
	go func() { workerEnd <- worker.Run(work, toCoordinator) }()
	ended := make(chan struct{})
	go r.supervise(ctx, work, leader, driver, stop, ended)
	shown := make(chan struct{})
	watch, unwatch := context.WithCancel(work)
	go func() {
		defer close(shown)
		if r.opt.watch != nil {
			r.opt.watch(watch, worker.Stats)
		}
	}()

	last, err := driver.Run(work, root, version)
	close(ended)
	cause := context.Cause(work)
	stop(nil)
	<-workerEnd // its error, if any, has reached the driver
	unwatch()
	<-shown
	return r.outcome(ctx, last, cause, err)
}

// supervise asks for the last checkpoint when ctx ends, and ends the work when that takes too long or the job is lost to another process.
func (r *localRun) supervise(ctx, work context.Context, leader objstore.Leadership, driver *coord.Driver, stop context.CancelCauseFunc, ended <-chan struct{}) {
	var lost <-chan struct{}
	if leader != nil {
		lost = leader.Lost()
	}
	select {
	case <-ctx.Done():
		driver.RequestStop()
	case <-r.opt.Abort:
		stop(ErrAborted)
		return
	case <-lost:
		stop(sabot.WithKind(sabot.Fenced, fmt.Errorf("job %q: another process has taken the job over", r.plan.Job)))
		return
	case <-ended:
		return
	}
	t := r.opt.Clock.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-r.opt.Abort:
		stop(ErrAborted)
	case <-t.C():
		stop(fmt.Errorf("the last checkpoint was not done within %s; what it would have held will be read again: %w", drainTimeout, context.Cause(ctx)))
	case <-lost:
		stop(sabot.WithKind(sabot.Fenced, fmt.Errorf("job %q: another process has taken the job over", r.plan.Job)))
	case <-ended:
	case <-work.Done():
	}
}
