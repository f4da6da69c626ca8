package kernel

import (
	"math"
	"math/bits"

	"github.com/sabot-stream/sabot"
)

// either returns the rows in which a or b is null, nil for none.
func (f *frame) either(a, b *vec) []bool {
	switch {
	case a.null == nil:
		return b.null
	case b.null == nil:
		return a.null
	}
	out := f.newBools()
	for i := range out {
		out[i] = a.null[i] || b.null[i]
	}
	return out
}

// intArithmetic is +, -, *, / and % of int64.
type intArithmetic struct {
	op   sabot.ExprOp
	a, b node
}

func (*intArithmetic) shape() shape { return ints }

const overflow = "the result overflows int64"

func (o *intArithmetic) eval(f *frame) *vec {
	if c, ok := o.b.(*constInt); ok && o.op == sabot.OpMul && c.v != 0 && c.v != -1 {
		return o.timesConst(f, c.v)
	}
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{ints: f.newInts(), null: f.either(a, b)}
	for i := range out.ints {
		x, y := a.ints[i], b.ints[i]
		var r int64
		bad := ""
		switch o.op {
		case sabot.OpAdd:
			if r = x + y; (r^x)&(r^y) < 0 {
				bad = overflow
			}
		case sabot.OpSub:
			if r = x - y; (x^y)&(r^x) < 0 {
				bad = overflow
			}
		case sabot.OpMul:
			if r = x * y; x != 0 && (r/x != y || x == -1 && y == math.MinInt64) {
				bad = overflow
			}
		default:
			switch {
			case y == 0:
				bad = "division by zero"
			case x == math.MinInt64 && y == -1:
				bad = overflow
			case o.op == sabot.OpDiv:
				r = x / y
			default:
				r = x % y
			}
		}
		out.ints[i] = r
		if bad != "" && !out.isNull(i) {
			f.fail(i, bad)
		}
	}
	return out
}

// timesConst multiplies by a constant: one comparison with the greatest factor replaces a division per row.
func (o *intArithmetic) timesConst(f *frame, c int64) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	most := math.MaxInt64 / abs(c)
	var over int64
	for i, x := range a.ints {
		out.ints[i] = x * c
		over |= (most - x) | (most + x)
	}
	if over >= 0 {
		return out
	}
	for i, x := range a.ints {
		if hi, lo := bits.Mul64(uint64(abs(x)), uint64(abs(c))); (hi != 0 || lo > math.MaxInt64) && !out.isNull(i) {
			f.fail(i, overflow)
		}
	}
	return out
}

func abs(x int64) int64 { return max(x, -x) }

// floatArithmetic is the same of float64, by IEEE 754.
type floatArithmetic struct {
	op   sabot.ExprOp
	a, b node
}

func (*floatArithmetic) shape() shape { return floats }

func (o *floatArithmetic) eval(f *frame) *vec {
	a, b := o.a.eval(f), o.b.eval(f)
	out := &vec{floats: f.newFloats(), null: f.either(a, b)}
	x, y := a.floats, b.floats
	switch o.op {
	case sabot.OpAdd:
		for i := range out.floats {
			out.floats[i] = x[i] + y[i]
		}
	case sabot.OpSub:
		for i := range out.floats {
			out.floats[i] = x[i] - y[i]
		}
	case sabot.OpMul:
		for i := range out.floats {
			out.floats[i] = x[i] * y[i]
		}
	case sabot.OpDiv:
		for i := range out.floats {
			out.floats[i] = x[i] / y[i]
		}
	default:
		for i := range out.floats {
			out.floats[i] = math.Mod(x[i], y[i])
		}
	}
	return out
}
