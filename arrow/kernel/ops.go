package kernel

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

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

// Conversions between shapes.
type (
	intToFloat struct{ a node }
	boolToInt  struct{ a node }
	scaled     struct { // dates to times
		a  node
		by int64
	}
	timeToDate struct{ a node }
	floatToInt struct{ a node }
	textToInt  struct{ a node }
	textToReal struct{ a node }
	toText     struct {
		a node
		f func(v *vec, i int) string
	}
)

func (*intToFloat) shape() shape { return floats }
func (*boolToInt) shape() shape  { return ints }
func (*scaled) shape() shape     { return ints }
func (*timeToDate) shape() shape { return ints }
func (*floatToInt) shape() shape { return ints }
func (*textToInt) shape() shape  { return ints }
func (*textToReal) shape() shape { return floats }
func (*toText) shape() shape     { return texts }

// toFloat returns n as floats.
func toFloat(n node) node {
	switch c := n.(type) {
	case *constInt:
		return &constFloat{float64(c.v)}
	case *allNull:
		return n
	}
	if n.shape() == floats {
		return n
	}
	return &intToFloat{n}
}

const dayMicros = 24 * 3600 * 1_000_000

// dateToTime returns n, of type t, in microseconds when it is a date that meets a time.
func dateToTime(n node, t, other arrow.DataType) node {
	if t.ID() == arrow.DATE32 && (other.ID() != arrow.DATE32) {
		return &scaled{n, dayMicros}
	}
	return n
}

func (o *intToFloat) eval(f *frame) *vec {
	a := o.a.eval(f)
	return &vec{floats: convert[float64](a.ints), null: a.null}
}

func (o *boolToInt) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, b := range a.bools {
		if b {
			out.ints[i] = 1
		}
	}
	return out
}

func (o *scaled) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = x * o.by
	}
	return out
}

func floorDiv(x, by int64) int64 {
	q := x / by
	if x%by < 0 {
		q--
	}
	return q
}

func (o *timeToDate) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = floorDiv(x, dayMicros)
	}
	return out
}

func (o *floatToInt) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.floats {
		if out.isNull(i) {
			continue
		}
		if !(x > -(1<<63) && x < 1<<63) {
			f.fail(i, fmt.Sprintf("%v is no int64", x))
			continue
		}
		out.ints[i] = int64(x)
	}
	return out
}

func (o *textToInt) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i := range out.ints {
		if out.isNull(i) {
			continue
		}
		x, err := strconv.ParseInt(strings.TrimSpace(a.text(i)), 10, 64)
		if err != nil {
			f.fail(i, fmt.Sprintf("%.40q is no int64", a.text(i)))
		}
		out.ints[i] = x
	}
	return out
}

func (o *textToReal) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{floats: f.newFloats(), null: a.null}
	for i := range out.floats {
		if out.isNull(i) {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(a.text(i)), 64)
		if err != nil {
			f.fail(i, fmt.Sprintf("%.40q is no number", a.text(i)))
		}
		out.floats[i] = x
	}
	return out
}

func (o *toText) eval(f *frame) *vec {
	a := o.a.eval(f)
	return &vec{text: func(i int) string { return o.f(a, i) }, null: a.null}
}

// castOf converts n, of type t, to the type of that name.
func castOf(n node, t arrow.DataType, to string) (node, arrow.DataType, error) {
	targets := map[string]arrow.DataType{}
	for _, u := range []arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String,
		arrow.FixedWidthTypes.Boolean, timestampUS, arrow.FixedWidthTypes.Date32} {
		targets[u.String()] = u
	}
	u, ok := targets[to]
	if !ok {
		return nil, nil, fmt.Errorf("cast to %q: int64, float64, utf8, bool, timestamp[us] and date32 are known", to)
	}
	switch {
	case isNull(t):
		return &allNull{}, u, nil
	case arrow.TypeEqual(t, u):
		return n, u, nil
	case isInt(u) && isInt(t), isInt(u) && t.ID() == arrow.TIMESTAMP, u.ID() == arrow.TIMESTAMP && isInt(t), isFloat(u) && isFloat(t):
		return &same{n}, u, nil
	case isFloat(u) && isInt(t):
		return toFloat(n), u, nil
	case isInt(u) && isFloat(t):
		return &floatToInt{n}, u, nil
	case isInt(u) && isBool(t):
		return &boolToInt{n}, u, nil
	case isInt(u) && isText(t):
		return &textToInt{n}, u, nil
	case isFloat(u) && isText(t):
		return &textToReal{n}, u, nil
	case u.ID() == arrow.TIMESTAMP && t.ID() == arrow.DATE32:
		return &scaled{n, dayMicros}, u, nil
	case u.ID() == arrow.DATE32 && t.ID() == arrow.TIMESTAMP:
		return &timeToDate{n}, u, nil
	case isText(u):
		return &toText{n, formatter(t)}, u, nil
	}
	return nil, nil, fmt.Errorf("%s cannot be cast to %s", t, u)
}

// same passes values on under another type, so that a plain column is not taken for the result.
type same struct{ a node }

func (o *same) shape() shape       { return o.a.shape() }
func (o *same) eval(f *frame) *vec { return o.a.eval(f) }

func formatter(t arrow.DataType) func(*vec, int) string {
	switch {
	case isText(t):
		return func(v *vec, i int) string { return v.text(i) }
	case isFloat(t):
		return func(v *vec, i int) string { return strconv.FormatFloat(v.floats[i], 'g', -1, 64) }
	case isBool(t):
		return func(v *vec, i int) string { return strconv.FormatBool(v.bools[i]) }
	case t.ID() == arrow.TIMESTAMP:
		return func(v *vec, i int) string { return time.UnixMicro(v.ints[i]).UTC().Format(time.RFC3339Nano) }
	case t.ID() == arrow.DATE32:
		return func(v *vec, i int) string { return time.Unix(v.ints[i]*86400, 0).UTC().Format(time.DateOnly) }
	}
	return func(v *vec, i int) string { return strconv.FormatInt(v.ints[i], 10) }
}

type truncate struct {
	a     node
	width int64
}

func (*truncate) shape() shape { return ints }

func (o *truncate) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = floorDiv(x, o.width) * o.width
	}
	return out
}

type extract struct {
	a node
	f func(time.Time) int64
}

func (*extract) shape() shape { return ints }

func (o *extract) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = o.f(time.UnixMicro(x).UTC())
	}
	return out
}

var parts = map[string]func(time.Time) int64{
	"year":   func(t time.Time) int64 { return int64(t.Year()) },
	"month":  func(t time.Time) int64 { return int64(t.Month()) },
	"day":    func(t time.Time) int64 { return int64(t.Day()) },
	"hour":   func(t time.Time) int64 { return int64(t.Hour()) },
	"minute": func(t time.Time) int64 { return int64(t.Minute()) },
	"second": func(t time.Time) int64 { return int64(t.Second()) },
	"dow":    func(t time.Time) int64 { return int64(t.Weekday()) },
	"doy":    func(t time.Time) int64 { return int64(t.YearDay()) },
	"epoch":  func(t time.Time) int64 { return floorDiv(t.UnixMicro(), 1_000_000) },
}
