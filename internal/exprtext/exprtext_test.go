package exprtext

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
)

func TestParse(t *testing.T) {
	col, lit := sabot.Col, sabot.Lit
	for text, want := range map[string]sabot.Expr{
		"delay":                               col("delay"),
		"a.b_1":                               col("a.b_1"),
		"`a b``c`":                            col("a b`c"),
		"'it''s'":                             lit("it's"),
		`"x"`:                                 lit("x"),
		"12":                                  lit(int64(12)),
		"1.5e-3":                              lit(1.5e-3),
		"true":                                lit(true),
		"NULL":                                lit(nil),
		"a + b * c":                           col("a").Add(col("b").Mul(col("c"))),
		"(a + b) * c":                         col("a").Add(col("b")).Mul(col("c")),
		"a - b - c":                           col("a").Sub(col("b")).Sub(col("c")),
		"a % 2 = 0":                           col("a").Mod(lit(int64(2))).Eq(lit(int64(0))),
		"-a * b":                              col("a").Neg().Mul(col("b")),
		"a or b and not c":                    col("a").Or(col("b").And(col("c").Not())),
		"not a = b":                           col("a").Eq(col("b")).Not(),
		"delay>15 AND origin<>'ATL'":          col("delay").Gt(lit(int64(15))).And(col("origin").Ne(lit("ATL"))),
		"a is null or b is not null":          col("a").IsNull().Or(col("b").IsNotNull()),
		"coalesce(a, 0) >= b / 2":             sabot.Coalesce(col("a"), lit(int64(0))).Ge(col("b").Div(lit(int64(2)))),
		"cast(a, 'float64')":                  sabot.Cast(col("a"), Types["float64"]),
		"truncate(date, '1h')":                sabot.TruncateTime(col("date"), time.Hour),
		"extract('hour', date) < 6":           sabot.Extract("hour", col("date")).Lt(lit(int64(6))),
		"date > time('2024-01-02T03:04:05Z')": col("date").Gt(lit(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC))),
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "at 1: expected a value, not the end",
		"a +":                     "at 4: expected a value",
		"a b":                     `at 3: expected an operator or the end, not "b"`,
		"(a":                      `at 3: expected ")"`,
		"'abc":                    "at 1: the quotation has no end",
		"a ! b":                   `at 3: "!" means nothing here`,
		"a < b < c":               "comparisons do not chain",
		"99999999999999999999":    "is no int64",
		"1.2.3":                   "is no float64",
		"sqrt(a)":                 `there is no function "sqrt"`,
		"cast(a)":                 "cast takes 2 arguments, not 1",
		"cast(a, 'decimal')":      `"decimal" is no type`,
		"cast(a, b)":              "text in quotes",
		"truncate(a, 'an hour')":  "invalid duration",
		"time('yesterday')":       "cannot parse",
		"coalesce()":              "one argument or more",
		"a is 5":                  `expected "null"`,
		"and":                     `expected a value, not "and"`,
		"f(a":                     `expected ","`,
		strings.Repeat("(", 1000): "nests deeper",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestParseCall(t *testing.T) {
	for text, want := range map[string]Call{"count()": {Name: "count"}, "Sum( delay )": {"sum", []string{"delay"}}, "avg(`a b`)": {"avg", []string{"a b"}}} {
		if got, err := ParseCall(text); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sum", "sum(", "sum(1)", "sum(a b)", "sum(a) b", "'x'()"} {
		if c, err := ParseCall(text); err == nil {
			t.Errorf("%q is read as %v", text, c)
		}
	}
}

// FuzzParse: any text gives an expression or an error, and no panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a + b * -c", "not a is null", "cast(a, 'int64') <> 'x''y'", "`x` >= 1e9", "((", "é = 'ü'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := Parse(s); err == nil && e.Op == "" {
			t.Errorf("%q gives no expression", s)
		}
	})
}
