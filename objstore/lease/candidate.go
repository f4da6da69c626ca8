package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sabot-stream/sabot/objstore"
)

// acquire returns nil when this process leads.
func (h *Holder) acquire(ctx context.Context, force bool) error {
	seen, v, err := h.read(ctx)
	if err != nil {
		return err
	}
	if !seen.Free && !force {
		if v, err = h.wait(ctx, seen, v); err != nil {
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

// wait returns the version on top of which this process may take the lease: its holder has gone. While it lives, wait returns who it is.
func (h *Holder) wait(ctx context.Context, seen record, v objstore.Version) (objstore.Version, error) {
	asked, unreached := false, error(nil)
	if h.reachable(seen) {
		followed := h.answered.of == seen.Nonce
		if asked, unreached = true, h.follow(ctx, seen); unreached == nil {
			return "", held(seen)
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if followed { // it may have gone in good order, or have been told to
			was, err := seen.Nonce, error(nil)
			if seen, v, err = h.read(ctx); err != nil || seen.Free {
				return v, err
			}
			if seen.Nonce != was {
				return "", held(seen)
			}
		}
	}
	v, err := h.watch(ctx, seen, v)
	if other := (*objstore.HeldError)(nil); asked && errors.As(err, &other) {
		h.warn(seen, unreached)
	}
	return v, err
}

// warn says once of a leadership that it lives and cannot be reached.
func (h *Holder) warn(seen record, err error) {
	if h.Log == nil || h.warned == seen.Nonce {
		return
	}
	h.warned = seen.Nonce
	h.Log.Warn("the leading coordinator lives, but does not answer this one: they show life through the bucket, which costs requests", "addrs", seen.Addrs,
		"error", err)
}

func place(seen record) string { return seen.Nonce + " " + strings.Join(seen.Addrs, ",") }

// reachable tells whether there is an address at which to ask the holder, and reason to do it.
func (h *Holder) reachable(seen record) bool {
	return h.Ask != nil && len(seen.Addrs) > 0 && !h.unreached.within(place(seen), h.Clock.Now(), asksAgain)
}

// follow asks the holder whether it lives, for as long as it answers: that it does not is an error. It returns nil after its first answer, so that the
// caller hears of it, and later from time to time.
func (h *Holder) follow(ctx context.Context, seen record) error {
	first, began := h.answered.of != seen.Nonce, h.Clock.Now()
	often := h.lease
	if theirs := time.Duration(seen.Lease) * time.Millisecond; theirs > 0 {
		often = min(often, theirs)
	}
	for {
		if err := h.ask(ctx, seen); err != nil {
			h.unreached = occasion{place(seen), h.Clock.Now()}
			return err
		}
		if first || !(occasion{at: began}).within("", h.Clock.Now(), follows) {
			return nil
		}
		if err := h.Clock.Sleep(ctx, max(often/asks, time.Millisecond)); err != nil {
			return err
		}
	}
}

// ask returns nil when the holder answers. One that has answered before may be silent for the time of a lease; refused twice in a row, it is not
// there.
func (h *Holder) ask(ctx context.Context, seen record) error {
	for tries := 1; ; tries++ {
		try, cancel := context.WithTimeout(ctx, h.every)
		err := h.Ask(try, seen.Addrs, seen.Nonce, h.name)
		late := try.Err() != nil
		cancel()
		now := h.Clock.Now()
		if err == nil {
			h.answered = occasion{seen.Nonce, now}
			return nil
		}
		if ctx.Err() != nil || !h.answered.within(seen.Nonce, now, h.lease) || !late && tries > 1 {
			return err
		}
	}
}

// watch polls until the lease is free, has not changed for long enough (nil), or its holder is seen alive.
func (h *Holder) watch(ctx context.Context, seen record, v objstore.Version) (objstore.Version, error) {
	if err := h.register(ctx, seen); err != nil {
		return "", err
	}
	step, first := max(h.every, time.Duration(seen.Lease)*time.Millisecond/parts), time.Duration(0)
	if !h.answered.within(seen.Nonce, h.Clock.Now(), noticed/2*h.every) {
		first = time.Duration(seen.Every) * time.Millisecond // it may look rarely: it does not know of us
	}
	for quiet := 0; quiet < polls; {
		step := step
		if quiet == 0 {
			step = max(step, first)
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

// register says in the bucket that this process waits, unless the holder knows it.
func (h *Holder) register(ctx context.Context, seen record) error {
	now := h.Clock.Now()
	rarely := seen.Every > h.every.Milliseconds() // it knows of nobody
	if !rarely && h.told.within(seen.Nonce, now, noticed/2*h.every) {
		return nil
	}
	body := h.name + " " + h.rec.Nonce // another one each time
	if err := h.Bucket.Put(ctx, h.standby, []byte(body)); err != nil {
		return fmt.Errorf("register as a standby: %w", err)
	}
	h.told, h.toldAs = occasion{seen.Nonce, now}, body
	return nil
}
