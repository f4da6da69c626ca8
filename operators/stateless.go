package operators

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/kernel"
)

// forward is the watermark of an operator that holds nothing back.
type forward struct{}

func (forward) Watermark(sabot.Micros, Collector) error { return nil }

// filter keeps the rows for which its expression is true.
type filter struct {
	forward
	program *kernel.Program
}

// NewFilter returns a filter by expression. A row whose expression fails is dead-lettered.
func NewFilter(e sabot.Expr, in *arrow.Schema) (Operator, error) {
	p, err := kernel.Compile(e, in)
	if err != nil {
		return nil, fmt.Errorf("compile filter: %w", err)
	}
	return &filter{program: p}, nil
}

func (f *filter) Batch(b *batch.Batch, out Collector) error {
	sel, err := f.program.Select(b.Cols, b.N, b.Sel, make([]int32, 0, b.Rows()))
	if _, err = giveUp(err, b, nil, out); err != nil {
		return err
	}
	return emitSelected(b, sel, out)
}

// emitSelected emits the rows sel of b, if there are any; it takes over b's reference.
func emitSelected(b *batch.Batch, sel []int32, out Collector) error {
	if len(sel) == 0 {
		b.Release()
		return nil
	}
	return out.Emit(selected(b, sel))
}

// giveUp dead-letters the selected rows that an evaluation names in its error and that are not in bad yet, and returns bad with them added.
// Any other error is returned.
func giveUp(err error, b *batch.Batch, bad []int32, out Collector) ([]int32, error) {
	if err == nil {
		return bad, nil
	}
	var rows *kernel.RowErrors
	if !errors.As(err, &rows) {
		return bad, err
	}
	for i, row := range rows.Rows {
		if !isSelected(b, row) || slices.Contains(bad, row) {
			continue
		}
		bad = append(bad, row)
		if err := out.Dead(b, int(row), rows.Reasons[i]); err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// selected returns b with another selection; it takes over b's reference.
func selected(b *batch.Batch, sel []int32) *batch.Batch {
	return derived(b, b.Schema, b.Cols, true, sel)
}

// derived returns a batch of other columns for the same rows as b, with all else that is known of them. It takes over b's reference, and the
// columns' unless they are b's own.
func derived(b *batch.Batch, schema *arrow.Schema, cols []arrow.Array, own bool, sel []int32) *batch.Batch {
	if own {
		for _, c := range cols {
			c.Retain()
		}
	}
	d := batch.New(schema, cols, b.N, b.Release)
	d.Sel, d.Times, d.Hashes, d.Keys = sel, b.Times, b.Hashes, b.Keys
	d.Source, d.Split, d.FirstRow = b.Source, b.Split, b.FirstRow
	return d
}

// project computes columns.
type project struct {
	forward
	out      *arrow.Schema
	programs []*kernel.Program
}

// NewProject returns a projection by expressions; out is its schema. A row for which one of them fails is dead-lettered.
func NewProject(exprs []sabot.Expr, in, out *arrow.Schema) (Operator, error) {
	p := &project{out: out}
	for _, e := range exprs {
		c, err := kernel.Compile(e, in)
		if err != nil {
			return nil, fmt.Errorf("compile column %q: %w", e.Name, err)
		}
		p.programs = append(p.programs, c)
	}
	return p, nil
}

func (p *project) Batch(b *batch.Batch, out Collector) error {
	cols := make([]arrow.Array, 0, len(p.programs))
	var bad []int32
	for _, prog := range p.programs {
		c, err := prog.Eval(b.Cols, b.N)
		if bad, err = giveUp(err, b, bad, out); err != nil {
			return err
		}
		cols = append(cols, c)
	}
	sel := without(b, bad)
	if sel != nil && len(sel) == 0 {
		for _, c := range cols {
			c.Release()
		}
		b.Release()
		return nil
	}
	return out.Emit(derived(b, p.out, cols, false, sel))
}

func isSelected(b *batch.Batch, row int32) bool {
	if b.Sel == nil {
		return true
	}
	_, in := slices.BinarySearch(b.Sel, row)
	return in
}

// without returns b's selection less the given rows.
func without(b *batch.Batch, bad []int32) []int32 {
	if len(bad) == 0 {
		return b.Sel
	}
	slices.Sort(bad)
	keep := make([]int32, 0, b.Rows())
	each(b, func(i int32) error {
		if _, in := slices.BinarySearch(bad, i); !in {
			keep = append(keep, i)
		}
		return nil
	})
	return keep
}

// each calls f for the selected rows, in order, until it fails.
func each(b *batch.Batch, f func(i int32) error) error {
	if b.Sel == nil {
		for i := range int32(b.N) {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range b.Sel {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}
