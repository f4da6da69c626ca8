package kernel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

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
