package run

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/engine"
	"github.com/sabot-stream/sabot/internal/scaling"
	"github.com/sabot-stream/sabot/internal/telemetry"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// role is what a process does for its job.
type role int

const (
	wholeJob role = iota
	coordinates
	works
)

// observe lets the process be watched: by its coordinator's status, unless it is alone, and by HTTP where that is asked for. A process of which nobody
// asks anything measures nothing.
func (r *localRun) observe(ctx context.Context) (stop func(), err error) {
	stop = func() {}
	var observer metered.Observer
	if r.opt.HTTP != "" {
		r.tele = telemetry.New(r.plan.Job, r.opt.Clock, r.state, r.ready)
		observer = r.tele.Observe
		var more map[string]http.Handler
		if r.opt.role == coordinates {
			r.scale = newAutoscale(scaling.Limits{Min: r.opt.MinWorkers, Max: r.opt.MaxWorkers}, r.opt.Clock)
			more = map[string]http.Handler{"GET /v1/scaling": r.scale}
		}
		if stop, err = r.tele.Serve(context.WithoutCancel(ctx), r.opt.HTTP, r.opt.Pprof, more); err != nil {
			return nil, err
		}
	}
	if observer != nil || r.opt.role != wholeJob {
		r.bucket = metered.Wrap(r.bucket, r.opt.Clock, observer, &r.watch)
	}
	return stop, nil
}

// cutObserver returns who is told of the stages of cuts; nil: nobody.
func (r *localRun) cutObserver() func(engine.CutStage, time.Duration) {
	if r.tele == nil && r.opt.OnCut == nil {
		return nil
	}
	return func(s engine.CutStage, took time.Duration) {
		if r.tele != nil {
			r.tele.Cut(string(s), took)
		}
		if r.opt.OnCut != nil {
			r.opt.OnCut(string(s), took)
		}
	}
}

// state returns what telemetry tells of this process.
func (r *localRun) state() telemetry.State {
	var s telemetry.State
	if d := r.driver.Load(); d != nil {
		s.Root, s.Coordinator = d.Root(), r.coordinatorState(d)
	}
	if w := r.worker.Load(); w != nil {
		st, _ := w.Stats() // of nothing, before the first share
		in, out := w.Flows()
		s.Worker = &telemetry.Worker{Rows: st.RowsHere, Restarts: st.Restarts, Unsent: st.Unsent, Retries: w.Retries(), In: flows(in), Out: flows(out), Load: w.Load()}
		if s.Root == nil {
			s.Root = st.Root
		}
	}
	return s
}

func flows(of map[string]engine.Flow) map[string]telemetry.Flow {
	m := make(map[string]telemetry.Flow, len(of))
	for name, f := range of {
		m[name] = telemetry.Flow(f)
	}
	return m
}

// askFor bounds how long a scrape waits for the coordinator.
const askFor = time.Second

func (r *localRun) coordinatorState(d *coord.Driver) *telemetry.Coordinator {
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	st, err := d.Status(ctx)
	if err != nil {
		return nil // it has ended, or not begun
	}
	s := &telemetry.Coordinator{Workers: len(st.Workers), Stuck: len(st.Why().Stuck), Lag: map[string]telemetry.Lag{}}
	for source, l := range coord.LagOf(st.Splits) {
		s.Lag[source] = telemetry.Lag(l)
	}
	if r.scale != nil {
		if d, ok := r.scale.decision(); ok {
			s.Wanted = d.Workers
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
