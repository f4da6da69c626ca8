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
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// State is what a process knows of its job.
type State struct {
	Root     *pb.Root // newest committed that it knows; nil: none
	Workers  int      // of a coordinator; -1: this is none
	RowsHere int64    // read by this process's worker
	Unsent   int64    // bytes of rows that wait to go to other workers
	Restarts int      // of this process's worker
}

// Process gathers what there is to tell of one process. Its methods may be called from any goroutine.
type Process struct {
	registry *prometheus.Registry
	ops      *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
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
	p.registry.MustRegister(p.ops, p.seconds, p.bytes, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
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

// Handler serves everything.
func (p *Process) Handler(withPprof bool) http.Handler {
	mux := http.NewServeMux()
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

// Serve listens at an address until ctx ends.
func (p *Process) Serve(ctx context.Context, addr string, withPprof bool) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("listen for HTTP: %w", err))
	}
	srv := &http.Server{Handler: p.Handler(withPprof), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
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

// jobCollector turns a State into metrics at each scrape.
type jobCollector struct {
	state  func() State
	clock  clock.Clock
	labels prometheus.Labels
}

// Describe implements prometheus.Collector: what there is depends on the state.
func (*jobCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *jobCollector) Collect(out chan<- prometheus.Metric) {
	s := c.state()
	give := func(kind prometheus.ValueType, name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("sabot_"+name, help, nil, c.labels), kind, v)
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	if s.Workers >= 0 {
		give(gauge, "workers", "Workers that are there.", float64(s.Workers))
	} else {
		give(counter, "worker_rows_total", "Rows that this process's worker has read, from sources and from other workers.", float64(s.RowsHere))
		give(counter, "worker_restarts_total", "Restarts of this process's worker after failures.", float64(s.Restarts))
		give(gauge, "worker_unsent_bytes", "Bytes of rows that wait for a checkpoint to go to other workers.", float64(s.Unsent))
	}
	if s.Root == nil {
		return
	}
	sum, now := checkpoint.Summarize(s.Root), c.clock.Now()
	give(counter, "rows_read_total", "Rows read, as committed.", float64(sum.RowsRead))
	give(counter, "rows_late_total", "Rows too late for every window, as committed.", float64(sum.RowsLate))
	give(counter, "dead_letters_total", "Rows and records given up, as committed.", float64(sum.RowsDead))
	give(gauge, "epoch", "Number of the last committed checkpoint.", float64(s.Root.Epoch))
	give(gauge, "term", "Term of the coordinator.", float64(s.Root.Term))
	give(gauge, "commit_age_seconds", "Time since the last commit.", now.Sub(time.UnixMicro(s.Root.CommittedUs)).Seconds())
	give(gauge, "state_bytes", "Bytes that the last commit names.", float64(sum.Bytes))
	give(gauge, "references", "References to segments of state.", float64(sum.References))
	give(gauge, "outputs_waiting", "Outputs that are committed and not published.", float64(sum.OutputsWaiting))
	unread := int64(0)
	for _, e := range s.Root.Exchanges {
		for _, b := range e.Blocks {
			unread += b.Length
		}
	}
	give(gauge, "exchange_unread_bytes", "Bytes of rows between workers that are not read by all.", float64(unread))
	if low, ok := watermark(s.Root); ok {
		give(gauge, "watermark_delay_seconds", "How far the watermark is behind the clock.", now.Sub(low.Time()).Seconds())
	}
}

// watermark returns the least watermark of the splits that are not ended; ok is false when there is none.
func watermark(root *pb.Root) (low sabot.Micros, ok bool) {
	low = sabot.MaxMicros
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			if !s.Ended && s.HasWatermark {
				low, ok = min(low, sabot.Micros(s.WatermarkUs)), true
			}
		}
	}
	return low, ok
}
