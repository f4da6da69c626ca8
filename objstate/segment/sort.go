package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Sort returns the order of r's rows by key, in perm's memory. Keys are at least four bytes, and no two are equal.
func Sort(r *Rows, perm []uint32) []uint32 {
	n := r.Len()
	items := make([]uint64, 2*n) // hash32 above the row
	a, b := items[:n], items[n:]
	for i := range n {
		a[i] = uint64(binary.BigEndian.Uint32(r.KeyBytes[r.KeyOffsets[i]:]))<<32 | uint64(i)
	}
	for shift := 32; shift < 64; shift += 11 {
		var count [1 << 11]uint32
		for _, v := range a {
			count[v>>shift&(1<<11-1)]++
		}
		sum := uint32(0)
		for i, c := range count {
			count[i] = sum
			sum += c
		}
		for _, v := range a {
			d := v >> shift & (1<<11 - 1)
			b[count[d]] = v
			count[d]++
		}
		a, b = b, a
	}
	perm = slices.Grow(perm[:0], n)[:n]
	for i, v := range a {
		perm[i] = uint32(v)
	}
	for i := 0; i < n; { // rows of one hash: by the whole key
		j := i + 1
		for j < n && a[j]>>32 == a[i]>>32 {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(perm[i:j], func(x, y uint32) int { return bytes.Compare(r.Key(int(x)), r.Key(int(y))) })
		}
		i = j
	}
	return perm
}
