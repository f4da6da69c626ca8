package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// benchRows is a table as a cut freezes it: 100,000 counts and sums by a key of eight bytes, in the order of slots.
func benchRows() (Schema, *Rows) {
	schema := Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "sum", Type: arrow.PrimitiveTypes.Float64}}
	r, src := New(schema), rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, src.Uint32())
		r.KeyBytes = binary.BigEndian.AppendUint64(r.KeyBytes, uint64(i))
		r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
		r.Ops = append(r.Ops, Put)
		r.Cols[0].Ints = append(r.Cols[0].Ints, int64(src.IntN(1000)))
		r.Cols[1].Floats = append(r.Cols[1].Floats, float64(src.IntN(100_000)))
	}
	return schema, r
}

func perRow(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
}

// BenchmarkSort sorts by key: ours by hash, radix, against the standard library's.
func BenchmarkSort(b *testing.B) {
	_, r := benchRows()
	b.Run("radix", func(b *testing.B) {
		var perm []uint32
		for range b.N {
			perm = Sort(r, perm)
		}
		perRow(b, r.Len())
	})
	b.Run("slices", func(b *testing.B) {
		perm := make([]uint32, r.Len())
		for range b.N {
			for i := range perm {
				perm[i] = uint32(i)
			}
			slices.SortFunc(perm, func(x, y uint32) int { return bytes.Compare(r.Key(int(x)), r.Key(int(y))) })
		}
		perRow(b, r.Len())
	})
}

// BenchmarkEncode encodes in the order of keys. The plain loop gathers the same columns in that order into one buffer.
func BenchmarkEncode(b *testing.B) {
	schema, r := benchRows()
	perm := Sort(r, nil)
	for _, codec := range []Codec{None, LZ4, Zstd} {
		b.Run(fmt.Sprint("segment/", codec), func(b *testing.B) {
			var dst []byte
			for range b.N {
				var err error
				if dst, _, err = Encode(dst[:0], schema, r, perm, Options{Codec: codec}); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b, r.Len())
			b.ReportMetric(float64(len(dst))/float64(r.Len()), "bytes/row")
		})
	}
	b.Run("loop", func(b *testing.B) {
		var dst []byte
		for range b.N {
			dst = dst[:0]
			for _, i := range perm {
				dst = append(dst, r.Key(int(i))...)
			}
			for _, i := range perm {
				dst = append(dst, byte(r.Ops[i]))
			}
			for _, i := range perm {
				dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Cols[0].Ints[i]))
			}
			for _, i := range perm {
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(r.Cols[1].Floats[i]))
			}
		}
		perRow(b, r.Len())
		b.ReportMetric(float64(len(dst))/float64(r.Len()), "bytes/row")
	})
}

// BenchmarkDecode reads all rows. The plain loop reads the columns that the loop of BenchmarkEncode has written.
func BenchmarkDecode(b *testing.B) {
	schema, r := benchRows()
	perm := Sort(r, nil)
	n := r.Len()
	for _, codec := range []Codec{None, LZ4, Zstd} {
		seg, _, err := Encode(nil, schema, r, perm, Options{Codec: codec})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint("segment/", codec), func(b *testing.B) {
			for range b.N {
				rd, err := OpenBytes(seg)
				if err != nil {
					b.Fatal(err)
				}
				rows := 0
				if err := rd.Scan(0, 1<<32, func(x *Rows) error {
					rows += x.Len()
					return nil
				}); err != nil || rows != n {
					b.Fatal(rows, err)
				}
			}
			perRow(b, n)
		})
	}
	b.Run("loop", func(b *testing.B) {
		src := make([]byte, n*29)
		for range b.N {
			keys, ops := bytes.Clone(src[:n*12]), make([]Op, n)
			for i := range ops {
				ops[i] = Op(src[n*12+i])
			}
			ints, floats := make([]int64, n), make([]float64, n)
			for i := range ints {
				ints[i] = int64(binary.LittleEndian.Uint64(src[n*13+i*8:]))
			}
			for i := range floats {
				floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[n*21+i*8:]))
			}
			if len(keys)+len(floats) == 0 {
				b.Fatal("nothing was read")
			}
		}
		perRow(b, n)
	})
}
