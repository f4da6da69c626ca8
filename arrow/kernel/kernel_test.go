package kernel

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "b", Type: arrow.PrimitiveTypes.Int16, Nullable: true},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "p", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "q", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "t", Type: timestampUS, Nullable: true}, {Name: "d", Type: arrow.FixedWidthTypes.Date32, Nullable: true}}, nil)

// row is one row as plain Go values: int64, float64, bool, string or nil.
type row map[string]any

// data returns n random rows, as columns and as plain values.
func data(n int, seed uint64) ([]arrow.Array, []row) {
	r := rand.New(rand.NewPCG(seed, 3))
	b := batch.NewBuilder(schema)
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{}
		for c, f := range schema.Fields() {
			if r.IntN(6) == 0 {
				b.AppendNull(c)
				rows[i][f.Name] = nil
				continue
			}
			switch f.Name {
			case "a":
				v := r.Int64N(21) - 10
				if r.IntN(20) == 0 {
					v = []int64{math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}[r.IntN(3)]
				}
				b.AppendInt(c, v)
				rows[i]["a"] = v
			case "b":
				v := r.Int64N(7) - 3
				b.AppendInt(c, v)
				rows[i]["b"] = v
			case "x":
				v := float64(r.IntN(41)-20) / 4
				b.AppendFloat(c, v)
				rows[i]["x"] = v
			case "p", "q":
				v := r.IntN(2) == 0
				b.AppendBool(c, v)
				rows[i][f.Name] = v
			case "s":
				v := []string{"", "a", "ab", "12", "-7", "1.5", "x"}[r.IntN(7)]
				b.AppendString(c, v)
				rows[i]["s"] = v
			case "t":
				v := r.Int64N(4e15) - 2e15
				b.AppendInt(c, v)
				rows[i]["t"] = v
			case "d":
				v := r.Int64N(40000) - 20000
				b.AppendInt(c, v)
				rows[i]["d"] = v
			}
		}
	}
	return b.Build(), rows
}

var errRow = errors.New("no value")

// slow evaluates an expression for one row, as plainly as can be. Dates are days, times microseconds; a literal time is an int64.
func slow(e sabot.Expr, r row) (any, error) {
	if e.Op == sabot.OpCol {
		return r[e.Column], nil
	}
	if e.Op == sabot.OpLit {
		return map[string]any{"null": nil, "int64": e.Lit.Int, "float64": e.Lit.Float, "string": e.Lit.Str, "bool": e.Lit.Bool, "time": e.Lit.Int}[e.Lit.Kind], nil
	}
	args := make([]any, len(e.Args))
	var failed error
	for i, a := range e.Args {
		v, err := slow(a, r)
		if err != nil {
			failed = err
		}
		args[i] = v
	}
	if failed != nil { // an operand without a value fails the row, even where another operand would decide
		return nil, failed
	}
	switch e.Op {
	case sabot.OpIsNull:
		return args[0] == nil, nil
	case sabot.OpCoalesce:
		for _, a := range args {
			if i, ok := a.(int64); ok && e.Args[0].Column == "x" { // floats and integers together are floats
				return float64(i), nil
			}
			if a != nil {
				return a, nil
			}
		}
		return nil, nil
	case sabot.OpAnd, sabot.OpOr:
		decides := e.Op == sabot.OpOr
		if args[0] == decides || args[1] == decides {
			return decides, nil
		}
		if args[0] == nil || args[1] == nil {
			return nil, nil
		}
		return !decides, nil
	}
	for _, a := range args {
		if a == nil {
			return nil, nil
		}
	}
	return slowStrict(e, args)
}

// slowStrict evaluates operations of which null operands make null.
func slowStrict(e sabot.Expr, args []any) (any, error) {
	switch e.Op {
	case sabot.OpNot:
		return !args[0].(bool), nil
	case sabot.OpNeg:
		return slowStrict(sabot.Expr{Op: sabot.OpSub}, []any{int64(0), args[0]})
	case sabot.OpTruncate:
		w := e.Width.Microseconds()
		v := args[0].(int64)
		return v - ((v%w)+w)%w, nil
	case sabot.OpExtract:
		t := time.UnixMicro(args[0].(int64)).UTC()
		return map[string]int64{"year": int64(t.Year()), "month": int64(t.Month()), "day": int64(t.Day()), "hour": int64(t.Hour()),
			"minute": int64(t.Minute()), "second": int64(t.Second()), "dow": int64(t.Weekday()), "doy": int64(t.YearDay()), "epoch": t.Unix()}[e.Part], nil
	case sabot.OpCast:
		return slowCast(e.Type, args[0])
	}
	if a, ok := args[0].(int64); ok {
		if b, ok := args[1].(int64); ok {
			return slowInts(e.Op, a, b)
		}
	}
	if a, ok := args[0].(string); ok {
		return slowCompare(e.Op, a, args[1].(string)), nil
	}
	if a, ok := args[0].(bool); ok {
		return slowCompare(e.Op, fmt.Sprint(a), fmt.Sprint(args[1])), nil // false sorts before true
	}
	a, b := real(args[0]), real(args[1])
	switch e.Op {
	case sabot.OpAdd:
		return a + b, nil
	case sabot.OpSub:
		return a - b, nil
	case sabot.OpMul:
		return a * b, nil
	case sabot.OpDiv:
		return a / b, nil
	case sabot.OpMod:
		return math.Mod(a, b), nil
	}
	return slowCompare(e.Op, a, b), nil
}

func real(v any) float64 {
	if i, ok := v.(int64); ok {
		return float64(i)
	}
	return v.(float64)
}

func slowInts(op sabot.ExprOp, a, b int64) (any, error) {
	x, y := newBig(a), newBig(b)
	switch op {
	case sabot.OpAdd:
		return x.Add(x, y).check()
	case sabot.OpSub:
		return x.Sub(x, y).check()
	case sabot.OpMul:
		return x.Mul(x, y).check()
	case sabot.OpDiv, sabot.OpMod:
		if b == 0 {
			return nil, errRow
		}
		if op == sabot.OpDiv {
			return x.Quo(x, y).check()
		}
		if a == math.MinInt64 && b == -1 {
			return nil, errRow
		}
		return a % b, nil
	}
	return slowCompare(op, a, b), nil
}

func slowCompare[T int64 | float64 | string](op sabot.ExprOp, a, b T) bool {
	switch op {
	case sabot.OpEq:
		return a == b
	case sabot.OpNe:
		return a != b
	case sabot.OpLt:
		return a < b
	case sabot.OpLe:
		return a <= b
	case sabot.OpGt:
		return a > b
	}
	return a >= b
}

func slowCast(to string, v any) (any, error) {
	switch to {
	case "int64":
		switch v := v.(type) {
		case float64:
			return int64(v), nil
		case bool:
			if v {
				return int64(1), nil
			}
			return int64(0), nil
		case string:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, errRow
			}
			return n, nil
		}
	case "float64":
		if s, ok := v.(string); ok {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return nil, errRow
			}
			return x, nil
		}
		return real(v), nil
	case "utf8":
		if x, ok := v.(float64); ok {
			return strconv.FormatFloat(x, 'g', -1, 64), nil
		}
		return fmt.Sprint(v), nil
	}
	return v, nil
}

// value reads element i of a column as slow gives it.
func value(c arrow.Array, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch c := c.(type) {
	case *array.Null:
		return nil
	case *array.Int64:
		return c.Value(i)
	case *array.Int16:
		return int64(c.Value(i))
	case *array.Float64:
		return c.Value(i)
	case *array.Boolean:
		return c.Value(i)
	case *array.String:
		return c.Value(i)
	case *array.Timestamp:
		return int64(c.Value(i))
	case *array.Date32:
		return int64(c.Value(i))
	}
	return c.ValueStr(i)
}

func TestAgainstPlainEvaluator(t *testing.T) {
	col, lit := sabot.Col, sabot.Lit
	a, b, x, p, q, s, ts, d := col("a"), col("b"), col("x"), col("p"), col("q"), col("s"), col("t"), col("d")
	day := time.Date(1999, 5, 1, 0, 0, 0, 0, time.UTC)
	exprs := []sabot.Expr{a, a.Add(b), a.Sub(b), a.Mul(b), a.Div(b), a.Mod(b), a.Neg(), a.Mul(3), a.Mul(-1), a.Mul(0), a.Add(x), x.Sub(a), x.Mul(x), x.Div(2), x.Mod(1.5), x.Neg(),
		a.Eq(b), a.Ne(b), a.Lt(3), a.Le(b), a.Gt(x), x.Ge(a), s.Eq("a"), s.Lt("b"), s.Ge(s), p.Eq(q), p.Lt(q), ts.Lt(day), ts.Ge(ts), d.Le(d), a.Eq(nil),
		p.And(q), p.Or(q), p.Not(), p.And(nil), p.Or(nil), lit(true).And(p), a.Gt(0).And(b.Lt(2)).Or(p.Not()), a.IsNull(), a.IsNotNull(), p.And(q).IsNull(),
		sabot.Coalesce(a, b, 7), sabot.Coalesce(x, a), sabot.Coalesce(s, "none"), sabot.Coalesce(p, q), sabot.Coalesce(nil, nil),
		sabot.Cast(s, arrow.PrimitiveTypes.Int64), sabot.Cast(s, arrow.PrimitiveTypes.Float64), sabot.Cast(a, arrow.BinaryTypes.String), sabot.Cast(x, arrow.PrimitiveTypes.Int64),
		sabot.Cast(p, arrow.PrimitiveTypes.Int64), sabot.Cast(b, arrow.PrimitiveTypes.Float64), sabot.Cast(x, arrow.BinaryTypes.String), sabot.Cast(ts, arrow.PrimitiveTypes.Int64),
		sabot.TruncateTime(ts, time.Hour), ts.Sub(ts), ts.Add(1), sabot.Cast(a.Add(b), arrow.BinaryTypes.String).Eq("3")}
	for _, part := range []string{"year", "month", "day", "hour", "minute", "second", "dow", "doy", "epoch"} {
		exprs = append(exprs, sabot.Extract(part, ts))
	}
	cols, rows := data(500, 1)
	for _, e := range exprs {
		prog, err := Compile(e, schema)
		if err != nil {
			t.Errorf("%+v: %v", e, err)
			continue
		}
		got, err := prog.Eval(cols, len(rows))
		bad := map[int32]bool{}
		var re *RowErrors
		if errors.As(err, &re) {
			for _, i := range re.Rows {
				bad[i] = true
			}
		} else if err != nil {
			t.Fatal(err)
		}
		var selected []int32
		for i, r := range rows {
			want, werr := slow(e, r)
			if (werr != nil) != bad[int32(i)] {
				t.Fatalf("%s over %v: fails: %v, want %v", name(e), r, bad[int32(i)], werr != nil)
			}
			if diff := cmp.Diff(want, value(got, i)); diff != "" {
				t.Fatalf("%s over %v (-want +got):\n%s", name(e), r, diff)
			}
			if want == true {
				selected = append(selected, int32(i))
			}
		}
		if prog.Type().ID() == arrow.BOOL {
			sel, _ := prog.Select(cols, len(rows), nil, nil) // its row errors have been compared above
			if diff := cmp.Diff(selected, sel, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s selects other rows (-want +got):\n%s", name(e), diff)
			}
		}
	}
}

func name(e sabot.Expr) string {
	if e.Op == sabot.OpCol {
		return e.Column
	}
	s := string(e.Op) + "("
	for _, a := range e.Args {
		s += name(a) + " "
	}
	return s + ")"
}

func TestWrongTypesAreRefused(t *testing.T) {
	for _, e := range []sabot.Expr{sabot.Col("nope"), sabot.Col("s").Add(1), sabot.Col("a").And(true), sabot.Col("p").Lt(1), sabot.Col("s").Eq(1),
		sabot.Extract("century", sabot.Col("t")), sabot.Extract("year", sabot.Col("a")), sabot.TruncateTime(sabot.Col("t"), 0), sabot.Col("t").Mul(2),
		sabot.Cast(sabot.Col("t"), arrow.PrimitiveTypes.Float64), sabot.Lit(struct{}{}), sabot.Coalesce(sabot.Col("a"), "x")} {
		if _, err := Compile(e, schema); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%s: %v, want an Invalid error", name(e), err)
		}
	}
}

func BenchmarkMulConst(b *testing.B) {
	const n = 8192
	in := make([]int64, n)
	for i := range in {
		in[i] = int64(i)
	}
	bld := batch.NewBuilder(arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil))
	for _, v := range in {
		bld.AppendInt(0, v)
	}
	cols := bld.Build()
	per := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row") }
	b.Run("kernel", func(b *testing.B) {
		p, err := Compile(sabot.Col("v").Mul(908), arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil))
		if err != nil {
			b.Fatal(err)
		}
		for range b.N {
			out, err := p.Eval(cols, n)
			if err != nil {
				b.Fatal(err)
			}
			out.Release()
		}
		per(b)
	})
	b.Run("loop", func(b *testing.B) {
		for range b.N {
			out := make([]int64, n)
			for i, v := range in {
				out[i] = v * 908
			}
			sink = out
		}
		per(b)
	})
}

var sink []int64

func BenchmarkFilter(b *testing.B) {
	const n = 8192
	cols, _ := data(n, 2)
	per := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row") }
	b.Run("kernel", func(b *testing.B) {
		p, err := Compile(sabot.Col("t").Gt(time.Unix(0, 0)), schema)
		if err != nil {
			b.Fatal(err)
		}
		sel := make([]int32, 0, n)
		for range b.N {
			if sel, err = p.Select(cols, n, nil, sel[:0]); err != nil {
				b.Fatal(err)
			}
		}
		per(b)
	})
	b.Run("loop", func(b *testing.B) {
		c := cols[6].(*array.Timestamp)
		v := c.TimestampValues()
		sel := make([]int32, 0, n)
		for range b.N {
			sel = sel[:0]
			for i := range v {
				if v[i] > 0 && c.IsValid(i) {
					sel = append(sel, int32(i))
				}
			}
		}
		per(b)
	})
}
