// Package mem is a bucket in memory, for tests and simulations.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/sabot-stream/sabot/objstore"
)

// Bucket holds objects in memory. Versions are a counter: no content ever gets a version twice.
type Bucket struct {
	mu      sync.Mutex
	objects map[string]object
	counter uint64
}

type object struct {
	body    []byte
	version objstore.Version
}

// New returns an empty bucket.
func New() *Bucket { return &Bucket{objects: map[string]object{}} }

func (b *Bucket) find(ctx context.Context, key string) (object, error) {
	if err := check(ctx, key); err != nil {
		return object{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	if !ok {
		return o, fmt.Errorf("read %s: %w", key, objstore.ErrNotFound)
	}
	return o, nil
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return objstore.CheckKey(key)
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	o, err := b.find(ctx, key)
	return bytes.Clone(o.body), o.version, err
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	o, err := b.find(ctx, key)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > int64(len(o.body)) || n > int64(len(o.body))-off {
		return nil, fmt.Errorf("read %s at %d, %d bytes of %d: %w", key, off, n, len(o.body), io.ErrUnexpectedEOF)
	}
	return bytes.Clone(o.body[off : off+n]), nil
}

// Put implements objstore.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(key, body)
	return nil
}

func (b *Bucket) set(key string, body []byte) objstore.Version {
	b.counter++
	v := objstore.Version(fmt.Sprint(b.counter))
	b.objects[key] = object{bytes.Clone(body), v}
	return v
}

// PutIf implements objstore.Bucket.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	if err := check(ctx, key); err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects[key].version != expected {
		return "", fmt.Errorf("write %s: %w", key, objstore.ErrPrecondition)
	}
	return b.set(key, body), nil
}

// List implements objstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Object{}, err)
			return
		}
		b.mu.Lock()
		var found []objstore.Object
		for k, o := range b.objects {
			if strings.HasPrefix(k, prefix) {
				found = append(found, objstore.Object{Key: k, Size: int64(len(o.body))})
			}
		}
		b.mu.Unlock()
		slices.SortFunc(found, func(x, y objstore.Object) int { return strings.Compare(x.Key, y.Key) })
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return nil
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return objstore.Limits{Private: true} }

// Close implements objstore.Bucket.
func (b *Bucket) Close() error { return nil }
