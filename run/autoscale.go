package run

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/scaling"
)

// sampleEvery is how often a coordinator measures how many workers its job needs.
const sampleEvery = time.Second

// autoscale says how many workers a job needs, as long as its coordinator leads. It serves /v1/scaling.
type autoscale struct {
	clock   clock.Clock
	tracker *scaling.Tracker
	last    atomic.Pointer[measured] // nil: this process has not led yet
}

// measured is what was decided last.
type measured struct {
	scaling.Status
	lag time.Duration // -1: not known
}

func newAutoscale(l scaling.Limits, c clock.Clock) *autoscale {
	return &autoscale{clock: c, tracker: scaling.NewTracker(l)}
}

// run measures until ctx ends.
func (a *autoscale) run(ctx context.Context, d *coord.Driver) {
	for {
		if st, err := d.Status(ctx); err == nil {
			sample, lag := sampleOf(st, a.clock.Now())
			a.last.Store(&measured{a.tracker.Observe(sample), lag})
		}
		if a.clock.Sleep(ctx, sampleEvery) != nil {
			return
		}
	}
}

// sampleOf counts what the law goes by, and for how long rows have waited; -1: nobody knows. Workers whose bucket fails show nothing of what they can
// do, and more of them would not help: nothing is measured then.
func sampleOf(st coord.Status, now time.Time) (scaling.Sample, time.Duration) {
	s := scaling.Sample{At: now, Workers: len(st.Workers), Moving: st.Moving, Stale: len(st.Workers) == 0 || st.BucketFails()}
	if st.Moving { // somebody may be on the way back: whoever had a share counts
		s.Workers = max(s.Workers, len(checkpoint.Owners(st.Root)))
	}
	for _, w := range st.Workers {
		if !w.Has {
			continue
		}
		s.Stale = s.Stale || w.Load == nil || w.LoadAge > scaling.StaleAfter
		busiest := 0.0 // the lane that sets the pace
		for _, l := range w.Load.GetLanes() {
			busiest = max(busiest, l.Busy)
		}
		s.Busy += busiest
	}
	for _, x := range st.Splits {
		s.Rows += x.Rows
		if !x.Ended {
			s.Partitions++
		}
	}
	for _, stage := range st.Root.Stages {
		s.Partitions = max(s.Partitions, len(stage.Partitions))
	}
	lag := time.Duration(-1)
	for _, l := range coord.LagOf(st.Splits) {
		s.Lag += max(0, l.Rows)
		lag = max(lag, l.Since)
	}
	return s, lag
}

// decision is the answer of /v1/scaling. Rates are in rows per second.
type decision struct {
	Workers    int      `json:"workers"`  // that there should be now
	Wanted     int      `json:"wanted"`   // if there were no bounds on how fast that may change
	Required   float64  `json:"required"` // by the law, before it is made a number of workers; 0 while nothing can be said
	Reason     string   `json:"reason"`
	Present    int      `json:"present"` // that are there
	Arrival    float64  `json:"arrival"`
	PerWorker  float64  `json:"rate_per_worker"` // of one that is never idle; 0: not known yet
	LagRows    int64    `json:"lag_rows"`
	LagSeconds *float64 `json:"lag_seconds"` // null: not known
	Partitions int      `json:"partitions"`
	Stale      bool     `json:"stale"` // nothing has been measured lately: the number is the last one
}

// decision returns the last number, also when it is old; ok is false when there is none.
func (a *autoscale) decision() (d decision, ok bool) {
	m := a.last.Load()
	if m == nil {
		return d, false
	}
	f := m.Facts
	d = decision{Workers: m.Workers, Wanted: m.Wanted, Required: m.Required, Reason: m.Reason.String(), Present: f.Workers, Arrival: f.Arrival,
		PerWorker: f.PerWorker, LagRows: int64(f.Lag), Partitions: f.Partitions, Stale: f.Stale}
	if m.lag >= 0 {
		s := m.lag.Seconds()
		d.LagSeconds = &s
	}
	if a.clock.Now().Sub(f.At) > scaling.StaleAfter {
		d.Reason, d.Stale = scaling.Stale.String(), true
	}
	return d, true
}

// ServeHTTP implements http.Handler.
func (a *autoscale) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d, ok := a.decision()
	if !ok {
		http.Error(w, "this coordinator stands by: ask the one that leads", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d) // who has gone does not miss it
}
