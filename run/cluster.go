package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/engine"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// How a cluster treats its workers.
const (
	// settleTime is how long the workers have after one has come, before the shares are dealt out.
	settleTime = 500 * time.Millisecond
	// silenceTime is how long a worker may be silent before its share goes to others.
	silenceTime = 5 * time.Second
	// firstRedial and lastRedial are the pauses between two attempts to reach a coordinator.
	firstRedial = 20 * time.Millisecond
	lastRedial  = 500 * time.Millisecond
	// stopPatience is how long a worker that is to stop looks for a coordinator, to hand its share back.
	stopPatience = 2 * time.Second
	// changePatience is how long a worker of another graph than the committed one waits for the coordinator that it has found to change that.
	changePatience = 3 * time.Second
)

// accept gives the workers that come to the driver, until ctx ends. The leadership is nil where no other process can lead.
type accept func(context.Context, *coord.Driver, objstore.Leadership) error

// dial connects a worker with its job's coordinator.
type dial func(context.Context) (workerConn, error)

type workerConn interface {
	engine.Coordinator
	Close() error
}

var errDrainCluster = sabot.WithKind(sabot.Invalid, errors.New("--drain is for a job that one process runs: start the program without a role; "+
	"to drain a cluster that runs, use sabot stop --drain"))

// open makes ready what both roles need.
func open(ctx context.Context, job *sabot.Job, o Options) (*localRun, func(), error) {
	if err := o.defaults(); err != nil {
		return nil, nil, err
	}
	plan, err := job.Plan()
	if err != nil {
		return nil, nil, err
	}
	if o.As != "" {
		plan.Job = o.As
	}
	if err := checkpoint.CheckName(plan.Job); err != nil {
		return nil, nil, err
	}
	done := func() {}
	bucket := o.Store
	if bucket == nil {
		if bucket, err = bucketurl.Open(ctx, o.Bucket); err != nil {
			return nil, nil, err
		}
		done = func() { _ = bucket.Close() } // nothing of ours is in it any more
	}
	r := &localRun{opt: o, job: job, plan: plan, bucket: bucket, paths: checkpoint.NewPaths(plan.Job)}
	stop, err := r.observe(ctx)
	if err != nil {
		done()
		return nil, nil, err
	}
	r.store = &checkpoint.Store{Bucket: r.bucket, Paths: r.paths, Clock: o.Clock, Log: o.Log}
	return r, func() {
		stop()
		done()
	}, nil
}

// coordinate runs a job's coordinator until the job has finished, ctx ends or it cannot go on.
func coordinate(ctx context.Context, job *sabot.Job, o Options, listen accept) (Result, error) {
	if o.Drain {
		return Result{}, errDrainCluster
	}
	o.role = coordinates
	ctx = bucketurl.With(ctx, o.Buckets...)
	r, done, err := open(ctx, job, o)
	if err != nil {
		return Result{}, err
	}
	defer done()
	leader, err := r.lead(ctx)
	if err != nil {
		return Result{}, err
	}
	if leader != nil {
		defer func() { _ = leader.Release() }() // it ends with its lease at the latest
	}
	r.mayDiffer = true
	_, root, version, before, err := r.begin(ctx)
	if err != nil || root == nil {
		return before, err
	}
	driver := coord.NewDriver(coord.Options{Interval: r.opt.Checkpoint, Log: r.opt.Log, Clock: r.opt.Clock, Settle: settleTime, Silence: silenceTime,
		Retain: r.opt.Retain, RetainEvery: r.opt.RetainEvery, Trouble: r.watch.Trouble}, r.store)
	r.driver.Store(driver)
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var asides sync.WaitGroup
	if r.scale != nil {
		asides.Go(func() { r.scale.run(work, driver) })
	}
	ended := make(chan struct{})
	go r.standDown(ctx, leader, stop, ended)
	listened := make(chan error, 1)
	go func() {
		err := listen(work, driver, leader)
		if err != nil && work.Err() == nil {
			stop(err)
		}
		listened <- err
	}()
	last, err := driver.Run(work, root, version)
	close(ended)
	cause := context.Cause(work)
	stop(nil)
	<-listened
	asides.Wait()
	return r.outcome(ctx, last, cause, err)
}

// standDown ends a coordinator's work when ctx ends, or another has taken the job over: the workers go on under the next one.
func (r *localRun) standDown(ctx context.Context, leader objstore.Leadership, stop context.CancelCauseFunc, ended <-chan struct{}) {
	var lost <-chan struct{}
	if leader != nil {
		lost = leader.Lost()
	}
	select {
	case <-ctx.Done():
		stop(context.Cause(ctx))
	case <-r.opt.Abort:
		stop(ErrAborted)
	case <-lost:
		stop(sabot.WithKind(sabot.Fenced, fmt.Errorf("job %q: another process has taken the job over", r.plan.Job)))
	case <-ended:
	}
}

// begin reads the job's last root and returns the one to go on with; nil when the job had finished, with what it came to.
func (r *localRun) begin(ctx context.Context) (*bind.Graph, *pb.Root, objstore.Version, Result, error) {
	old, version, err := r.store.Read(ctx)
	if errors.Is(err, objstore.ErrNotFound) {
		old, err = nil, nil
	}
	if err != nil {
		return nil, nil, "", Result{}, fmt.Errorf("read the job's last checkpoint: %w", err)
	}
	graph, root, err := r.prepare(ctx, old)
	if err != nil {
		return nil, nil, "", resultOf(old), err
	}
	if root == nil {
		res := resultOf(old)
		res.Before = true
		return graph, nil, "", res, nil
	}
	if old == nil {
		if err := objstore.Probe(ctx, r.bucket, r.paths.Prefix()+"probe", r.opt.Clock.Random(8)); err != nil {
			return nil, nil, "", Result{}, fmt.Errorf("bucket %s: %w", r.opt.Bucket, err)
		}
	}
	return graph, root, version, Result{}, nil
}

// outcome tells how a coordinator's run ended: last is what it committed last, cause why its work was ended, if it was.
func (r *localRun) outcome(ctx context.Context, last *pb.Root, cause, err error) (Result, error) {
	res := resultOf(last)
	switch {
	case cause != nil && err != nil:
		return res, cause
	case err != nil:
		return res, err
	case !res.Finished && ctx.Err() != nil:
		return res, context.Cause(ctx)
	}
	if res.Finished { // a compaction that was still running when the job ended has left its object
		if _, err := checkpoint.Sweep(ctx, r.bucket, last); err != nil {
			r.opt.Log.Warn("garbage is left", "error", err)
		}
		if _, err := r.store.SweepCopies(ctx, func() *pb.Root { return last }); err != nil {
			r.opt.Log.Warn("garbage is left", "error", err)
		}
	}
	return res, nil
}

// work runs one worker of a job until the job has finished, ctx ends, or it cannot go on. When it loses its coordinator it looks for the next, and
// keeps what it holds for that one.
func work(ctx context.Context, job *sabot.Job, o Options, name string, connect dial) error {
	if o.Drain {
		return errDrainCluster
	}
	o.role = works
	ctx = bucketurl.With(ctx, o.Buckets...)
	r, done, err := open(ctx, job, o)
	if err != nil {
		return err
	}
	defer done()
	o.boundMemory()
	defer r.openFetcher()()
	// A stop takes a last checkpoint first: the worker outlives ctx by that.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	go r.outlive(ctx, life, end)
	k := clusterWorker{localRun: r, name: name, connect: connect, stop: ctx.Done()}
	defer k.close(life)
	wait, stopping := firstRedial, time.Duration(0)
	var other *otherGraphError // seen first at found
	var found time.Time
	for {
		began := r.opt.Clock.Now()
		end, err := k.serve(life)
		if errors.As(err, &other) && found.IsZero() {
			found = began
		}
		switch {
		case errors.As(err, &other) && ctx.Err() == nil && began.Sub(found) < changePatience:
		case end && err == nil && other != nil && k.w == nil:
			return other // the job has ended without this worker
		case end:
			return err
		case ctx.Err() != nil && (k.w == nil || stopping > stopPatience):
			return context.Cause(ctx) // what is not committed is read again
		case life.Err() != nil:
			return context.Cause(life)
		}
		r.opt.Log.Info("looking for the coordinator", "wait", wait, "error", err)
		if r.opt.Clock.Now().Sub(began) > lastRedial {
			wait = firstRedial
		}
		if err := r.opt.Clock.Sleep(life, wait); err != nil {
			return context.Cause(life)
		}
		if ctx.Err() != nil {
			stopping += wait
		}
		wait = min(2*wait, lastRedial)
	}
}

// outlive ends a worker's life when it is aborted, or its stop takes too long.
func (r *localRun) outlive(ctx, life context.Context, end context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-r.opt.Abort:
		end(ErrAborted)
		return
	case <-life.Done():
		return
	}
	t := r.opt.Clock.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-t.C():
	case <-r.opt.Abort:
	case <-life.Done():
	}
	end(ErrAborted)
}

// clusterWorker is a worker, and what it holds between two coordinators.
type clusterWorker struct {
	*localRun
	name    string
	connect dial
	stop    <-chan struct{}
	w       *engine.Worker // nil: it holds nothing
	run     string         // of the job, that w works for
}

func (k *clusterWorker) close(ctx context.Context) {
	if k.w != nil {
		k.w.Close(ctx)
	}
	k.w = nil
	k.worker.Store(nil)
}

// serve works for one coordinator; end is true when there is nothing to do for a next one.
func (k *clusterWorker) serve(ctx context.Context) (end bool, err error) {
	root, _, err := k.store.Read(ctx)
	if err != nil {
		return sabot.KindOf(err) == sabot.Invalid, err // when there is no root yet, the coordinator is about to write it
	}
	if root.FinishedUs != 0 {
		return true, nil // while this worker looked for a coordinator
	}
	conn, err := k.connect(ctx)
	if err != nil {
		return sabot.KindOf(err) == sabot.Invalid, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := k.make(ctx, root); err != nil {
		return true, err
	}
	err = k.w.Serve(ctx, conn)
	switch kind := sabot.KindOf(err); {
	case errors.Is(err, engine.ErrLost):
		return false, err
	case err == nil:
		return true, nil // told to stop
	case errors.Is(err, ErrAborted), kind == sabot.Invalid, kind == sabot.Corrupt:
		return true, err
	}
	k.close(ctx)
	return false, err
}

// otherGraphError says that a worker's graph is not the committed one: its coordinator may be about to change that.
type otherGraphError struct{ error }

func (e *otherGraphError) Unwrap() error { return e.error }

// make makes the worker, unless there is one of the same run.
func (k *clusterWorker) make(ctx context.Context, root *pb.Root) error {
	if k.w != nil && k.run == root.Run {
		return nil
	}
	k.close(ctx)
	schemas, err := committedSchemas(root)
	if err != nil {
		return err
	}
	graph, err := bind.Bind(k.plan, k.job.Impl, schemas)
	if err == nil && graph.Fingerprint() != root.Fingerprint {
		err = sabot.WithKind(sabot.Invalid, fmt.Errorf("worker %q runs another job than the one committed: its graph differs", k.name))
	}
	if err != nil {
		return &otherGraphError{err}
	}
	k.w = engine.New(engine.Config{Name: k.name, Graph: graph, Impl: k.job.Impl, DeadLetters: k.job.DeadLetterSink(), Bucket: k.bucket, Fetch: k.fetch, Paths: k.paths,
		Clock: k.opt.Clock, Log: k.opt.Log, Lanes: k.opt.Lanes, Rate: k.opt.Rate, FailOnBad: k.opt.FailOnBadRecord, Memory: k.opt.stateMemory(), Unread: k.opt.unread,
		Observe: k.cutObserver(),
		Trouble: k.watch.Trouble, Drain: k.stop, OnState: k.opt.onState})
	k.run = root.Run
	k.worker.Store(k.w)
	return nil
}
