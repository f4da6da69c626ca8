package objstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Version names one content of one object, as the store tells it (an ETag, a generation, a hash). The zero Version means absent.
type Version string

// Absent is the version of an object that does not exist: PutIf with it creates.
const Absent Version = ""

// The errors of a Bucket; test with errors.Is. Any other error is a failure of unknown effect for Put and PutIf (treat it as ErrAmbiguous)
// and a plain failure for reads.
var (
	ErrNotFound     = errors.New("object not found")
	ErrPrecondition = errors.New("precondition failed: the object is not at the expected version") // had no effect
	ErrConflict     = errors.New("conflict with a concurrent request")                             // had no effect; retry
	ErrAmbiguous    = errors.New("effect unknown")                                                 // read back before going on
)

// Object is an entry of a listing.
type Object struct {
	Key  string
	Size int64
}

// Bucket is an object store, as far as Sabot needs one. Keys are slash-separated, relative, without empty, "." or ".." elements; no key is
// the folder of another, which a file system could not hold. All methods may be called from any goroutine. Implementations do not retry conditional writes.
type Bucket interface {
	// Get returns an object and its version.
	Get(ctx context.Context, key string) ([]byte, Version, error)
	// GetRange returns exactly n bytes from off on; fewer is an error (io.ErrUnexpectedEOF).
	GetRange(ctx context.Context, key string, off, n int64) ([]byte, error)
	// Put writes an object whole, durably before it returns. Body is not kept.
	Put(ctx context.Context, key string, body []byte) error
	// PutIf writes an object whole if it is at the expected version (Absent: does not exist), and returns the new version.
	PutIf(ctx context.Context, key string, body []byte, expected Version) (Version, error)
	// List yields the objects whose keys start with prefix, in order of key. A key that comes or goes meanwhile may be seen or not.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes an object, without any condition. A missing one is no error.
	Delete(ctx context.Context, key string) error
	// Limits describes the store.
	Limits() Limits
	Close() error
}

// Limits are what a store asks of its callers.
type Limits struct {
	CASInterval time.Duration // shortest interval between conditional writes of one object; 0: none
	Private     bool          // no other process can reach the bucket
	Remote      bool          // a request is a round trip over a network: reading what lies between two ranges, and caching on disk, cost less than asking twice
}

// Locker is implemented by buckets that can tell whether the process that leads a job is alive (the file bucket). Package lease does it on the
// others.
type Locker interface {
	// Lead makes this process the leader of the job under prefix. It returns at once when nobody leads. When another live process does,
	// it returns a *HeldError. When that process holds the lock but has not touched it for lease (it is stopped), Lead takes over, and so it
	// does with force. Lost is closed when somebody else has taken over from us.
	Lead(ctx context.Context, prefix string, lease time.Duration, force bool) (Leadership, error)
}

// LockerOf returns the Locker that b is, or that it wraps; nil when there is none.
func LockerOf(b Bucket) Locker { return as[Locker](b) }

// Opener is implemented by buckets whose objects can be opened for many small reads, each of which then costs much less than a GetRange (the file
// bucket). The object must be one that is never replaced.
type Opener interface {
	OpenObject(ctx context.Context, key string) (ObjectReader, error)
}

// ObjectReader reads an object that is open. Any goroutine may read; it is closed once.
type ObjectReader interface {
	io.ReaderAt
	io.Closer
}

// OpenerOf returns the Opener that b is, or that it wraps; nil when there is none.
func OpenerOf(b Bucket) Opener { return as[Opener](b) }

// as returns what b implements besides, or what it wraps does; the zero value when nothing does.
func as[T any](b Bucket) (none T) {
	for {
		if x, ok := b.(T); ok {
			return x
		}
		w, ok := b.(interface{ Unwrap() Bucket })
		if !ok {
			return none
		}
		b = w.Unwrap()
	}
}

// Leadership is held until Release.
type Leadership interface {
	Lost() <-chan struct{}
	Release() error
}

// HeldError says who leads.
type HeldError struct {
	Owner string        // e.g. "pid 4711 on host alpha"
	Since time.Time     // when it began
	Seen  time.Duration // ago that it last showed life
}

func (e *HeldError) Error() string {
	return "the job is being run by " + e.Owner + ", since " + e.Since.UTC().Format(time.RFC3339)
}
