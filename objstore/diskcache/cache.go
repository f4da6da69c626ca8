package diskcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
)

// DefaultPageSize is the size of a page where Options have none.
const DefaultPageSize = 64 << 10

// Overhead is about how many bytes of memory a page costs.
const Overhead = 100

// noRoomFor is how long a cache does not grow after the disk was full.
const noRoomFor = time.Minute

// Options of a cache. Bytes and Bucket are required.
type Options struct {
	Bytes    int64       // most that index and pages take on the disk, for this process
	Bucket   string      // names the bucket: pages of another one are never seen
	PageSize int         // bytes, a multiple of 4096; DefaultPageSize when 0
	Clock    clock.Clock // nil: the wall clock
	// OpenFile opens a file of the cache for reading and writing and creates it if need be. Nil: os.OpenFile. Tests fail with it.
	OpenFile func(path string) (File, error)
}

// File is what the cache needs of a file.
type File interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Close() error
}

// Stats count what a cache has done since it was opened.
type Stats struct {
	Hits, Misses  int64 // of Get
	Corrupt       int64 // of the misses: pages that could not be read, or were not what had been put
	Puts, Evicted int64 // pages
	Failed        int64 // puts that the disk did not take, or for which all slots were in use
	Pages         int64 // held now
	Found         int64 // pages that were there when it was opened
	Opening       time.Duration
}

// Cache is pages on a disk. Its methods may be called from any goroutine.
type Cache struct {
	opt    Options
	folder *folder
	index  File
	pages  File

	mu       sync.RWMutex
	slots    slots
	noRoom   time.Time // until then it does not grow
	cleared  int       // how often
	closed   bool
	inFlight sync.WaitGroup // calls that use the files

	hits, misses, corrupt, puts, evicted, failed atomic.Int64
	found                                        int64
	opening                                      time.Duration
}

// Open opens the cache under dir. It takes a folder that no other process uses, with what an earlier one has left there, and holds it until Close
// or the end of the process. Errors say why the disk cannot hold a cache at all.
func Open(dir string, o Options) (*Cache, error) {
	if o.PageSize == 0 {
		o.PageSize = DefaultPageSize
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.OpenFile == nil {
		o.OpenFile = func(path string) (File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
	}
	fits := (o.Bytes - superSize) / int64(o.PageSize+headerSize)
	switch {
	case o.PageSize < 4096 || o.PageSize%4096 != 0 || o.PageSize > 1<<30:
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open disk cache %s: pages of %d bytes; they are a multiple of 4096", dir, o.PageSize))
	case fits < 1 || fits > 1<<31:
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("open disk cache %s: %d bytes; they must hold at least one page of %d, and at most %d",
			dir, o.Bytes, o.PageSize, int64(1<<31)))
	}
	began := o.Clock.Now()
	sweep(dir, began)
	f, err := claim(dir, o.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open disk cache %s: %w", dir, err)
	}
	c := &Cache{opt: o, folder: f, slots: slots{all: make([]slot, fits), index: map[pageID]uint32{}, free: int(fits) - 1, hand: int(fits) - 1}}
	if err := c.load(began); err != nil {
		return nil, errors.Join(fmt.Errorf("open disk cache %s: %w", f.path, err), f.lock.Close())
	}
	c.found, c.opening = int64(c.slots.used), o.Clock.Now().Sub(began)
	return c, nil
}

// load opens the files and takes note of the pages that are there. It makes them fit the budget.
func (c *Cache) load(now time.Time) (err error) {
	if c.index, err = c.opt.OpenFile(filepath.Join(c.folder.path, "index")); err != nil {
		return err
	}
	if c.pages, err = c.opt.OpenFile(filepath.Join(c.folder.path, "pages")); err != nil {
		return errors.Join(err, c.index.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.index.Close(), c.pages.Close())
		}
	}()
	if err := os.Chtimes(c.folder.lock.Name(), now, now); err != nil {
		return err
	}
	size, err := c.fit(c.pages, int64(len(c.slots.all))*int64(c.opt.PageSize))
	if err != nil {
		return err
	}
	held := size
	c.slots.high = int(held / int64(c.opt.PageSize))
	size, err = c.fit(c.index, superSize+headerSize*int64(len(c.slots.all)))
	if err != nil {
		return err
	}
	index := make([]byte, size)
	if n, _ := c.index.ReadAt(index, 0); int64(n) < size || !readable(index, c.opt.Bucket, c.opt.PageSize) {
		return c.begin() // also when it cannot be read

	}
	most := min(len(c.slots.all), int(size-superSize)/headerSize)
	c.slots.index = make(map[pageID]uint32, most)
	for i := range most {
		h, ok := decodeHeader(index[superSize+i*headerSize:][:headerSize], c.opt.PageSize)
		if !ok || int64(i)*int64(c.opt.PageSize)+int64(h.n) > held {
			continue
		}
		if was, twice := c.slots.find(h.id()); twice {
			if c.slots.all[was].n >= h.n {
				continue
			}
			c.slots.drop(was)
		}
		c.slots.fill(i, &h)
	}
	return nil
}

// fit cuts a file down to its most, and returns its size.
func (c *Cache) fit(f File, most int64) (int64, error) {
	st, err := f.Stat()
	if err != nil || st.Size() <= most {
		return max(0, sizeOf(st)), err
	}
	return most, f.Truncate(most)
}

func sizeOf(st os.FileInfo) int64 {
	if st == nil {
		return 0
	}
	return st.Size()
}

// begin begins an index without pages.
func (c *Cache) begin() error {
	if err := c.index.Truncate(0); err != nil {
		return err
	}
	if _, err := c.index.WriteAt(super(c.opt.Bucket, c.opt.PageSize), 0); err != nil {
		c.noRoom = c.opt.Clock.Now().Add(noRoomFor) // pages are kept for as long as the process lives
	}
	return nil
}

// PageSize returns the bytes of a whole page.
func (c *Cache) PageSize() int { return c.opt.PageSize }

// Bytes returns the most that the cache takes on the disk.
func (c *Cache) Bytes() int64 { return c.opt.Bytes }

// Dir returns the folder that this process has.
func (c *Cache) Dir() string { return c.folder.path }

// Has tells whether there seems to be at least n bytes of a page.
func (c *Cache) Has(key string, page int64, n int) bool {
	h := header{key: xxh3.HashString128(key), page: uint64(page)}
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.slots.find(h.id())
	return ok && int(c.slots.all[i].n) >= n && !c.closed
}

// Get reads what there is of a page into dst, which must have room for that, and returns how many bytes it is. Without ok dst may have been
// written to.
func (c *Cache) Get(key string, page int64, dst []byte) (n int, ok bool) {
	h := header{key: xxh3.HashString128(key), page: uint64(page)}
	id := h.id()
	c.mu.RLock()
	i, ok := c.slots.find(id)
	if !ok || int(c.slots.all[i].n) > len(dst) || c.closed {
		c.mu.RUnlock()
		c.misses.Add(1)
		return 0, false
	}
	s := &c.slots.all[i]
	s.pins.Add(1)
	if !s.hit.Load() {
		s.hit.Store(true)
	}
	h.n, h.crc = s.n, s.crc
	c.inFlight.Add(1)
	c.mu.RUnlock()

	got, _ := c.pages.ReadAt(dst[:h.n], int64(i)*int64(c.opt.PageSize)) // what an error means is that bytes are missing
	whole := got == int(h.n) && h.checksum(dst[:h.n]) == h.crc
	c.inFlight.Done()
	if !whole {
		c.spoiled(i, id)
		return 0, false
	}
	s.pins.Add(-1)
	c.hits.Add(1)
	return int(h.n), true
}

// spoiled forgets a page that the caller has pinned and that is not what was put.
func (c *Cache) spoiled(i int, id pageID) {
	c.corrupt.Add(1)
	c.misses.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := &c.slots.all[i]; s.id == id { // not, when somebody else was faster and it is on its way to another page
		c.slots.drop(i)
	}
	c.slots.all[i].pins.Add(-1)
}

// Put keeps a page, or the beginning of one, if it can. Data is not kept, and neither empty nor longer than a page.
func (c *Cache) Put(key string, page int64, data []byte) {
	h := header{key: xxh3.HashString128(key), page: uint64(page), n: uint32(len(data))}
	i, cleared := c.reserve(&h)
	if i < 0 {
		return
	}
	defer c.inFlight.Done()
	h.crc = h.checksum(data)
	var enc [headerSize]byte
	h.encode(&enc)
	_, err := c.pages.WriteAt(data, int64(i)*int64(c.opt.PageSize))
	if err == nil {
		_, err = c.index.WriteAt(enc[:], superSize+int64(i)*headerSize)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots.all[i].pins.Add(-1)
	if err != nil {
		c.failed.Add(1)
		c.noRoom = c.opt.Clock.Now().Add(noRoomFor)
		return
	}
	if was, ok := c.slots.find(h.id()); ok { // put by somebody else meanwhile, or a shorter beginning of it
		if c.slots.all[was].n >= h.n {
			return
		}
		c.slots.drop(was)
	}
	if c.cleared != cleared {
		_, _ = c.index.WriteAt(make([]byte, headerSize), superSize+int64(i)*headerSize) // what has been cleared does not come again
		return
	}
	c.slots.fill(i, &h)
	c.puts.Add(1)
}

// reserve pins a slot for a page; -1: it is there already, or cannot be kept. The caller tells inFlight when it is done.
func (c *Cache) reserve(h *header) (i, cleared int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.n == 0 || int(h.n) > c.opt.PageSize || c.closed {
		return -1, 0
	}
	if was, ok := c.slots.find(h.id()); ok && c.slots.all[was].n >= h.n {
		return -1, 0
	}
	i, evicted := c.slots.take(c.noRoom.IsZero() || !c.opt.Clock.Now().Before(c.noRoom))
	if i < 0 {
		c.failed.Add(1)
		return -1, 0
	}
	if evicted {
		c.evicted.Add(1)
	}
	c.inFlight.Add(1)
	return i, c.cleared
}

// Drop forgets a page.
func (c *Cache) Drop(key string, page int64) {
	h := header{key: xxh3.HashString128(key), page: uint64(page)}
	c.mu.Lock()
	i, ok := c.slots.find(h.id())
	if ok {
		c.slots.drop(i)
		c.inFlight.Add(1)
	}
	c.mu.Unlock()
	if ok {
		c.erase(i)
	}
}

// erase makes the next start find no page in slot i, unless that has another by now.
func (c *Cache) erase(i int) {
	defer c.inFlight.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := &c.slots.all[i]; !s.used && s.pins.Load() == 0 {
		if _, err := c.index.WriteAt(make([]byte, headerSize), superSize+int64(i)*headerSize); err != nil {
			c.failed.Add(1)
		}
	}
}

// Clear forgets all pages, and returns how many there were.
func (c *Cache) Clear() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.slots.used
	if c.closed {
		return 0
	}
	for i := range c.slots.all {
		c.slots.drop(i)
	}
	c.cleared++
	if err := c.begin(); err != nil {
		c.failed.Add(1)
	}
	return n
}

// Stats returns what the cache has done.
func (c *Cache) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), Corrupt: c.corrupt.Load(), Puts: c.puts.Load(), Evicted: c.evicted.Load(),
		Failed: c.failed.Load(), Pages: int64(c.slots.used), Found: c.found, Opening: c.opening}
}

// Close gives the folder back. What is in it stays for the next process.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.inFlight.Wait()
	return errors.Join(c.index.Close(), c.pages.Close(), c.folder.lock.Close())
}
