// Package metered tells an observer of every call of a bucket, and watches over those that are not answered.
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

// Wrap returns b with an observer and a watch, each of which may be nil. What b can do besides it still can: see objstore.LockerOf.
func Wrap(b objstore.Bucket, c clock.Clock, observe Observer, watch *Watch) objstore.Bucket {
	return &bucket{b, c, observe, watch}
}

type bucket struct {
	objstore.Bucket
	clock   clock.Clock
	observe Observer
	watch   *Watch
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

// call is one call under way.
type call struct {
	b       *bucket
	op      Op
	began   time.Time
	watched *watched
}

func (b *bucket) begin(op Op, key string) call {
	c := call{b: b, op: op, began: b.clock.Now()}
	if b.watch != nil && op != List { // how long a list takes is a matter of who reads it
		c.watched = b.watch.begin(op, key, c.began)
	}
	return c
}

func (c call) end(ctx context.Context, bytes int, err error) {
	now := c.b.clock.Now()
	if c.watched != nil {
		c.b.watch.end(ctx, c.watched, now, err)
	}
	if c.b.observe != nil {
		c.b.observe(c.op, outcome(err), now.Sub(c.began), int64(bytes))
	}
}

// Get implements objstore.Bucket.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	c := b.begin(Get, key)
	body, v, err := b.Bucket.Get(ctx, key)
	c.end(ctx, len(body), err)
	return body, v, err
}

// GetRange implements objstore.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	c := b.begin(GetRange, key)
	body, err := b.Bucket.GetRange(ctx, key, off, n)
	c.end(ctx, len(body), err)
	return body, err
}

// Put implements objstore.Bucket.
func (b *bucket) Put(ctx context.Context, key string, body []byte) error {
	c := b.begin(Put, key)
	err := b.Bucket.Put(ctx, key, body)
	c.end(ctx, len(body), err)
	return err
}

// PutIf implements objstore.Bucket.
func (b *bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	c := b.begin(PutIf, key)
	v, err := b.Bucket.PutIf(ctx, key, body, expected)
	c.end(ctx, len(body), err)
	return v, err
}

// List implements objstore.Bucket.
func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		c := b.begin(List, prefix)
		var failed error
		defer func() { c.end(ctx, 0, failed) }()
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
	c := b.begin(Delete, key)
	err := b.Bucket.Delete(ctx, key)
	c.end(ctx, 0, err)
	return err
}
