package timers

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sabot-stream/sabot"
)

// list is a Set as a sorted slice.
type list struct {
	timers []Timer
	stored map[Timer]bool
}

func (l *list) add(t Timer) bool {
	if slices.Contains(l.timers, t) {
		return false
	}
	i := 0
	for i < len(l.timers) && (l.timers[i].At < t.At || l.timers[i].At == t.At && l.timers[i].ID <= t.ID) {
		i++
	}
	l.timers = slices.Insert(l.timers, i, t)
	delete(l.stored, t)
	return true
}

func (l *list) remove(t Timer) (was, stored bool) {
	i := slices.Index(l.timers, t)
	if i < 0 {
		return false, false
	}
	l.timers = slices.Delete(l.timers, i, i+1)
	return true, l.stored[t]
}

// changes returns what the stored state does not have, and counts it as stored.
func (l *list) changes() (out []Timer) {
	for _, t := range l.timers {
		if !l.stored[t] {
			l.stored[t] = true
			out = append(out, t)
		}
	}
	return out
}

// randomTimer returns one of few timers: around a time, at the edges of buckets, or at the ends of time.
func randomTimer(r *rand.Rand, around sabot.Micros) Timer {
	at := around + sabot.Micros(r.Int64N(40)-10)
	switch r.IntN(6) {
	case 0:
		at = (around/bucketWidth+sabot.Micros(r.Int64N(5)-1))*bucketWidth + sabot.Micros(r.Int64N(3)-1)
	case 1:
		if r.IntN(5) == 0 {
			at = []sabot.Micros{sabot.MaxMicros, sabot.MaxMicros - 1, sabot.NoTime + 1}[r.IntN(3)]
		}
	}
	return Timer{At: at, Slot: uint32(r.IntN(3)), ID: uint8(r.IntN(3))}
}

func TestSetAgainstSortedSlice(t *testing.T) {
	seeds := uint64(300)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 3))
		s, want := NewSet(), &list{stored: map[Timer]bool{}}
		low := sabot.Micros(r.Int64N(4*bucketWidth) - 2*bucketWidth)
		burst := 1 + r.IntN(2)*r.IntN(40)
		pick := func() Timer {
			if len(want.timers) > 0 && r.IntN(3) == 0 {
				return want.timers[r.IntN(len(want.timers))]
			}
			return randomTimer(r, low)
		}
		for step := range 300 {
			name := fmt.Sprintf("seed %d, step %d", seed, step)
			x := pick()
			switch r.IntN(12) {
			case 0, 1, 2, 3, 4:
				for range burst {
					x = pick()
					if got, want := s.Add(x), want.add(x); got != want {
						t.Fatalf("%s: Add(%v) is %v, want %v", name, x, got, want)
					}
				}
			case 5, 6, 7:
				for range burst {
					x = pick()
					was, stored := s.Remove(x)
					if wantWas, wantStored := want.remove(x); was != wantWas || stored != wantStored {
						t.Fatalf("%s: Remove(%v) is %v %v, want %v %v", name, x, was, stored, wantWas, wantStored)
					}
				}
			case 8:
				renew := !want.stored[x] && slices.Contains(want.timers, x) && r.IntN(2) == 0
				s.Load(x)
				want.add(x)
				want.stored[x] = true
				if renew {
					s.Renew(x)
					delete(want.stored, x)
				}
			case 9:
				sameChanges(t, name, s, want)
			default:
				low += sabot.Micros(r.Int64N(20))
				if r.IntN(10) == 0 {
					low += sabot.Micros(r.Int64N(2 * bucketWidth))
				}
				w := low
				if r.IntN(60) == 0 {
					w = sabot.MaxMicros
				}
				for n := 1 + r.IntN(20); n > 0 && popSame(t, name, s, want, w); n-- {
				}
			}
			sameView(t, name, s, want, x)
		}
		for popSame(t, fmt.Sprintf("seed %d, end", seed), s, want, sabot.MaxMicros) {
		}
		if n := s.Len(); n != 0 {
			t.Fatalf("seed %d: %d timers are left at the end, want 0", seed, n)
		}
	}
}

// popSame pops from both, and tells whether there was one. Of one time and id the slot is free.
func popSame(t *testing.T, name string, s *Set, l *list, w sabot.Micros) bool {
	t.Helper()
	got, stored, ok := s.Pop(w)
	due := len(l.timers) > 0 && (l.timers[0].At < w || w == sabot.MaxMicros)
	if ok != due {
		t.Fatalf("%s: Pop(%d) is %v %v, want %v of %v", name, w, got, ok, due, l.timers)
	}
	if !ok {
		return false
	}
	if first := l.timers[0]; got.At != first.At || got.ID != first.ID {
		t.Fatalf("%s: Pop(%d) is %v, want %v", name, w, got, first)
	}
	if was, wantStored := l.remove(got); !was || stored != wantStored {
		t.Fatalf("%s: Pop(%d) is %v, stored %v; want it set %v, stored %v", name, w, got, stored, was, wantStored)
	}
	return true
}

func sameChanges(t *testing.T, name string, s *Set, l *list) {
	t.Helper()
	var got []Timer
	s.Changes(func(x Timer) { got = append(got, x) })
	want := l.changes()
	for _, v := range [][]Timer{got, want} {
		slices.SortFunc(v, func(a, b Timer) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Slot, b.Slot))
		})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: Changes are %v, want %v", name, got, want)
	}
}

// sameView compares what can be seen without a change.
func sameView(t *testing.T, name string, s *Set, l *list, x Timer) {
	t.Helper()
	if got, want := s.Len(), len(l.timers); got != want {
		t.Fatalf("%s: Len is %d, want %d", name, got, want)
	}
	if got, want := s.Has(x), slices.Contains(l.timers, x); got != want {
		t.Fatalf("%s: Has(%v) is %v, want %v", name, x, got, want)
	}
	var within, want []string
	s.Within(x.At-20, x.At, func(t Timer, inStore bool) { within = append(within, fmt.Sprint(t, inStore)) })
	for _, t := range l.timers {
		if t.At >= x.At-20 && t.At <= x.At {
			want = append(want, fmt.Sprint(t, l.stored[t]))
		}
	}
	slices.Sort(within)
	slices.Sort(want)
	if !slices.Equal(within, want) {
		t.Fatalf("%s: Within(%d, %d) are %v, want %v", name, x.At-20, x.At, within, want)
	}
	at, ok := s.Next()
	if ok != (len(l.timers) > 0) || ok && at != l.timers[0].At {
		t.Fatalf("%s: Next is %d %v, want the first of %v", name, at, ok, l.timers)
	}
}

// A timer that is set and cancelled over and over takes no more memory than one: its time, such as the end of time, may never come.
func TestCancelledTimersGo(t *testing.T) {
	s := NewSet()
	s.Add(Timer{At: sabot.MaxMicros, Slot: 1})
	for range 10_000 {
		s.Add(Timer{At: sabot.MaxMicros})
		s.Remove(Timer{At: sabot.MaxMicros})
		s.Changes(func(Timer) {})
	}
	b := s.buckets[bucketOf(sabot.MaxMicros)]
	if entries, queued := len(b.entries), b.queue.len(); entries > 200 || queued > 100 {
		t.Errorf("%d entries and %d items in order are kept for 1 timer, want 200 and 100 at most", entries, queued)
	}
}

// Of as many timers as are sorted by digits, those that are left fire in order, and what is set meanwhile in its place.
func TestManyTimersFireInOrder(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := NewSet()
		base := sabot.Micros(r.Int64N(8*bucketWidth) - 4*bucketWidth)
		left := map[Timer]bool{}
		some := func(n int, from sabot.Micros) {
			for range n {
				x := Timer{At: from + sabot.Micros(r.Int64N(4*bucketWidth)), Slot: r.Uint32N(1000), ID: uint8(r.IntN(3) * 100)}
				if got := s.Add(x); got == left[x] {
					t.Fatalf("seed %d: Add(%v) is %t, want %t", seed, x, got, !left[x])
				}
				left[x] = true
				if r.IntN(3) == 0 {
					if was, _ := s.Remove(x); !was {
						t.Fatalf("seed %d: %v is not there to be removed", seed, x)
					}
					delete(left, x)
				}
			}
		}
		some(20_000, base)
		last := Timer{At: sabot.NoTime}
		for {
			x, _, ok := s.Pop(sabot.MaxMicros)
			if !ok {
				break
			}
			if x.At < last.At || x.At == last.At && x.ID < last.ID || !left[x] {
				t.Fatalf("seed %d: %v fires after %v; it is set: %t", seed, x, last, left[x])
			}
			delete(left, x)
			if last = x; r.IntN(1000) == 0 {
				some(50, x.At+1)
			}
		}
		if len(left) > 0 || s.Len() > 0 {
			t.Errorf("seed %d: %d timers have not fired, and Len is %d", seed, len(left), s.Len())
		}
	}
}
