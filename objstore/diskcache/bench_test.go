package diskcache

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// BenchmarkGet reads pages that the system has in memory, at random, each beside a plain pread of another. It tells medians.
func BenchmarkGet(b *testing.B) {
	const bytes = 128 << 20
	for _, size := range []int{64 << 10, 128 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c, err := Open(b.TempDir(), Options{Bytes: bytes + bytes/64, Bucket: "b", PageSize: size})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			pages := int64(bytes / size)
			data := make([]byte, size)
			for i := range pages {
				data[0] = byte(i)
				c.Put("jobs/packs/object", i, data)
			}
			next := func(i int) int64 { return int64(uint64(i)*0x9e3779b97f4a7c15>>33) % pages }
			var gets, preads []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				if n, ok := c.Get("jobs/packs/object", next(i), data); !ok || n != size {
					b.Fatal("a page is missing")
				}
				between := time.Now()
				if _, err := c.pages.ReadAt(data, next(i+1<<20)*int64(size)); err != nil {
					b.Fatal(err)
				}
				gets, preads = append(gets, between.Sub(began)), append(preads, time.Since(between))
			}
			slices.Sort(gets)
			slices.Sort(preads)
			get, pread := gets[len(gets)/2], preads[len(preads)/2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(get)/1e3, "us/Get")
			b.ReportMetric(float64(pread)/1e3, "us/pread")
			b.ReportMetric(float64(get)/float64(pread), "ratio")
		})
	}
}

// BenchmarkPut puts pages that push out others.
func BenchmarkPut(b *testing.B) {
	c, err := Open(b.TempDir(), Options{Bytes: 64 << 20, Bucket: "b"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	data := make([]byte, c.PageSize())
	b.SetBytes(int64(len(data)))
	for i := int64(0); b.Loop(); i++ {
		c.Put("jobs/packs/object", i, data)
	}
}

// BenchmarkOpen opens a cache of 10 GiB that is full, and tells what a page costs in memory.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	o := Options{Bytes: 10 << 30, Bucket: "b"}
	c, err := Open(dir, o)
	if err != nil {
		b.Fatal(err)
	}
	all := len(c.slots.all)
	index := super(o.Bucket, c.PageSize())
	for i := range all {
		var enc [headerSize]byte
		(&header{page: uint64(i), n: uint32(c.PageSize())}).encode(&enc)
		index = append(index, enc[:]...)
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(), "index"), index, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(c.Dir(), "pages"), int64(all*c.PageSize())); err != nil { // without blocks
		b.Fatal(err)
	}
	index, c = nil, nil
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		if c, err = Open(dir, o); err != nil || int(c.Stats().Found) != all {
			b.Fatal(err, c.Stats())
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(all), "B/page")
	b.ReportMetric(float64(all), "pages")
	runtime.KeepAlive(c)
}
