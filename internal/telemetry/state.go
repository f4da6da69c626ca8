package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
)

// State is what a process knows of its job.
type State struct {
	Root        *pb.Root     // newest committed that it knows; nil: none
	Coordinator *Coordinator // nil: this process does not lead the job
	Worker      *Worker      // nil: no worker runs in it
}

// Coordinator is what the process that leads a job knows of all its workers.
type Coordinator struct {
	Workers int            // that are there
	Wanted  int            // 0: it does not say
	Stuck   int            // reasons why the job does not go on
	Lag     map[string]Lag // by source
}

// Lag is what waits in a source. What is below 0 is not known, and not told.
type Lag struct {
	Rows, Bytes int64
	Since       time.Duration // for how long the first row has waited
}

// Worker is what a process knows of its own worker.
type Worker struct {
	Rows     int64 // read, from sources and other workers
	Unsent   int64 // bytes of rows that wait to go to other workers
	Restarts int
	Retries  int64
	In, Out  map[string]Flow // by source and by committed sink
	Load     *pb.Load        // nil: not measured yet
}

// Flow is what has gone through a source or a sink.
type Flow struct{ Rows, Bytes int64 }

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
	g := giver{c.labels, c.clock.Now(), out}
	s := c.state()
	if s.Coordinator != nil {
		g.coordinator(s.Coordinator)
	}
	if s.Worker != nil {
		g.worker(s.Worker)
	}
	if s.Root != nil {
		g.root(s.Root)
	}
}

// giver gives the metrics of one scrape.
type giver struct {
	labels prometheus.Labels
	now    time.Time
	out    chan<- prometheus.Metric
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func (g giver) give(kind prometheus.ValueType, name, help string, v float64) {
	g.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("sabot_"+name, help, nil, g.labels), kind, v)
}

// by gives a value with one label. Its values are names of the job's plan, so there are few.
func (g giver) by(label, value string, kind prometheus.ValueType, name, help string, v float64) {
	g.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("sabot_"+name, help, []string{label}, g.labels), kind, v, value)
}

func (g giver) coordinator(s *Coordinator) {
	g.give(gauge, "workers", "Workers that are there.", float64(s.Workers))
	g.give(gauge, "stuck", "Reasons why the job does not go on; see sabot status.", float64(s.Stuck))
	if s.Wanted > 0 {
		g.give(gauge, "workers_wanted", "Workers that there should be, as /v1/scaling says.", float64(s.Wanted))
	}
	for source, l := range s.Lag {
		g.lag("lag", source, l)
	}
}

func (g giver) lag(name, source string, l Lag) {
	if l.Rows >= 0 {
		g.by("source", source, gauge, name+"_rows", "Rows that are there and not read, as far as that is known.", float64(l.Rows))
	}
	if l.Bytes >= 0 {
		g.by("source", source, gauge, name+"_bytes", "Bytes of bounded input that are not read.", float64(l.Bytes))
	}
	if l.Since >= 0 {
		g.by("source", source, gauge, name+"_seconds", "For how long the first row that is not read has waited.", l.Since.Seconds())
	}
}

func (g giver) worker(s *Worker) {
	g.give(counter, "worker_rows_total", "Rows that this process's worker has read, from sources and from other workers.", float64(s.Rows))
	g.give(counter, "worker_restarts_total", "Restarts of this process's worker after failures.", float64(s.Restarts))
	g.give(counter, "worker_retries_total", "Times that this process's worker has tried again to write to the bucket or to publish.", float64(s.Retries))
	g.give(gauge, "worker_unsent_bytes", "Bytes of rows that wait for a checkpoint to go to other workers.", float64(s.Unsent))
	for source, f := range s.In {
		g.by("source", source, counter, "worker_source_rows_total", "Rows that this process's worker has read from a source, also again.", float64(f.Rows))
		g.by("source", source, counter, "worker_source_bytes_total", "Bytes of the values of these rows.", float64(f.Bytes))
	}
	for sink, f := range s.Out {
		g.by("sink", sink, counter, "worker_sink_rows_total", "Rows that this process's worker has given to a committed sink, also again.", float64(f.Rows))
		g.by("sink", sink, counter, "worker_sink_bytes_total", "Bytes of the values of these rows.", float64(f.Bytes))
	}
	if s.Load != nil {
		g.load(s.Load)
	}
}

// load gives what a worker's lanes and splits fare, summed up by stage and source.
func (g giver) load(l *pb.Load) {
	type stage struct {
		busy, blocked, full float64
		keyed               bool
	}
	stages := map[uint32]stage{}
	low, ok := sabot.MaxMicros, false
	for _, x := range l.Lanes {
		s := stages[x.Stage]
		stages[x.Stage] = stage{max(s.busy, x.Busy), max(s.blocked, x.Blocked), max(s.full, x.Full), x.Hi > 0}
		if x.HasWatermark {
			low, ok = min(low, sabot.Micros(x.WatermarkUs)), true
		}
	}
	for id, s := range stages {
		name := fmt.Sprint(id)
		g.by("stage", name, gauge, "worker_busy_ratio", "Share of the last second for which a stage's busiest lane worked.", s.busy)
		g.by("stage", name, gauge, "worker_blocked_ratio", "Share of the last second for which a lane of a stage waited for room behind it.", s.blocked)
		if s.keyed {
			g.by("stage", name, gauge, "worker_queue_ratio", "Share of the places of a stage's fullest input queue that are taken.", s.full)
		}
	}
	if ok && low < sabot.MaxMicros {
		g.give(gauge, "worker_watermark_delay_seconds", "How far the least watermark of this process's worker is behind the clock.", g.now.Sub(low.Time()).Seconds())
	}
	lags := map[string]Lag{}
	for _, x := range l.Splits {
		s, ok := lags[x.Source]
		if !ok {
			s = Lag{-1, -1, -1}
		}
		add := func(sum, n int64) int64 {
			if sum < 0 || n < 0 {
				return max(sum, n)
			}
			return sum + n
		}
		s.Rows, s.Bytes = add(s.Rows, x.LagRows), add(s.Bytes, x.LagBytes)
		if x.LagUs >= 0 {
			s.Since = max(s.Since, time.Duration(x.LagUs)*time.Microsecond)
		}
		lags[x.Source] = s
	}
	for source, s := range lags {
		g.lag("worker_lag", source, s)
	}
}

func (g giver) root(root *pb.Root) {
	sum := checkpoint.Summarize(root)
	g.give(counter, "rows_read_total", "Rows read, as committed.", float64(sum.RowsRead))
	g.give(counter, "rows_late_total", "Rows too late for every window, as committed.", float64(sum.RowsLate))
	g.give(counter, "dead_letters_total", "Rows and records given up, as committed.", float64(sum.RowsDead))
	g.give(gauge, "epoch", "Number of the last committed checkpoint.", float64(root.Epoch))
	g.give(gauge, "term", "Term of the coordinator.", float64(root.Term))
	g.give(gauge, "commit_age_seconds", "Time since the last commit.", g.now.Sub(time.UnixMicro(root.CommittedUs)).Seconds())
	g.give(gauge, "state_bytes", "Bytes that the last commit names.", float64(sum.Bytes))
	g.give(gauge, "references", "References to segments of state.", float64(sum.References))
	g.give(gauge, "outputs_waiting", "Outputs that are committed and not published.", float64(sum.OutputsWaiting))
	unread := int64(0)
	for _, e := range root.Exchanges {
		for _, b := range e.Blocks {
			unread += b.Length
		}
	}
	g.give(gauge, "exchange_unread_bytes", "Bytes of rows between workers that are not read by all.", float64(unread))
	if low, ok := watermark(root); ok {
		g.give(gauge, "watermark_delay_seconds", "How far the watermark is behind the clock.", g.now.Sub(low.Time()).Seconds())
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
