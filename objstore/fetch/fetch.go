package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/diskcache"
)

// Defaults of Options.
const (
	remoteGap  = 512 << 10
	localGap   = 16 << 10
	remoteMost = 8 << 20  // of a GET: several of them fill a network better than one
	localMost  = 64 << 20 // there is nothing to win by more of them
)

// Options of a Fetcher. The zero value has no disk cache, and fits the bucket by its Limits.
type Options struct {
	Cache     *diskcache.Cache // nil: none. The caller closes it after the fetcher
	Gap       int64            // bytes between two ranges that are read along; 512 KiB on a remote bucket, 16 KiB elsewhere, when 0; below 0: none
	InFlight  int              // GETs at a time; 16 when 0
	PerSecond float64          // GETs a second; 0: no limit
	Bytes     int64            // of GETs in flight; 64 MiB when 0. The queue to the disk takes a quarter of it more
	Whole     int64            // bytes of the largest object that is fetched whole; 64 MiB when 0, and never more than a quarter of the cache; below 0: none is
	Clock     clock.Clock      // nil: the wall clock
}

// Stats count what a Fetcher has done. Pages are those of the disk cache.
type Stats struct {
	Gets, Failed              int64 // GETs; Failed of them ended with an error
	BytesFetched, BytesAsked  int64 // that came from the bucket; that callers asked for
	Hits, Misses, Corrupt     int64 // pages; the corrupt ones are among the misses
	Shared                    int64 // times that a caller found what it missed on its way already
	Whole                     int64 // objects that were fetched whole
	Waits, Throttled          int64 // GETs that waited for others to end; for the budget per second
	Dropped                   int64 // bytes that did not go to the disk because it was too slow
	Put, Evicted, WriteFailed int64 // pages
	InFlight                  int64 // GETs now
	Pages                     int64 // on the disk now
}

// Fetcher reads ranges of the objects of a bucket. Its methods may be called from any goroutine.
type Fetcher struct {
	bucket  objstore.Bucket
	cache   *diskcache.Cache // nil: none
	rules   planning
	whole   int64
	budget  *budget
	scratch sync.Pool // of *[]byte, each a page

	mu         sync.Mutex
	flights    map[unit]*flight
	density    density
	queue      []*flight // on their way to the disk
	queued     int64     // bytes of them
	queueMost  int64
	more       *sync.Cond // something came into the queue, or the fetcher was closed
	closed     bool
	goroutines sync.WaitGroup

	gets, failed, fetched, asked, shared, wholes, dropped atomic.Int64
}

// New returns a fetcher. It must be closed, before its bucket and its cache.
func New(b objstore.Bucket, o Options) *Fetcher {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	gap, most := int64(localGap), int64(localMost)
	if b.Limits().Remote {
		gap, most = remoteGap, remoteMost
	}
	if o.Gap != 0 {
		gap = max(0, o.Gap)
	}
	if o.InFlight <= 0 {
		o.InFlight = 16
	}
	if o.Bytes <= 0 {
		o.Bytes = 64 << 20
	}
	if o.Whole == 0 {
		o.Whole = 64 << 20
	}
	f := &Fetcher{bucket: b, cache: o.Cache, rules: planning{gap: gap, most: most}, budget: newBudget(o.InFlight, o.Bytes, o.PerSecond, o.Clock),
		flights: map[unit]*flight{}, density: density{clock: o.Clock, objects: map[string]*misses{}}, queueMost: o.Bytes / 4}
	f.more = sync.NewCond(&f.mu)
	if f.cache != nil {
		f.rules.page = int64(f.cache.PageSize())
		f.rules.most = max(1, f.rules.most/f.rules.page) * f.rules.page
		f.whole = min(o.Whole, f.cache.Bytes()/4)
		f.scratch.New = func() any { b := make([]byte, f.rules.page); return &b }
		f.goroutines.Go(f.putAll)
	}
	return f
}

// errClosed is what calls of a closed fetcher return.
var errClosed = errors.New("the fetcher is closed")

// Error is a range that could not be read.
type Error struct {
	Range
	Err error // of the bucket, as that gave it
}

func (e *Error) Error() string { return fmt.Sprintf("read %s at %d: %v", e.Object, e.Off, e.Err) }

// Unwrap returns the bucket's error.
func (e *Error) Unwrap() error { return e.Err }

// Fetch returns the bytes of each range: exactly as many as it has, or an *Error. An empty range costs no request,
// whether its object is there or not. The results may share memory: they are for reading only.
func (f *Fetcher) Fetch(ctx context.Context, ranges []Range) ([][]byte, error) {
	return f.fetch(ctx, ranges, true)
}

// Scan is Fetch for bytes that will not be asked for again: what comes from the bucket does not go to the disk.
func (f *Fetcher) Scan(ctx context.Context, ranges []Range) ([][]byte, error) {
	return f.fetch(ctx, ranges, false)
}

func (f *Fetcher) fetch(ctx context.Context, ranges []Range, keep bool) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked := int64(0)
	for _, r := range ranges {
		if r.Off < 0 || r.N < 0 || r.Off > math.MaxInt64/2-r.N {
			return nil, sabot.WithKind(sabot.Internal, fmt.Errorf("read %s at %d: a range of %d bytes", r.Object, r.Off, r.N))
		}
		asked += r.N
	}
	f.asked.Add(asked)
	out := make([][]byte, len(ranges))
	missing := f.lookUp(ranges, out)
	if len(missing) == 0 {
		return out, nil
	}
	uses, err := f.board(ctx, missing, out, keep)
	if err != nil {
		return nil, err
	}
	defer f.leave(uses)
	for _, u := range uses {
		if err := u.flight.wait(ctx); err != nil {
			return nil, err
		}
	}
	for _, u := range uses {
		u.copy(ranges, out)
	}
	return out, nil
}

// Forget forgets what is on the disk of some ranges: their bytes have not passed the caller's checksum, and the disk holds what the bucket gave.
func (f *Fetcher) Forget(ranges ...Range) {
	if f.cache == nil {
		return
	}
	for _, r := range ranges {
		for page := r.Off / f.rules.page; page*f.rules.page < r.end(); page++ {
			f.mu.Lock()
			if fl := f.flights[unit{r.Object, page, 0}]; fl != nil {
				f.land(fl)
				fl.void = true
			}
			f.mu.Unlock()
			f.cache.Drop(r.Object, page)
		}
	}
}

// ForgetAll forgets all that is on the disk, and tells whether that was anything.
func (f *Fetcher) ForgetAll() bool {
	if f.cache == nil {
		return false
	}
	f.mu.Lock()
	for _, fl := range f.flights {
		f.land(fl)
		fl.void = true
	}
	f.mu.Unlock()
	return f.cache.Clear() > 0
}

// Stats returns what the fetcher has done.
func (f *Fetcher) Stats() Stats {
	s := Stats{Gets: f.gets.Load(), Failed: f.failed.Load(), BytesFetched: f.fetched.Load(), BytesAsked: f.asked.Load(), Shared: f.shared.Load(),
		Whole: f.wholes.Load(), Dropped: f.dropped.Load(), Waits: f.budget.waited.Load(), Throttled: f.budget.throttled.Load(), InFlight: f.budget.inFlight.Load()}
	if f.cache != nil {
		c := f.cache.Stats()
		s.Hits, s.Misses, s.Corrupt, s.Put, s.Evicted, s.WriteFailed, s.Pages = c.Hits, c.Misses, c.Corrupt, c.Puts, c.Evicted, c.Failed, c.Pages
	}
	return s
}

// Close ends the GETs that are in flight and waits for its goroutines. What has come goes to the disk.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.closed = true
	for _, fl := range f.flights {
		fl.cancel()
	}
	f.more.Broadcast()
	f.mu.Unlock()
	f.goroutines.Wait()
}
