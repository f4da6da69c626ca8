// Package telemetry shows a process to those who watch over it: /metrics for Prometheus, /livez, /readyz, and /debug/pprof by request.
//
// Names and labels of metrics are for ever; a test holds them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// Process gathers what there is to tell of one process. Its methods may be called from any goroutine.
type Process struct {
	registry *prometheus.Registry
	ops      *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	cuts     *prometheus.HistogramVec
	state    func() State
	ready    func() error
	clock    clock.Clock
	labels   prometheus.Labels // of all metrics
}

// New returns the telemetry of a process of a job. State is asked at each scrape, ready at each /readyz.
func New(job string, c clock.Clock, state func() State, ready func() error) *Process {
	labels := prometheus.Labels{"job_name": job}
	p := &Process{registry: prometheus.NewRegistry(), state: state, ready: ready, clock: c, labels: labels}
	p.ops = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sabot_storage_operations_total", Help: "Calls of the bucket.", ConstLabels: labels}, []string{"op", "outcome"})
	p.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sabot_storage_seconds", Help: "Time of calls of the bucket.", ConstLabels: labels,
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"op"})
	p.bytes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sabot_storage_bytes_total", Help: "Bytes of bodies of calls of the bucket.", ConstLabels: labels}, []string{"op"})
	p.cuts = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sabot_cut_seconds", Help: "Time of the stages of this process's worker's cuts.", ConstLabels: labels,
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"stage"})
	p.registry.MustRegister(p.ops, p.seconds, p.bytes, p.cuts, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&jobCollector{state: state, clock: c, labels: labels})
	for _, op := range metered.Ops { // so that a rate is there before the first failure
		p.ops.WithLabelValues(string(op), string(metered.OK))
	}
	return p
}

// Observe is a metered.Observer.
func (p *Process) Observe(op metered.Op, o metered.Outcome, took time.Duration, bytes int64) {
	p.ops.WithLabelValues(string(op), string(o)).Inc()
	p.seconds.WithLabelValues(string(op)).Observe(took.Seconds())
	p.bytes.WithLabelValues(string(op)).Add(float64(bytes))
}

// Cut notes how long a stage of a cut has taken.
func (p *Process) Cut(stage string, took time.Duration) {
	p.cuts.WithLabelValues(stage).Observe(took.Seconds())
}

// Handler serves everything, and more by pattern.
func (p *Process) Handler(withPprof bool, more map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range more {
		mux.Handle(pattern, h)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if withPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// Serve serves what Handler does at an address, until stop is called.
func (p *Process) Serve(ctx context.Context, addr string, withPprof bool, more map[string]http.Handler) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("listen for HTTP: %w", err))
	}
	srv := &http.Server{Handler: p.Handler(withPprof, more), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close() // nobody is left to tell: scrapes fail
		}
	}()
	return func() {
		_ = srv.Close() // a scrape that is cut off comes again
		<-done
	}, nil
}
