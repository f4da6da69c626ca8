package diskcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
)

const small = 4096

// page is what page n of an object holds: nobody else's bytes.
func page(key string, n int64, size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(key))<<32+uint64(key[len(key)-1])))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func open(t *testing.T, dir string, slots int64, change ...func(*Options)) *Cache {
	t.Helper()
	o := Options{Bytes: superSize + slots*(small+headerSize), Bucket: "b", PageSize: small}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// want looks for a page and returns whether it is there; wrong bytes end the test.
func want(t *testing.T, c *Cache, key string, n int64, size int) bool {
	t.Helper()
	dst := make([]byte, c.PageSize())
	got, ok := c.Get(key, n, dst)
	if ok && !bytes.Equal(dst[:got], page(key, n, size)) {
		t.Fatalf("page %d of %s has wrong bytes", n, key)
	}
	return ok
}

func held(t *testing.T, c *Cache) (n int64) {
	t.Helper()
	for _, name := range []string{"index", "pages"} {
		st, err := os.Stat(filepath.Join(c.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		n += st.Size()
	}
	return n
}

func TestPagesAreKeptWithinTheBudget(t *testing.T) {
	c := open(t, t.TempDir(), 10)
	for i := range int64(100) {
		c.Put("a", i, page("a", i, small))
		if n := held(t, c); n > c.opt.Bytes {
			t.Fatalf("%d bytes on the disk after %d puts, the budget is %d", n, i+1, c.opt.Bytes)
		}
	}
	there := 0
	for i := range int64(100) {
		if want(t, c, "a", i, small) {
			there++
		}
	}
	if s := c.Stats(); there != 10 || s.Pages != 10 || s.Hits != 10 || s.Misses != 90 || s.Puts != 100 || s.Evicted != 90 || s.Corrupt+s.Failed != 0 {
		t.Errorf("%d of 10 pages are there, %+v", there, s)
	}
}

// What is in use stays when something is read once from end to end.
func TestScansDoNotEvictWhatIsUsed(t *testing.T) {
	c := open(t, t.TempDir(), 20)
	for i := range int64(5) {
		c.Put("hot", i, page("hot", i, small))
	}
	for i := range int64(200) {
		for h := range int64(5) {
			if !want(t, c, "hot", h, small) {
				t.Fatalf("page %d was evicted after %d pages of a scan", h, i)
			}
		}
		c.Put("scan", i, page("scan", i, small))
	}
}

func TestBeginningsOfPages(t *testing.T) {
	c := open(t, t.TempDir(), 4)
	whole := page("a", 0, small)
	dst := make([]byte, small)
	for _, put := range []int{100, 50, 300, small, 7} {
		c.Put("a", 0, whole[:put])
	}
	n, ok := c.Get("a", 0, dst)
	if !ok || n != small || !bytes.Equal(dst, whole) {
		t.Errorf("the longest beginning does not stay: %d bytes, %v", n, ok)
	}
	if _, ok := c.Get("a", 0, dst[:small-1]); ok {
		t.Error("a page was read into a buffer that is too short for it")
	}
	if !c.Has("a", 0, small) || c.Has("a", 1, 1) {
		t.Error("Has says what Get does not")
	}
	c.Put("a", 1, nil)
	c.Put("a", 1, make([]byte, small+1))
	if s := c.Stats(); s.Pages != 1 {
		t.Errorf("%d pages are held", s.Pages)
	}
}

func TestRestarts(t *testing.T) {
	dir := t.TempDir()
	fill := func(c *Cache) {
		for i := range int64(8) {
			c.Put("a", i, page("a", i, small-int(i)))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fill(open(t, dir, 8))
	for _, o := range []struct {
		what   string
		change func(*Options)
		found  int64
	}{
		{"as it was", func(*Options) {}, 8},
		{"with a greater budget", func(o *Options) { o.Bytes *= 3 }, 8},
		{"with half of the budget", func(o *Options) { o.Bytes = superSize + 4*(small+headerSize) }, 4},
		{"with another bucket", func(o *Options) { o.Bucket = "other" }, 0},
		{"with other pages", func(o *Options) { o.PageSize = 2 * small; o.Bytes *= 2 }, 0},
	} {
		c := open(t, dir, 8, o.change)
		there := int64(0)
		for i := range int64(8) {
			if want(t, c, "a", i, small-int(i)) {
				there++
			}
		}
		if s := c.Stats(); s.Found != o.found || there != o.found || held(t, c) > c.opt.Bytes {
			t.Errorf("opened %s it finds %d pages and has %d, want %d; %d bytes", o.what, s.Found, there, o.found, held(t, c))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		fill(open(t, dir, 8))
	}
}

// Every process has a folder of its own; that of one that is gone is taken up again.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, 4), open(t, dir, 4)
	a.Put("k", 1, page("k", 1, small))
	b.Put("k", 2, page("k", 2, small))
	if want(t, a, "k", 2, small) || want(t, b, "k", 1, small) {
		t.Error("two caches share a folder")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if want(t, a, "k", 1, small) {
		t.Error("a closed cache has a page")
	}
	a.Put("k", 3, page("k", 3, small))
	if c := open(t, dir, 4); c.Dir() != a.Dir() || !want(t, c, "k", 1, small) {
		t.Errorf("the folder %s of one that has gone is not taken up: %s", a.Dir(), c.Dir())
	}
}

// Folders that nobody has used for a week are emptied, and nothing else is.
func TestForgottenFolders(t *testing.T) {
	dir := t.TempDir()
	old, used := open(t, dir, 4, func(o *Options) { o.Bucket = "old" }), open(t, dir, 4, func(o *Options) { o.Bucket = "used" })
	gone := open(t, dir, 4, func(o *Options) { o.Bucket = "gone" })
	long := time.Now().Add(-8 * 24 * time.Hour)
	for _, c := range []*Cache{old, used, gone} {
		c.Put("a", 0, page("a", 0, small))
	}
	_ = gone.Close()
	for _, c := range []*Cache{old, gone} {
		for _, name := range []string{"lock", "pages"} {
			if err := os.Chtimes(filepath.Join(c.Dir(), name), long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(t, dir, 4)
	if _, err := os.Stat(filepath.Join(gone.Dir(), "pages")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a forgotten folder still has its pages: %v", err)
	}
	for _, c := range []*Cache{old, used} {
		if !want(t, c, "a", 0, small) {
			t.Error("a folder in use was emptied")
		}
		if _, err := os.Stat(filepath.Join(c.Dir(), "pages")); err != nil {
			t.Error(err)
		}
	}
}

// Whatever happens to the files while the cache is open or between two processes, no wrong byte is read.
func TestSpoiledFiles(t *testing.T) {
	damage := map[string]func(f string) error{
		"bits flip":      func(f string) error { return flip(f, 40) },
		"cut to a third": func(f string) error { st, err := os.Stat(f); return errors.Join(err, os.Truncate(f, st.Size()/3)) },
		"emptied":        func(f string) error { return os.Truncate(f, 0) },
		"zeros": func(f string) error {
			st, err := os.Stat(f)
			return errors.Join(err, os.WriteFile(f, make([]byte, st.Size()), 0o600))
		},
		"removed":         os.Remove,
		"the folder goes": func(f string) error { return os.RemoveAll(filepath.Dir(f)) },
		"pages moved":     func(f string) error { return rotate(f) },
	}
	for what, do := range damage {
		for _, file := range []string{"index", "pages"} {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s restart=%v", file, what, restart), func(t *testing.T) {
					dir := t.TempDir()
					c := open(t, dir, 16)
					for i := range int64(16) {
						c.Put("a", i, page("a", i, small))
					}
					if restart {
						_ = c.Close()
					}
					if err := do(filepath.Join(c.Dir(), file)); err != nil {
						t.Fatal(err)
					}
					if restart {
						c = open(t, dir, 16)
					}
					for range 2 {
						for i := range int64(16) {
							if !want(t, c, "a", i, small) {
								c.Put("a", i, page("a", i, small))
							}
						}
					}
					for i := range int64(16) {
						if !want(t, c, "a", i, small) {
							t.Errorf("page %d does not come back", i)
						}
					}
				})
			}
		}
	}
}

func flip(f string, n int) error {
	b, err := os.ReadFile(f)
	if err != nil {
		return err
	}
	for range n {
		b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
	}
	return os.WriteFile(f, b, 0o600)
}

func rotate(f string) error {
	b, err := os.ReadFile(f)
	if err != nil {
		return err
	}
	at := len(b) / 2 / small * small
	return os.WriteFile(f, append(append([]byte{}, b[at:]...), b[:at]...), 0o600)
}

// faulty is a file whose disk may be full, or broken.
type faulty struct {
	File
	full  *bool
	most  int64 // where a full disk ends
	reads *error
}

func (f faulty) WriteAt(b []byte, off int64) (int, error) {
	if *f.full && off+int64(len(b)) > f.most {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}

func (f faulty) ReadAt(b []byte, off int64) (int, error) {
	if *f.reads != nil {
		return 0, *f.reads
	}
	return f.File.ReadAt(b, off)
}

// A full disk costs pages, not reads; the cache goes on with the room that it has, and grows again later.
func TestFullDisk(t *testing.T) {
	full, reads := false, error(nil)
	clk := &frozen{now: time.Unix(1000, 0)}
	c := open(t, t.TempDir(), 16, func(o *Options) {
		o.Clock = clk
		o.OpenFile = func(path string) (File, error) {
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
			return faulty{f, &full, 6 * small, &reads}, err
		}
	})
	put := func(from, to int64) {
		for i := from; i < to; i++ {
			c.Put("a", i, page("a", i, small))
			if want(t, c, "a", i, small); i < 6 && c.Stats().Failed > 0 {
				t.Fatalf("page %d was not put: %+v", i, c.Stats())
			}
		}
	}
	put(0, 6)
	full = true
	put(6, 30)
	if s := c.Stats(); s.Failed != 1 || s.Pages != 6 || !want(t, c, "a", 29, small) {
		t.Errorf("a full disk was tried more than once, or its room is not used any more: %+v", s)
	}
	full = false
	clk.now = clk.now.Add(noRoomFor)
	put(30, 50)
	if s := c.Stats(); s.Pages != 16 {
		t.Errorf("when there is room again the cache does not grow: %+v", s)
	}
	reads = io.ErrUnexpectedEOF
	if want(t, c, "a", 49, small) {
		t.Error("a page came from a disk that cannot be read")
	}
	reads = nil
	if s := c.Stats(); s.Corrupt != 1 {
		t.Errorf("the failed read is not counted: %+v", s)
	}
}

type frozen struct {
	clock.Clock
	now time.Time
}

func (f *frozen) Now() time.Time { return f.now }

func TestClearAndDrop(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, 8)
	for i := range int64(8) {
		c.Put("a", i, page("a", i, small))
	}
	c.Drop("a", 3)
	_ = c.Close()
	c = open(t, dir, 8)
	if s := c.Stats(); s.Found != 7 || want(t, c, "a", 3, small) {
		t.Errorf("a page that was dropped comes again: %+v", s)
	}
	if n := c.Clear(); n != 7 || c.Stats().Pages != 0 {
		t.Errorf("Clear forgot %d pages, %d are left", n, c.Stats().Pages)
	}
	c.Put("a", 5, page("a", 5, small))
	_ = c.Close()
	if c = open(t, dir, 8); c.Stats().Found != 1 || !want(t, c, "a", 5, small) {
		t.Errorf("after Clear and one Put: %+v", c.Stats())
	}
}

func TestWrongOptions(t *testing.T) {
	for _, o := range []Options{{Bytes: superSize + small}, {Bytes: 1 << 30, PageSize: 1000}, {Bytes: 1 << 60}, {Bytes: -1}} {
		if o.PageSize == 0 {
			o.PageSize = small
		}
		if c, err := Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v is a cache: %v", o, c.Close())
		}
	}
	f := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(f, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f, Options{Bytes: 1 << 20}); err == nil {
		t.Error("a file is the folder of a cache")
	}
}

// Many goroutines, few slots, and somebody who clears and drops meanwhile: bytes are right whenever they are there. For the race detector.
func TestTogether(t *testing.T) {
	c := open(t, t.TempDir(), 12)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 600 {
				key, n := fmt.Sprint("k", r.IntN(3)), int64(r.IntN(10))
				switch {
				case g == 0 && r.IntN(50) == 0:
					c.Clear()
				case g == 1 && r.IntN(10) == 0:
					c.Drop(key, n)
				case !want(t, c, key, n, small):
					c.Put(key, n, page(key, n, small))
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Corrupt != 0 || s.Hits == 0 || s.Pages > 12 {
		t.Errorf("%+v", s)
	}
}

func TestRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	before, err := Room(dir)
	if err != nil || before <= 0 {
		t.Fatalf("%d, %v", before, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("Room has made the folder")
	}
}
