package operators

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
)

type benchRow struct{ V int64 }

type benchSum struct{ Key, Sum int64 }

// A handler that adds to a value and sets a timer, which emits the value and clears it: a timer of each key for each second.
func BenchmarkProcess(b *testing.B) {
	for _, c := range []struct {
		name string
		keys int
	}{{"300-keys", 300}, {"100k-keys", 100_000}} {
		in := newBenchInput(b, int64Type, c.keys, 10*time.Second, 0)
		fn := processFuncOf(func(p *sabot.Proc[int64, benchRow, benchSum]) {
			sum := sabot.NewValue[int64](p, "sum")
			flush := p.Timer("flush", sabot.ByEventTime, func(time.Time) error {
				s, _ := sum.Get()
				sum.Clear()
				p.Emit(benchSum{p.Key(), s})
				return nil
			})
			p.OnRow(func(r benchRow) error {
				s, _ := sum.Get()
				sum.Put(s + r.V)
				flush.Set(p.Now().Truncate(time.Second).Add(time.Second))
				return nil
			})
		})
		fired := plainProcess(in)
		b.Run(c.name+"/operator", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				op, out := newProcessOp(b, fn, in.feed, newDisk(b, in.feed.keyFields())), &discard{}
				in.run(b, op, out)
				if out.rows != fired {
					b.Fatalf("%d timers fired, want %d", out.rows, fired)
				}
			}
			perRow(b)
		})
		b.Run(c.name+"/plain-map", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if n := plainProcess(in); n != fired {
					b.Fatalf("%d timers fired, want %d", n, fired)
				}
			}
			perRow(b)
		})
	}
}

// plainProcess is the same over a map of structs, with the keys that are due in a list for each second; it returns how many timers fired.
func plainProcess(in *benchInput) (fired int) {
	type state struct {
		sum, timer int64
	}
	m := map[int64]state{}
	due := map[int64][]int64{}
	total, next := int64(0), int64(0)
	fire := func(w int64) {
		for ; next < w; next += 1_000_000 {
			for _, key := range due[next] {
				s := m[key]
				total += s.sum
				if s.sum = 0; s.timer > next {
					m[key] = s
				} else {
					delete(m, key)
				}
				fired++
			}
			delete(due, next)
		}
	}
	for i, key := range in.keys {
		s := m[key]
		s.sum += in.values[i]
		if at := in.times[i] - in.times[i]%1_000_000 + 1_000_000; at != s.timer {
			s.timer = at
			due[at] = append(due[at], key)
		}
		m[key] = s
		if i%benchBatch == benchBatch-1 {
			fire(in.times[i])
		}
	}
	fire(1 << 40)
	return fired
}
