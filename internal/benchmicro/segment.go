package benchmicro

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/objstate/segment"
)

// A table of a count and a sum by a key of eight bytes is written in the order of keys, and read back. By hand the same columns are gathered in that
// order into one buffer, and copied out of it, without blocks, index, filter and checksums.
func segmentWorks() []Work {
	var works []Work
	for _, c := range []struct {
		name  string
		codec segment.Codec
	}{{"none", segment.None}, {"lz4", segment.LZ4}, {"zstd", segment.Zstd}} {
		works = append(works,
			each("segment.encode."+c.name, "row", func(bool) (*Race, error) { return encodes(c.codec) }),
			each("segment.decode."+c.name, "row", func(bool) (*Race, error) { return decodes(c.codec) }))
	}
	return works
}

const segmentRows = 100_000

func segmentInput() (segment.Schema, *segment.Rows) {
	schema := segment.Schema{{Name: "n", Type: int64Type}, {Name: "sum", Type: arrow.PrimitiveTypes.Float64}}
	r, src := segment.New(schema), rand.New(rand.NewPCG(1, 2))
	for i := range segmentRows {
		r.KeyBytes = binary.BigEndian.AppendUint32(r.KeyBytes, src.Uint32())
		r.KeyBytes = binary.BigEndian.AppendUint64(r.KeyBytes, uint64(i))
		r.KeyOffsets = append(r.KeyOffsets, uint32(len(r.KeyBytes)))
		r.Ops = append(r.Ops, segment.Put)
		r.Cols[0].Ints = append(r.Cols[0].Ints, int64(src.IntN(1000)))
		r.Cols[1].Floats = append(r.Cols[1].Floats, float64(src.IntN(100_000)))
	}
	return schema, r
}

func encodes(codec segment.Codec) (*Race, error) {
	schema, r := segmentInput()
	perm := segment.Sort(r, nil)
	var ours, theirs []byte
	return &Race{
		Sabot: WorkedEach(segmentRows, func() error {
			var err error
			var info segment.Info
			ours, info, err = segment.Encode(ours[:0], schema, r, perm, segment.Options{Codec: codec})
			if err != nil {
				return err
			}
			return same("rows", info.Rows, segmentRows)
		}),
		Baseline: WorkedEach(segmentRows, func() error {
			theirs = gather(theirs[:0], r, perm)
			return same("bytes", len(theirs), segmentRows*gatheredBytes)
		}),
	}, nil
}

const gatheredBytes = 12 + 1 + 8 + 8

// gather appends the rows in an order to dst, column by column.
func gather(dst []byte, r *segment.Rows, perm []uint32) []byte {
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
	return dst
}

func decodes(codec segment.Codec) (*Race, error) {
	schema, r := segmentInput()
	perm := segment.Sort(r, nil)
	seg, _, err := segment.Encode(nil, schema, r, perm, segment.Options{Codec: codec})
	if err != nil {
		return nil, err
	}
	flat := gather(nil, r, perm)
	want := int64(0)
	for _, v := range r.Cols[0].Ints {
		want += v
	}
	return &Race{
		Sabot: WorkedEach(segmentRows, func() error {
			rd, err := segment.OpenBytes(seg)
			if err != nil {
				return err
			}
			sum := int64(0)
			if err := rd.Scan(0, 1<<32, func(x *segment.Rows) error {
				sum += sumOf(x.Cols[0].Ints)
				return nil
			}); err != nil {
				return err
			}
			return same("is the sum", sum, want)
		}),
		Baseline: WorkedEach(segmentRows, func() error { return same("is the sum", sumOf(scatterOut(flat)), want) }),
	}, nil
}

// scatterOut copies gathered columns into slices of their own, and returns the first one's values.
func scatterOut(src []byte) []int64 {
	n := len(src) / gatheredBytes
	keys, ops := bytes.Clone(src[:n*12]), make([]segment.Op, n)
	for i := range ops {
		ops[i] = segment.Op(src[n*12+i])
	}
	ints, floats := make([]int64, n), make([]float64, n)
	for i := range ints {
		ints[i] = int64(binary.LittleEndian.Uint64(src[n*13+i*8:]))
	}
	for i := range floats {
		floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[n*21+i*8:]))
	}
	return ints[:min(n, len(keys), len(floats))]
}

func sumOf(values []int64) (sum int64) {
	for _, v := range values {
		sum += v
	}
	return sum
}
