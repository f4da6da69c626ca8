// Package lease lets one process at a time lead a job on a bucket that cannot lock: the object LEASE in the job's folder says who leads, and changes
// as long as that process lives.
//
// It is about liveness alone. Safety rests on the terms of CURRENT: two leaders at a time do no harm, since the later one fences the earlier.
//
// A lease costs requests, so its holder renews it rarely, as long as nobody waits for it. A candidate says that it is there by the object STANDBY,
// which the holder looks for; while it finds a fresh one it renews often. A candidate takes over after several polls of its own in a row that all saw
// the same lease, each in time: what a clock says of the time in between counts for nothing, as either process may have been stopped.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// How often a holder renews: while nobody waits, and in parts of its lease while somebody does.
const (
	slow  = 10 * time.Second
	parts = 3
	// polls in a row that must see no change, over a whole lease at least.
	polls = parts + 2
	// noticed is for how many renewals a holder renews often that has found a candidate; the candidate says that it is there twice in that time.
	noticed = 60
)

// record is the body of LEASE.
type record struct {
	Owner   string    `json:"owner"` // for people
	Nonce   string    `json:"nonce"` // of the leadership
	Since   time.Time `json:"since"`
	Renewed uint64    `json:"renewed"`
	Every   int64     `json:"every_ms"` // until the next renewal
	Free    bool      `json:"free,omitempty"`
}

// Locker implements objstore.Locker on any bucket. One goroutine uses it.
type Locker struct {
	Bucket objstore.Bucket
	Clock  clock.Clock

	told   time.Time // when this process last said that it waits; zero: never
	toldTo string    // the leadership that it said so to
	toldAs string    // what it has written then
}

// Lead implements objstore.Locker. A process that holds the lease and lives gives a *objstore.HeldError after a few polls; the caller that wants to
// wait calls again.
func (l *Locker) Lead(ctx context.Context, prefix string, lease time.Duration, force bool) (objstore.Leadership, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	h := &holder{Locker: l, key: strings.TrimSuffix(prefix, "/") + "/LEASE", standby: strings.TrimSuffix(prefix, "/") + "/STANDBY",
		every: max(lease/parts, 10*time.Millisecond), lost: make(chan struct{}), stop: make(chan struct{}),
		rec: record{Owner: fmt.Sprintf("process %d on %s", os.Getpid(), host), Nonce: l.Clock.Random(8), Since: l.Clock.Now().UTC()}}
	if err := h.acquire(ctx, force); err != nil {
		return nil, err
	}
	h.wg.Go(h.run)
	return h, nil
}

type holder struct {
	*Locker
	key, standby string
	every        time.Duration // between renewals while somebody waits
	rec          record
	version      objstore.Version
	lost         chan struct{}
	stop         chan struct{}
	once         sync.Once
	wg           sync.WaitGroup
}

// read returns the lease, its version Absent when there is none.
func (h *holder) read(ctx context.Context) (record, objstore.Version, error) {
	var r record
	body, v, err := h.Bucket.Get(ctx, h.key)
	if errors.Is(err, objstore.ErrNotFound) {
		return record{Free: true}, objstore.Absent, nil
	}
	if err != nil {
		return r, "", fmt.Errorf("read the lease: %w", err)
	}
	if json.Unmarshal(body, &r) != nil {
		r = record{Owner: "somebody whose lease cannot be read", Nonce: string(v), Every: h.every.Milliseconds()}
	}
	return r, v, nil
}

// acquire returns nil when this process leads.
func (h *holder) acquire(ctx context.Context, force bool) error {
	seen, v, err := h.read(ctx)
	if err != nil {
		return err
	}
	if !seen.Free && !force {
		if v, err = h.watch(ctx, seen, v); err != nil {
			return err
		}
	}
	h.version = v
	err = h.renew(ctx, slow)
	if errors.Is(err, objstore.ErrPrecondition) { // another candidate was faster
		now, _, readErr := h.read(ctx)
		return errors.Join(readErr, held(now))
	}
	return err
}

func held(r record) error { return &objstore.HeldError{Owner: r.Owner, Since: r.Since} }

// watch polls until the lease is free, has not changed for long enough (nil), or its holder is seen alive.
func (h *holder) watch(ctx context.Context, seen record, v objstore.Version) (objstore.Version, error) {
	if now := h.Clock.Now(); h.told.IsZero() || h.toldTo != seen.Nonce || now.Before(h.told) || now.Sub(h.told) >= noticed/2*h.every {
		if err := h.Bucket.Put(ctx, h.standby, []byte(h.rec.Nonce)); err != nil {
			return "", fmt.Errorf("register as a standby: %w", err)
		}
		h.told, h.toldTo, h.toldAs = now, seen.Nonce, h.rec.Nonce
	}
	for quiet := 0; quiet < polls; {
		step := h.every
		if e := time.Duration(seen.Every) * time.Millisecond; quiet == 0 && e > step {
			step = e // the holder renews rarely: it has not seen us yet
		}
		began := h.Clock.Now()
		if err := h.Clock.Sleep(ctx, step); err != nil {
			return "", err
		}
		if gap := h.Clock.Now().Sub(began); gap > 2*step+time.Second || gap < 0 {
			quiet = 0 // we were stopped ourselves: what we did not see proves nothing
			continue
		}
		now, at, err := h.read(ctx)
		switch {
		case err != nil:
			return "", err
		case now.Free:
			return at, nil
		case at != v:
			return "", held(now)
		}
		quiet++
	}
	return v, nil
}

// renew writes the lease on top of the version that we know.
func (h *holder) renew(ctx context.Context, every time.Duration) error {
	h.rec.Renewed++
	h.rec.Every = every.Milliseconds()
	body, err := json.Marshal(h.rec)
	if err != nil {
		return fmt.Errorf("encode the lease: %w", err)
	}
	v, err := h.Bucket.PutIf(ctx, h.key, body, h.version)
	switch {
	case err == nil:
		h.version = v
		return nil
	case errors.Is(err, objstore.ErrPrecondition), sabot.KindOf(err) == sabot.Invalid:
		return fmt.Errorf("take the lease: %w", err)
	}
	now, at, readErr := h.read(ctx) // the effect is not known
	if readErr != nil {
		return errors.Join(fmt.Errorf("take the lease: %w", err), readErr)
	}
	if now.Nonce == h.rec.Nonce {
		h.version = at
		return nil
	}
	if at == h.version {
		return fmt.Errorf("take the lease: %w", err)
	}
	return fmt.Errorf("take the lease: %w", objstore.ErrPrecondition)
}

// run renews the lease until somebody else has it or Release is called. What fails otherwise is tried again: a term decides, not a lease.
func (h *holder) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-h.stop
		cancel()
	}()
	seen, fresh := h.toldAs, 0 // that this process has waited itself is no news
	for {
		every := slow
		if fresh > 0 {
			every = h.every
			fresh--
		}
		if h.Clock.Sleep(ctx, every) != nil {
			return
		}
		if body, _, err := h.Bucket.Get(ctx, h.standby); err == nil && string(body) != seen {
			seen, fresh = string(body), noticed // for one that has come; it says so anew when it still waits
		}
		next := slow
		if fresh > 0 {
			next = h.every
		}
		if err := h.renew(ctx, next); errors.Is(err, objstore.ErrPrecondition) {
			close(h.lost)
			return
		}
	}
}

// Lost implements objstore.Leadership.
func (h *holder) Lost() <-chan struct{} { return h.lost }

// Release implements objstore.Leadership: the next candidate need not wait.
func (h *holder) Release() error {
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
