package sabottest_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/sabottest"
)

type reading struct {
	Sensor string
	At     time.Time
	Value  int64
}

// report is what all handles hold behind a reading.
type report struct {
	Sensor string
	Value  int64
	Says   string
}

type span struct{ Least, Most int64 }

// recorded keeps readings in a handle of each kind, and reports what they hold behind each reading.
func recorded(byKey bool) func(p *sabot.Proc[string, reading, report]) {
	return func(p *sabot.Proc[string, reading, report]) {
		all := sabot.NewList[int64](p, "all")
		recent := sabot.NewList[span](p, "recent", sabot.TTL(10*time.Second))
		most := sabot.NewReducing[int64](p, "most", func(a, b int64) int64 { return max(a, b) })
		spans := sabot.NewAggregating(p, "span", sabot.Aggregator[int64, span, int64]{
			New:    func() span { return span{1 << 40, -1 << 40} },
			Add:    func(s span, v int64) span { return span{min(s.Least, v), max(s.Most, v)} },
			Result: func(s span) int64 { return s.Most - s.Least }})
		n := sabot.NewCounter(p, "n")
		last := sabot.NewValue[int64](p, "last", sabot.Default(int64(-1)), sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime))
		seen := sabot.NewMap[int64, string](p, "seen", sabot.Default("never"), sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime), sabot.TTLOnRead())
		one := func(r reading) error {
			before, _ := last.Get()
			was, _ := seen.Get(r.Value)
			all.Append(r.Value)
			recent.Append(span{r.Value, -r.Value})
			most.Add(r.Value)
			spans.Add(r.Value)
			n.Inc()
			last.Put(r.Value)
			seen.Put(r.Value, fmt.Sprint("after ", before))
			if r.Value == 13 {
				return errors.New("unlucky") // undoes all of the above
			}
			sum := int64(0)
			for _, v := range all.All() {
				sum += v
			}
			top, _ := most.Get()
			wide, _ := spans.Get()
			p.Emit(report{p.Key(), r.Value, fmt.Sprintf("%d readings of %d, %d recent, most %d, %d apart, last %d, %s", n.Get(), sum, recent.Len(), top, wide, before, was)})
			if r.Value == 0 {
				all.Clear()
				recent.Put(span{}, span{})
				most.Clear()
				spans.Clear()
				n.Clear()
				last.Clear()
				seen.Clear()
			}
			return nil
		}
		if !byKey {
			p.OnRow(one)
			return
		}
		p.OnRows(func(rows []reading) error {
			for _, r := range rows {
				if err := one(r); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func handlesJob(byKey bool) func() *sabot.Job {
	return func() *sabot.Job {
		job := sabot.NewJob("sensors")
		in := job.Source("readings", sabottest.Source[reading](), sabot.EventTime("at", sabot.MaxDelay(time.Second)))
		sabot.Process(in.KeyBy("sensor"), "recorded", recorded(byKey)).Sink("reports", sabottest.Sink[report]())
		return job
	}
}

func TestHandles(t *testing.T) {
	for name, byKey := range map[string]bool{"by row": false, "by key": true} {
		t.Run(name, func(t *testing.T) { sabottest.CrashEverywhere(t, handlesJob(byKey), wantReports) })
	}
}

func wantReports(h *sabottest.Harness) {
	sabottest.Feed(h, "readings", reading{"a", after(0), 5}, reading{"a", after(4), 3}, reading{"b", after(5), 7}, reading{"a", after(6), 13},
		reading{"a", after(11), 5}, reading{"a", after(12), 0}, reading{"a", after(13), 2})
	sabottest.Want(h, "reports",
		report{"a", 5, "1 readings of 5, 1 recent, most 5, 0 apart, last -1, never"},
		report{"a", 3, "2 readings of 8, 2 recent, most 5, 2 apart, last 5, never"},
		report{"b", 7, "1 readings of 7, 1 recent, most 7, 0 apart, last -1, never"},
		report{"a", 5, "3 readings of 13, 2 recent, most 5, 2 apart, last 3, after -1"},
		report{"a", 0, "4 readings of 13, 3 recent, most 5, 5 apart, last 5, never"},
		report{"a", 2, "1 readings of 2, 3 recent, most 2, 0 apart, last -1, never"})
}
