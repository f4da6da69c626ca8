package fetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/file"
)

// far is a bucket behind a network: a request takes 20 ms, and 100 MB come in a second.
type far struct{ objstore.Bucket }

func (f far) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	time.Sleep(20*time.Millisecond + time.Duration(n)*10)
	return f.Bucket.GetRange(ctx, key, off, n)
}

func (f far) Limits() objstore.Limits { return objstore.Limits{Remote: true} }

// BenchmarkFetch reads 64 blocks of 16 KiB of two objects of 64 MiB: one by one as the bucket is asked without a fetcher, by a fetcher, and by one
// that has them on its disk. On a local folder and behind a network.
func BenchmarkFetch(b *testing.B) {
	const size, block = 64 << 20, 16 << 10
	under, err := file.Open(b.TempDir(), file.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i ^ i>>8)
	}
	for i := range 2 {
		if err := under.Put(b.Context(), fmt.Sprint("packs/", i), body); err != nil {
			b.Fatal(err)
		}
	}
	pick := func(r *rand.Rand, blocks int64) (ranges []Range) {
		for range 64 {
			ranges = append(ranges, Range{fmt.Sprint("packs/", r.IntN(2)), r.Int64N(blocks) * block, block, size})
		}
		slices.SortFunc(ranges, compareRanges)
		return ranges
	}
	for _, place := range []struct {
		name   string
		bucket objstore.Bucket
		blocks int64 // of an object that may be asked for
	}{{"local", under, size / block}, {"far", far{under}, size / block}, {"far-crowded", far{under}, size / block / 8}} {
		run := func(name string, read func([]Range) error) {
			b.Run(place.name+"/"+name, func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				b.SetBytes(64 * block)
				for b.Loop() {
					if err := read(pick(r, place.blocks)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("one-by-one", func(ranges []Range) error {
			for _, x := range ranges {
				if _, err := place.bucket.GetRange(b.Context(), x.Object, x.Off, x.N); err != nil {
					return err
				}
			}
			return nil
		})
		plain := New(place.bucket, Options{})
		run("fetcher", func(ranges []Range) error { _, err := plain.Fetch(b.Context(), ranges); return err })
		plain.Close()
		c, err := diskcache.Open(b.TempDir(), diskcache.Options{Bytes: 3 * size, Bucket: "b"})
		if err != nil {
			b.Fatal(err)
		}
		cached := New(place.bucket, Options{Cache: c})
		for i := range 2 {
			for page := range int64(size / c.PageSize()) {
				c.Put(fmt.Sprint("packs/", i), page, body[page*int64(c.PageSize()):][:c.PageSize()])
			}
		}
		run("disk-cache", func(ranges []Range) error { _, err := cached.Fetch(b.Context(), ranges); return err })
		cached.Close()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
