package benchstate

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// request is a call of the bucket that has ended.
type request struct {
	op           metered.Op
	bytes        int64
	began, ended time.Time
}

// requests is the log of a bucket's calls. Reads of files that are open, which a folder has beside its calls, are counted apart: they are no round trips.
// Any goroutine may use it.
type requests struct {
	mu     sync.Mutex
	ended  []request
	reads  atomic.Int64
	reread atomic.Int64 // bytes of them
}

// watch returns b with its calls in the log, each of which takes so much longer than it would.
func (r *requests) watch(b objstore.Bucket, latency time.Duration) objstore.Bucket {
	if latency > 0 {
		b = delayed{b, latency}
	}
	b = metered.Wrap(b, clock.Real(), r.note, nil)
	if o := objstore.OpenerOf(b); o != nil {
		return opened{b, o, r}
	}
	return b
}

func (r *requests) note(op metered.Op, _ metered.Outcome, took time.Duration, bytes int64) {
	now := clock.Real().Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, request{op, bytes, now.Add(-took), now})
}

// until returns the calls that had ended at a time, in the order of their ends.
func (r *requests) until(at time.Time) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(r.ended), func(q request) bool { return q.ended.After(at) })
	slices.SortFunc(out, func(a, b request) int { return cmp.Compare(a.ended.UnixNano(), b.ended.UnixNano()) })
	return out
}

// chain returns how many requests there are in the longest chain in which each began when the one before had ended: no request that depends on another
// can be sent before that is answered, so the requests that depend on each other are at most so many. Lists, deletes and writes of packs do not count: a
// start goes on without them. Requests come in the order of their ends.
func chain(of []request) (n int) {
	last := time.Time{}
	for _, q := range of { // the one that ends first leaves most room for the others
		if aside := q.op == metered.List || q.op == metered.Delete || q.op == metered.Put; !aside && !q.began.Before(last) {
			n, last = n+1, q.ended
		}
	}
	return n
}

// delayed is a bucket of whose calls each waits first.
type delayed struct {
	objstore.Bucket
	by time.Duration
}

// Get implements objstore.Bucket.
func (d delayed) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	if err := clock.Real().Sleep(ctx, d.by); err != nil {
		return nil, "", err
	}
	return d.Bucket.Get(ctx, key)
}

// GetRange implements objstore.Bucket.
func (d delayed) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := clock.Real().Sleep(ctx, d.by); err != nil {
		return nil, err
	}
	return d.Bucket.GetRange(ctx, key, off, n)
}

// Put implements objstore.Bucket.
func (d delayed) Put(ctx context.Context, key string, body []byte) error {
	if err := clock.Real().Sleep(ctx, d.by); err != nil {
		return err
	}
	return d.Bucket.Put(ctx, key, body)
}

// PutIf implements objstore.Bucket.
func (d delayed) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	if err := clock.Real().Sleep(ctx, d.by); err != nil {
		return "", err
	}
	return d.Bucket.PutIf(ctx, key, body, expected)
}

// Delete implements objstore.Bucket.
func (d delayed) Delete(ctx context.Context, key string) error {
	if err := clock.Real().Sleep(ctx, d.by); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, key)
}

// opened is a bucket whose files can be opened; reads of them are counted.
type opened struct {
	objstore.Bucket
	files objstore.Opener
	log   *requests
}

// Unwrap returns the bucket below.
func (o opened) Unwrap() objstore.Bucket { return o.Bucket }

// OpenObject implements objstore.Opener.
func (o opened) OpenObject(ctx context.Context, key string) (objstore.ObjectReader, error) {
	f, err := o.files.OpenObject(ctx, key)
	if err != nil {
		return nil, err
	}
	return countedFile{f, o.log}, nil
}

type countedFile struct {
	objstore.ObjectReader
	log *requests
}

// ReadAt implements io.ReaderAt.
func (f countedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.ObjectReader.ReadAt(b, off)
	f.log.reads.Add(1)
	f.log.reread.Add(int64(n))
	return n, err
}
