package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sabot-stream/sabot/objstore/fetch"
)

// ShowFetch shows what a fetcher does, of which stats tells at each scrape.
func (p *Process) ShowFetch(stats func() fetch.Stats) {
	p.registry.MustRegister(&fetchCollector{stats, p.labels})
}

// fetchCollector turns a fetcher's Stats into metrics at each scrape.
type fetchCollector struct {
	stats  func() fetch.Stats
	labels prometheus.Labels
}

// Describe implements prometheus.Collector: what there is is seen at the first scrape.
func (*fetchCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *fetchCollector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	give := func(kind prometheus.ValueType, name, help string, v int64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("sabot_fetch_"+name, help, nil, c.labels), kind, float64(v))
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	give(counter, "gets_total", "Requests for state.", s.Gets)
	give(counter, "failed_total", "Requests for state that failed.", s.Failed)
	give(counter, "fetched_bytes_total", "Bytes of state that came from the bucket.", s.BytesFetched)
	give(counter, "asked_bytes_total", "Bytes of state that were needed, from the bucket or from the disk cache.", s.BytesAsked)
	give(counter, "hits_total", "Pages that the disk cache had.", s.Hits)
	give(counter, "misses_total", "Pages that the disk cache did not have.", s.Misses)
	give(counter, "corrupt_total", "Pages of the disk cache that could not be read or did not pass their checksum; they are among the misses.", s.Corrupt)
	give(counter, "shared_total", "Reads that found what they missed on its way already.", s.Shared)
	give(counter, "whole_total", "Objects that were brought to the disk cache whole.", s.Whole)
	give(counter, "waits_total", "Requests that waited for others to end.", s.Waits)
	give(counter, "throttled_total", "Requests that waited for the budget per second.", s.Throttled)
	give(counter, "dropped_bytes_total", "Bytes that did not go to the disk cache because the disk was slow.", s.Dropped)
	give(counter, "put_total", "Pages that went to the disk cache.", s.Put)
	give(counter, "evicted_total", "Pages that made room for others.", s.Evicted)
	give(counter, "write_failed_total", "Pages that the disk did not take.", s.WriteFailed)
	give(gauge, "in_flight", "Requests for state that are in flight.", s.InFlight)
	give(gauge, "pages", "Pages in the disk cache.", s.Pages)
}
