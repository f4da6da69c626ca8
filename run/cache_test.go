package run

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/fetch"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// begun is the bucket of a job that died in mid-run, with what it had published.
type begun struct {
	bucket *mem.Bucket
	ledger *ledger
}

// beginMeters runs the meters job until some checkpoints are committed and half of its input is still to come, and ends it as a crash would.
func beginMeters(t *testing.T) begun {
	t.Helper()
	b := begun{mem.New(), newLedger(t)}
	abort, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), meterJob(b.ledger), Options{Store: b.bucket, Checkpoint: 20 * time.Millisecond, Rate: 12_000, Lanes: 2, Abort: abort})
		ended <- err
	}()
	store := checkpoint.Store{Bucket: b.bucket, Paths: checkpoint.NewPaths("meters"), Clock: clock.Real()}
	for until := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		root, _, err := store.Read(t.Context())
		if err == nil && checkpoint.RowsRead(root) > meterSplits*meterRows/4 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("the job does not come to a quarter: %v", err)
		}
	}
	close(abort)
	if err := <-ended; !errors.Is(err, ErrAborted) {
		t.Fatalf("the job ended with %v", err)
	}
	return b
}

// goOn runs a copy of the job to its end with a disk cache in dir, checks its output, and returns what was fetched.
func (b begun) goOn(t *testing.T, dir string, change func(*Options)) fetch.Stats {
	t.Helper()
	bucket := mem.New()
	for o, err := range b.bucket.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.bucket.Get(t.Context(), o.Key)
		if err == nil {
			err = bucket.Put(t.Context(), o.Key, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l := newLedger(t)
	for id, rows := range b.ledger.minutes {
		l.minutes[id] = rows
	}
	for id, rows := range b.ledger.tens {
		l.tens[id] = rows
	}
	for id, text := range b.ledger.ever {
		l.ever[id] = text
	}
	var st fetch.Stats
	o := Options{Store: bucket, Checkpoint: time.Hour, Lanes: 2, CacheDir: dir, CacheSize: 32 << 20, onFetched: func(s fetch.Stats) { st = s }}
	if change != nil {
		change(&o)
	}
	if res, err := Run(t.Context(), meterJob(l), o); err != nil || !res.Finished {
		t.Fatalf("the job that goes on ends with %+v, %v", res, err)
	}
	l.check()
	return st
}

// cached returns the files of the caches in dir.
func cached(t *testing.T, dir, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", name))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", name, dir, err)
	}
	return files
}

// A job that goes on from its state gives the same output whatever has become of the disk cache.
func TestDiskCacheFullCorruptWiped(t *testing.T) {
	b := beginMeters(t)
	plain := b.goOn(t, "", nil)
	if plain.Gets == 0 || plain.Hits+plain.Misses != 0 {
		t.Fatalf("without a cache: %+v", plain)
	}
	warm := func(t *testing.T) string {
		dir := t.TempDir()
		if st := b.goOn(t, dir, nil); st.Put == 0 || st.Gets == 0 {
			t.Fatalf("the first time with a cache: %+v", st)
		}
		return dir
	}
	t.Run("as it was", func(t *testing.T) {
		if st := b.goOn(t, warm(t), nil); st.Hits == 0 || st.Corrupt != 0 || st.Gets != 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("corrupt", func(t *testing.T) {
		dir := warm(t)
		for _, f := range cached(t, dir, "pages") {
			body, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(body); i += 100 {
				body[i] ^= 0x10
			}
			if err := os.WriteFile(f, body, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if st := b.goOn(t, dir, nil); st.Corrupt == 0 || st.Gets == 0 || st.Put == 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("wiped", func(t *testing.T) {
		dir := warm(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if st := b.goOn(t, dir, nil); st.Gets == 0 || st.Put == 0 || st.Corrupt != 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("full", func(t *testing.T) {
		full := func(o *Options) { o.cacheFile = fullDisk }
		if st := b.goOn(t, t.TempDir(), full); st.WriteFailed == 0 || st.Put != 0 || st.Gets == 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("not to be had", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if st := b.goOn(t, filepath.Join(file, "cache"), nil); st.Misses != 0 || st.Gets == 0 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("off", func(t *testing.T) {
		if st := b.goOn(t, t.TempDir(), func(o *Options) { o.CacheSize = -1 }); st.Misses != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// What the bucket gave wrong once does not stay: the group starts again, from the bucket.
func TestDiskCacheForgetsWhatTheBucketGaveWrong(t *testing.T) {
	b := beginMeters(t)
	dir := t.TempDir()
	b.goOn(t, dir, nil)
	// Other bytes under the right checksum, as a bit that flipped on the way from the bucket would leave them.
	c, err := diskcache.Open(dir, diskcache.Options{Bytes: 32 << 20, Bucket: ".sabot"})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	id := (&localRun{opt: Options{Bucket: ".sabot"}}).bucketIdentity()
	if c, err = diskcache.Open(dir, diskcache.Options{Bytes: 32 << 20, Bucket: id}); err != nil || c.Stats().Found == 0 {
		t.Fatalf("the cache of the run is not found: %v, %+v", err, c.Stats())
	}
	body, spoiled := make([]byte, c.PageSize()), 0
	for o, err := range b.bucket.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		for page := int64(0); page*int64(len(body)) < o.Size; page++ {
			if n, ok := c.Get(o.Key, page, body); ok {
				c.Drop(o.Key, page)
				body[n/2] ^= 1
				body[n-1] ^= 1
				c.Put(o.Key, page, body[:n])
				spoiled++
			}
		}
	}
	if err := c.Close(); err != nil || spoiled == 0 {
		t.Fatal(err, spoiled)
	}
	if st := b.goOn(t, dir, nil); st.Hits == 0 || st.Gets == 0 || st.Corrupt != 0 {
		t.Errorf("%+v", st)
	}
}

// fullDisk opens files in which nothing can be written.
func fullDisk(path string) (diskcache.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	return noRoom{f}, err
}

type noRoom struct{ *os.File }

func (noRoom) WriteAt([]byte, int64) (int, error) { return 0, syscall.ENOSPC }

func TestSizes(t *testing.T) {
	for text, want := range map[string]byteSize{"0": 0, "4096": 4096, "512MiB": 512 << 20, "1.5GB": 1.5e9, "2 GiB": 2 << 30, "1k": 1024, "3TiB": 3 << 40, "auto": unsetSize} {
		var got byteSize
		if err := got.parse(text); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "GiB", "1XB", "1e99", "NaN", "Inf", "1iB", "1 2"} {
		var got byteSize
		if err := got.parse(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	// A file has it as a number.
	config := filepath.Join(t.TempDir(), "conf.yaml")
	if err := os.WriteFile(config, []byte("cache-size: 0\ncache-dir: /somewhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cl commandLine[noParams]
	if parsed, code := parse(&cl, []string{"x", "--config", config}, "", os.Stdout, os.Stderr); parsed == nil || cl.Engine.CacheSize != 0 || cl.Engine.options(os.Stdout, os.Stderr, nil).CacheSize != -1 {
		t.Errorf("exit %d, %+v", code, cl.Engine)
	}
	if o := (flags{CacheSize: unsetSize}).options(os.Stdout, os.Stderr, nil); o.CacheSize != 0 {
		t.Errorf("no size given is %d", o.CacheSize)
	}
}

// A disk cache is there where it pays, unless somebody says otherwise.
func TestWhereADiskCacheIs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	for _, c := range []struct {
		what   string
		remote bool
		o      Options
		under  string // "": there is none
	}{
		{"local", false, Options{}, ""},
		{"local, with a folder", false, Options{CacheDir: filepath.Join(home, "mine")}, filepath.Join(home, "mine")},
		{"remote", true, Options{}, filepath.Join(home, "sabot")},
		{"remote, with a folder", true, Options{CacheDir: filepath.Join(home, "mine")}, filepath.Join(home, "mine")},
		{"remote, off", true, Options{CacheSize: -1}, ""},
	} {
		if err := c.o.defaults(); err != nil {
			t.Fatal(err)
		}
		r := &localRun{opt: c.o, bucket: place{mem.New(), c.remote}}
		cache := r.openCache()
		if (cache != nil) != (c.under != "") {
			t.Errorf("%s: there is a cache: %v", c.what, cache != nil)
		}
		if cache == nil {
			continue
		}
		if rel, err := filepath.Rel(c.under, cache.Dir()); err != nil || !filepath.IsLocal(rel) {
			t.Errorf("%s: the cache is in %s, want it under %s", c.what, cache.Dir(), c.under)
		}
		if n := cache.Bytes(); n > mostCache || n < 1 {
			t.Errorf("%s: %d bytes", c.what, n)
		}
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	}
}

// place is a bucket that is remote or not.
type place struct {
	*mem.Bucket
	remote bool
}

func (p place) Limits() objstore.Limits { return objstore.Limits{Private: true, Remote: p.remote} }
