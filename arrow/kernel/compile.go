package kernel

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// Program is a compiled expression. One goroutine uses it.
type Program struct {
	root    node
	typ     arrow.DataType
	scratch scratch
}

// RowErrors names the rows whose value could not be computed.
type RowErrors struct {
	Rows    []int32 // ascending
	Reasons []string
}

func (e *RowErrors) Error() string {
	return fmt.Sprintf("%d rows could not be computed; row %d: %s", len(e.Rows), e.Rows[0], e.Reasons[0])
}

// shape is how values lie in memory.
type shape uint8

const (
	ints shape = iota
	floats
	bools
	texts
	nulls // nothing but null: fits every shape
)

// node computes a value for every row.
type node interface {
	shape() shape
	eval(*frame) *vec
}

var timestampUS = &arrow.TimestampType{Unit: arrow.Microsecond}

// Type returns the type of the result: bool, int64, float64, utf8, binary, timestamp[us], date32, decimal128 (of a plain column), or null; a
// plain column keeps its own type.
func (p *Program) Type() arrow.DataType { return p.typ }

// Compile compiles e over the columns of in. The error is Invalid and names the column or the types that do not fit.
func Compile(e sabot.Expr, in *arrow.Schema) (*Program, error) {
	c := compiler{in}
	n, t, err := c.compile(e)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, err)
	}
	return &Program{root: n, typ: t}, nil
}

type compiler struct{ in *arrow.Schema }

func shapeOf(t arrow.DataType) (shape, bool) {
	switch t.ID() {
	case arrow.BOOL:
		return bools, true
	case arrow.FLOAT32, arrow.FLOAT64:
		return floats, true
	case arrow.STRING, arrow.BINARY:
		return texts, true
	case arrow.NULL:
		return nulls, true
	case arrow.TIMESTAMP, arrow.DATE32:
		return ints, true
	}
	return ints, arrow.IsInteger(t.ID())
}

func isTime(t arrow.DataType) bool   { return t.ID() == arrow.TIMESTAMP || t.ID() == arrow.DATE32 }
func isNull(t arrow.DataType) bool   { return t.ID() == arrow.NULL }
func isInt(t arrow.DataType) bool    { return arrow.IsInteger(t.ID()) }
func isFloat(t arrow.DataType) bool  { return t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64 }
func isNumber(t arrow.DataType) bool { return isInt(t) || isFloat(t) }
func isText(t arrow.DataType) bool   { return t.ID() == arrow.STRING || t.ID() == arrow.BINARY }
func isBool(t arrow.DataType) bool   { return t.ID() == arrow.BOOL }

func (c compiler) compile(e sabot.Expr) (node, arrow.DataType, error) {
	switch e.Op {
	case sabot.OpCol:
		idx := c.in.FieldIndices(e.Column)
		if len(idx) == 0 {
			return nil, nil, fmt.Errorf("there is no column %q", e.Column)
		}
		t := c.in.Field(idx[0]).Type
		s, ok := shapeOf(t)
		if !ok {
			return &opaque{idx[0]}, t, nil
		}
		return &column{idx[0], s}, t, nil
	case sabot.OpLit:
		return literal(e.Lit)
	}
	args := make([]node, len(e.Args))
	types := make([]arrow.DataType, len(e.Args))
	for i, a := range e.Args {
		n, t, err := c.compile(a)
		if err != nil {
			return nil, nil, err
		}
		if _, is := n.(*opaque); is {
			return nil, nil, fmt.Errorf("%s: a column of type %s can be selected, not computed with", e.Op, t)
		}
		args[i], types[i] = n, t
	}
	return c.operation(e, args, types)
}

func (c compiler) operation(e sabot.Expr, args []node, types []arrow.DataType) (node, arrow.DataType, error) {
	bad := func() (node, arrow.DataType, error) { return nil, nil, fmt.Errorf("%s does not take %v", e.Op, types) }
	want := map[sabot.ExprOp]int{sabot.OpNeg: 1, sabot.OpNot: 1, sabot.OpIsNull: 1, sabot.OpCast: 1, sabot.OpTruncate: 1, sabot.OpExtract: 1,
		sabot.OpCoalesce: -1}
	if e.Op == "" {
		return nil, nil, errors.New("an expression is empty")
	}
	n, ok := want[e.Op]
	if !ok {
		n = 2
	}
	if n >= 0 && len(args) != n || len(args) == 0 {
		return nil, nil, fmt.Errorf("%s takes %d arguments, not %d", e.Op, n, len(args))
	}
	switch e.Op {
	case sabot.OpAdd, sabot.OpSub, sabot.OpMul, sabot.OpDiv, sabot.OpMod:
		t := arithmeticType(e.Op, types[0], types[1])
		if t == nil {
			return bad()
		}
		if isFloat(t) {
			return &floatArithmetic{e.Op, toFloat(args[0]), toFloat(args[1])}, t, nil
		}
		a, b := dateToTime(args[0], types[0], types[1]), dateToTime(args[1], types[1], types[0])
		return &intArithmetic{e.Op, a, b}, t, nil
	case sabot.OpNeg:
		if isFloat(types[0]) {
			return &floatArithmetic{sabot.OpSub, &constFloat{0}, args[0]}, arrow.PrimitiveTypes.Float64, nil
		}
		if isInt(types[0]) || isNull(types[0]) {
			return &intArithmetic{sabot.OpSub, &constInt{0}, args[0]}, arrow.PrimitiveTypes.Int64, nil
		}
	case sabot.OpEq, sabot.OpNe, sabot.OpLt, sabot.OpLe, sabot.OpGt, sabot.OpGe:
		return c.comparison(e.Op, args, types)
	case sabot.OpAnd, sabot.OpOr:
		if (isBool(types[0]) || isNull(types[0])) && (isBool(types[1]) || isNull(types[1])) {
			return &logic{e.Op == sabot.OpOr, args[0], args[1]}, arrow.FixedWidthTypes.Boolean, nil
		}
	case sabot.OpNot:
		if isBool(types[0]) || isNull(types[0]) {
			return &not{args[0]}, arrow.FixedWidthTypes.Boolean, nil
		}
	case sabot.OpIsNull:
		return &isNullNode{args[0]}, arrow.FixedWidthTypes.Boolean, nil
	case sabot.OpCoalesce:
		return coalesceOf(args, types)
	case sabot.OpCast:
		return castOf(args[0], types[0], e.Type)
	case sabot.OpTruncate:
		if isTime(types[0]) && e.Width.Microseconds() > 0 {
			return &truncate{dateToTime(args[0], types[0], timestampUS), e.Width.Microseconds()}, timestampUS, nil
		}
		if isTime(types[0]) {
			return nil, nil, fmt.Errorf("truncate: the width %s is not positive", e.Width)
		}
	case sabot.OpExtract:
		if f := parts[e.Part]; f == nil {
			return nil, nil, fmt.Errorf("extract: unknown part %q of a time; year, month, day, hour, minute, second, dow, doy and epoch are known", e.Part)
		} else if isTime(types[0]) {
			return &extract{dateToTime(args[0], types[0], timestampUS), f}, arrow.PrimitiveTypes.Int64, nil
		}
	default:
		return nil, nil, fmt.Errorf("unknown operation %q", e.Op)
	}
	return bad()
}

// arithmeticType returns the type of a and b under op, nil when they do not fit.
func arithmeticType(op sabot.ExprOp, a, b arrow.DataType) arrow.DataType {
	sum := op == sabot.OpAdd || op == sabot.OpSub
	switch {
	case isNull(a) && (isNumber(b) || isNull(b)), isNull(b) && isNumber(a):
		if isFloat(a) || isFloat(b) {
			return arrow.PrimitiveTypes.Float64
		}
		return arrow.PrimitiveTypes.Int64
	case isTime(a) && isTime(b) && op == sabot.OpSub:
		return arrow.PrimitiveTypes.Int64
	case isTime(a) && isInt(b) && sum, isInt(a) && isTime(b) && op == sabot.OpAdd:
		return timestampUS
	case isInt(a) && isInt(b):
		return arrow.PrimitiveTypes.Int64
	case isNumber(a) && isNumber(b):
		return arrow.PrimitiveTypes.Float64
	}
	return nil
}

func (c compiler) comparison(op sabot.ExprOp, args []node, types []arrow.DataType) (node, arrow.DataType, error) {
	t := arrow.FixedWidthTypes.Boolean
	a, b := types[0], types[1]
	switch {
	case isNull(a) || isNull(b):
		return &allNull{}, t, nil
	case isInt(a) && isInt(b), isTime(a) && isTime(b):
		return &intCompare{op, dateToTime(args[0], a, b), dateToTime(args[1], b, a)}, t, nil
	case isNumber(a) && isNumber(b):
		return &floatCompare{op, toFloat(args[0]), toFloat(args[1])}, t, nil
	case isText(a) && isText(b):
		return &textCompare{op, args[0], args[1]}, t, nil
	case isBool(a) && isBool(b):
		return &intCompare{op, &boolToInt{args[0]}, &boolToInt{args[1]}}, t, nil
	}
	return nil, nil, fmt.Errorf("%s does not compare %s with %s", op, a, b)
}

func literal(l sabot.Literal) (node, arrow.DataType, error) {
	switch l.Kind {
	case "", "null":
		return &allNull{}, arrow.Null, nil
	case "bool":
		return &constBool{l.Bool}, arrow.FixedWidthTypes.Boolean, nil
	case "int64":
		return &constInt{l.Int}, arrow.PrimitiveTypes.Int64, nil
	case "float64":
		return &constFloat{l.Float}, arrow.PrimitiveTypes.Float64, nil
	case "string":
		return &constText{l.Str}, arrow.BinaryTypes.String, nil
	case "time":
		return &constInt{l.Int}, timestampUS, nil
	}
	return nil, nil, fmt.Errorf("a constant of %s: nil, bool, numbers, strings and times are known", l.Kind)
}

func coalesceOf(args []node, types []arrow.DataType) (node, arrow.DataType, error) {
	var t arrow.DataType
	for _, u := range types {
		switch {
		case isNull(u):
		case t == nil:
			t = u
		case isNumber(t) && isNumber(u) && (isFloat(t) || isFloat(u)):
			t = arrow.PrimitiveTypes.Float64
		case isInt(t) && isInt(u):
			t = arrow.PrimitiveTypes.Int64
		case isTime(t) && isTime(u) && !arrow.TypeEqual(t, u):
			t = timestampUS
		case !arrow.TypeEqual(t, u):
			return nil, nil, fmt.Errorf("coalesce of %s and %s", t, u)
		}
	}
	if t == nil {
		return &allNull{}, arrow.Null, nil
	}
	s, ok := shapeOf(t)
	if !ok {
		return nil, nil, fmt.Errorf("coalesce does not take %s", t)
	}
	for i, u := range types {
		switch {
		case isFloat(t):
			args[i] = toFloat(args[i])
		case isTime(t):
			args[i] = dateToTime(args[i], u, t)
		}
	}
	if isInt(t) {
		t = arrow.PrimitiveTypes.Int64
	}
	return &coalesce{args, s}, t, nil
}
