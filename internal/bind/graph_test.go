package bind

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// here returns the line that it is called on, as messages name it.
func here() string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// What a set-up declares is checked while binding, and its panics are errors.
func TestSetupErrors(t *testing.T) {
	cases := map[string]struct {
		setup func(p *stateOf)
		want  string
	}{
		"state without name": {func(p *stateOf) { sabot.NewValue[int](p, "") }, `the name "" of a handle is empty or taken: state hangs on it`},
		"name taken": {func(p *stateOf) {
			sabot.NewValue[int](p, "a")
			p.Timer("a", sabot.ByEventTime, func(time.Time) error { return nil })
		}, `the name "a" of a handle is empty or taken: state hangs on it`},
		"value of no kept type": {func(p *stateOf) { sabot.NewValue[chan int](p, "a") },
			`state "a": chan int cannot be kept in state: chan int is neither scalar, struct, slice nor pointer`},
		"value with a hidden field": {func(p *stateOf) { sabot.NewValue[hidden](p, "a") },
			`state "a": bind.hidden cannot be kept in state: field user of bind.hidden is not exported`},
		"map of no kept key": {func(p *stateOf) { sabot.NewMap[func(), int](p, "a") },
			`state "a": func() cannot be kept in state: func() is neither scalar, struct, slice nor pointer`},
		"negative TTL of a value": {func(p *stateOf) { sabot.NewValue[int](p, "a", sabot.TTL(-1)) }, `state "a": the TTL is negative: -1ns`},
		"negative TTL of a map": {func(p *stateOf) { sabot.NewMap[int, int](p, "a", sabot.TTL(-time.Hour)) },
			`state "a": the TTL is negative: -1h0m0s`},
		"TTL of less than a microsecond": {func(p *stateOf) { sabot.NewList[int](p, "a", sabot.TTL(1500)) }, `state "a": the TTL is not whole microseconds: 1.5µs`},
		"clock without a TTL": {func(p *stateOf) { sabot.NewCounter(p, "a", sabot.TTLClock(sabot.ByProcessingTime)) },
			`state "a": TTLOnRead and TTLClock say more of a TTL, and it has none`},
		"TTLOnRead without a TTL": {func(p *stateOf) { sabot.NewValue[int](p, "a", sabot.TTLOnRead()) },
			`state "a": TTLOnRead and TTLClock say more of a TTL, and it has none`},
		"unknown clock": {func(p *stateOf) { sabot.NewValue[int](p, "a", sabot.TTL(time.Hour), sabot.TTLClock(7)) }, `state "a": there is no clock 7`},
		"default of a value of another type": {func(p *stateOf) { sabot.NewValue[int64](p, "a", sabot.Default(1)) },
			`state "a": the default is of type int, and not int64 like the values: say it as in Default(int64(...))`},
		"default of a map of another type": {func(p *stateOf) { sabot.NewMap[string, bool](p, "a", sabot.Default("x")) },
			`state "a": the default is of type string, and not bool like the values: say it as in Default(bool(...))`},
		"default of a list": {func(p *stateOf) { sabot.NewList[int](p, "a", sabot.Default(1)) }, `state "a": only values and maps have a default`},
		"list and its number taken": {func(p *stateOf) {
			sabot.NewValue[int](p, "a.next")
			sabot.NewList[int](p, "a", sabot.TTL(time.Hour))
		}, `the name "a.next" of a handle is empty or taken: state hangs on it`},
		"map of a timers' name":  {func(p *stateOf) { sabot.NewMap[int, int](p, "timers") }, `state "timers": a table of timers has that name; choose another`},
		"list of a timers' name": {func(p *stateOf) { sabot.NewList[int](p, "ticks") }, `state "ticks": a table of timers has that name; choose another`},
		"list of no kept type": {func(p *stateOf) { sabot.NewList[chan int](p, "a") },
			`state "a": chan int cannot be kept in state: chan int is neither scalar, struct, slice nor pointer`},
		"reducing without function": {func(p *stateOf) { sabot.NewReducing[int](p, "a", nil) }, `state "a": the function is nil`},
		"aggregator without Result": {func(p *stateOf) {
			sabot.NewAggregating(p, "a", sabot.Aggregator[int, int, int]{Add: func(a, b int) int { return a + b }})
		}, `state "a": the aggregator needs Add and Result`},
		"too many timers": {func(p *stateOf) {
			for i := range 257 {
				p.Timer(fmt.Sprint("t", i), sabot.ByEventTime, func(time.Time) error { return nil })
			}
		}, `timer "t256": a process function has at most 256 timers; each may have any number of times set`},
		"two handlers": {func(p *stateOf) {
			p.OnRow(func(order) error { return nil })
			p.OnRows(func([]order) error { return nil })
		}, `the set-up gave two handlers of rows: call OnRow or OnRows, not both`},
		"panic": {func(*stateOf) { panic("oh") }, `the set-up panicked: oh`},
		"value read": {func(p *stateOf) { sabot.NewValue[int](p, "a").Get() },
			`the set-up panicked: runtime error: invalid memory address or nil pointer dereference`},
		"map read": {func(p *stateOf) { sabot.NewMap[int, int](p, "a").Len() },
			`the set-up panicked: runtime error: invalid memory address or nil pointer dereference`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := sabot.NewJob("job")
			process(read(j, "in"), c.setup).Sink("end", place("there"))
			_, err := bound(t, j)
			if want := `process "p": ` + c.want; err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("Bind's error is\n  %v\nwant\n  %s", err, want)
			}
		})
	}
}

// A TTL needs a clock that goes.
func TestTTLWithoutEventTime(t *testing.T) {
	build := func(opts ...sabot.StateOption) error {
		j := sabot.NewJob("job")
		process(j.Source("in", place("")), func(p *stateOf) { sabot.NewList[int](p, "a", opts...) }).Sink("end", place("there"))
		_, err := bound(t, j)
		return err
	}
	const want = `process "p": the TTL of "a" goes by event time, and the stream has none: give the source the option EventTime(column), ` +
		`or the state TTLClock(ByProcessingTime)`
	if err := build(sabot.TTL(time.Hour)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Bind's error is\n  %v\nwant\n  %s", err, want)
	}
	if err := build(sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime)); err != nil {
		t.Errorf("by processing time: %v", err)
	}
}

// All mistakes are told at once, each with its place; consequences of a mistake are not.
func TestBindErrorsAllAtOnce(t *testing.T) {
	j := sabot.NewJob("job")
	noTime, l1 := j.Source("a", place(""), sabot.EventTime("time")), here()
	clash, l2 := j.Source("b", place(""), sabot.EventTime("user")), here()
	unknown, l3 := j.Source("unknown", place("")), here()
	untimed := j.Source("c", place(""))
	s := read(j, "in")
	f, l4 := s.Filter(sabot.Col("usr").Eq(sabot.Col("prise"))), here()
	after := f.Filter(sabot.Col("nothing")) // a consequence: the columns of f are not known
	w, l5 := untimed.KeyBy("user").Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Count()), here()
	u, l6 := s.Union(untimed), here()
	p, l7 := sabot.Process(s.KeyBy("user"), "p", none[int64, typo, nested]), here()
	agg, l8 := s.KeyBy("user").Window(sabot.Tumbling(time.Hour)).Aggregate("w2", sabot.Sum("user"), sabot.Max("prices")), here()
	for i, s := range []*sabot.Stream{noTime, clash, unknown, after, w.Stream, u, p, agg.Stream, agg.Late()} {
		s.Sink(fmt.Sprintf("end%d", i), place(""))
	}
	want := []string{
		l1 + `: source "a": there is no column "time" among ` + all,
		l2 + `: source "b": the event-time column "user" is utf8, not a timestamp`,
		l3 + `: source "unknown": its columns are not known`,
		l4 + `: filter "filter-1": there is no column "usr" among ` + all + ` (did you mean "user"?)`,
		l4 + `: filter "filter-1": there is no column "prise" among ` + all + ` (did you mean "price"?)`,
		l5 + `: window "w": windows need an event time: give the source the option EventTime(column)`,
		l6 + `: union "union-1": some of its streams have an event time and some have none`,
		l7 + `: process "p": field Amuont of bind.typo wants column "amuont", which is not among ` + all + ` (did you mean "amount"?)`,
		l7 + `: process "p": field In of bind.nested has type bind.order, which is no column type`,
		l7 + `: process "p": the key column "user" is utf8, the function's key is int64`,
		l8 + `: window "w2": sum of column "user", which is utf8`,
		l8 + `: window "w2": there is no column "prices" among ` + all + ` (did you mean "price"?)`,
	}
	_, err := bound(t, j)
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("Bind's error is\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

// Streams that are divided by key in different ways, or one divided and one not, are not united.
func TestUnionAcrossKeys(t *testing.T) {
	j := sabot.NewJob("job")
	s := read(j, "in")
	byUser := process(s, none[string, order, order])
	again := sabot.Process(s.KeyBy("user"), "q", func(p *stateOf) { p.OnRow(func(order) error { return nil }) })
	u, at := byUser.Union(again), here()
	u.Sink("end", place(""))
	_, err := bound(t, j)
	want := at + `: "union-1" joins streams that are divided by key in different ways; this version can unite them only before KeyBy`
	if err == nil || err.Error() != want || sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("Bind's error is %v (%s), want %s (invalid)", err, sabot.KindOf(err), want)
	}
}

// A source reads the columns that somebody uses, in its own order, and at least one.
func TestSourcesReadWhatIsUsed(t *testing.T) {
	col := sabot.Col
	cases := map[string]struct {
		build func(s *stream) *stream
		want  string
	}{
		"sink takes all":                {func(s *stream) *stream { return s.Filter(col("paid")) }, all},
		"select":                        {func(s *stream) *stream { return s.Select(col("price"), col("user").As("u")) }, "t, user, price"},
		"filter before select":          {func(s *stream) *stream { return s.Filter(col("paid")).Select(col("user")) }, "t, user, paid"},
		"filter of selected":            {func(s *stream) *stream { return s.Select(col("user"), col("paid").As("p")).Filter(col("p")) }, "t, user, paid"},
		"expression of constants":       {func(s *stream) *stream { return s.Select(sabot.Lit(1).As("one")) }, "t"},
		"column reached twice":          {func(s *stream) *stream { return s.Select(col("price").Add(col("amount")).As("x"), col("price")) }, "t, amount, price"},
		"window":                        {func(s *stream) *stream { return aggregate(sabot.Count(), sabot.Sum("price"))(s.KeyBy("user")) }, "t, user, price"},
		"window of counts":              {func(s *stream) *stream { return aggregate(sabot.Count())(s.KeyBy("amount")) }, "t, amount"},
		"map reads its fields":          {func(s *stream) *stream { return sabot.Map(s, "m", as[order, order]) }, "t, user"},
		"function's filter, all behind": {func(s *stream) *stream { return sabot.FilterFunc(s, "f", as[bool, order]) }, all},
		"function's filter and select": {func(s *stream) *stream { return sabot.FilterFunc(s, "f", as[bool, order]).Select(col("paid")) },
			"t, user, paid"},
		"process reads fields and key": {func(s *stream) *stream {
			return sabot.Process(s.KeyBy("amount"), "p", func(p *sabot.Proc[int64, order, order]) { p.OnRow(func(order) error { return nil }) })
		}, "t, user, amount"},
		"batch function reads all": {func(s *stream) *stream {
			return sabot.MapBatch(s, "b", arrow.NewSchema(events.Fields()[:1], nil), as[arrow.RecordBatch, arrow.RecordBatch])
		},
			all},
		"union": {func(s *stream) *stream {
			return s.Filter(col("paid")).Union(s.Filter(col("amount").Gt(1))).Select(col("user"))
		},
			"t, user, amount, paid"},
		"late rows": {func(s *stream) *stream {
			a := s.KeyBy("user").Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Sum("price"))
			a.Sink("windows", place(""))
			return a.Late().Select(col("amount"))
		}, "t, user, amount, price"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := sabot.NewJob("job")
			c.build(read(j, "in")).Sink("end", place(""))
			g, err := bound(t, j)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(names(g.Nodes[0].Out), ", "); got != c.want {
				t.Errorf("the source reads %s, want %s", got, c.want)
			}
		})
	}
	t.Run("without event time", func(t *testing.T) {
		j := sabot.NewJob("job")
		j.Source("in", place("")).Select(sabot.Lit(1).As("one")).Sink("end", place(""))
		g, err := bound(t, j)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(names(g.Nodes[0].Out), ", "); got != "t" {
			t.Errorf("the source reads %q, want its first column alone", got)
		}
	})
}
