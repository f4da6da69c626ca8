// Package metered tells an observer of every call of a bucket.
package metered

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Op is a method of a bucket.
type Op string

// The operations.
const (
	Get      Op = "get"
	GetRange Op = "get_range"
	Put      Op = "put"
	PutIf    Op = "put_if"
	List     Op = "list"
	Delete   Op = "delete"
)

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	OK           Outcome = "ok"
	NotFound     Outcome = "not_found"
	Precondition Outcome = "precondition"
	Conflict     Outcome = "conflict"
	Ambiguous    Outcome = "ambiguous"
	Failed       Outcome = "failed"
)

// Ops and Outcomes list all there are.
var (
	Ops      = []Op{Get, GetRange, Put, PutIf, List, Delete}
	Outcomes = []Outcome{OK, NotFound, Precondition, Conflict, Ambiguous, Failed}
)

// Observer is told of a call when it has ended. Bytes are those of the body. Any goroutine may call it.
type Observer func(op Op, outcome Outcome, took time.Duration, bytes int64)

// Wrap returns b with an observer. What b can do besides it still can: see objstore.LockerOf.
func Wrap(b objstore.Bucket, c clock.Clock, observe Observer) objstore.Bucket {
	return &bucket{b, c, observe}
}

type bucket struct {
	objstore.Bucket
	clock   clock.Clock
	observe Observer
}

// Unwrap returns the bucket below.
func (b *bucket) Unwrap() objstore.Bucket { return b.Bucket }

func outcome(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, objstore.ErrNotFound):
		return NotFound
	case errors.Is(err, objstore.ErrPrecondition):
		return Precondition
	case errors.Is(err, objstore.ErrConflict):
		return Conflict
	case errors.Is(err, objstore.ErrAmbiguous):
		return Ambiguous
	}
	return Failed
}

func (b *bucket) ended(op Op, began time.Time, bytes int, err error) {
	b.observe(op, outcome(err), b.clock.Now().Sub(began), int64(bytes))
}

// Get implements objstore.Bucket.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	began := b.clock.Now()
	body, v, err := b.Bucket.Get(ctx, key)
	b.ended(Get, began, len(body), err)
	return body, v, err
}

// GetRange implements objstore.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	began := b.clock.Now()
	body, err := b.Bucket.GetRange(ctx, key, off, n)
	b.ended(GetRange, began, len(body), err)
	return body, err
}

// Put implements objstore.Bucket.
func (b *bucket) Put(ctx context.Context, key string, body []byte) error {
	began := b.clock.Now()
	err := b.Bucket.Put(ctx, key, body)
	b.ended(Put, began, len(body), err)
	return err
}

// PutIf implements objstore.Bucket.
func (b *bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	began := b.clock.Now()
	v, err := b.Bucket.PutIf(ctx, key, body, expected)
	b.ended(PutIf, began, len(body), err)
	return v, err
}

// List implements objstore.Bucket.
func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		began := b.clock.Now()
		var failed error
		defer func() { b.ended(List, began, 0, failed) }()
		for o, err := range b.Bucket.List(ctx, prefix) {
			failed = err
			if !yield(o, err) {
				return
			}
		}
	}
}

// Delete implements objstore.Bucket.
func (b *bucket) Delete(ctx context.Context, key string) error {
	began := b.clock.Now()
	err := b.Bucket.Delete(ctx, key)
	b.ended(Delete, began, 0, err)
	return err
}
