package exchange

import (
	"errors"
	"sync"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/timers"
)

// ErrStopped is returned to a producer that waits for room when the exchange stops.
var ErrStopped = errors.New("exchange stopped")

// Cut is the number of a barrier.
type Cut uint64

// Message is what a producer sends: rows, or a barrier, and the producer's watermark after it.
type Message struct {
	Batch     *batch.Batch // the receiver owns one reference; nil: none
	Watermark sabot.Micros // never falls
	Barrier   Cut          // not 0: the barrier that ends this epoch; then there is no Batch
}

// Event is what a consumer receives. Rows come before the watermark that was sent with them.
type Event struct {
	Edge      int          // the producer's edge
	Batch     *batch.Batch // the consumer owns one reference; nil: none
	Watermark sabot.Micros // combined over all producers of the edge; valid when Rose
	Rose      bool
	Barrier   Cut // not 0: all producers' barriers have arrived
}

// Inbox is the input of one lane: a bounded queue for each producer. Producers and the one consumer may run in different goroutines.
type Inbox struct {
	capacity int

	mu      sync.Mutex
	queues  []queue
	edges   []edge
	next    int // producer to look at first, for fairness
	blocked int // producers whose barrier has been taken
	ready   chan struct{}
}

type queue struct {
	edge, input int
	items       []Message // a ring would save little: at most capacity items
	barred      bool
	space       chan struct{}
}

type edge struct {
	tracker *timers.Tracker
}

// NewInbox returns an inbox for edges of the given numbers of producers. Producers are numbered through all edges. A queue holds up to
// capacity messages.
func NewInbox(producers []int, capacity int) *Inbox {
	in := &Inbox{capacity: capacity, ready: make(chan struct{}, 1)}
	for e, n := range producers {
		in.edges = append(in.edges, edge{timers.NewTracker(n)})
		for i := range n {
			in.queues = append(in.queues, queue{edge: e, input: i, space: make(chan struct{}, 1)})
		}
	}
	return in
}

// Put appends m to the producer's queue, and waits while that is full. When done closes first, m is released and ErrStopped returned.
// A watermark on its own joins the message that waits last, if any.
func (in *Inbox) Put(done <-chan struct{}, producer int, m Message) error {
	for !in.Offer(producer, m) {
		select {
		case <-in.queues[producer].space:
		case <-done:
			if m.Batch != nil {
				m.Batch.Release()
			}
			return ErrStopped
		}
	}
	return nil
}

// Offer is Put for those who do not want to wait: it tells whether there was room. When there was none, m is still the caller's.
func (in *Inbox) Offer(producer int, m Message) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	q := &in.queues[producer]
	if n := len(q.items); n > 0 && m.Batch == nil && m.Barrier == 0 && q.items[n-1].Barrier == 0 {
		q.items[n-1].Watermark = m.Watermark
		return true
	}
	if len(q.items) >= in.capacity {
		return false
	}
	q.items = append(q.items, m)
	signal(in.ready)
	return true
}

// Take returns the next event, or false when there is none now; Ready tells when to try again. Only the consumer calls it.
func (in *Inbox) Take() (Event, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for idle := 0; idle < len(in.queues); {
		p := in.next
		in.next = (p + 1) % len(in.queues)
		q := &in.queues[p]
		if q.barred || len(q.items) == 0 {
			idle++
			continue
		}
		idle = 0
		m := q.items[0]
		n := copy(q.items, q.items[1:])
		q.items[n] = Message{}
		q.items = q.items[:n]
		signal(q.space)
		if ev, ok := in.event(q, m); ok {
			return ev, true
		}
	}
	return Event{}, false
}

func (in *Inbox) event(q *queue, m Message) (Event, bool) {
	if m.Barrier != 0 {
		q.barred = true
		if in.blocked++; in.blocked < len(in.queues) {
			return Event{}, false
		}
		in.unblock()
		return Event{Barrier: m.Barrier}, true
	}
	ev := Event{Edge: q.edge, Batch: m.Batch}
	ev.Watermark, ev.Rose = in.edges[q.edge].tracker.Set(q.input, m.Watermark)
	return ev, ev.Batch != nil || ev.Rose
}

func (in *Inbox) unblock() {
	in.blocked = 0
	for i := range in.queues {
		in.queues[i].barred = false
	}
}

// Ready is signalled when something may have arrived.
func (in *Inbox) Ready() <-chan struct{} { return in.ready }

// Full returns which share of the queues' places is taken. Any goroutine may call it.
func (in *Inbox) Full() float64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for i := range in.queues {
		n += len(in.queues[i].items)
	}
	return float64(n) / float64(max(1, in.capacity*len(in.queues)))
}

// Drain releases everything that waits. Called when producers and consumer have ended.
func (in *Inbox) Drain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range in.queues {
		for _, m := range in.queues[i].items {
			if m.Batch != nil {
				m.Batch.Release()
			}
		}
		in.queues[i].items = nil
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
