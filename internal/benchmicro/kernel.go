package benchmicro

import (
	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/kernel"
)

func kernelWorks() []Work {
	return []Work{
		each("kernel.select", "row", selects),
		each("kernel.filter", "row", filters),
		each("kernel.product", "row", products),
	}
}

const threshold = 670_000 // keeps 67 % of the rows

// Rows are chosen by a comparison of one column.
func selects(bool) (*Race, error) {
	in, err := newInput(int64Type, 100_000, 0)
	if err != nil {
		return nil, err
	}
	p, err := kernel.Compile(sabot.Col("v").Lt(threshold), in.schema)
	if err != nil {
		return nil, err
	}
	sel := make([]int32, 0, batchRows)
	want := kept(in)
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			rows := 0
			for _, b := range in.batches {
				var err error
				if sel, err = p.Select(b.Cols, b.N, nil, sel[:0]); err != nil {
					return err
				}
				rows += len(sel)
			}
			return same("rows", rows, want)
		}),
		Baseline: WorkedEach(inputRows, func() error {
			rows := 0
			for _, b := range in.batches {
				sel = selectByHand(batch.Int64s(b.Cols[1]), sel[:0])
				rows += len(sel)
			}
			return same("rows", rows, want)
		}),
	}, nil
}

func selectByHand(values []int64, sel []int32) []int32 {
	for i, v := range values {
		if v < threshold {
			sel = append(sel, int32(i))
		}
	}
	return sel
}

func kept(in *input) (n int) {
	for _, v := range in.values {
		if v < threshold {
			n++
		}
	}
	return n
}

// Seven columns are filtered by one, and those of the kept rows made anew, with times, hashes and keys.
func filters(bool) (*Race, error) {
	in, err := newInput(int64Type, 100_000, 5)
	if err != nil {
		return nil, err
	}
	p, err := kernel.Compile(sabot.Col("v").Lt(threshold), in.schema)
	if err != nil {
		return nil, err
	}
	want := kept(in)
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			rows := 0
			for _, b := range in.batches {
				sel, err := p.Select(b.Cols, b.N, nil, make([]int32, 0, b.N))
				if err != nil {
					return err
				}
				for _, c := range b.Cols {
					c.Retain()
				}
				x := batch.New(b.Schema, append(b.Cols[:0:0], b.Cols...), b.N, nil)
				x.Sel, x.Times, x.Hashes, x.Keys = sel, b.Times, b.Hashes, b.Keys
				x = batch.Compact(x)
				rows += x.N
				x.Release()
			}
			return same("rows", rows, want)
		}),
		Baseline: WorkedEach(inputRows, func() error {
			rows := 0
			for _, b := range in.batches {
				rows += filterByHand(b)
			}
			return same("rows", rows, want)
		}),
	}, nil
}

// filterByHand gathers a batch's chosen rows, and returns how many there are.
func filterByHand(b *batch.Batch) int {
	sel := selectByHand(batch.Int64s(b.Cols[1]), make([]int32, 0, b.N))
	var out pieces
	for c := range out.cols {
		from, to := batch.Int64s(b.Cols[c]), make([]int64, len(sel))
		for k, i := range sel {
			to[k] = from[i]
		}
		out.cols[c] = to
	}
	out.times, out.hashes = make([]int64, len(sel)), make([]uint64, len(sel))
	out.offsets, out.keys = make([]int32, 1, len(sel)+1), make([]byte, 0, len(b.Keys.Bytes))
	for k, i := range sel {
		out.times[k], out.hashes[k] = b.Times[i], b.Hashes[i]
		out.keys = append(out.keys, b.Keys.At(int(i))...)
		out.offsets = append(out.offsets, int32(len(out.keys)))
	}
	return len(out.times)
}

// A column is multiplied by a constant; the kernel looks out for overflow.
func products(bool) (*Race, error) {
	in, err := newInput(int64Type, 100_000, 0)
	if err != nil {
		return nil, err
	}
	p, err := kernel.Compile(sabot.Col("v").Mul(908), in.schema)
	if err != nil {
		return nil, err
	}
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			for _, b := range in.batches {
				out, err := p.Eval(b.Cols, b.N)
				if err != nil {
					return err
				}
				if err := same("is a product", batch.Int64s(out)[0], batch.Int64s(b.Cols[1])[0]*908); err != nil {
					return err
				}
				out.Release()
			}
			return nil
		}),
		Baseline: WorkedEach(inputRows, func() error {
			for _, b := range in.batches {
				values := batch.Int64s(b.Cols[1])
				out := make([]int64, len(values))
				for i, v := range values {
					out[i] = v * 908
				}
				if err := same("is a product", out[0], values[0]*908); err != nil {
					return err
				}
			}
			return nil
		}),
	}, nil
}
