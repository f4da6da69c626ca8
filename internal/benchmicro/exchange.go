package benchmicro

import (
	"fmt"
	"hash/maphash"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

func exchangeWorks() []Work {
	return []Work{
		each("scatter.2", "row", func(bool) (*Race, error) { return scatters(2) }),
		each("scatter.8", "row", func(bool) (*Race, error) { return scatters(8) }),
		each("rowkey.int64", "key", func(bool) (*Race, error) { return rowkeys(int64Type) }),
		each("rowkey.string", "key", func(bool) (*Race, error) { return rowkeys(stringType) }),
	}
}

// Batches of seven columns, with times, hashes and keys, go to lanes, against a loop that appends each row to its lane's slices.
func scatters(lanes int) (*Race, error) {
	in, err := newInput(int64Type, 100_000, 5)
	if err != nil {
		return nil, err
	}
	var bounds []uint32
	for _, r := range rowkey.Even(lanes)[1:] {
		bounds = append(bounds, uint32(r.Lo))
	}
	s := batch.NewScatter(bounds)
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			rows := 0
			for _, b := range in.batches {
				b.Retain()
				for _, x := range s.Split(b) {
					if x != nil {
						rows += x.N
						x.Release()
					}
				}
			}
			return same("rows", rows, inputRows)
		}),
		Baseline: WorkedEach(inputRows, func() error {
			rows := 0
			out := make([]pieces, lanes)
			for _, b := range in.batches {
				for l := range out {
					out[l].reset()
				}
				scatterByHand(b, bounds, out)
				for l := range out {
					rows += len(out[l].times)
				}
			}
			return same("rows", rows, inputRows)
		}),
	}, nil
}

// pieces is one lane's rows as slices.
type pieces struct {
	cols    [7][]int64
	times   []int64
	hashes  []uint64
	offsets []int32
	keys    []byte
}

func (p *pieces) reset() {
	for c := range p.cols {
		p.cols[c] = p.cols[c][:0]
	}
	p.times, p.hashes, p.offsets, p.keys = p.times[:0], p.hashes[:0], p.offsets[:0], p.keys[:0]
}

func scatterByHand(b *batch.Batch, bounds []uint32, out []pieces) {
	var cols [7][]int64
	for c := range cols {
		cols[c] = batch.Int64s(b.Cols[c])
	}
	for i, h := range b.Hashes {
		lane := 0
		for lane < len(bounds) && rowkey.Hash32(h) >= bounds[lane] {
			lane++
		}
		p := &out[lane]
		for c := range cols {
			p.cols[c] = append(p.cols[c], cols[c][i])
		}
		p.times, p.hashes = append(p.times, b.Times[i]), append(p.hashes, h)
		p.keys = append(p.keys, b.Keys.At(i)...)
		p.offsets = append(p.offsets, int32(len(p.keys)))
	}
}

// A key column is encoded and hashed, against maphash of each key's value by hand.
func rowkeys(keyType arrow.DataType) (*Race, error) {
	in, err := newInput(keyType, 100_000, 0)
	if err != nil {
		return nil, err
	}
	encoder, err := rowkey.NewEncoder(in.keyFields())
	if err != nil {
		return nil, err
	}
	var keys rowkey.Column
	hashes := make([]uint64, 0, batchRows)
	seed := maphash.MakeSeed()
	plain := func(from int) uint64 {
		x := uint64(0)
		if in.texts != nil {
			for _, k := range in.texts[from : from+batchRows] {
				x ^= maphash.String(seed, k)
			}
			return x
		}
		for _, k := range in.keys[from : from+batchRows] {
			x ^= maphash.Comparable(seed, k)
		}
		return x
	}
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			for _, b := range in.batches {
				encoder.Encode(b.Cols[:1], b.N, &keys)
				hashes = rowkey.Hash(keys, hashes[:0])
				if hashes[0] != b.Hashes[0] {
					return fmt.Errorf("a key has hash %x, want %x", hashes[0], b.Hashes[0])
				}
			}
			return nil
		}),
		Baseline: WorkedEach(inputRows, func() error {
			x := uint64(0)
			for from := 0; from < inputRows; from += batchRows {
				x |= plain(from)
			}
			return some(int(x >> 1))
		}),
	}, nil
}
