package bind

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// events is what the tests' jobs read, all its names on one line in all.
var events = arrow.NewSchema([]arrow.Field{
	{Name: "t", Type: timestampUS, Nullable: true},
	{Name: "user", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "amount", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "price", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "paid", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64), Nullable: true},
}, nil)

const all = "t, user, amount, price, paid, list"

// place is a connector in itself: its identity.
type place string

func (place) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	return nil, nil, errors.New("binding must not call this")
}

func (place) Open(context.Context, sabot.Env, *arrow.Schema, sabot.Split, sabot.Position) (sabot.Reader, error) {
	return nil, errors.New("binding must not call this")
}

func (place) Publish(context.Context, sabot.OutputID, arrow.RecordBatch) error { return nil }
func (p place) Identity() string                                               { return string(p) }

// read adds a source of events with event time t.
func read(j *sabot.Job, name string) *sabot.Stream {
	return j.Source(name, place("here"), sabot.EventTime("t"))
}

// bound binds a job all of whose sources have the columns of events, but for the one called unknown.
func bound(t *testing.T, j *sabot.Job) (*Graph, error) {
	t.Helper()
	p, err := j.Plan()
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*arrow.Schema{}
	for _, n := range p.Nodes {
		if n.Kind == sabot.KindSource && n.Name != "unknown" {
			schemas[n.Name] = events
		}
	}
	return Bind(p, j.Impl, schemas)
}

// placeIn returns the line that a message names, when it lies in the function, whose mistake is one statement.
func placeIn(build any, message string) string {
	pc := reflect.ValueOf(build).Pointer()
	file, first := runtime.FuncForPC(pc).FileLine(pc)
	for line := first; line <= first+1; line++ {
		if p := fmt.Sprintf("%s:%d", filepath.Base(file), line); strings.HasPrefix(message, p+":") {
			return p
		}
	}
	return fmt.Sprintf("%s:%d or the line behind it", filepath.Base(file), first)
}

type (
	order  struct{ User *string }
	deal   struct{ Amount *float64 }
	typo   struct{ Amuont int64 }
	many   struct{ User, Paid int64 }
	nested struct{ In order }
	//lint:ignore U1000 the field is there to be refused
	hidden  struct{ user string }
	byTwo   struct{ User, Amount string }
	stateOf = sabot.Proc[string, order, order]
)

func as[Out, In any](In) (o Out, err error) { return o, nil }

func process(s *sabot.Stream, setup func(p *stateOf)) *sabot.Stream {
	return sabot.Process(s.KeyBy("user"), "p", func(p *stateOf) {
		setup(p)
		p.OnRow(func(order) error { return nil })
	})
}

func none[K, In, Out any](*sabot.Proc[K, In, Out]) {}

func aggregate(aggs ...sabot.Agg) func(k *sabot.Keyed) *sabot.Stream {
	return func(k *sabot.Keyed) *sabot.Stream {
		return k.Window(sabot.Tumbling(time.Hour)).Aggregate("w", aggs...).Stream
	}
}

type (
	stream   = sabot.Stream
	mistakes = map[string]struct {
		build func(s *stream) *stream // one statement, which makes one mistake
		want  string                  // "@" is its place
	}
)

// Each mistake is told in one line, which begins with the file and line of the user's call.
func TestBindErrors(t *testing.T) {
	col, hour := sabot.Col, sabot.Tumbling(time.Hour)
	for name, c := range (mistakes{
		"unknown column": {func(s *stream) *stream { return s.Filter(col("amuont").Gt(1)) },
			`@: filter "filter-1": there is no column "amuont" among ` + all + ` (did you mean "amount"?)`},
		"unknown column, unlike any": {func(s *stream) *stream { return s.Filter(col("zzzzzz")) },
			`@: filter "filter-1": there is no column "zzzzzz" among ` + all},
		"unknown column, other case": {func(s *stream) *stream { return s.Filter(col("PAID")) },
			`@: filter "filter-1": there is no column "PAID" among ` + all + ` (did you mean "paid"?)`},
		"filter by no bool": {func(s *stream) *stream { return s.Filter(col("amount").Add(1)) },
			`@: filter "filter-1": its expression is int64, not bool`},
		"clashing types": {func(s *stream) *stream { return s.Filter(col("user").Gt(1)) },
			`@: filter "filter-1": gt does not compare utf8 with int64`},
		"constant of unknown type": {func(s *stream) *stream { return s.Filter(col("amount").Eq(uint64(1))) },
			`@: filter "filter-1": a constant of unknown type uint64: nil, bool, numbers, strings and times are known`},
		"empty expression": {func(s *stream) *stream { return s.Filter(sabot.Expr{}) }, `@: filter "filter-1": an expression is empty`},
		"cast to nil": {func(s *stream) *stream { return s.Select(sabot.Cast(col("user"), nil).As("x")) },
			`@: project "project-1": cast to "": int64, float64, utf8, bool, timestamp[us] and date32 are known`},
		"select of clash": {func(s *stream) *stream { return s.Select(col("user").Add(1).As("x")) },
			`@: project "project-1": add does not take [utf8 int64]`},
		"truncation to zero": {func(s *stream) *stream { return s.Select(sabot.TruncateTime(col("t"), 0).As("x")) },
			`@: project "project-1": truncate: the width 0s is not positive`},
		"unknown part": {func(s *stream) *stream { return s.Select(sabot.Extract("week", col("t")).As("x")) },
			`@: project "project-1": extract: unknown part "week" of a time; year, month, day, hour, minute, second, dow, doy and epoch are known`},
		"select drops column": {func(s *stream) *stream { return s.Select(col("t"), col("user")).Filter(col("amount").Gt(1)) },
			`@: filter "filter-1": there is no column "amount" among t, user`},
		"key by unknown column": {func(s *stream) *stream { return aggregate(sabot.Count())(s.KeyBy("usr")) },
			`@: key-by "key-by-1": there is no column "usr" among ` + all + ` (did you mean "user"?)`},
		"key by a list": {func(s *stream) *stream { return aggregate(sabot.Count())(s.KeyBy("list")) },
			`@: key-by "key-by-1": column "list" cannot be a key: its type is list<item: int64, nullable>`},
		"sum of text": {func(s *stream) *stream { return s.KeyBy("user").Window(hour).Aggregate("w", sabot.Sum("user")).Stream },
			`@: window "w": sum of column "user", which is utf8`},
		"mean of time": {func(s *stream) *stream { return s.KeyBy("user").Window(hour).Aggregate("w", sabot.Avg("t")).Stream },
			`@: window "w": avg of column "t", which is timestamp[us]`},
		"greatest list": {func(s *stream) *stream { return s.KeyBy("user").Window(hour).Aggregate("w", sabot.Max("list")).Stream },
			`@: window "w": max of column "list", which is list<item: int64, nullable>`},
		"count of unknown column": {func(s *stream) *stream {
			return s.KeyBy("user").Window(hour).Aggregate("w", sabot.CountOf("prize")).Stream
		},
			`@: window "w": there is no column "prize" among ` + all + ` (did you mean "price"?)`},
		"aggregate named as the key": {func(s *stream) *stream {
			return s.KeyBy("user").Window(hour).Aggregate("w", sabot.Count().As("user")).Stream
		},
			`@: window "w": its output has two columns "user": name the aggregate by As`},
		"aggregate named as the bound": {func(s *stream) *stream {
			return s.KeyBy("user").Window(hour).Aggregate("w", sabot.Count().As("window_end")).Stream
		}, `@: window "w": its output has two columns "window_end": name the aggregate by As`},
		"aggregate named pane": {func(s *stream) *stream {
			return s.KeyBy("user").Window(hour.Lateness(1000)).Aggregate("w", sabot.Count().As("pane")).Stream
		}, `@: window "w": its output has two columns "pane": name the aggregate by As`},
		"union of other columns": {func(s *stream) *stream { return s.Union(s.Select(col("t"), col("user"))) },
			`@: union "union-1": the columns of "in" are t timestamp[us], user utf8, amount int64, price float64, paid bool, ` +
				`list list<item: int64, nullable>, those of "project-1" t timestamp[us], user utf8`},
		"union of other order": {func(s *stream) *stream { return s.Select(col("t"), col("user")).Union(s.Select(col("user"), col("t"))) },
			`@: union "union-1": the columns of "project-1" are t timestamp[us], user utf8, those of "project-2" user utf8, t timestamp[us]`},
		"field of another type": {func(s *stream) *stream { return sabot.Map(s, "m", as[order, deal]) },
			`@: func "m": field Amount of bind.deal is float64, column "amount" is int64`},
		"field of no column": {func(s *stream) *stream { return sabot.Map(s, "m", as[order, typo]) },
			`@: func "m": field Amuont of bind.typo wants column "amuont", which is not among ` + all + ` (did you mean "amount"?)`},
		"two fields of others": {func(s *stream) *stream { return sabot.Map(s, "m", as[order, many]) },
			`@: func "m": field User of bind.many is int64, column "user" is utf8; field Paid of bind.many is int64, column "paid" is bool`},
		"rows of no struct": {func(s *stream) *stream { return sabot.Map(s, "m", as[order, int64]) },
			`@: func "m": int64 is no struct: its fields would be the columns`},
		"output of no struct": {func(s *stream) *stream { return sabot.Map(s, "m", as[int64, order]) },
			`@: func "m": int64 is no struct: its fields would be the columns`},
		"output nested": {func(s *stream) *stream { return sabot.Map(s, "m", as[nested, order]) },
			`@: func "m": field In of bind.nested has type bind.order, which is no column type`},
		"output without fields": {func(s *stream) *stream { return sabot.Map(s, "m", as[hidden, order]) },
			`@: func "m": bind.hidden has no exported fields: they would be the columns`},
		"filter's field": {func(s *stream) *stream { return sabot.FilterFunc(s, "f", as[bool, typo]) },
			`@: func "f": field Amuont of bind.typo wants column "amuont", which is not among ` + all + ` (did you mean "amount"?)`},
		"key of another type": {func(s *stream) *stream { return sabot.Process(s.KeyBy("user"), "p", none[int64, order, order]) },
			`@: process "p": the key column "user" is utf8, the function's key is int64`},
		"key of fewer columns": {func(s *stream) *stream {
			return sabot.Process(s.KeyBy("user", "amount"), "p", none[string, order, order])
		}, `@: process "p": the key has columns user, amount; the function's key string must be a struct of as many fields, in that order`},
		"key's field": {func(s *stream) *stream {
			return sabot.Process(s.KeyBy("user", "amount"), "p", none[byTwo, order, order])
		}, `@: process "p": the key column "amount" is int64, field Amount of bind.byTwo is string`},
		"no handler": {func(s *stream) *stream { return sabot.Process(s.KeyBy("user"), "p", none[string, order, order]) },
			`@: process "p": the set-up gave no handler of rows: call OnRow or OnRows`},
	}) {
		t.Run(name, func(t *testing.T) {
			j := sabot.NewJob("job")
			c.build(read(j, "in")).Sink("end", place("there"))
			_, err := bound(t, j)
			if err == nil {
				t.Fatalf("no error, want %s", c.want)
			}
			if want := strings.Replace(c.want, "@", placeIn(c.build, err.Error()), 1); err.Error() != want {
				t.Errorf("Bind's error is\n  %s\nwant\n  %s", err, want)
			}
			if k := sabot.KindOf(err); k != sabot.Invalid {
				t.Errorf("the error's kind is %s, want invalid", k)
			}
		})
	}
}
