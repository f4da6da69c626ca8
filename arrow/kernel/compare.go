package kernel

import (
	"strings"

	"github.com/sabot-stream/sabot"
)

// Comparisons.
type (
	intCompare struct {
		op   sabot.ExprOp
		a, b node
	}
	floatCompare struct {
		op   sabot.ExprOp
		a, b node
	}
	textCompare struct {
		op   sabot.ExprOp
		a, b node
	}
)

func (*intCompare) shape() shape   { return bools }
func (*floatCompare) shape() shape { return bools }
func (*textCompare) shape() shape  { return bools }

func compareAll[T int64 | float64](op sabot.ExprOp, x, y []T, out []bool) {
	y = y[:len(x)]
	switch op {
	case sabot.OpEq:
		for i := range x {
			out[i] = x[i] == y[i]
		}
	case sabot.OpNe:
		for i := range x {
			out[i] = x[i] != y[i]
		}
	case sabot.OpLt:
		for i := range x {
			out[i] = x[i] < y[i]
		}
	case sabot.OpLe:
		for i := range x {
			out[i] = x[i] <= y[i]
		}
	case sabot.OpGt:
		for i := range x {
			out[i] = x[i] > y[i]
		}
	default:
		for i := range x {
			out[i] = x[i] >= y[i]
		}
	}
}

// compareConst compares every value with one.
func compareConst[T int64 | float64](op sabot.ExprOp, x []T, c T, out []bool) {
	out = out[:len(x)]
	switch op {
	case sabot.OpEq:
		for i := range x {
			out[i] = x[i] == c
		}
	case sabot.OpNe:
		for i := range x {
			out[i] = x[i] != c
		}
	case sabot.OpLt:
		for i := range x {
			out[i] = x[i] < c
		}
	case sabot.OpLe:
		for i := range x {
			out[i] = x[i] <= c
		}
	case sabot.OpGt:
		for i := range x {
			out[i] = x[i] > c
		}
	default:
		for i := range x {
			out[i] = x[i] >= c
		}
	}
}

func (o *intCompare) eval(f *frame) *vec {
	if c, ok := o.b.(*constInt); ok {
		a := o.a.eval(f)
		out := &vec{bools: f.newBools(), null: a.null}
		compareConst(o.op, a.ints, c.v, out.bools)
		return out
	}
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{bools: f.newBools(), null: f.either(a, b)}
	compareAll(o.op, a.ints, b.ints, out.bools)
	return out
}

func (o *floatCompare) eval(f *frame) *vec {
	if c, ok := o.b.(*constFloat); ok {
		a := o.a.eval(f)
		out := &vec{bools: f.newBools(), null: a.null}
		compareConst(o.op, a.floats, c.v, out.bools)
		return out
	}
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{bools: f.newBools(), null: f.either(a, b)}
	compareAll(o.op, a.floats, b.floats, out.bools)
	return out
}

func (o *textCompare) eval(f *frame) *vec {
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{bools: f.newBools(), null: f.either(a, b)}
	for i := range out.bools {
		if out.isNull(i) {
			continue
		}
		c := strings.Compare(a.text(i), b.text(i))
		switch o.op {
		case sabot.OpEq:
			out.bools[i] = c == 0
		case sabot.OpNe:
			out.bools[i] = c != 0
		case sabot.OpLt:
			out.bools[i] = c < 0
		case sabot.OpLe:
			out.bools[i] = c <= 0
		case sabot.OpGt:
			out.bools[i] = c > 0
		default:
			out.bools[i] = c >= 0
		}
	}
	return out
}

// logic is and, or: false and null is false, true or null is true.
type logic struct {
	or   bool
	a, b node
}

func (*logic) shape() shape { return bools }

func (o *logic) eval(f *frame) *vec {
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{bools: f.newBools()}
	if a.null == nil && b.null == nil {
		for i := range out.bools {
			if o.or {
				out.bools[i] = a.bools[i] || b.bools[i]
			} else {
				out.bools[i] = a.bools[i] && b.bools[i]
			}
		}
		return out
	}
	out.null = f.newBools()
	for i := range out.bools {
		an, bn := a.isNull(i), b.isNull(i)
		decided := !an && a.bools[i] == o.or || !bn && b.bools[i] == o.or
		out.bools[i] = decided == o.or
		out.null[i] = !decided && (an || bn)
	}
	return out
}

type not struct{ a node }

func (*not) shape() shape { return bools }

func (o *not) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{bools: f.newBools(), null: a.null}
	for i := range out.bools {
		out.bools[i] = !a.bools[i]
	}
	return out
}

type isNullNode struct{ a node }

func (*isNullNode) shape() shape { return bools }

func (o *isNullNode) eval(f *frame) *vec {
	a := o.a.eval(f)
	if a.null == nil {
		return &vec{bools: f.newBools()}
	}
	return &vec{bools: append([]bool(nil), a.null...)}
}

type coalesce struct {
	args []node
	s    shape
}

func (o *coalesce) shape() shape { return o.s }

func (o *coalesce) eval(f *frame) *vec {
	vs := make([]*vec, len(o.args))
	for i, a := range o.args {
		vs[i] = a.eval(f)
	}
	pick := make([]int, f.n)
	var null []bool
	for i := range pick {
		for pick[i] < len(vs)-1 && vs[pick[i]].isNull(i) {
			pick[i]++
		}
		if vs[pick[i]].isNull(i) {
			if null == nil {
				null = f.newBools()
			}
			null[i] = true
		}
	}
	out := &vec{null: null}
	switch o.s {
	case floats:
		out.floats = f.newFloats()
		for i, p := range pick {
			out.floats[i] = vs[p].floats[i]
		}
	case bools:
		out.bools = f.newBools()
		for i, p := range pick {
			out.bools[i] = vs[p].bools[i]
		}
	case texts:
		out.text = func(i int) string { return vs[pick[i]].text(i) }
	default:
		out.ints = f.newInts()
		for i, p := range pick {
			out.ints[i] = vs[p].ints[i]
		}
	}
	return out
}
