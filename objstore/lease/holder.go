package lease

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/sabot-stream/sabot/objstore"
)

// Holder is the leadership that Lead gives.
type Holder struct {
	*Locker
	key, standby string
	lease        time.Duration
	every        time.Duration // between looks while somebody waits
	rec          record
	version      objstore.Version
	lost         chan struct{}
	stop         chan struct{}
	announced    chan []string
	once         sync.Once
	wg           sync.WaitGroup

	mu    sync.Mutex
	waits map[string]time.Time // by name of the standbys that wait in the bucket: since when
	heard map[string]time.Time // by name of the standbys that ask: when they last did
}

// Announce makes the addresses known at which others can ask whether this process leads. Any goroutine may call it, once; it does not wait.
func (h *Holder) Announce(addrs []string) { h.announced <- addrs }

// Answer tells a standby whether this process holds a leadership. Any goroutine may call it.
func (h *Holder) Answer(leadership, standby string) bool {
	select {
	case <-h.lost:
		return false
	case <-h.stop:
		return false
	default:
	}
	if leadership != h.rec.Nonce {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[standby] = h.Clock.Now()
	delete(h.waits, standby) // it waits here
	return true
}

// known tells whether somebody waits in the bucket, and whether somebody may be about to: a standby that has asked is silent.
func (h *Holder) known() (waiting, silent bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.Clock.Now()
	for _, of := range []map[string]time.Time{h.waits, h.heard} {
		for name, at := range of {
			if ago := now.Sub(at); ago < 0 || ago > noticed*h.every {
				delete(of, name)
			}
		}
	}
	for _, at := range h.heard {
		silent = silent || now.Sub(at) > h.every
	}
	return len(h.waits) > 0, silent
}

// run shows life to who waits in the bucket, until somebody else has the lease or Release is called. What fails otherwise is tried again: a term
// decides, not a lease.
func (h *Holder) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-h.stop
		cancel()
	}()
	looked, seen := h.Clock.Now(), h.toldAs // that this process has waited itself is no news
	next, due := slow, false                // due: the lease says less than it should
	for {
		t := h.Clock.NewTimer(min(h.every, max(0, slow-h.Clock.Now().Sub(looked))))
		select {
		case h.rec.Addrs = <-h.announced:
			due = true
		case <-t.C():
		case <-h.stop:
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
		waiting, silent := h.known()
		if ago := h.Clock.Now().Sub(looked); waiting || silent || ago >= slow || ago < 0 {
			looked = h.Clock.Now()
			if seen = h.look(ctx, seen); !waiting && h.taken(ctx) {
				close(h.lost)
				return
			}
			waiting, _ = h.known()
		}
		was := next
		if next = slow; waiting {
			next = h.every
		}
		if !waiting && was == next && !due {
			continue
		}
		err := h.renew(ctx, next)
		if errors.Is(err, objstore.ErrPrecondition) && h.taken(ctx) {
			close(h.lost)
			return
		}
		due = err != nil
	}
}

// look notes who has come to wait in the bucket since STANDBY was seen, and returns what is there now. Who still waits says so anew in time.
func (h *Holder) look(ctx context.Context, seen string) string {
	body, _, err := h.Bucket.Get(ctx, h.standby)
	if err != nil || string(body) == seen {
		return seen
	}
	name, _, _ := strings.Cut(string(body), " ")
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.Clock.Now()
	if at, asks := h.heard[name]; asks && now.Sub(at) <= h.every {
		return seen // it waits by asking, at least for now: the next look comes upon it again
	}
	h.waits[name] = now
	return string(body)
}

// taken tells whether somebody else has the lease.
func (h *Holder) taken(ctx context.Context) bool {
	now, at, err := h.read(ctx)
	if err != nil {
		return false // not known
	}
	if now.Nonce == h.rec.Nonce {
		h.version = at // also of a renewal whose answer was lost
		return false
	}
	return true
}

// Lost implements objstore.Leadership.
func (h *Holder) Lost() <-chan struct{} { return h.lost }

// Release implements objstore.Leadership: the next candidate need not wait.
func (h *Holder) Release() error {
	var err error
	h.once.Do(func() {
		close(h.stop)
		h.wg.Wait()
		select {
		case <-h.lost:
			return
		default:
		}
		h.rec.Free = true
		ctx, cancel := context.WithTimeout(context.Background(), slow)
		defer cancel()
		if err = h.renew(ctx, 0); errors.Is(err, objstore.ErrPrecondition) {
			err = nil // somebody has it
		}
	})
	return err
}
