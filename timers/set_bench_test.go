package timers

import (
	"container/heap"
	"math/rand/v2"
	"testing"

	"github.com/sabot-stream/sabot"
)

const (
	benchTimers = 1_000_000
	benchSpan   = 600_000_000 // ten minutes
	benchStep   = 1_000_000   // between watermarks
)

// spread returns timers of as many keys, at random times or in the order of time.
func spread(ordered bool) []Timer {
	r := rand.New(rand.NewPCG(1, 1))
	out := make([]Timer, benchTimers)
	for i := range out {
		out[i] = Timer{At: sabot.Micros(r.Int64N(benchSpan)), Slot: uint32(i)}
		if ordered {
			out[i].At = sabot.Micros(i * (benchSpan / benchTimers))
		}
	}
	return out
}

func perTimer(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchTimers, "ns/timer")
}

func drain(b *testing.B, pop func(w sabot.Micros) bool) {
	n := 0
	for w := sabot.Micros(0); w <= benchSpan; w += benchStep {
		for pop(w) {
			n++
		}
	}
	if n != benchTimers {
		b.Fatalf("%d timers fired, want %d", n, benchTimers)
	}
}

// A million timers are set, and fire as the watermark goes on, in a set that has seen as many before.
func BenchmarkRegisterAndFire(b *testing.B) {
	for _, c := range []struct {
		name    string
		ordered bool
	}{{"random", false}, {"ordered", true}} {
		in := spread(c.ordered)
		b.Run(c.name+"/set", func(b *testing.B) {
			s := NewSet()
			for range b.N {
				for _, t := range in {
					s.Add(t)
				}
				s.Changes(func(Timer) {})
				drain(b, func(w sabot.Micros) bool {
					_, _, ok := s.Pop(w)
					return ok
				})
			}
			perTimer(b)
		})
		b.Run(c.name+"/container-heap", func(b *testing.B) {
			h := &timerHeap{}
			for range b.N {
				for _, t := range in {
					heap.Push(h, t)
				}
				drain(b, func(w sabot.Micros) bool {
					if len(*h) == 0 || (*h)[0].At >= w {
						return false
					}
					heap.Pop(h)
					return true
				})
			}
			perTimer(b)
		})
	}
}

type timerHeap []Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].At < h[j].At }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(Timer)) }
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	*h = (*h)[:last]
	return t
}

// A timer that each row pushes further: the old one is cancelled. 1,000 keys in turn.
func BenchmarkRegisterAndCancel(b *testing.B) {
	const keys = 1000
	b.Run("set", func(b *testing.B) {
		for range b.N {
			s := NewSet()
			for i := range benchTimers {
				t := Timer{At: sabot.Micros(i), Slot: uint32(i % keys)}
				s.Add(t)
				t.At -= keys
				s.Remove(t)
			}
			if n := s.Len(); n != keys {
				b.Fatalf("%d timers are set, want %d", n, keys)
			}
		}
		perTimer(b)
	})
	b.Run("plain-map", func(b *testing.B) {
		for range b.N {
			m := map[Timer]bool{}
			for i := range benchTimers {
				t := Timer{At: sabot.Micros(i), Slot: uint32(i % keys)}
				m[t] = true
				t.At -= keys
				delete(m, t)
			}
			if n := len(m); n != keys {
				b.Fatalf("%d timers are set, want %d", n, keys)
			}
		}
		perTimer(b)
	})
}

// A lane asks for the earliest timer after each batch. 100,000 are set within one minute, and one more with each call.
func BenchmarkNext(b *testing.B) {
	const set = 100_000
	fill := func(add func(Timer)) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range set {
			add(Timer{At: sabot.Micros(r.Int64N(60_000_000)), Slot: uint32(i)})
		}
	}
	b.Run("set", func(b *testing.B) {
		s := NewSet()
		fill(func(t Timer) { s.Add(t) })
		for i := 0; b.Loop(); i++ {
			s.Add(Timer{At: sabot.Micros(30_000_000 + i%30_000_000), Slot: uint32(set + i)})
			if _, ok := s.Next(); !ok {
				b.Fatal("no timer is set")
			}
		}
	})
	b.Run("container-heap", func(b *testing.B) {
		h := &timerHeap{}
		fill(func(t Timer) { heap.Push(h, t) })
		for i := 0; b.Loop(); i++ {
			heap.Push(h, Timer{At: sabot.Micros(30_000_000 + i%30_000_000), Slot: uint32(set + i)})
			if h.Len() == 0 {
				b.Fatal("no timer is set")
			}
		}
	})
}
