package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPick: rows that are picked are those that the whole block shows, whatever the codec and the keys, and however many are picked, in one decoder.
func TestPick(t *testing.T) {
	src := rand.New(rand.NewPCG(3, 4))
	var d, whole Decoder
	for name, codec := range codecs {
		for _, fixed := range []bool{true, false} {
			rows := sample(2000, 9, fixed)
			b, _, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: codec, BlockRows: 300})
			if err != nil {
				t.Fatal(err)
			}
			r, err := OpenBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			for i, bi := range r.Blocks() {
				block := b[bi.Offset:bi.end()]
				keys, err := d.Seek(r, i, block)
				if err != nil {
					t.Fatal(err)
				}
				all, err := whole.Decode(r, i, block)
				if err != nil {
					t.Fatal(err)
				}
				checkSearch(t, src, keys, all)
				var picks []int
				for range src.IntN(5) {
					picks = append(picks, src.IntN(bi.Rows))
				}
				slices.Sort(picks)
				got, err := d.Pick(picks)
				if err != nil {
					t.Fatal(err)
				}
				want := New(allTypes)
				for _, k := range picks {
					want.Append(all, k)
				}
				if diff := cmp.Diff(lines(want, nil), lines(got, nil)); diff != "" {
					t.Fatalf("%s, fixed %v, block %d, rows %v: -whole +picked\n%s", name, fixed, i, picks, diff)
				}
			}
		}
	}
}

// checkSearch compares a search among the keys of a block with one among its rows.
func checkSearch(t *testing.T, src *rand.Rand, keys *Keys, rows *Rows) {
	t.Helper()
	if keys.Len() != rows.Len() {
		t.Fatalf("%d keys, want %d", keys.Len(), rows.Len())
	}
	for range 20 {
		h := hash32(rows.Key(src.IntN(rows.Len()))) + uint32(src.IntN(3)) - 1
		from := src.IntN(rows.Len() + 1)
		want := from + sort.Search(rows.Len()-from, func(i int) bool { return hash32(rows.Key(from+i)) >= h })
		if got := keys.Search(h, from); got != want {
			t.Fatalf("hash %08x is searched from key %d: %d, want %d", h, from, got, want)
		}
	}
}

// TestAhead compares the search for the next block with one that looks at all.
func TestAhead(t *testing.T) {
	src := rand.New(rand.NewPCG(5, 6))
	for n := range 40 {
		r := &Reader{}
		for range n {
			r.lasts = append(r.lasts, src.Uint32N(60))
		}
		slices.Sort(r.lasts)
		for h := range uint32(61) {
			from := src.IntN(n + 1)
			want := from + sort.Search(n-from, func(i int) bool { return r.lasts[from+i] >= h })
			if got := r.Ahead(h, from); got != want {
				t.Fatalf("%d from block %d of %v: %d, want %d", h, from, r.lasts, got, want)
			}
		}
	}
}

// BenchmarkPick reads one row of each block. The other side decodes the blocks whole for it.
func BenchmarkPick(b *testing.B) {
	schema, r := benchRows()
	for _, codec := range []Codec{None, LZ4} {
		seg, _, err := Encode(nil, schema, r, Sort(r, nil), Options{Codec: codec})
		if err != nil {
			b.Fatal(err)
		}
		rd, err := OpenBytes(seg)
		if err != nil {
			b.Fatal(err)
		}
		blocks := rd.Blocks()
		each := func(b *testing.B, f func(d *Decoder, i int, block []byte) (*Rows, error)) {
			var d Decoder
			for k := range b.N {
				i := k % len(blocks)
				if rows, err := f(&d, i, seg[blocks[i].Offset:blocks[i].end()]); err != nil || rows.Len() == 0 {
					b.Fatal(rows, err)
				}
			}
		}
		b.Run(fmt.Sprint("one/", codec), func(b *testing.B) {
			var one [1]int
			each(b, func(d *Decoder, i int, block []byte) (*Rows, error) {
				keys, err := d.Seek(rd, i, block)
				if err != nil {
					return nil, err
				}
				one[0] = keys.Search(hash32(blocks[i].Last), 0)
				return d.Pick(one[:])
			})
		})
		b.Run(fmt.Sprint("whole/", codec), func(b *testing.B) {
			each(b, func(d *Decoder, i int, block []byte) (*Rows, error) { return d.Decode(rd, i, block) })
		})
	}
}
