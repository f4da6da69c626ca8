package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/engine"
	"github.com/sabot-stream/sabot/internal/telemetry"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// How a cluster treats its workers.
const (
	// settleTime is how long the workers have after one has come, before the shares are dealt out.
	settleTime = 500 * time.Millisecond
	// silenceTime is how long a worker may be silent before its share goes to others.
	silenceTime = 5 * time.Second
	// redial is the longest pause between two attempts to reach a coordinator.
	redial = 2 * time.Second
)

// accept gives the workers that come to the driver, until ctx ends.
type accept func(context.Context, *coord.Driver) error

// dial connects a worker with its job's coordinator.
type dial func(context.Context) (workerConn, error)

type workerConn interface {
	engine.Coordinator
	Close() error
}

// open makes ready what both roles need.
func open(ctx context.Context, job *sabot.Job, o Options) (*localRun, func(), error) {
	if err := o.defaults(); err != nil {
		return nil, nil, err
	}
	plan, err := job.Plan()
	if err != nil {
		return nil, nil, err
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
	if o.HTTP != "" {
		tele := telemetry.New(plan.Job, o.Clock, r.state, r.ready)
		stop, err := tele.Serve(context.WithoutCancel(ctx), o.HTTP, o.Pprof)
		if err != nil {
			done()
			return nil, nil, err
		}
		r.bucket = metered.Wrap(bucket, o.Clock, tele.Observe)
		closeBucket := done
		done = func() {
			stop()
			closeBucket()
		}
	}
	r.store = &checkpoint.Store{Bucket: r.bucket, Paths: r.paths, Clock: o.Clock, Log: o.Log}
	return r, done, nil
}

// state returns what telemetry tells of this process.
func (r *localRun) state() telemetry.State {
	s := telemetry.State{Workers: -1}
	if d := r.driver.Load(); d != nil {
		s.Root = d.Root()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := d.Do(ctx, func(m *coord.Machine, now time.Time) { s.Workers = len(m.Status(now).Workers) }); err != nil {
			s.Workers = 0
		}
	}
	if w := r.worker.Load(); w != nil {
		st, _ := w.Stats() // of nothing, before the first share
		s.RowsHere, s.Restarts, s.Unsent = st.RowsHere, st.Restarts, st.Unsent
		if s.Root == nil {
			s.Root = st.Root
		}
	}
	return s
}

// ready tells why this process does not take part in its job, nil when it does.
func (r *localRun) ready() error {
	if d := r.driver.Load(); d != nil {
		if d.Root() == nil {
			return errors.New("the coordinator has not committed its term yet")
		}
		return nil
	}
	w := r.worker.Load()
	if w == nil {
		return errors.New("this process stands by, or looks for the coordinator")
	}
	if _, ok := w.Stats(); !ok {
		return errors.New("the worker has no share yet")
	}
	return nil
}

// coordinate runs a job's coordinator until the job has finished, ctx ends or it cannot go on.
func coordinate(ctx context.Context, job *sabot.Job, o Options, listen accept) (Result, error) {
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
	driver := coord.NewDriver(coord.Options{Interval: r.opt.Checkpoint, Log: r.opt.Log, Clock: r.opt.Clock, Settle: settleTime, Silence: silenceTime}, r.store)
	r.driver.Store(driver)
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	ended := make(chan struct{})
	go r.standDown(ctx, leader, stop, ended)
	listened := make(chan error, 1)
	go func() {
		err := listen(work, driver)
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
	}
	return res, nil
}

// work runs one worker of a job until the job has finished, ctx ends, or it cannot go on. When it loses its coordinator it looks for the next.
func work(ctx context.Context, job *sabot.Job, o Options, name string, connect dial) error {
	r, done, err := open(ctx, job, o)
	if err != nil {
		return err
	}
	defer done()
	wait := 50 * time.Millisecond
	for {
		began := r.opt.Clock.Now()
		end, err := r.serve(ctx, name, connect)
		switch {
		case end:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		r.opt.Log.Info("looking for the coordinator", "wait", wait, "error", err)
		if r.opt.Clock.Now().Sub(began) > redial {
			wait = 50 * time.Millisecond
		}
		if err := r.opt.Clock.Sleep(ctx, wait); err != nil {
			return context.Cause(ctx)
		}
		wait = min(2*wait, redial)
	}
}

// serve works for one coordinator; end is true when there is nothing to do for a next one.
func (r *localRun) serve(ctx context.Context, name string, connect dial) (end bool, err error) {
	root, _, err := r.store.Read(ctx)
	if err != nil {
		return sabot.KindOf(err) == sabot.Invalid, err // when there is no root yet, the coordinator is about to write it
	}
	if root.FinishedUs != 0 {
		return true, nil // while this worker looked for a coordinator
	}
	schemas, err := committedSchemas(root)
	if err != nil {
		return true, err
	}
	graph, err := bind.Bind(r.plan, r.job.Impl, schemas)
	if err != nil {
		return true, err
	}
	conn, err := connect(ctx)
	if err != nil {
		return sabot.KindOf(err) == sabot.Invalid, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	w := engine.New(engine.Config{Name: name, Graph: graph, Impl: r.job.Impl, DeadLetters: r.job.DeadLetterSink(), Bucket: r.bucket, Paths: r.paths,
		Conn: conn, Clock: r.opt.Clock, Log: r.opt.Log, Lanes: r.opt.Lanes, Rate: r.opt.Rate, FailOnBad: r.opt.FailOnBadRecord, Drain: ctx.Done()})
	r.worker.Store(w)
	defer r.worker.Store(nil)
	// A stop takes a last checkpoint first: the worker outlives ctx by that.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		select {
		case <-ctx.Done():
		case <-r.opt.Abort:
			cancel(ErrAborted)
			return
		case <-gone:
			return
		}
		t := r.opt.Clock.NewTimer(drainTimeout)
		defer t.Stop()
		select {
		case <-t.C():
		case <-r.opt.Abort:
		case <-gone:
		}
		cancel(ErrAborted)
	}()
	err = w.Run(inner)
	switch kind := sabot.KindOf(err); {
	case err == nil:
		return true, nil // told to stop
	case errors.Is(err, ErrAborted), kind == sabot.Invalid, kind == sabot.Corrupt:
		return true, err
	}
	return false, err
}
