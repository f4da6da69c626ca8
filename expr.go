package sabot

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Col is a column of the row.
func Col(name string) Expr { return Expr{Op: OpCol, Column: name} }

// Lit is a constant: nil, a bool, an integer, a float, a string or a time.Time. Anything else is a problem that binding reports.
func Lit(v any) Expr {
	e := Expr{Op: OpLit}
	switch v := v.(type) {
	case nil:
		e.Lit.Kind = "null"
	case bool:
		e.Lit = Literal{Kind: "bool", Bool: v}
	case int:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case int8:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case int16:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case int32:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case int64:
		e.Lit = Literal{Kind: "int64", Int: v}
	case uint8:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case uint16:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case uint32:
		e.Lit = Literal{Kind: "int64", Int: int64(v)}
	case float32:
		e.Lit = Literal{Kind: "float64", Float: float64(v)}
	case float64:
		e.Lit = Literal{Kind: "float64", Float: v}
	case string:
		e.Lit = Literal{Kind: "string", Str: v}
	case time.Time:
		e.Lit = Literal{Kind: "time", Int: int64(MicrosOf(v))}
	case time.Duration:
		e.Lit = Literal{Kind: "int64", Int: v.Microseconds()}
	default:
		e.Lit = Literal{Kind: fmt.Sprintf("unknown type %T", v)}
	}
	return e
}

// operand turns a Go value into an expression; an Expr stays itself.
func operand(v any) Expr {
	if e, ok := v.(Expr); ok {
		return e
	}
	return Lit(v)
}

func (e Expr) with(op ExprOp, v any) Expr { return Expr{Op: op, Args: []Expr{e, operand(v)}} }

// As names the column that the expression makes in a Select.
func (e Expr) As(name string) Expr {
	e.Name = name
	return e
}

// Add returns e + v; v is an Expr or a Go value, here and below.
func (e Expr) Add(v any) Expr { return e.with(OpAdd, v) }

// Sub returns e - v; of two times the int64 microseconds between them.
func (e Expr) Sub(v any) Expr { return e.with(OpSub, v) }

// Mul returns e * v.
func (e Expr) Mul(v any) Expr { return e.with(OpMul, v) }

// Div returns e / v; of integers the quotient towards zero.
func (e Expr) Div(v any) Expr { return e.with(OpDiv, v) }

// Mod returns the remainder of e / v, with e's sign.
func (e Expr) Mod(v any) Expr { return e.with(OpMod, v) }

// Neg returns -e.
func (e Expr) Neg() Expr { return Expr{Op: OpNeg, Args: []Expr{e}} }

// Eq tells whether e = v.
func (e Expr) Eq(v any) Expr { return e.with(OpEq, v) }

// Ne tells whether e differs from v.
func (e Expr) Ne(v any) Expr { return e.with(OpNe, v) }

// Lt tells whether e < v.
func (e Expr) Lt(v any) Expr { return e.with(OpLt, v) }

// Le tells whether e <= v.
func (e Expr) Le(v any) Expr { return e.with(OpLe, v) }

// Gt tells whether e > v.
func (e Expr) Gt(v any) Expr { return e.with(OpGt, v) }

// Ge tells whether e >= v.
func (e Expr) Ge(v any) Expr { return e.with(OpGe, v) }

// And is three-valued, as in SQL.
func (e Expr) And(v any) Expr { return e.with(OpAnd, v) }

// Or is three-valued, as in SQL.
func (e Expr) Or(v any) Expr { return e.with(OpOr, v) }

// Not is null for null.
func (e Expr) Not() Expr { return Expr{Op: OpNot, Args: []Expr{e}} }

// IsNull tells whether e is null.
func (e Expr) IsNull() Expr { return Expr{Op: OpIsNull, Args: []Expr{e}} }

// IsNotNull tells whether e is not null.
func (e Expr) IsNotNull() Expr { return e.IsNull().Not() }

// Coalesce returns the first of its arguments that is not null.
func Coalesce(args ...any) Expr {
	e := Expr{Op: OpCoalesce}
	for _, a := range args {
		e.Args = append(e.Args, operand(a))
	}
	return e
}

// Cast converts a value to another type. Text that is no number is a bad record.
func Cast(v any, to arrow.DataType) Expr {
	if to == nil {
		return Expr{Op: OpCast, Args: []Expr{operand(v)}} // a type that binding does not know
	}
	return Expr{Op: OpCast, Args: []Expr{operand(v)}, Type: to.String()}
}

// TruncateTime takes a time down to a multiple of d since 1970-01-01 UTC.
func TruncateTime(v any, d time.Duration) Expr {
	return Expr{Op: OpTruncate, Args: []Expr{operand(v)}, Width: d}
}

// Extract returns a part of a time as int64: year, month, day, hour, minute, second, dow (0 is Sunday), doy, epoch (whole seconds).
func Extract(part string, v any) Expr {
	return Expr{Op: OpExtract, Args: []Expr{operand(v)}, Part: part}
}
