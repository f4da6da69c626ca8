package sabottest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/sabot-stream/sabot/objstore"
)

// errCrashed ends a process's life: every storage call fails from then on, and so does the run.
var errCrashed = errors.New("crashed by the test")

// errInjected is a failure of one storage call, in a process that lives on.
var errInjected = fmt.Errorf("failed by the test: %w", objstore.ErrAmbiguous)

// crashPoint is the storage call at which a process dies, or that fails once; at is negative: it only counts.
type crashPoint struct {
	at    int
	after bool
	fail  bool

	mu    sync.Mutex
	calls int
	log   []string
}

// crashBucket is the bucket of one process's life.
type crashBucket struct {
	objstore.Bucket
	point *crashPoint
	kill  func()

	mu   sync.Mutex
	dead bool
}

// call runs do as one storage call.
func (b *crashBucket) call(what string, do func() error) error {
	b.mu.Lock()
	dead := b.dead
	b.mu.Unlock()
	if dead {
		return errCrashed
	}
	b.point.mu.Lock()
	n := b.point.calls
	b.point.calls++
	b.point.log = append(b.point.log, what)
	b.point.mu.Unlock()
	if n != b.point.at {
		return do()
	}
	if b.point.after {
		_ = do() // nobody learns how it ended
	}
	if b.point.fail {
		return errInjected
	}
	b.mu.Lock()
	b.dead = true
	b.mu.Unlock()
	b.kill()
	return errCrashed
}

func (b *crashBucket) Get(ctx context.Context, key string) (body []byte, v objstore.Version, err error) {
	err = b.call("get "+key, func() error {
		body, v, err = b.Bucket.Get(ctx, key)
		return err
	})
	return body, v, err
}

func (b *crashBucket) GetRange(ctx context.Context, key string, off, n int64) (body []byte, err error) {
	err = b.call("get range "+key, func() error {
		body, err = b.Bucket.GetRange(ctx, key, off, n)
		return err
	})
	return body, err
}

func (b *crashBucket) Put(ctx context.Context, key string, body []byte) error {
	return b.call("put "+key, func() error { return b.Bucket.Put(ctx, key, body) })
}

func (b *crashBucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (v objstore.Version, err error) {
	err = b.call("put if "+key, func() error {
		v, err = b.Bucket.PutIf(ctx, key, body, expected)
		return err
	})
	return v, err
}

func (b *crashBucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	if err := b.call("list "+prefix, func() error { return nil }); err != nil {
		return func(yield func(objstore.Object, error) bool) { yield(objstore.Object{}, err) }
	}
	return b.Bucket.List(ctx, prefix)
}

func (b *crashBucket) Delete(ctx context.Context, key string) error {
	return b.call("delete "+key, func() error { return b.Bucket.Delete(ctx, key) })
}
