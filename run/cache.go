package run

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// mostCache is the size of the disk cache where nobody has said one.
const mostCache = 10 << 30

// byteSize is a number of bytes on the command line. Unset is the least.
type byteSize int64

const unsetSize byteSize = -1

// Decode implements kong.MapperValue. Unlike a text, a file may have a size as a number.
func (s *byteSize) Decode(ctx *kong.DecodeContext) error {
	t, err := ctx.Scan.PopValue("size")
	if err != nil {
		return err
	}
	return s.parse(fmt.Sprint(t.Value))
}

// parse takes 0, 4096, 512MiB, 1.5GB, or auto.
func (s *byteSize) parse(text string) error {
	t := strings.TrimSpace(text)
	if t == "auto" {
		*s = unsetSize
		return nil
	}
	number := strings.TrimRight(t, "KMGTBikmgtb ")
	unit, ok := map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}[strings.ToLower(strings.TrimSpace(t[len(number):]))]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(n >= 0 && n*unit < 1<<60) {
		return fmt.Errorf("%q is no size; it is auto, 0, or a number with a unit, as in 512MiB or 20GB", t)
	}
	*s = byteSize(n * unit)
	return nil
}

// Of the memory that a process may take, this is for keyed state; the rest is for batches on their way, cuts, compactions and the garbage collector.
const stateShare = 0.3

// stateMemory returns how many bytes of keyed state a worker keeps; 0: there is no bound.
func (o Options) stateMemory() int64 {
	if o.Memory <= 0 {
		return 0
	}
	return max(1, int64(stateShare*float64(o.Memory)))
}

// The Go runtime gets the memory less this: the pages of the program itself, and what the garbage collector is late for.
const (
	programBytes = 40 << 20
	lateShare    = 0.15
)

// boundMemory makes the process keep to the memory that the options allow, unless GOMEMLIMIT says otherwise.
func (o Options) boundMemory() {
	if o.Memory <= 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	m := float64(o.Memory)
	debug.SetMemoryLimit(int64(max(m/2, min((1-lateShare)*m, m-programBytes))))
}

// openFetcher makes what reads state from the bucket, with the disk cache that the options ask for. A disk that cannot hold a cache costs the cache.
func (r *localRun) openFetcher() (done func()) {
	cache := r.openCache()
	r.fetch = fetch.New(r.bucket, fetch.Options{Cache: cache, Clock: r.opt.Clock})
	if r.tele != nil {
		r.tele.ShowFetch(r.fetch.Stats)
	}
	return func() {
		r.fetch.Close()
		if r.opt.onFetched != nil {
			r.opt.onFetched(r.fetch.Stats())
		}
		if cache != nil {
			if err := cache.Close(); err != nil {
				r.opt.Log.Warn("disk cache", "error", err)
			}
		}
	}
}

// openCache opens the disk cache: where a folder is named, or the bucket is remote. Nil: there is none.
func (r *localRun) openCache() *diskcache.Cache {
	dir, size := r.opt.CacheDir, r.opt.CacheSize
	if size < 0 || dir == "" && !r.bucket.Limits().Remote {
		return nil
	}
	without := func(err error) *diskcache.Cache {
		r.opt.Log.Warn("going on without a disk cache; --cache-dir names another folder, --cache-size=0 says that there is to be none", "error", err)
		return nil
	}
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return without(err)
		}
		dir = filepath.Join(base, "sabot")
	}
	if size == 0 {
		room, err := diskcache.Room(dir)
		if err != nil {
			return without(err)
		}
		size = min(mostCache, room)
	}
	c, err := diskcache.Open(dir, diskcache.Options{Bytes: size, Bucket: r.bucketIdentity(), Clock: r.opt.Clock, OpenFile: r.opt.cacheFile})
	if err != nil {
		return without(err)
	}
	s := c.Stats()
	r.opt.Log.Info("disk cache", "folder", c.Dir(), "bytes", size, "pages", s.Found, "opened_in", s.Opening)
	return c
}

// bucketIdentity names the bucket among all that this machine has pages of.
func (r *localRun) bucketIdentity() string {
	if path, _, _ := strings.Cut(r.opt.Bucket, "?"); !strings.Contains(path, ":") {
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
	}
	return r.opt.Bucket
}
