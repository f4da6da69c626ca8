package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page = 4096

// store is a bucket of objects that tests know, and what is asked of it.
type store struct {
	*fault.Bucket
	objects map[string][]byte
}

func newStore(t *testing.T, decide func(fault.Call) fault.Fault, sizes ...int) *store {
	t.Helper()
	s := &store{objects: map[string][]byte{}}
	under := mem.New()
	r := rand.New(rand.NewPCG(7, 7))
	for i, n := range sizes {
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		key := fmt.Sprintf("packs/%d", i)
		s.objects[key] = b
		if err := under.Put(t.Context(), key, b); err != nil {
			t.Fatal(err)
		}
	}
	s.Bucket = fault.Wrap(under, decide)
	return s
}

func (s *store) check(t *testing.T, ranges []Range, got [][]byte) {
	t.Helper()
	for i, r := range ranges {
		if want := s.objects[r.Object][r.Off:r.end()]; !bytes.Equal(got[i], want) {
			t.Fatalf("range %d, %+v: %d bytes that are others than %d", i, r, len(got[i]), len(want))
		}
	}
}

func newCache(t *testing.T, pages int64) *diskcache.Cache {
	t.Helper()
	c, err := diskcache.Open(t.TempDir(), diskcache.Options{Bytes: 4096 + pages*(page+64), Bucket: "b", PageSize: page})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fetcher makes one that is closed at the end of the test.
func fetcher(t *testing.T, b objstore.Bucket, o Options) *Fetcher {
	f := New(b, o)
	t.Cleanup(f.Close)
	return f
}

// settled waits until nothing is on its way to the disk.
func settled(t *testing.T, f *Fetcher) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		n := len(f.flights)
		f.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatal("flights do not land")
		}
	}
}

// Whatever is asked for, by whomever, of a bucket that fails at times: an answer is what the object holds, an error is the bucket's. A disk that
// is too small or fails changes nothing.
func TestEqualsPlainReads(t *testing.T) {
	broken := errors.New("broken by the test")
	for _, withCache := range []bool{false, true} {
		t.Run(fmt.Sprintf("cache=%v", withCache), func(t *testing.T) {
			var mu sync.Mutex
			r := rand.New(rand.NewPCG(3, 4))
			s := newStore(t, func(c fault.Call) (f fault.Fault) {
				mu.Lock()
				defer mu.Unlock()
				switch r.IntN(20) {
				case 0:
					f.Before = broken
				case 1:
					f.Short = 1 + r.Int64N(3)
				}
				return f
			}, 100, page, 3*page+7, 20*page, 50*page+1)
			o := Options{Gap: 2 * page, InFlight: 3, Bytes: 20 * page}
			if withCache {
				o.Cache = newCache(t, 30)
			}
			f := fetcher(t, s, o)
			var wg sync.WaitGroup
			var answers, errs int64
			for g := range 8 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(g), 5))
					for range 150 {
						ranges := s.random(r)
						read := f.Fetch
						if r.IntN(4) == 0 {
							read = f.Scan
						}
						got, err := read(t.Context(), ranges)
						mu.Lock()
						if err == nil {
							answers++
						} else if errs++; !errors.Is(err, broken) && !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("an error that is not the bucket's: %v", err)
						}
						mu.Unlock()
						if err == nil {
							s.check(t, ranges, got)
						}
						if g == 0 && r.IntN(10) == 0 && len(ranges) > 0 {
							f.Forget(ranges[0])
						}
					}
				})
			}
			wg.Wait()
			if st := f.Stats(); answers == 0 || errs == 0 || st.Failed == 0 || st.InFlight != 0 || withCache && (st.Hits == 0 || st.Evicted == 0 || st.Corrupt != 0) {
				t.Errorf("%d answers, %d errors, %+v", answers, errs, st)
			}
		})
	}
}

// random returns some ranges, half of them of objects whose size is told.
func (s *store) random(r *rand.Rand) (ranges []Range) {
	for range r.IntN(6) {
		key := fmt.Sprintf("packs/%d", r.IntN(len(s.objects)))
		size := int64(len(s.objects[key]))
		x := Range{Object: key, Off: r.Int64N(size)}
		x.N = r.Int64N(min(size-x.Off, 5*page) + 1)
		if r.IntN(2) == 0 {
			x.Size = size
		}
		ranges = append(ranges, x)
	}
	return ranges
}

func TestPagesComeFromDisk(t *testing.T) {
	s := newStore(t, nil, 20*page)
	f := fetcher(t, s, Options{Cache: newCache(t, 40), Gap: -1})
	ranges := []Range{{"packs/0", 100, 50, 20 * page}, {"packs/0", 7*page - 10, 20, 20 * page}}
	for range 3 {
		got, err := f.Fetch(t.Context(), ranges)
		if err != nil {
			t.Fatal(err)
		}
		s.check(t, ranges, got)
		settled(t, f)
	}
	if st := f.Stats(); st.Gets != 2 || st.BytesFetched != 3*page || st.BytesAsked != 3*70 || st.Hits != 6 || st.Misses != 3 || st.Put != 3 {
		t.Errorf("%+v of %v", st, s.Calls())
	}
	if _, err := f.Scan(t.Context(), []Range{{"packs/0", 15 * page, page, 0}}); err != nil {
		t.Fatal(err)
	}
	settled(t, f)
	if st := f.Stats(); st.Put != 3 {
		t.Errorf("a scan has put pages: %+v", st)
	}
	f.Forget(ranges...)
	if _, err := f.Fetch(t.Context(), ranges[:1]); err != nil || f.Stats().Gets != 4 {
		t.Errorf("what was forgotten is not fetched again: %+v, %v", f.Stats(), err)
	}
	settled(t, f)
	if !f.ForgetAll() || f.ForgetAll() || f.Stats().Pages != 0 {
		t.Errorf("all was forgotten: %+v", f.Stats())
	}
}

// Of callers that miss the same at the same time, one asks.
func TestOneAsksForAll(t *testing.T) {
	for _, withCache := range []bool{false, true} {
		hold := make(chan struct{})
		s := newStore(t, func(fault.Call) fault.Fault { return fault.Fault{Wait: hold} }, 20*page)
		o := Options{}
		if withCache {
			o.Cache = newCache(t, 40)
		}
		f := fetcher(t, s, o)
		ranges := []Range{{"packs/0", 3 * page, 5000, 20 * page}}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				got, err := f.Fetch(t.Context(), ranges)
				if err != nil {
					t.Error(err)
					return
				}
				s.check(t, ranges, got)
			})
		}
		waitFor(t, func() bool { return f.Stats().Shared >= 9 })
		close(hold)
		wg.Wait()
		if n := len(s.Calls()); n != 1 {
			t.Errorf("cache=%v: %d GETs", withCache, n)
		}
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not come to that")
		}
	}
}

// A caller that goes away takes its GETs with it, unless somebody else waits for them.
func TestCancelled(t *testing.T) {
	hold := make(chan struct{})
	s := newStore(t, func(fault.Call) fault.Fault { return fault.Fault{Wait: hold} }, 20*page)
	f := fetcher(t, s, Options{Cache: newCache(t, 40), Gap: -1})
	ctx, cancel := context.WithCancel(t.Context())
	shared, alone := Range{"packs/0", 0, 10, 20 * page}, Range{"packs/0", 9 * page, 10, 20 * page}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := f.Fetch(ctx, []Range{shared, alone}); first <- err }()
	waitFor(t, func() bool { return f.Stats().InFlight == 2 })
	go func() {
		got, err := f.Fetch(t.Context(), []Range{shared})
		if err == nil {
			s.check(t, []Range{shared}, got)
		}
		second <- err
	}()
	waitFor(t, func() bool { return f.Stats().Shared == 1 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first ends with %v", err)
	}
	waitFor(t, func() bool { return f.Stats().InFlight == 1 })
	close(hold)
	if err := <-second; err != nil {
		t.Errorf("the second ends with %v", err)
	}
	if st := f.Stats(); st.Gets != 2 || st.Failed != 1 {
		t.Errorf("%+v", st)
	}
	if _, err := f.Fetch(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call with a context that has ended: %v", err)
	}
}

func TestErrors(t *testing.T) {
	s := newStore(t, nil, 100)
	for _, c := range []*diskcache.Cache{nil, newCache(t, 40)} {
		f := New(s, Options{Cache: c})
		_, err := f.Fetch(t.Context(), []Range{{"packs/0", 0, 10, 0}, {"packs/gone", 0, 10, 0}})
		if !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("an object that is not there: %v", err)
		}
		if _, err := f.Fetch(t.Context(), []Range{{"packs/0", 90, 20, 0}}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a range beyond the end: %v", err)
		}
		for _, bad := range []Range{{"packs/0", -1, 5, 0}, {"packs/0", 1, -5, 0}, {"packs/0", 1 << 62, 1 << 62, 0}} {
			if _, err := f.Fetch(t.Context(), []Range{bad}); err == nil {
				t.Errorf("%+v is no range", bad)
			}
		}
		got, err := f.Fetch(t.Context(), []Range{{"packs/gone", 5, 0, 0}})
		if err != nil || got[0] == nil || len(got[0]) != 0 {
			t.Errorf("an empty range: %v, %v", got, err)
		}
		f.Close()
		if _, err := f.Fetch(t.Context(), []Range{{"packs/0", 50, 10, 0}}); !errors.Is(err, errClosed) {
			t.Errorf("a closed fetcher: %v", err)
		}
	}
}

// An object of which more than half has been missed within a while is brought to the disk whole, once.
func TestDenseObjects(t *testing.T) {
	clk := newClock()
	s := newStore(t, nil, 16*page, 16*page)
	f := fetcher(t, s, Options{Cache: newCache(t, 100), Gap: -1, Clock: clk})
	read := func(object string, n int64, size int64) {
		t.Helper()
		r := []Range{{object, n * page, 10, size}}
		got, err := f.Fetch(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		s.check(t, r, got)
		settled(t, f)
	}
	for i := range int64(8) {
		read("packs/0", 2*i, 16*page)
		read("packs/1", 2*i, 0) // of unknown size
		clk.advance(time.Second)
	}
	if st := f.Stats(); st.Whole != 0 || st.Gets != 16 {
		t.Fatalf("half of the pages are no reason: %+v", st)
	}
	read("packs/0", 1, 16*page)
	read("packs/1", 1, 0)
	if st := f.Stats(); st.Whole != 1 || st.Pages != 16+9 || st.Gets != 18 {
		t.Errorf("after more than half: %+v", st)
	}
	gets := f.Stats().Gets
	for i := range int64(16) {
		read("packs/0", i, 16*page)
	}
	if got := f.Stats().Gets; got != gets {
		t.Errorf("%d more GETs of an object that is on the disk", got-gets)
	}
	f.ForgetAll()
	for i := range int64(9) {
		read("packs/0", i, 16*page)
		clk.advance(2 * time.Second)
	}
	if st := f.Stats(); st.Whole != 1 {
		t.Errorf("pages missed over a long time made an object dense: %+v", st)
	}
}

// However many ask, no more GETs and bytes are in flight than the budget allows.
func TestBudget(t *testing.T) {
	var mu sync.Mutex
	var now, most, bytesNow, bytesMost int64
	s := newStore(t, nil, 400*page)
	b := &watched{store: s, during: func(n, d int64) {
		mu.Lock()
		defer mu.Unlock()
		now, bytesNow = now+d, bytesNow+d*n
		most, bytesMost = max(most, now), max(bytesMost, bytesNow)
	}}
	f := fetcher(t, b, Options{InFlight: 3, Bytes: 10 * page, Gap: -1})
	var wg sync.WaitGroup
	for g := range int64(8) {
		wg.Go(func() {
			var ranges []Range
			for i := range int64(12) {
				ranges = append(ranges, Range{Object: "packs/0", Off: (g*12+i)*4*page + g, N: (1 + i%3) * page})
			}
			got, err := f.Fetch(t.Context(), ranges)
			if err != nil {
				t.Error(err)
				return
			}
			s.check(t, ranges, got)
		})
	}
	wg.Wait()
	if most > 3 || bytesMost > 10*page || most < 2 {
		t.Errorf("%d GETs and %d bytes at a time", most, bytesMost)
	}
	if st := f.Stats(); st.Gets != 96 || st.Waits == 0 {
		t.Errorf("%+v", st)
	}
	if _, err := f.Fetch(t.Context(), []Range{{"packs/0", 0, 200 * page, 0}}); err != nil {
		t.Errorf("a GET of more than the budget: %v", err)
	}
}

// watched tells of GETs that are in flight.
type watched struct {
	*store
	during func(bytes, change int64)
}

func (w *watched) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	w.during(n, 1)
	defer w.during(n, -1)
	time.Sleep(time.Millisecond)
	return w.store.GetRange(ctx, key, off, n)
}

// GETs of one second are held to the budget, in the clock's time.
func TestRate(t *testing.T) {
	clk := newClock()
	began := clk.Now()
	s := newStore(t, nil, 100*page)
	f := fetcher(t, s, Options{PerSecond: 10, InFlight: 4, Clock: clk, Gap: -1})
	for i := range int64(34) {
		if _, err := f.Fetch(t.Context(), []Range{{"packs/0", 2 * i * page, 10, 0}}); err != nil {
			t.Fatal(err)
		}
	}
	if took := clk.Now().Sub(began); took < 2999*time.Millisecond || took > 3001*time.Millisecond {
		t.Errorf("34 GETs at 10 a second, the first 4 at once, take %v", took)
	}
	if st := f.Stats(); st.Throttled != 30 {
		t.Errorf("%+v", st)
	}
}

// manual is a clock that goes on when somebody sleeps.
type manual struct {
	clock.Clock
	mu  sync.Mutex
	now time.Time
}

func newClock() *manual { return &manual{now: time.Unix(1000, 0)} }

func (m *manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *manual) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

func (m *manual) Sleep(_ context.Context, d time.Duration) error {
	m.advance(d)
	return nil
}

// A disk that is too slow costs pages on the disk, and neither memory nor time of callers.
func TestSlowDisk(t *testing.T) {
	s := newStore(t, nil, 200*page)
	hold := make(chan struct{})
	c, err := diskcache.Open(t.TempDir(), diskcache.Options{Bytes: 1 << 20, Bucket: "b", PageSize: page, OpenFile: slowFile(hold)})
	if err != nil {
		t.Fatal(err)
	}
	f := New(s, Options{Cache: c, Gap: -1, Bytes: 40 * page})
	for i := range int64(100) {
		if _, err := f.Fetch(t.Context(), []Range{{"packs/0", 2 * i * page, 10, 200 * page}}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return f.Stats().InFlight == 0 })
	f.mu.Lock()
	queued := f.queued
	f.mu.Unlock()
	if st := f.Stats(); queued > 10*page || st.Dropped == 0 || st.Put != 0 {
		t.Errorf("%d bytes are queued, %+v", queued, st)
	}
	close(hold)
	f.Close()
	if st := f.Stats(); st.Put == 0 {
		t.Errorf("what was queued has not come to the disk: %+v", st)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
