package segment

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A filter never denies what was added, and lets about one foreign hash in a hundred pass.
func TestFilter(t *testing.T) {
	for _, n := range []int{1, 10, 1000, 100_000} {
		src := rand.New(rand.NewPCG(uint64(n), 1))
		f, in := newFilter(n), map[uint32]bool{}
		for range n {
			h := src.Uint32()
			f.add(h)
			in[h] = true
		}
		for h := range in {
			if !f.Has(h) {
				t.Fatalf("of %d hashes %x is denied", n, h)
			}
		}
		const asked = 200_000
		passed := 0
		for range asked {
			if h := src.Uint32(); !in[h] && f.Has(h) {
				passed++
			}
		}
		some := make([]uint32, 0, 2000)
		for h := range in {
			if some = append(some, h, src.Uint32()); len(some) == cap(some) {
				break
			}
		}
		var want []int32
		for i, h := range some {
			if f.Has(h) {
				want = append(want, int32(7+i))
			}
		}
		if got := f.Sift(some, 7, nil); !slices.Equal(got, want) {
			t.Errorf("with %d hashes, sifted together %d pass, one by one %d", n, len(got), len(want))
		}
		if n >= 1000 && passed > asked/50 {
			t.Errorf("with %d hashes, %d of %d foreign ones pass", n, passed, asked)
		}
		if n >= 1000 && passed == 0 {
			t.Errorf("with %d hashes, no foreign one passes: the filter is larger than it says", n)
		}
	}
}

// BenchmarkFilter asks a filter that is larger than the caches, and a Go map of the same hashes.
func BenchmarkFilter(b *testing.B) {
	const n = 4 << 20
	src := rand.New(rand.NewPCG(1, 1))
	f, m := newFilter(n), make(map[uint32]struct{}, n)
	hashes := make([]uint32, n) // of those that are asked for half are in it, in no order
	for i := range hashes {
		hashes[i] = src.Uint32()
		f.add(hashes[i])
		m[hashes[i]] = struct{}{}
		hashes[i] += src.Uint32() & 1
	}
	found := 0
	b.Run("filter", func(b *testing.B) {
		for i := range b.N {
			if f.Has(hashes[i&(n-1)]) {
				found++
			}
		}
	})
	b.Run("sift", func(b *testing.B) {
		var dst []int32
		for i := 0; i < b.N; i += 4096 {
			dst = f.Sift(hashes[i&(n-1):][:4096], 0, dst[:0])
			found += len(dst)
		}
	})
	b.Run("map", func(b *testing.B) {
		for i := range b.N {
			if _, ok := m[hashes[i&(n-1)]]; ok {
				found++
			}
		}
	})
	if found < 0 {
		b.Fatal(found)
	}
}
