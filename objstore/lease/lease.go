// Package lease lets one process at a time lead a job on a bucket that cannot lock: the object LEASE in the job's folder says who leads.
//
// It is about liveness alone. Safety rests on the terms of CURRENT: two leaders at a time do no harm, since the later one fences the earlier.
//
// Requests cost money, so a holder writes nothing while nobody waits in the bucket: it only looks, rarely, whether the lease is still its own and
// whether somebody has written STANDBY. There are two ways to wait for it:
//
//   - A candidate asks the holder itself, at the addresses that LEASE names (Locker.Ask). As long as the holder answers it lives, and the bucket is
//     asked for next to nothing by either side.
//   - A candidate that cannot reach the holder, or not any more, writes STANDBY. A holder that lives finds it and renews LEASE often from then on. The
//     candidate takes over after several polls of its own in a row that all saw the same lease, each in time: what a clock says of the time in between
//     counts for nothing, as either process may have been stopped.
//
// A holder that has heard of a candidate and hears no more looks for STANDBY often: so the candidate need not wait for the next of the rare looks.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

const (
	// slow is how often a holder looks at the bucket of whom nobody is known to wait there.
	slow = 10 * time.Second
	// parts of its lease are what a holder looks and renews in while somebody waits.
	parts = 3
	// polls in a row that must see no change, over a whole lease at least.
	polls = parts + 2
	// noticed is for how many parts a holder heeds a candidate; one that waits in the bucket says that it is there twice in that time.
	noticed = 60
	// asks are how often a candidate asks a holder in the time of a lease.
	asks = 10
	// follows is for how long a candidate asks a holder until it reads the lease again.
	follows = time.Minute
	// asksAgain is when a candidate asks a holder again that it could not reach.
	asksAgain = 30 * time.Second
)

// record is the body of LEASE.
type record struct {
	Owner   string    `json:"owner"` // for people
	Nonce   string    `json:"nonce"` // of the leadership
	Since   time.Time `json:"since"`
	Renewed uint64    `json:"renewed"`
	Every   int64     `json:"every_ms"`           // how often its holder looks for candidates, at least
	Lease   int64     `json:"lease_ms,omitempty"` // of the holder
	Addrs   []string  `json:"addrs,omitempty"`    // at which it can be asked whether it lives
	Free    bool      `json:"free,omitempty"`
}

// Locker implements objstore.Locker on any bucket. One goroutine uses it.
type Locker struct {
	Bucket objstore.Bucket
	Clock  clock.Clock
	// Ask asks the process at one of some addresses whether it holds the leadership, for a standby with a name of its own; nil error: it does. Ctx
	// bounds the time. Without Ask only the bucket tells.
	Ask func(ctx context.Context, addrs []string, leadership, standby string) error
	Log *slog.Logger // nil: none

	name      string   // of this process among the standbys
	answered  occasion // the leadership that has answered last
	unreached occasion // the leadership, and its addresses, that did not
	told      occasion // the leadership that it was last said to that this process waits in the bucket
	toldAs    string   // what it has written then
	warned    string   // the leadership of which it was said that it cannot be reached
}

// occasion is the last time that something was so of something.
type occasion struct {
	of string
	at time.Time
}

// within tells whether it was so of something less than d ago.
func (o occasion) within(of string, now time.Time, d time.Duration) bool {
	ago := now.Sub(o.at)
	return o.of == of && ago >= 0 && ago < d
}

// Lead implements objstore.Locker. A process that holds the lease and lives gives a *objstore.HeldError, at once when it answers, else after a few
// polls; the caller that wants to wait calls again. The Leadership is a *Holder.
func (l *Locker) Lead(ctx context.Context, prefix string, lease time.Duration, force bool) (objstore.Leadership, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	if l.name == "" {
		l.name = l.Clock.Random(8)
	}
	folder := strings.TrimSuffix(prefix, "/")
	h := &Holder{Locker: l, key: folder + "/LEASE", standby: folder + "/STANDBY", lease: lease, every: max(lease/parts, 10*time.Millisecond),
		lost: make(chan struct{}), stop: make(chan struct{}), announced: make(chan []string, 1), waits: map[string]time.Time{}, heard: map[string]time.Time{},
		rec: record{Owner: fmt.Sprintf("process %d on %s", os.Getpid(), host), Nonce: l.Clock.Random(8), Since: l.Clock.Now().UTC(), Lease: lease.Milliseconds()}}
	if err := h.acquire(ctx, force); err != nil {
		return nil, err
	}
	h.wg.Go(h.run)
	return h, nil
}

// read returns the lease, its version Absent when there is none.
func (h *Holder) read(ctx context.Context) (record, objstore.Version, error) {
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

// renew writes the lease on top of the version that we know.
func (h *Holder) renew(ctx context.Context, every time.Duration) error {
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
		if now.Renewed == h.rec.Renewed {
			return nil
		}
	}
	if at == h.version {
		return fmt.Errorf("take the lease: %w", err)
	}
	return fmt.Errorf("take the lease: %w", objstore.ErrPrecondition)
}
