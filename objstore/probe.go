package objstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sabot-stream/sabot"
)

// probers is how many goroutines race in a probe.
const probers = 8

// Probe checks that a store keeps the promises that commits rest on, with an object of its own under prefix, whose name random makes unique: of
// racing creates one wins, of racing replacements one wins, stale versions are refused, and reads see what was written. A store that fails is
// refused with an Invalid error that names the operation. The object is removed.
func Probe(ctx context.Context, b Bucket, prefix, random string) error {
	key := prefix + "-" + random
	defer func() { _ = b.Delete(context.WithoutCancel(ctx), key) }() // what is left of a probe is harmless
	p := prober{ctx, b, key}
	first, err := p.race("create if absent", Absent, 0)
	if err != nil {
		return err
	}
	second, err := p.race("replace if unchanged", first, 100)
	if err != nil {
		return err
	}
	if err := p.refused("replace at an old version", first); err != nil {
		return err
	}
	if err := p.refused("create what exists", Absent); err != nil {
		return err
	}
	body, v, err := b.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("probe the store: %w", err)
	}
	if v != second {
		return p.refuse("read after write", "it returned another version than the write")
	}
	part, err := b.GetRange(ctx, key, 1, int64(len(body))-1)
	if err != nil {
		return fmt.Errorf("probe the store: %w", err)
	}
	if string(part) != string(body[1:]) {
		return p.refuse("read a range", "it returned other bytes")
	}
	for o, err := range b.List(ctx, key) {
		if err != nil {
			return fmt.Errorf("probe the store: %w", err)
		}
		if o.Key == key && o.Size == int64(len(body)) {
			return nil
		}
	}
	return p.refuse("list after write", "the object is missing")
}

type prober struct {
	ctx context.Context
	b   Bucket
	key string
}

func (p prober) refuse(operation, what string) error {
	return sabot.WithKind(sabot.Invalid, fmt.Errorf("this store cannot keep commits safe. %s: %s", operation, what))
}

// refused checks that a write on a version that is not the object's fails as such.
func (p prober) refused(operation string, expected Version) error {
	_, err := p.b.PutIf(p.ctx, p.key, []byte("probe"), expected)
	switch {
	case err == nil:
		return p.refuse(operation, "it should have failed, and reported success")
	case errors.Is(err, ErrPrecondition), errors.Is(err, ErrConflict):
		return nil
	}
	return fmt.Errorf("probe the store, %s: %w", operation, err)
}

// race lets several goroutines write on one expected version, and returns the version of the one that won.
func (p prober) race(operation string, expected Version, salt int) (Version, error) {
	versions, errs := make([]Version, probers), make([]error, probers)
	var wg sync.WaitGroup
	for i := range probers {
		wg.Go(func() {
			versions[i], errs[i] = p.b.PutIf(p.ctx, p.key, fmt.Appendf(nil, "probe %d", salt+i), expected)
		})
	}
	wg.Wait()
	var won Version
	winners := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won = versions[i]
			winners++
		case errors.Is(err, ErrPrecondition), errors.Is(err, ErrConflict):
		default:
			return "", fmt.Errorf("probe the store, %s: %w", operation, err)
		}
	}
	if winners != 1 {
		return "", p.refuse(operation, fmt.Sprintf("%d of %d racing writers were told that they won", winners, probers))
	}
	return won, nil
}
