package operators

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/objstate"
)

// aggregate is one aggregate function over one column. Its accumulators are columns of the window's table, from column at on.
type aggregate interface {
	// accumulators lists its columns; names are unique within it.
	accumulators() []arrow.Field
	// bind sets the input of the next updates.
	bind(b *batch.Batch)
	// update adds rows to slots.
	update(t *objstate.Table, at int, rows []int32, slots []uint32)
	// emit appends the result of a slot to column col of the output.
	emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int)
}

// bounded is an aggregate that cannot take every row. Its update wraps around, so that revert can take it back.
type bounded interface {
	aggregate
	// held tells whether the last update stayed within bounds.
	held() bool
	// revert takes back the last update, which was of the same rows and slots.
	revert(t *objstate.Table, at int, rows []int32, slots []uint32)
	// fits tells whether a slot can take a row.
	fits(t *objstate.Table, at int, row int32, slot uint32) bool
}

// newAggregate returns the aggregate a over the columns of in.
func newAggregate(a sabot.Agg, in *arrow.Schema) (aggregate, error) {
	if a.Column == "" {
		return &countAgg{col: -1}, nil
	}
	idx := in.FieldIndices(a.Column)
	if len(idx) == 0 {
		return nil, fmt.Errorf("no column %q", a.Column)
	}
	t := in.Field(idx[0]).Type
	floats := t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64
	switch a.Func {
	case sabot.CountAgg:
		return &countAgg{col: idx[0]}, nil
	case sabot.SumAgg, sabot.AvgAgg:
		mean := a.Func == sabot.AvgAgg
		if floats {
			return &floatSum{col: idx[0], mean: mean}, nil
		}
		return &intSum{col: idx[0], mean: mean, unsigned: t.ID() == arrow.UINT64}, nil
	}
	e := extreme{col: idx[0], typ: t, timed: a.Func == sabot.FirstAgg || a.Func == sabot.LastAgg, greatest: a.Func == sabot.MaxAgg || a.Func == sabot.LastAgg}
	switch {
	case floats:
		return &floatExtreme{extreme: e}, nil
	case t.ID() == arrow.STRING || t.ID() == arrow.BINARY:
		return &textExtreme{extreme: e}, nil
	}
	return &intExtreme{extreme: e}, nil
}

var (
	int64Type   = arrow.PrimitiveTypes.Int64
	float64Type = arrow.PrimitiveTypes.Float64
)

// countAgg counts rows, or values of a column.
type countAgg struct {
	col   int
	nulls arrow.Array // nil: there are none
}

func (a *countAgg) accumulators() []arrow.Field { return []arrow.Field{{Name: "n", Type: int64Type}} }

func (a *countAgg) bind(b *batch.Batch) {
	a.nulls = nil
	if a.col >= 0 && b.Cols[a.col].NullN() > 0 {
		a.nulls = b.Cols[a.col]
	}
}

func (a *countAgg) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	n := t.Cols[at].Ints
	for k, s := range slots {
		if a.nulls == nil || a.nulls.IsValid(int(rows[k])) {
			n[s]++
		}
	}
}

func (a *countAgg) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	out.AppendInt(col, t.Cols[at].Ints[slot])
}

// intSum is the sum or mean of integers.
type intSum struct {
	col      int
	mean     bool
	unsigned bool // values are uint64 by their bits: those beyond int64 do not fit
	v        []int64
	null     arrow.Array
	over     int64 // negative: the last update wrapped around
}

func (a *intSum) accumulators() []arrow.Field {
	return []arrow.Field{{Name: "sum", Type: int64Type}, {Name: "n", Type: int64Type}}
}

func (a *intSum) bind(b *batch.Batch) { a.v, a.null = integers(b.Cols[a.col]) }

func (a *intSum) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	sums, n := t.Cols[at].Ints, t.Cols[at+1].Ints
	over, large := int64(0), int64(0)
	for k, s := range slots {
		if a.null != nil && a.null.IsNull(int(rows[k])) {
			continue
		}
		v, old := a.v[rows[k]], sums[s]
		sum := old + v
		over |= (sum ^ old) & (sum ^ v)
		large |= v
		sums[s] = sum
		n[s]++
	}
	if a.unsigned {
		over |= large
	}
	a.over = over
}

func (a *intSum) held() bool { return a.over >= 0 }

func (a *intSum) revert(t *objstate.Table, at int, rows []int32, slots []uint32) {
	for k, s := range slots {
		if a.null == nil || a.null.IsValid(int(rows[k])) {
			t.Cols[at].Ints[s] -= a.v[rows[k]]
			t.Cols[at+1].Ints[s]--
		}
	}
}

func (a *intSum) fits(t *objstate.Table, at int, row int32, slot uint32) bool {
	if a.null != nil && a.null.IsNull(int(row)) {
		return true
	}
	v, old := a.v[row], t.Cols[at].Ints[slot]
	sum := old + v
	return (sum^old)&(sum^v) >= 0 && !(a.unsigned && v < 0)
}

func (a *intSum) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	sum, n := t.Cols[at].Ints[slot], t.Cols[at+1].Ints[slot]
	switch {
	case n == 0:
		out.AppendNull(col)
	case a.mean:
		out.AppendFloat(col, float64(sum)/float64(n))
	default:
		out.AppendInt(col, sum)
	}
}

// floatSum is the sum or mean of floats.
type floatSum struct {
	col  int
	mean bool
	v    []float64
	null arrow.Array
}

func (a *floatSum) accumulators() []arrow.Field {
	return []arrow.Field{{Name: "sum", Type: float64Type}, {Name: "n", Type: int64Type}}
}

func (a *floatSum) bind(b *batch.Batch) { a.v, a.null = floatsOf(b.Cols[a.col]) }

func (a *floatSum) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	sums, n := t.Cols[at].Floats, t.Cols[at+1].Ints
	for k, s := range slots {
		if a.null == nil || a.null.IsValid(int(rows[k])) {
			sums[s] += a.v[rows[k]]
			n[s]++
		}
	}
}

func (a *floatSum) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	sum, n := t.Cols[at].Floats[slot], t.Cols[at+1].Ints[slot]
	switch {
	case n == 0:
		out.AppendNull(col)
	case a.mean:
		out.AppendFloat(col, sum/float64(n))
	default:
		out.AppendFloat(col, sum)
	}
}

// extreme is what min, max, first and last share: a value that another replaces when it is better, by event time first where timed.
type extreme struct {
	col      int
	typ      arrow.DataType
	timed    bool
	greatest bool
	times    []int64
	null     arrow.Array
}

func (e *extreme) fields(t arrow.DataType) []arrow.Field {
	return []arrow.Field{{Name: "value", Type: t, Nullable: true}, {Name: "at", Type: int64Type}}
}

// better tells whether a value and its time replace those of a slot, given how the values compare.
func (e *extreme) better(t int64, old int64, order int) bool {
	if e.timed && t != old {
		return t > old == e.greatest
	}
	return order > 0 == e.greatest && order != 0
}

func (e *extreme) time(row int32) int64 {
	if e.timed {
		return e.times[row]
	}
	return 0
}

func (e *extreme) bindTimes(b *batch.Batch) {
	if e.timed {
		e.times = b.Times
	}
}

// intExtreme is over integers, timestamps, dates and bools.
type intExtreme struct {
	extreme
	v []int64
}

func (a *intExtreme) accumulators() []arrow.Field { return a.fields(int64Type) }

func (a *intExtreme) bind(b *batch.Batch) {
	a.v, a.null = integers(b.Cols[a.col])
	a.bindTimes(b)
}

func (a *intExtreme) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	values, valid, times := t.Cols[at].Ints, t.Cols[at].Valid, t.Cols[at+1].Ints
	if a.null == nil && !a.timed && a.typ.ID() != arrow.UINT64 { // the frequent case: min or max without nulls
		for k, s := range slots {
			v := a.v[rows[k]]
			if !valid[s] || v > values[s] == a.greatest && v != values[s] {
				values[s], valid[s] = v, true
			}
		}
		return
	}
	unsigned := a.typ.ID() == arrow.UINT64
	for k, s := range slots {
		r := rows[k]
		if a.null != nil && a.null.IsNull(int(r)) {
			continue
		}
		v, now := a.v[r], a.time(r)
		order := cmp.Compare(v, values[s])
		if unsigned {
			order = cmp.Compare(uint64(v), uint64(values[s]))
		}
		if !valid[s] || a.better(now, times[s], order) {
			values[s], valid[s], times[s] = v, true, now
		}
	}
}

func (a *intExtreme) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	switch {
	case !t.Cols[at].Valid[slot]:
		out.AppendNull(col)
	case a.typ.ID() == arrow.BOOL:
		out.AppendBool(col, t.Cols[at].Ints[slot] != 0)
	default:
		out.AppendInt(col, t.Cols[at].Ints[slot])
	}
}

// floatExtreme is over floats; NaN is the greatest.
type floatExtreme struct {
	extreme
	v []float64
}

func (a *floatExtreme) accumulators() []arrow.Field { return a.fields(float64Type) }

func (a *floatExtreme) bind(b *batch.Batch) {
	a.v, a.null = floatsOf(b.Cols[a.col])
	a.bindTimes(b)
}

func (a *floatExtreme) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	values, valid, times := t.Cols[at].Floats, t.Cols[at].Valid, t.Cols[at+1].Ints
	for k, s := range slots {
		r := rows[k]
		if a.null != nil && a.null.IsNull(int(r)) {
			continue
		}
		v, now := a.v[r], a.time(r)
		if !valid[s] || a.better(now, times[s], compareFloats(v, values[s])) {
			values[s], valid[s], times[s] = v, true, now
		}
	}
}

func compareFloats(a, b float64) int {
	aNaN, bNaN := a != a, b != b
	switch {
	case aNaN && bNaN:
		return 0
	case aNaN:
		return 1
	case bNaN:
		return -1
	}
	return cmp.Compare(a, b)
}

func (a *floatExtreme) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	if !t.Cols[at].Valid[slot] {
		out.AppendNull(col)
		return
	}
	out.AppendFloat(col, t.Cols[at].Floats[slot])
}

// textExtreme is over text and bytes.
type textExtreme struct {
	extreme
	text func(i int) string
}

func (a *textExtreme) accumulators() []arrow.Field { return a.fields(a.typ) }

func (a *textExtreme) bind(b *batch.Batch) {
	c := b.Cols[a.col]
	a.null = nil
	if c.NullN() > 0 {
		a.null = c
	}
	switch c := c.(type) {
	case *array.String:
		a.text = c.Value
	case *array.Binary:
		a.text = func(i int) string { return string(c.Value(i)) }
	}
	a.bindTimes(b)
}

func (a *textExtreme) update(t *objstate.Table, at int, rows []int32, slots []uint32) {
	values, valid, times := t.Cols[at].Texts, t.Cols[at].Valid, t.Cols[at+1].Ints
	for k, s := range slots {
		r := rows[k]
		if a.null != nil && a.null.IsNull(int(r)) {
			continue
		}
		v, now := a.text(int(r)), a.time(r)
		if !valid[s] || a.better(now, times[s], strings.Compare(v, values[s])) {
			values[s], valid[s], times[s] = strings.Clone(v), true, now
		}
	}
}

func (a *textExtreme) emit(t *objstate.Table, at int, slot uint32, out *batch.Builder, col int) {
	if !t.Cols[at].Valid[slot] {
		out.AppendNull(col)
		return
	}
	out.AppendString(col, t.Cols[at].Texts[slot])
}

// integers returns a column's values as int64 (uint64 by bits, dates as days, bools as 0 and 1), and the column itself when it has nulls.
func integers(c arrow.Array) ([]int64, arrow.Array) {
	var null arrow.Array
	if c.NullN() > 0 {
		null = c
	}
	switch c := c.(type) {
	case *array.Int8:
		return widen(c.Int8Values()), null
	case *array.Int16:
		return widen(c.Int16Values()), null
	case *array.Int32:
		return widen(c.Int32Values()), null
	case *array.Uint8:
		return widen(c.Uint8Values()), null
	case *array.Uint16:
		return widen(c.Uint16Values()), null
	case *array.Uint32:
		return widen(c.Uint32Values()), null
	case *array.Date32:
		return widen(c.Date32Values()), null
	case *array.Boolean:
		v := make([]int64, c.Len())
		for i := range v {
			if c.Value(i) {
				v[i] = 1
			}
		}
		return v, null
	}
	return batch.Int64s(c), null // int64, uint64, timestamp
}

func widen[T int8 | int16 | int32 | uint8 | uint16 | uint32 | arrow.Date32](in []T) []int64 {
	v := make([]int64, len(in))
	for i, x := range in {
		v[i] = int64(x)
	}
	return v
}

// floatsOf returns a column's values as float64, and the column itself when it has nulls.
func floatsOf(c arrow.Array) ([]float64, arrow.Array) {
	var null arrow.Array
	if c.NullN() > 0 {
		null = c
	}
	if c, ok := c.(*array.Float64); ok {
		return c.Float64Values(), null
	}
	in := c.(*array.Float32).Float32Values()
	v := make([]float64, len(in))
	for i, x := range in {
		v[i] = float64(x)
	}
	return v, null
}
