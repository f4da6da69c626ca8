package segment

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// Project returns rows, whose columns are have, with the columns of want, by name: what an operator of another graph has written, as the one that reads
// it now knows it. A nullable column that is not there is null in every row; columns that are not wanted are left out. A column of another type, and a
// missing one that cannot be null, is an error that names it. The result shares memory with rows.
func Project(rows *Rows, have, want Schema) (*Rows, error) {
	if same(have, want) {
		return rows, nil
	}
	out := &Rows{KeyOffsets: rows.KeyOffsets, KeyBytes: rows.KeyBytes, Ops: rows.Ops, Cols: make([]Column, len(want))}
	for i, w := range want {
		k := slices.IndexFunc(have, func(f arrow.Field) bool { return f.Name == w.Name })
		switch {
		case k < 0 && !w.Nullable:
			return nil, fmt.Errorf("there is no column %q (%s), and it cannot be null", w.Name, w.Type)
		case k < 0:
			out.Cols[i] = nulls(kindOf(w.Type), rows.Len())
		case !arrow.TypeEqual(have[k].Type, w.Type):
			return nil, fmt.Errorf("column %q is %s, where %s is wanted", w.Name, have[k].Type, w.Type)
		default:
			out.Cols[i] = rows.Cols[k]
		}
	}
	return out, nil
}

// same tells whether two schemas have the same columns in the same order.
func same(a, b Schema) bool {
	return slices.EqualFunc(a, b, func(x, y arrow.Field) bool { return x.Name == y.Name && arrow.TypeEqual(x.Type, y.Type) })
}

// nulls returns a column of n nulls.
func nulls(k kind, n int) (c Column) {
	c.Valid = make([]bool, n)
	switch k {
	case kindFloat:
		c.Floats = make([]float64, n)
	case kindBool:
		c.Bools = make([]bool, n)
	case kindBytes:
		c.Offsets = make([]uint32, n+1)
	default:
		c.Ints = make([]int64, n)
	}
	return c
}

// Union returns the columns of both, by name: what a merge of segments of before and after a change of the job has. All can be null. Which of them its
// reader wants, that says itself; a name stands for one type.
func Union(a, b Schema) Schema {
	if a == nil || same(a, b) {
		return b
	}
	out := slices.Clone(a)
	for _, f := range b {
		if !slices.ContainsFunc(out, func(x arrow.Field) bool { return x.Name == f.Name }) {
			out = append(out, f)
		}
	}
	for i := range out {
		out[i].Nullable = true
	}
	return out
}
