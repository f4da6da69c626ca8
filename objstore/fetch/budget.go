package fetch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sabot-stream/sabot/internal/clock"
)

// budget holds GETs to so many at a time, so many bytes at a time, and so many a second.
type budget struct {
	gets, bytes *semaphore.Weighted
	most        int64 // bytes
	rate        rate

	inFlight          atomic.Int64
	waited, throttled atomic.Int64 // GETs that had to wait for their turn, for the rate
}

func newBudget(inFlight int, bytes int64, perSecond float64, c clock.Clock) *budget {
	return &budget{gets: semaphore.NewWeighted(int64(inFlight)), bytes: semaphore.NewWeighted(bytes), most: bytes,
		rate: rate{clock: c, perSecond: perSecond, burst: max(1, min(perSecond, float64(inFlight)))}}
}

// enter waits until a GET of n bytes may begin; leave ends it. One of more than the budget has it to itself.
func (b *budget) enter(ctx context.Context, n int64) error {
	if err := b.acquire(ctx, b.bytes, min(n, b.most)); err != nil {
		return err
	}
	if err := b.acquire(ctx, b.gets, 1); err != nil {
		b.bytes.Release(min(n, b.most))
		return err
	}
	b.inFlight.Add(1)
	if d := b.rate.take(); d > 0 {
		b.throttled.Add(1)
		if err := b.rate.clock.Sleep(ctx, d); err != nil {
			b.leave(n)
			return err
		}
	}
	return nil
}

func (b *budget) acquire(ctx context.Context, s *semaphore.Weighted, n int64) error {
	if s.TryAcquire(n) {
		return nil
	}
	b.waited.Add(1)
	return s.Acquire(ctx, n)
}

func (b *budget) leave(n int64) {
	b.inFlight.Add(-1)
	b.gets.Release(1)
	b.bytes.Release(min(n, b.most))
}

// rate is a token bucket. It lends: whoever comes too early is told how long to wait for the token that it has taken.
type rate struct {
	clock            clock.Clock
	perSecond, burst float64 // perSecond 0: there is no limit

	mu     sync.Mutex
	tokens float64
	at     time.Time
}

// take takes a token, and returns how long it takes to come in.
func (r *rate) take() time.Duration {
	if r.perSecond <= 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if r.at.IsZero() {
		r.tokens = r.burst
	} else if d := now.Sub(r.at); d > 0 {
		r.tokens = min(r.burst, r.tokens+d.Seconds()*r.perSecond)
	}
	r.at = now
	r.tokens--
	if r.tokens >= 0 {
		return 0
	}
	return time.Duration(-r.tokens / r.perSecond * float64(time.Second))
}
