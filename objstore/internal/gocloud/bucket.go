// Package gocloud is what buckets over gocloud.dev/blob have in common: everything but how a store is reached, what its answers mean, and how it
// writes on a condition.
//
// The stores' clients are told to send every request once; what may be repeated is repeated here. So a conditional write cannot be sent twice
// whatever a client thinks of it, and every store is asked as often. (Google's client still goes on with a body that broke off, which is a read.)
package gocloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

const (
	// attempts of what may be repeated.
	attempts = 6
	// firstPause is the time before the second attempt; it doubles.
	firstPause = 50 * time.Millisecond
	// casTimeout bounds a conditional write.
	casTimeout = 30 * time.Second
	// pageSize is the most objects of one answer to a listing.
	pageSize = 1000
)

// ContentType is that of every object: what is in one is the reader's to know.
const ContentType = "application/octet-stream"

// Store is what tells one store from another.
type Store interface {
	// Once returns a context under which the client sends each request once.
	Once(context.Context) context.Context
	// Version returns the version of the object that is being read.
	Version(*blob.Reader) objstore.Version
	// Write writes an object whole by one request, if it is at the version expected, nil: always. It returns the new version.
	Write(ctx context.Context, key string, body []byte, expected *objstore.Version) (objstore.Version, error)
	// Answer tells what the store answered when err came of it.
	Answer(err error) Answer
}

// Answer is a store's answer to a request that failed.
type Answer struct {
	Status int    // of HTTP; 0: there was no answer
	Text   string // the answer in a few words, where the error has it in many lines; else empty
	Advice string // what the user can do, where no repetition changes the answer; empty: a repetition may
}

func (a Answer) passing() bool {
	return a.Advice == "" && (a.Status == 0 || a.Status == http.StatusRequestTimeout || a.Status == http.StatusTooManyRequests || a.Status >= 500)
}

// Bucket is a bucket, or the part of one below a prefix. It lacks Limits, which are the store's.
type Bucket struct {
	name   string
	prefix string
	blobs  *blob.Bucket
	store  Store
}

// New returns a bucket, which closes blobs at its end. Name is for errors: "GCS bucket logs".
func New(name, prefix string, blobs *blob.Bucket, store Store) *Bucket {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Bucket{name: name, prefix: prefix, blobs: blobs, store: store}
}

func (b *Bucket) key(ctx context.Context, key string) (string, error) {
	if err := objstore.CheckKey(key); err != nil {
		return "", err
	}
	return b.prefix + key, ctx.Err() // the clients look at an ended context late, or say so in words of their own
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	k, err := b.key(ctx, key)
	if err != nil {
		return nil, "", err
	}
	body, version, err := b.read(ctx, k, 0, -1)
	if err != nil {
		return nil, "", b.failed("read "+key, err)
	}
	return body, version, nil
}

// read fetches a range of an object, up to its end when n is negative.
func (b *Bucket) read(ctx context.Context, k string, off, n int64) (body []byte, v objstore.Version, err error) {
	err = b.often(ctx, func(ctx context.Context) error {
		r, err := b.blobs.NewRangeReader(ctx, k, off, n, nil)
		if err != nil {
			return err
		}
		if r.Size() < 0 { // the store unpacks it on the way
			return errors.Join(errors.New("the object has a content encoding, so its size is not known"), r.Close())
		}
		want := max(r.Size()-off, 0) // Size is that of the object
		if n >= 0 {
			want = min(want, n)
		}
		body, v = make([]byte, want), b.store.Version(r)
		_, err = io.ReadFull(r, body)
		return errors.Join(err, r.Close())
	})
	return body, v, err
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	k, err := b.key(ctx, key)
	if err != nil {
		return nil, err
	}
	short := func(have string) error {
		return fmt.Errorf("read %s at %d, %d bytes%s: %w", key, off, n, have, io.ErrUnexpectedEOF)
	}
	if off < 0 || n < 0 {
		return nil, short("")
	}
	if n == 0 { // HTTP has no empty range
		size, err := b.size(ctx, k)
		if err != nil {
			return nil, b.failed("read "+key, err)
		}
		if off > size {
			return nil, short(fmt.Sprintf(" of %d", size))
		}
		return []byte{}, nil
	}
	body, _, err := b.read(ctx, k, off, n)
	if err != nil && b.store.Answer(err).Status == http.StatusRequestedRangeNotSatisfiable {
		return nil, short("")
	}
	if err != nil {
		return nil, b.failed("read "+key, err)
	}
	if int64(len(body)) != n {
		return nil, short(fmt.Sprintf(", %d are there", len(body)))
	}
	return body, nil
}

func (b *Bucket) size(ctx context.Context, k string) (size int64, err error) {
	err = b.often(ctx, func(ctx context.Context) error {
		a, err := b.blobs.Attributes(ctx, k)
		if err == nil {
			size = a.Size
		}
		return err
	})
	return size, err
}

// Put implements objstore.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	k, err := b.key(ctx, key)
	if err != nil {
		return err
	}
	err = b.often(ctx, func(ctx context.Context) error {
		_, err := b.store.Write(ctx, k, body, nil)
		return err
	})
	if err != nil {
		return b.failed("write "+key, err)
	}
	return nil
}

// PutIf implements objstore.Bucket.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	k, err := b.key(ctx, key)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(b.store.Once(ctx), casTimeout)
	defer cancel()
	v, err := b.store.Write(ctx, k, body, &expected)
	if err == nil {
		return v, nil
	}
	switch a := b.store.Answer(err); {
	case a.Status == http.StatusPreconditionFailed:
		return "", fmt.Errorf("write %s: %w", key, objstore.ErrPrecondition)
	case a.Status == http.StatusNotFound && a.Advice == "" && expected != objstore.Absent:
		return "", fmt.Errorf("write %s: it does not exist: %w", key, objstore.ErrPrecondition)
	case a.Advice != "":
		return "", b.failed("write "+key, err)
	case a.Status == http.StatusConflict:
		return "", fmt.Errorf("write %s: %w: %w", key, objstore.ErrConflict, b.said(err))
	}
	return "", fmt.Errorf("write %s: %w: %w", key, objstore.ErrAmbiguous, b.said(err))
}

// List implements objstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Object{}, err)
			return
		}
		last := ""
		for token := blob.FirstPageToken; len(token) > 0; {
			var page []*blob.ListObject
			from := token
			err := b.often(ctx, func(ctx context.Context) (err error) {
				page, token, err = b.blobs.ListPage(ctx, from, pageSize, &blob.ListOptions{Prefix: b.prefix + prefix})
				return err
			})
			if err != nil {
				yield(objstore.Object{}, b.failed("list "+prefix, err))
				return
			}
			for _, o := range page {
				key := strings.TrimPrefix(o.Key, b.prefix)
				if objstore.CheckKey(key) != nil {
					continue // somebody else's: ours never end in a slash, for one
				}
				if key <= last {
					yield(objstore.Object{}, sabot.WithKind(sabot.Invalid, fmt.Errorf("list %s in %s: %s came after %s: this store does not list by name, as one with a "+
						"hierarchical namespace does not; use a flat one", prefix, b.name, key, last)))
					return
				}
				last = key
				if !yield(objstore.Object{Key: key, Size: o.Size}, nil) {
					return
				}
			}
		}
	}
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	k, err := b.key(ctx, key)
	if err != nil {
		return err
	}
	err = b.often(ctx, func(ctx context.Context) error { return b.blobs.Delete(ctx, k) })
	if a := b.store.Answer(err); err != nil && (a.Status != http.StatusNotFound || a.Advice != "") {
		return b.failed("delete "+key, err)
	}
	return nil
}

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	if err := b.blobs.Close(); err != nil {
		return fmt.Errorf("close %s: %w", b.name, err)
	}
	return nil
}

// often does what may be repeated, until it succeeds or fails for good.
func (b *Bucket) often(ctx context.Context, do func(context.Context) error) (err error) {
	for try := range attempts {
		if try > 0 {
			if err := clock.Real().Sleep(ctx, firstPause<<(try-1)); err != nil {
				return err
			}
		}
		if err = do(b.store.Once(ctx)); err == nil || ctx.Err() != nil || !b.store.Answer(err).passing() {
			return err
		}
	}
	return err
}

// failed gives an error its meaning and its kind, and says what the user can do.
func (b *Bucket) failed(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch a := b.store.Answer(err); {
	case a.Advice != "":
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("%s in %s: %w: %s", doing, b.name, b.said(err), a.Advice))
	case a.Status == http.StatusNotFound:
		return fmt.Errorf("%s: %w", doing, objstore.ErrNotFound)
	}
	return sabot.WithKind(sabot.Retry, fmt.Errorf("%s in %s: %w", doing, b.name, b.said(err)))
}

// said returns an error in a few words.
func (b *Bucket) said(err error) error {
	if text := b.store.Answer(err).Text; text != "" {
		return errors.New(text)
	}
	return err
}

// Do does something else with the store, under the same rules; the error says what was being done.
func (b *Bucket) Do(ctx context.Context, doing string, do func(context.Context) error) error {
	if err := b.often(ctx, do); err != nil {
		return b.failed(doing, err)
	}
	return nil
}
