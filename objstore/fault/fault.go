// Package fault wraps a bucket so that its calls fail, wait, or answer wrongly, as a test decides call by call. It also keeps the list of all
// calls, for tests of what a piece of code asks of a store.
//
// A Decide function sees each call and returns what goes wrong with it. Failures come before the effect (the request is lost), after it (the
// answer is lost), or the effect itself comes later, when the test applies it. Kill ends a process's life: every call fails from then on.
package fault

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/sabot-stream/sabot/objstore"
)

// Op is a method of a bucket.
type Op string

// The operations.
const (
	Get      Op = "get"
	GetRange Op = "get range"
	Put      Op = "put"
	PutIf    Op = "put if"
	List     Op = "list"
	Delete   Op = "delete"
)

// Writes tells whether the operation changes the bucket.
func (o Op) Writes() bool { return o == Put || o == PutIf || o == Delete }

// Call is one call of a bucket.
type Call struct {
	N      int // from 0
	Op     Op
	Key    string // a prefix for List
	Offset int64  // of GetRange
	Bytes  int64  // of a body, or of the range asked for
}

func (c Call) String() string { return string(c.Op) + " " + c.Key }

// Fault is what goes wrong with a call. The zero Fault lets it through.
type Fault struct {
	Wait   <-chan struct{} // the call begins when this is closed (or its context ends)
	Before error           // returned instead of doing anything
	After  error           // returned when it has been done
	Late   error           // of a write: returned at once; the effect comes with the next ApplyLate, if it still can
	Short  int64           // of a GetRange: bytes missing at the end, with io.ErrUnexpectedEOF
	Flip   int64           // of a Get or GetRange: this bit of what is read is wrong, counted from 1; bits beyond the end are left alone
	Kill   bool            // with Before or After: every later call fails too, with the same error
}

// Bucket is a bucket whose calls go wrong.
type Bucket struct {
	under  objstore.Bucket
	decide func(Call) Fault

	mu    sync.Mutex
	calls []Call
	dead  error
	late  []func()
}

// Wrap returns b with faults. Decide is called from the goroutines of the calls, one at a time; nil: nothing goes wrong.
func Wrap(b objstore.Bucket, decide func(Call) Fault) *Bucket {
	if decide == nil {
		decide = func(Call) Fault { return Fault{} }
	}
	return &Bucket{under: b, decide: decide}
}

// Calls returns all calls so far.
func (b *Bucket) Calls() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Call(nil), b.calls...)
}

// Kill makes every later call fail with err.
func (b *Bucket) Kill(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = err
}

// ApplyLate gives the writes that failed with Fault.Late their effect, in order. Those whose condition no longer holds have none.
func (b *Bucket) ApplyLate() {
	b.mu.Lock()
	late := b.late
	b.late = nil
	b.mu.Unlock()
	for _, do := range late {
		do()
	}
}

// call runs do as one call.
func (b *Bucket) call(ctx context.Context, c Call, do func(context.Context) error) (Fault, error) {
	f, err := b.begin(c, do)
	if err != nil {
		return f, err
	}
	if f.Wait != nil {
		select {
		case <-f.Wait:
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
	switch {
	case f.Before != nil:
		return f, f.Before
	case f.Late != nil:
		return f, f.Late
	}
	err = do(ctx)
	if f.After != nil {
		return f, f.After // nobody learns how it ended
	}
	return f, err
}

func (b *Bucket) begin(c Call, do func(context.Context) error) (Fault, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead != nil {
		return Fault{}, b.dead
	}
	c.N = len(b.calls)
	b.calls = append(b.calls, c)
	f := b.decide(c)
	if f.Late != nil && c.Op.Writes() {
		b.late = append(b.late, func() { _ = do(context.Background()) }) // whoever asked has gone
	}
	if f.Kill {
		b.dead = f.Before
		if b.dead == nil {
			b.dead = f.After
		}
	}
	return f, nil
}

// spoil returns body with the fault's bit wrong.
func (f Fault) spoil(body []byte) []byte {
	if at := f.Flip - 1; at >= 0 && at/8 < int64(len(body)) {
		body[at/8] ^= 1 << (at % 8)
	}
	return body
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (body []byte, v objstore.Version, err error) {
	f, err := b.call(ctx, Call{Op: Get, Key: key}, func(ctx context.Context) (err error) {
		body, v, err = b.under.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return f.spoil(body), v, nil
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) (body []byte, err error) {
	f, err := b.call(ctx, Call{Op: GetRange, Key: key, Offset: off, Bytes: n}, func(ctx context.Context) (err error) {
		body, err = b.under.GetRange(ctx, key, off, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	if f.Short > 0 {
		return nil, fmt.Errorf("read %s at %d: %d bytes of %d: %w", key, off, max(0, n-f.Short), n, io.ErrUnexpectedEOF)
	}
	return f.spoil(body), nil
}

// Put implements objstore.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	body = append([]byte(nil), body...) // a late effect must not see what the caller does with its buffer
	_, err := b.call(ctx, Call{Op: Put, Key: key, Bytes: int64(len(body))}, func(ctx context.Context) error { return b.under.Put(ctx, key, body) })
	return err
}

// PutIf implements objstore.Bucket.
func (b *Bucket) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	body = append([]byte(nil), body...)
	var v objstore.Version
	_, err := b.call(ctx, Call{Op: PutIf, Key: key, Bytes: int64(len(body))}, func(ctx context.Context) error {
		got, err := b.under.PutIf(ctx, key, body, expected)
		v = got
		return err
	})
	if err != nil {
		return "", err
	}
	return v, nil
}

// List implements objstore.Bucket. It fails before its first object or not at all.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		if _, err := b.call(ctx, Call{Op: List, Key: prefix}, func(context.Context) error { return nil }); err != nil {
			yield(objstore.Object{}, err)
			return
		}
		for o, err := range b.under.List(ctx, prefix) {
			if !yield(o, err) {
				return
			}
		}
	}
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.call(ctx, Call{Op: Delete, Key: key}, func(ctx context.Context) error { return b.under.Delete(ctx, key) })
	return err
}

// Limits implements objstore.Bucket.
func (b *Bucket) Limits() objstore.Limits { return b.under.Limits() }

// Close implements objstore.Bucket.
func (b *Bucket) Close() error { return b.under.Close() }
