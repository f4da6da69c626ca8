package segment

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// versions returns n segments of many blocks over the same keys, and what a merge of clips of them has to yield.
func versions(t *testing.T, r *rand.Rand, n int) (cursors []*Cursor, want map[string]string) {
	t.Helper()
	want = map[string]string{}
	for v := range n {
		all, rows, seen := sample(1+r.IntN(400), r.Uint64(), true), New(allTypes), map[uint32]bool{}
		for i := range all.Len() { // few keys, so that versions share them
			h := uint32(r.IntN(250)) << 24
			key := all.Key(i)
			copy(key, binary.BigEndian.AppendUint32(nil, h))
			copy(key[4:], make([]byte, 8))
			if !seen[h] {
				seen[h] = true
				rows.Append(all, i)
			}
		}
		b, _, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: []Codec{None, LZ4, Zstd}[r.IntN(3)], BlockRows: 1 + r.IntN(20)})
		if err != nil {
			t.Fatal(err)
		}
		seg, err := OpenBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		lo := uint64(r.IntN(200)) << 24
		hi := lo + uint64(r.IntN(200))<<24
		cursors = append(cursors, seg.Cursor(allTypes, lo, hi, int64(1+r.IntN(2000))))
		told := lines(rows, nil)
		for i := range rows.Len() {
			if h := uint64(hash32(rows.Key(i))); h >= lo && h < hi {
				want[string(rows.Key(i))] = fmt.Sprint(v, " ", told[i])
			}
		}
	}
	return cursors, want
}

// A merge yields the newest row of each key, in order, whatever the sizes of blocks and runs.
func TestMerge(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		cursors, want := versions(t, r, 1+r.IntN(6))
		age := 0
		got, last := map[string]string{}, ""
		err := Merge(cursors, func(rows *Rows, i int) error {
			key := string(rows.Key(i))
			if key <= last {
				t.Fatalf("seed %d: key %x comes after %x", seed, key, last)
			}
			last = key
			for v, c := range cursors {
				if r, at := c.Row(); r == rows && at == i {
					age = v
				}
			}
			one := New(allTypes)
			one.Append(rows, i)
			got[key] = fmt.Sprint(age, " ", lines(one, nil)[0])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, d)
		}
	}
}
