package operators

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
)

// One operation of each handle for each row, over 300 keys; lists are cleared at one row of 16. What nothing takes is the row's own cost; plain-map is the sum of Value as a Go
// programmer would write it.
func BenchmarkHandles(b *testing.B) {
	in := newBenchInput(b, int64Type, 300, 10*time.Second, 0)
	type proc = *sabot.Proc[int64, benchRow, benchSum]
	hour, wall := sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime)
	sum := func(opts ...sabot.StateOption) func(proc) {
		return func(p proc) {
			v := sabot.NewValue[int64](p, "v", opts...)
			p.OnRow(func(r benchRow) error {
				s, _ := v.Get()
				v.Put(s + r.V)
				return nil
			})
		}
	}
	list := func(opts ...sabot.StateOption) func(proc) {
		return func(p proc) {
			l := sabot.NewList[int64](p, "l", opts...)
			p.OnRow(func(r benchRow) error {
				if r.V%16 == 0 {
					l.Clear()
				}
				l.Append(r.V)
				return nil
			})
		}
	}
	for _, c := range []struct {
		name  string
		setup func(proc)
	}{
		{"nothing", func(p proc) { p.OnRow(func(benchRow) error { return nil }) }},
		{"value-get-put", sum()},
		{"value-get-put-ttl", sum(hour)},
		{"value-get-put-ttl-by-clock", sum(hour, wall)},
		{"map-get-put", func(p proc) {
			m := sabot.NewMap[int64, int64](p, "m")
			p.OnRow(func(r benchRow) error {
				n, _ := m.Get(r.V % 16)
				m.Put(r.V%16, n+r.V)
				return nil
			})
		}},
		{"list-append", list()},
		{"list-append-ttl", list(hour)},
		{"reducing-add", func(p proc) {
			s := sabot.NewReducing[int64](p, "s", func(a, b int64) int64 { return max(a, b) })
			p.OnRow(func(r benchRow) error {
				s.Add(r.V)
				return nil
			})
		}},
		{"aggregating-add-struct", func(p proc) {
			a := sabot.NewAggregating(p, "a", sabot.Aggregator[int64, meanAcc, float64]{
				Add:    func(a meanAcc, v int64) meanAcc { return meanAcc{a.Sum + v, a.N + 1} },
				Result: func(a meanAcc) float64 { return float64(a.Sum) / float64(a.N) }})
			p.OnRow(func(r benchRow) error {
				a.Add(r.V)
				return nil
			})
		}},
		{"counter-inc", func(p proc) {
			n := sabot.NewCounter(p, "n")
			p.OnRow(func(benchRow) error {
				n.Inc()
				return nil
			})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			fn := processFuncOf(c.setup)
			for range b.N {
				op := newTimedProcessOp(b, fn, in.feed, newDisk(b, in.feed.keyFields()), time.Now)
				in.run(b, op, &discard{})
			}
			perRow(b)
		})
	}
	b.Run("plain-map", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			m := map[int64]int64{}
			for i, k := range in.keys {
				m[k] += in.values[i]
			}
			if len(m) != 300 {
				b.Fatalf("%d keys, want 300", len(m))
			}
		}
		perRow(b)
	})
}
