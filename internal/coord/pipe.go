package coord

import (
	"context"
	"sync"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Conn is the coordinator's end of its connection with a worker. Messages are immutable once sent: both sides may keep them.
type Conn interface {
	// Send queues a message. It never blocks.
	Send(*pb.ToWorker)
	// Recv waits for the worker's next message. One goroutine calls it.
	Recv(context.Context) (*pb.FromWorker, error)
}

// WorkerConn is the worker's end. Messages are immutable once sent.
type WorkerConn interface {
	// Send hands a message over. Any goroutine may call it; messages of one goroutine arrive in order.
	Send(context.Context, *pb.FromWorker) error
	// Recv waits for the coordinator's next message. One goroutine calls it.
	Recv(context.Context) (*pb.ToWorker, error)
}

// NewPipe returns the two ends of a connection within one process. It loses nothing and keeps the order. Of several notes of progress in a row
// that nobody has received yet it keeps the last, so neither side can fill the memory. It needs no closing.
func NewPipe() (Conn, WorkerConn) {
	p := &pipe{toWorker: newQueue[*pb.ToWorker](), fromWorker: newQueue[*pb.FromWorker]()}
	return (*coordinatorEnd)(p), (*workerEnd)(p)
}

type pipe struct {
	toWorker   *queue[*pb.ToWorker]
	fromWorker *queue[*pb.FromWorker]
}

type (
	coordinatorEnd pipe
	workerEnd      pipe
)

func (e *coordinatorEnd) Send(m *pb.ToWorker) {
	e.toWorker.put(m, func(last *pb.ToWorker) bool { return m.GetCommitted() != nil && last.GetCommitted() != nil })
}

func (e *coordinatorEnd) Recv(ctx context.Context) (*pb.FromWorker, error) {
	return e.fromWorker.take(ctx)
}

func (e *workerEnd) Send(ctx context.Context, m *pb.FromWorker) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.fromWorker.put(m, func(last *pb.FromWorker) bool { return m.GetProgress() != nil && last.GetProgress() != nil })
	return nil
}

func (e *workerEnd) Recv(ctx context.Context) (*pb.ToWorker, error) { return e.toWorker.take(ctx) }

// queue is an unbounded queue with one reader.
type queue[T any] struct {
	some chan struct{} // holds a token when the queue may have something

	mu    sync.Mutex
	items []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{some: make(chan struct{}, 1)} }

// put appends m, or replaces the last item when supersedes says so.
func (q *queue[T]) put(m T, supersedes func(last T) bool) {
	q.mu.Lock()
	if n := len(q.items); n > 0 && supersedes(q.items[n-1]) {
		q.items[n-1] = m
	} else {
		q.items = append(q.items, m)
	}
	q.mu.Unlock()
	select {
	case q.some <- struct{}{}:
	default:
	}
}

func (q *queue[T]) take(ctx context.Context) (T, error) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			m := q.items[0]
			q.items = q.items[1:]
			q.mu.Unlock()
			return m, nil
		}
		q.items = nil
		q.mu.Unlock()
		select {
		case <-q.some:
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
}
