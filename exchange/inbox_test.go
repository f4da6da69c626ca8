package exchange

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// rows returns a batch that stands for its number.
func rows(n int64) *batch.Batch {
	b := batch.New(nil, nil, 1, nil)
	b.FirstRow = n
	return b
}

func put(t *testing.T, in *Inbox, producer int, m Message) {
	t.Helper()
	if err := in.Put(nil, producer, m); err != nil {
		t.Fatal(err)
	}
}

func TestBarriersAreAligned(t *testing.T) {
	in := NewInbox([]int{2}, 8)
	put(t, in, 0, Message{Batch: rows(1), Watermark: sabot.NoTime})
	put(t, in, 0, Message{Watermark: sabot.NoTime, Barrier: 7})
	put(t, in, 0, Message{Batch: rows(2), Watermark: sabot.NoTime})
	put(t, in, 1, Message{Batch: rows(3), Watermark: sabot.NoTime})
	var before []int64
	for {
		ev, ok := in.Take()
		if !ok {
			break
		}
		if ev.Barrier != 0 {
			t.Fatal("the barrier came through before producer 1 sent its own")
		}
		before = append(before, ev.Batch.FirstRow)
	}
	slices.Sort(before)
	if !slices.Equal(before, []int64{1, 3}) {
		t.Fatalf("before the barrier: %v, want rows 1 and 3 only", before)
	}
	put(t, in, 1, Message{Watermark: sabot.NoTime, Barrier: 7})
	if ev, ok := in.Take(); !ok || ev.Barrier != 7 {
		t.Fatalf("got %+v, want barrier 7", ev)
	}
	if ev, ok := in.Take(); !ok || ev.Batch == nil || ev.Batch.FirstRow != 2 {
		t.Fatalf("got %+v, want row 2, which was held back", ev)
	}
}

func TestWatermarkIsTheLeastOfAnEdge(t *testing.T) {
	in := NewInbox([]int{2, 1}, 8)
	put(t, in, 0, Message{Watermark: 50})
	if ev, ok := in.Take(); ok {
		t.Fatalf("got %+v, want nothing before producer 1 has spoken", ev)
	}
	put(t, in, 1, Message{Watermark: 30})
	if ev, ok := in.Take(); !ok || !ev.Rose || ev.Watermark != 30 || ev.Edge != 0 {
		t.Fatalf("got %+v, want 30 on edge 0", ev)
	}
	put(t, in, 2, Message{Watermark: 10})
	if ev, ok := in.Take(); !ok || !ev.Rose || ev.Watermark != 10 || ev.Edge != 1 {
		t.Fatalf("got %+v, want 10 on edge 1: edges do not hold each other back", ev)
	}
}

func TestWatermarksJoinWhatWaits(t *testing.T) {
	in := NewInbox([]int{1}, 1)
	put(t, in, 0, Message{Batch: rows(1), Watermark: 5})
	put(t, in, 0, Message{Watermark: 9}) // the queue is full: it joins the batch instead of waiting
	ev, _ := in.Take()
	if ev.Batch == nil || !ev.Rose || ev.Watermark != 9 {
		t.Fatalf("got %+v, want the batch with watermark 9", ev)
	}
}

func TestFullQueueMakesItsProducerWait(t *testing.T) {
	in := NewInbox([]int{1}, 1)
	put(t, in, 0, Message{Batch: rows(1)})
	done := make(chan struct{})
	result := make(chan error)
	released := make(chan struct{})
	go func() {
		b := batch.New(nil, nil, 1, func() { close(released) })
		result <- in.Put(done, 0, Message{Batch: b})
	}()
	select {
	case err := <-result:
		t.Fatalf("Put into a full queue returned %v", err)
	default:
	}
	close(done)
	if err := <-result; !errors.Is(err, ErrStopped) {
		t.Fatalf("got %v, want ErrStopped", err)
	}
	<-released
}

// Whatever the timing, the consumer sees each producer's rows in order, none lost, and at each barrier exactly the rows sent before it.
func TestCutsAreConsistentUnderConcurrency(t *testing.T) {
	const producers, cuts = 4, 20
	in := NewInbox([]int{producers}, 3)
	sent := make([][]int64, producers) // rows sent before each barrier
	var wg sync.WaitGroup
	for p := range producers {
		sent[p] = make([]int64, cuts)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(p)))
			n := int64(0)
			for c := range cuts {
				for range r.IntN(20) {
					if err := in.Put(nil, p, Message{Batch: rows(int64(p)<<32 | n), Watermark: sabot.Micros(n)}); err != nil {
						t.Error(err)
					}
					n++
				}
				sent[p][c] = n
				if err := in.Put(nil, p, Message{Watermark: sabot.Micros(n), Barrier: Cut(c + 1)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([]int64, producers)
	for c := Cut(1); c <= cuts; {
		ev, ok := in.Take()
		if !ok {
			<-in.Ready()
			continue
		}
		if ev.Batch != nil {
			p := ev.Batch.FirstRow >> 32
			if n := ev.Batch.FirstRow & (1<<32 - 1); n != got[p] {
				t.Fatalf("producer %d: row %d after %d rows", p, n, got[p])
			}
			got[p]++
		}
		if ev.Barrier != 0 {
			if ev.Barrier != c {
				t.Fatalf("barrier %d, want %d", ev.Barrier, c)
			}
			for p := range producers {
				if got[p] != sent[p][c-1] {
					t.Fatalf("cut %d: %d rows of producer %d, want %d", c, got[p], p, sent[p][c-1])
				}
			}
			c++
		}
	}
	wg.Wait()
}

func BenchmarkHop(b *testing.B) {
	in := NewInbox([]int{1}, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < b.N; {
			if _, ok := in.Take(); ok {
				n++
				continue
			}
			<-in.Ready()
		}
	}()
	m := Message{Batch: rows(0)}
	for range b.N {
		_ = in.Put(nil, 0, m)
	}
	<-done
}

func TestOfferWhenFull(t *testing.T) {
	in := NewInbox([]int{2}, 2)
	for i := range 3 {
		if ok := in.Offer(0, Message{Batch: rows(int64(i))}); ok != (i < 2) {
			t.Errorf("offer %d to a queue of two places: %v", i+1, ok)
		}
	}
	if f := in.Full(); f != 0.5 {
		t.Errorf("one of two queues is full: the inbox is to %v, want 0.5", f)
	}
	in.Take()
	if !in.Offer(0, Message{Batch: rows(3)}) {
		t.Error("there is room again, and yet the offer is refused")
	}
}
