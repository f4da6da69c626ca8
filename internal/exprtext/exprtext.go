// Package exprtext reads expressions over columns from text, as job files have them:
//
//	delay > 15 and origin != 'ATL'
//	coalesce(delay, 0) * 60.0
//	truncate(date, '1h'), extract('hour', date), cast(code, 'int64'), time('2024-01-01T00:00:00Z')
//	reason is not null
//
// From loosest to tightest: or, and, not, comparisons and "is [not] null", + and -, * / and %, unary -. A name that is no word of the language is a column;
// `any name` in backquotes is one too. Text stands in single or double quotes; a quote inside is doubled.
package exprtext

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// Parse reads an expression. The error names the column of the text, from 1, at which it fails.
func Parse(text string) (sabot.Expr, error) {
	p := parser{}
	var err error
	if p.tokens, err = scan(text); err != nil {
		return sabot.Expr{}, err
	}
	e, err := p.expr(0)
	if err != nil {
		return sabot.Expr{}, err
	}
	if t := p.peek(); t.kind != end {
		return sabot.Expr{}, t.errorf("expected an operator or the end, not %s", t)
	}
	return e, nil
}

// Call is a function's name and its arguments, as an aggregate has them.
type Call struct {
	Name string
	Args []string // columns
}

// ParseCall reads a call whose arguments are columns.
func ParseCall(text string) (Call, error) {
	p := parser{}
	var err error
	if p.tokens, err = scan(text); err != nil {
		return Call{}, err
	}
	name := p.next()
	if name.kind != word {
		return Call{}, name.errorf("expected a function, not %s", name)
	}
	c := Call{Name: strings.ToLower(name.text)}
	if err := p.expect("("); err != nil {
		return c, err
	}
	for !p.take(")") {
		if len(c.Args) > 0 {
			if err := p.expect(","); err != nil {
				return c, err
			}
		}
		t := p.next()
		if t.kind != word && t.kind != quoted {
			return c, t.errorf("expected a column, not %s", t)
		}
		c.Args = append(c.Args, t.text)
	}
	if t := p.peek(); t.kind != end {
		return c, t.errorf("expected the end, not %s", t)
	}
	return c, nil
}

// maxDepth bounds how deep an expression nests.
const maxDepth = 200

type parser struct {
	tokens []token
	at     int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// take skips a symbol or a word of the language, if it comes next.
func (p *parser) take(text string) bool {
	if t := p.peek(); (t.kind == symbol || t.kind == word) && strings.EqualFold(t.text, text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if t := p.peek(); !p.take(text) {
		return t.errorf("expected %q, not %s", text, t)
	}
	return nil
}

// How tightly operators bind.
const (
	bindOr = iota + 1
	bindAnd
	bindNot
	bindCompare
	bindSum
	bindProduct
	bindSign
)

type binary struct {
	binds int
	make  func(a, b sabot.Expr) sabot.Expr
}

var binaries = map[string]binary{
	"or":  {bindOr, func(a, b sabot.Expr) sabot.Expr { return a.Or(b) }},
	"and": {bindAnd, func(a, b sabot.Expr) sabot.Expr { return a.And(b) }},
	"=":   {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Eq(b) }},
	"==":  {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Eq(b) }},
	"!=":  {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Ne(b) }},
	"<>":  {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Ne(b) }},
	"<":   {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Lt(b) }},
	"<=":  {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Le(b) }},
	">":   {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Gt(b) }},
	">=":  {bindCompare, func(a, b sabot.Expr) sabot.Expr { return a.Ge(b) }},
	"+":   {bindSum, func(a, b sabot.Expr) sabot.Expr { return a.Add(b) }},
	"-":   {bindSum, func(a, b sabot.Expr) sabot.Expr { return a.Sub(b) }},
	"*":   {bindProduct, func(a, b sabot.Expr) sabot.Expr { return a.Mul(b) }},
	"/":   {bindProduct, func(a, b sabot.Expr) sabot.Expr { return a.Div(b) }},
	"%":   {bindProduct, func(a, b sabot.Expr) sabot.Expr { return a.Mod(b) }},
}

// expr reads an expression of operators that bind tighter than least.
func (p *parser) expr(least int) (sabot.Expr, error) {
	if p.depth++; p.depth > maxDepth {
		return sabot.Expr{}, p.peek().errorf("the expression nests deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	left, err := p.prefix()
	if err != nil {
		return left, err
	}
	for {
		t := p.peek()
		if t.kind != symbol && t.kind != word {
			return left, nil
		}
		if strings.EqualFold(t.text, "is") && t.kind == word && bindCompare > least {
			p.next()
			not := p.take("not")
			if err := p.expect("null"); err != nil {
				return left, err
			}
			if left = left.IsNull(); not {
				left = left.Not()
			}
			continue
		}
		op, ok := binaries[strings.ToLower(t.text)]
		if !ok || op.binds <= least {
			return left, nil
		}
		p.next()
		right, err := p.expr(op.binds)
		if err != nil {
			return left, err
		}
		if op.binds == bindCompare {
			if more := binaries[strings.ToLower(p.peek().text)]; p.peek().kind == symbol && more.binds == bindCompare {
				return left, p.peek().errorf("comparisons do not chain: write a < b and b < c")
			}
		}
		left = op.make(left, right)
	}
}

// prefix reads what an expression begins with.
func (p *parser) prefix() (sabot.Expr, error) {
	t := p.next()
	switch t.kind {
	case number:
		return t.number()
	case text:
		return sabot.Lit(t.text), nil
	case quoted:
		return sabot.Col(t.text), nil
	case symbol:
		switch t.text {
		case "-":
			e, err := p.expr(bindProduct)
			return e.Neg(), err
		case "(":
			e, err := p.expr(0)
			if err != nil {
				return e, err
			}
			return e, p.expect(")")
		}
	case word:
		switch strings.ToLower(t.text) {
		case "true":
			return sabot.Lit(true), nil
		case "false":
			return sabot.Lit(false), nil
		case "null":
			return sabot.Lit(nil), nil
		case "not":
			e, err := p.expr(bindNot)
			return e.Not(), err
		case "and", "or", "is":
			return sabot.Expr{}, t.errorf("expected a value, not %s", t)
		}
		if s := p.peek(); s.kind == symbol && s.text == "(" {
			return p.call(t)
		}
		return sabot.Col(t.text), nil
	}
	return sabot.Expr{}, t.errorf("expected a value, not %s", t)
}

// number returns a literal of int64, or of float64 when it is written with a point or an exponent.
func (t token) number() (sabot.Expr, error) {
	if !strings.ContainsAny(t.text, ".eE") {
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return sabot.Expr{}, t.errorf("%s is no int64", t.text)
		}
		return sabot.Lit(n), nil
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		return sabot.Expr{}, t.errorf("%s is no float64", t.text)
	}
	return sabot.Lit(f), nil
}

// call reads the arguments of a function.
func (p *parser) call(name token) (sabot.Expr, error) {
	p.next() // the parenthesis
	var args []sabot.Expr
	for !p.take(")") {
		if len(args) > 0 {
			if err := p.expect(","); err != nil {
				return sabot.Expr{}, err
			}
		}
		a, err := p.expr(0)
		if err != nil {
			return a, err
		}
		args = append(args, a)
	}
	e, err := function(strings.ToLower(name.text), args)
	if err != nil {
		return e, name.errorf("%v", err)
	}
	return e, nil
}

func function(name string, args []sabot.Expr) (sabot.Expr, error) {
	want := map[string]int{"cast": 2, "truncate": 2, "extract": 2, "time": 1}
	if n, ok := want[name]; ok && len(args) != n {
		return sabot.Expr{}, fmt.Errorf("%s takes %d arguments, not %d", name, n, len(args))
	}
	switch name {
	case "coalesce":
		if len(args) == 0 {
			return sabot.Expr{}, errors.New("coalesce takes one argument or more")
		}
		all := make([]any, len(args))
		for i, a := range args {
			all[i] = a
		}
		return sabot.Coalesce(all...), nil
	case "cast":
		s, err := literal(args[1])
		t := Types[s]
		if err == nil && t == nil {
			err = fmt.Errorf("%q is no type; there are %s", s, TypeNames())
		}
		return sabot.Cast(args[0], t), err
	case "truncate":
		s, err := literal(args[1])
		if err != nil {
			return sabot.Expr{}, err
		}
		d, err := time.ParseDuration(s)
		return sabot.TruncateTime(args[0], d), err
	case "extract":
		s, err := literal(args[0])
		return sabot.Extract(s, args[1]), err
	case "time":
		s, err := literal(args[0])
		if err != nil {
			return sabot.Expr{}, err
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		return sabot.Lit(t), err
	}
	return sabot.Expr{}, fmt.Errorf("there is no function %q; there are cast, coalesce, extract, time and truncate", name)
}

// literal returns the text that an argument must be.
func literal(e sabot.Expr) (string, error) {
	if e.Op != sabot.OpLit || e.Lit.Kind != "string" {
		return "", errors.New("this argument is text in quotes")
	}
	return e.Lit.Str, nil
}

// Types are the types of columns by name.
var Types = map[string]arrow.DataType{"bool": arrow.FixedWidthTypes.Boolean, "int64": arrow.PrimitiveTypes.Int64, "int32": arrow.PrimitiveTypes.Int32,
	"float64": arrow.PrimitiveTypes.Float64, "string": arrow.BinaryTypes.String, "timestamp": &arrow.TimestampType{Unit: arrow.Microsecond}}

// TypeNames lists the names of Types.
func TypeNames() string { return "bool, float64, int32, int64, string, timestamp" }
