package sabot_test

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

type nowhere struct{}

func (nowhere) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	return nil, nil, errors.New("building must not call this")
}

func (nowhere) Open(context.Context, sabot.Env, *arrow.Schema, sabot.Split, sabot.Position) (sabot.Reader, error) {
	return nil, errors.New("building must not call this")
}

func (nowhere) Publish(context.Context, sabot.OutputID, arrow.RecordBatch) error { return nil }
func (nowhere) Write(context.Context, arrow.RecordBatch) error                   { return nil }

// place returns where a mistake of one statement is made, as messages name it: in the function's first line, or the one behind it.
func place(build func(*sabot.Job), message string) string {
	pc := reflect.ValueOf(build).Pointer()
	file, first := runtime.FuncForPC(pc).FileLine(pc)
	for _, line := range []int{first, first + 1} {
		if p := fmt.Sprintf("%s:%d", filepath.Base(file), line); strings.HasPrefix(message, p+":") {
			return p
		}
	}
	return fmt.Sprintf("%s:%d or the line behind it", filepath.Base(file), first)
}

type thing struct{ A int64 }

func in(j *sabot.Job) *sabot.Stream { return j.Source("in", nowhere{}) }
func end(s *sabot.Stream)           { s.Sink("end", nowhere{}) }

func keyed(j *sabot.Job) *sabot.Keyed          { return in(j).KeyBy("k") }
func counted(k *sabot.Keyed) *sabot.Aggregated { return k.Window(hour).Aggregate("w", n) }

func same(b arrow.RecordBatch) (arrow.RecordBatch, error) { return b, nil }

var (
	hour = sabot.Tumbling(time.Hour)
	n    = sabot.Count()
)

// Each mistake is told in one line, which begins with the file and line of the user's call ("@" in want).
func TestPlanErrors(t *testing.T) {
	long := strings.Repeat("n", 65)
	const letters = "may hold only letters, digits, '-', '_' and '.', and begins with a letter or digit"
	cases := map[string]struct {
		build func(j *sabot.Job) // one statement, which makes the mistake
		want  string
	}{
		"nil source": {func(j *sabot.Job) { end(j.Source("in", nil)) }, `@: source "in" is nil`},
		"nil sink":   {func(j *sabot.Job) { in(j).Sink("end", nil) }, `@: sink "end" is nil`},
		"nil immediate sink": {func(j *sabot.Job) { in(j).Immediate("end", nil) },
			`@: sink "end" is nil`},
		"name too long":  {func(j *sabot.Job) { in(j).Sink(long, nowhere{}) }, `@: the name "` + long + `" is longer than 64 bytes`},
		"name with gap":  {func(j *sabot.Job) { in(j).Sink("a b", nowhere{}) }, `@: the name "a b" ` + letters},
		"name with dash": {func(j *sabot.Job) { in(j).Sink("-a", nowhere{}) }, `@: the name "-a" ` + letters},
		"name with path": {func(j *sabot.Job) { in(j).Sink("a/b", nowhere{}) }, `@: the name "a/b" ` + letters},
		"name not ASCII": {func(j *sabot.Job) { in(j).Sink("é", nowhere{}) }, `@: the name "é" ` + letters},
		"no event-time column": {func(j *sabot.Job) { end(j.Source("in", nowhere{}, sabot.EventTime(""))) },
			`@: the event-time column of "in" has no name`},
		"negative MaxDelay": {func(j *sabot.Job) { end(j.Source("in", nowhere{}, sabot.EventTime("t", sabot.MaxDelay(-time.Second)))) },
			`@: MaxDelay of "in" is negative: -1s`},
		"negative MaxFuture": {func(j *sabot.Job) { end(j.Source("in", nowhere{}, sabot.EventTime("t", sabot.MaxFuture(-time.Hour)))) },
			`@: MaxFuture of "in" is negative: -1h0m0s`},
		"negative IdleAfter": {func(j *sabot.Job) { end(j.Source("in", nowhere{}, sabot.EventTime("t", sabot.IdleAfter(-1)))) },
			`@: IdleAfter of "in" is negative: -1ns`},
		"Select of nothing": {func(j *sabot.Job) { end(in(j).Select()) }, `@: Select has no columns`},
		"Select without name": {func(j *sabot.Job) { end(in(j).Select(sabot.Col("a").Add(1))) },
			`@: a column of Select has no name: add .As(name)`},
		"Select with a column twice": {func(j *sabot.Job) { end(in(j).Select(sabot.Col("a"), sabot.Lit(1).As("a"))) },
			`@: Select has two columns "a"`},
		"KeyBy of nothing":   {func(j *sabot.Job) { end(counted(in(j).KeyBy()).Stream) }, `@: KeyBy has no columns`},
		"KeyBy of no name":   {func(j *sabot.Job) { end(counted(in(j).KeyBy("")).Stream) }, `@: KeyBy has an empty column, or one twice: ""`},
		"KeyBy of one twice": {func(j *sabot.Job) { end(counted(in(j).KeyBy("a", "b", "a")).Stream) }, `@: KeyBy has an empty column, or one twice: "a"`},
		"no aggregate":       {func(j *sabot.Job) { end(keyed(j).Window(hour).Aggregate("w").Stream) }, `@: "w" aggregates nothing`},
		"aggregate without name": {func(j *sabot.Job) { end(keyed(j).Window(hour).Aggregate("", sabot.Count()).Stream) },
			`@: Aggregate needs a name: its state hangs on it`},
		"aggregate of no column": {func(j *sabot.Job) { end(keyed(j).Window(hour).Aggregate("w", sabot.Sum("")).Stream) },
			`@: the aggregate sum of "w" has no column`},
		"aggregates of one name": {func(j *sabot.Job) { end(keyed(j).Window(hour).Aggregate("w", sabot.Sum("a"), sabot.Sum("a")).Stream) },
			`@: "w" has two columns "sum_a": name one by As`},
		"window of no size": {func(j *sabot.Job) { end(keyed(j).Window(sabot.Tumbling(0)).Aggregate("w", n).Stream) },
			`@: the windows of "w" have size 0s and slide 0s; both must be positive`},
		"window of negative size": {func(j *sabot.Job) { end(keyed(j).Window(sabot.Tumbling(-time.Hour)).Aggregate("w", n).Stream) },
			`@: the windows of "w" have size -1h0m0s and slide -1h0m0s; both must be positive`},
		"window of no slide": {func(j *sabot.Job) { end(keyed(j).Window(sabot.Hopping(time.Hour, 0)).Aggregate("w", n).Stream) },
			`@: the windows of "w" have size 1h0m0s and slide 0s; both must be positive`},
		"slide does not divide": {func(j *sabot.Job) {
			end(keyed(j).Window(sabot.Hopping(time.Hour, 7*time.Minute)).Aggregate("w", n).Stream)
		},
			`@: the windows of "w" have size 1h0m0s, which is no multiple of their slide 7m0s`},
		"slide over size": {func(j *sabot.Job) {
			end(keyed(j).Window(sabot.Hopping(time.Minute, time.Hour)).Aggregate("w", n).Stream)
		},
			`@: the windows of "w" have size 1m0s, which is no multiple of their slide 1h0m0s`},
		"parts of microseconds": {func(j *sabot.Job) { end(keyed(j).Window(sabot.Tumbling(1500)).Aggregate("w", n).Stream) },
			`@: the windows of "w" are not whole microseconds`},
		"negative Lateness": {func(j *sabot.Job) { end(keyed(j).Window(hour.Lateness(-1)).Aggregate("w", n).Stream) },
			`@: Lateness of "w" is negative: -1ns`},
		"Process without name": {func(j *sabot.Job) { end(sabot.Process(keyed(j), "", func(*sabot.Proc[int64, thing, thing]) {})) },
			`@: Process needs a name: its state hangs on it`},
		"Process without function": {func(j *sabot.Job) { end(sabot.Process[int64, thing, thing](keyed(j), "p", nil)) },
			`@: the function of "p" is nil`},
		"Map without function":        {func(j *sabot.Job) { end(sabot.Map[thing, thing](in(j), "m", nil)) }, `@: the function of "m" is nil`},
		"FlatMap without function":    {func(j *sabot.Job) { end(sabot.FlatMap[thing, thing](in(j), "m", nil)) }, `@: the function of "m" is nil`},
		"FilterFunc without function": {func(j *sabot.Job) { end(sabot.FilterFunc[thing](in(j), "m", nil)) }, `@: the function of "m" is nil`},
		"MapBatch without function": {func(j *sabot.Job) { end(sabot.MapBatch(in(j), "m", arrow.NewSchema(nil, nil), nil)) },
			`@: the function of "m" is nil`},
		"MapBatch without schema": {func(j *sabot.Job) { end(sabot.MapBatch(in(j), "m", nil, same)) }, `@: MapBatch "m" has no output schema`},
		"Union with another job": {func(j *sabot.Job) { end(in(j).Union(in(sabot.NewJob("other")))) },
			`@: "union-1" takes rows of another job, "other"`},
		"Union with nil": {func(j *sabot.Job) { end(in(j).Union(nil)) }, `@: "union-1" takes the rows of a nil stream`},
		"source that goes nowhere": {func(j *sabot.Job) { j.Source("in", nowhere{}) },
			`@: nothing takes the rows of "in"; end it in a Sink, or remove it`},
		"filter that goes nowhere": {func(j *sabot.Job) { in(j).Filter(sabot.Lit(true)) },
			`@: nothing takes the rows of "filter-1"; end it in a Sink, or remove it`},
		"Late that goes nowhere": {func(j *sabot.Job) { counted(keyed(j)).Late() },
			`@: nothing takes the rows of "late-1"; end it in a Sink, or remove it`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := sabot.NewJob("job")
			c.build(j)
			p, err := j.Plan()
			if p != nil || err == nil {
				t.Fatalf("Plan returned %+v and error %v, want no plan and error %q", p, err, c.want)
			}
			if want := strings.Replace(c.want, "@", place(c.build, err.Error()), 1); err.Error() != want {
				t.Errorf("Plan's error is\n  %s\nwant\n  %s", err, want)
			}
			if k := sabot.KindOf(err); k != sabot.Invalid {
				t.Errorf("the error's kind is %s, want invalid", k)
			}
		})
	}
}

// here returns the line that it is called on, as messages name it.
func here() string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// Everything that is wrong is told at once, a line for each, in the order of the calls; what nothing takes comes last.
func TestPlanErrorsAllAtOnce(t *testing.T) {
	j, made := sabot.NewJob(""), here()
	src, first := j.Source("in", nil, sabot.EventTime("", sabot.MaxDelay(-1))), here()
	again, second := j.Source("in", nowhere{}), here()
	agg, third := src.KeyBy("k", "k").Window(sabot.Tumbling(0)).Aggregate("a b"), here()
	_, fourth := agg.Filter(sabot.Lit(true)).Union(sabot.NewJob("other").Source("x", nowhere{})), here()
	_, fifth := again.Select(), here()
	_, err := j.Plan()
	want := []string{
		first + `: source "in" is nil`,
		first + `: the event-time column of "in" has no name`,
		first + `: MaxDelay of "in" is negative: -1ns`,
		second + `: the name "in" is taken by the source at ` + first + `: names are unique in a job, state hangs on them`,
		third + `: KeyBy has an empty column, or one twice: "k"`,
		third + `: the name "a b" may hold only letters, digits, '-', '_' and '.', and begins with a letter or digit`,
		third + `: the windows of "a b" have size 0s and slide 0s; both must be positive`,
		third + `: "a b" aggregates nothing`,
		fourth + `: "union-1" takes rows of another job, "other"`,
		fifth + `: Select has no columns`,
		made + `: the job has no name`,
		fourth + `: nothing takes the rows of "union-1"; end it in a Sink, or remove it`,
		fifth + `: nothing takes the rows of "project-1"; end it in a Sink, or remove it`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("Plan's error is\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

// A job without nodes names the line of NewJob.
func TestPlanOfNothing(t *testing.T) {
	j, made := sabot.NewJob("job"), here()
	if _, err := j.Plan(); err == nil || err.Error() != made+": the job has no source" {
		t.Errorf("Plan's error is %v, want %q", err, made+": the job has no source")
	}
}

// What a Plan takes although it looks odd: nodes without names that hold no state, late rows taken twice and without lateness, late rows alone.
func TestPlanTakes(t *testing.T) {
	cases := map[string]struct {
		build func(j *sabot.Job)
		want  string // names of the nodes
	}{
		"nodes without names": {func(j *sabot.Job) {
			s := j.Source("", nowhere{}).Filter(sabot.Lit(true)).Filter(sabot.Lit(false))
			sabot.Map(s, "", func(v thing) (thing, error) { return v, nil }).Sink("", nowhere{})
		}, "source-1 filter-1 filter-2 func-1 sink-1"},
		"late rows twice": {func(j *sabot.Job) {
			a := counted(keyed(j))
			end(a.Stream)
			a.Late().Sink("l1", nowhere{})
			a.Late().Sink("l2", nowhere{})
		}, "in key-by-1 w end late-1 l1 late-2 l2"},
		"late rows alone": {func(j *sabot.Job) { end(counted(keyed(j)).Late()) }, "in key-by-1 w late-1 end"},
		"one stream twice": {func(j *sabot.Job) {
			s := in(j)
			end(s.Union(s))
		}, "in union-1 end"},
		"windows of no lateness": {func(j *sabot.Job) { end(keyed(j).Window(hour.Lateness(0)).Aggregate("w", n).Stream) }, "in key-by-1 w end"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := sabot.NewJob("job")
			c.build(j)
			p, err := j.Plan()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, n := range p.Nodes {
				if n.ID != i {
					t.Errorf("node %d has ID %d", i, n.ID)
				}
				got = append(got, n.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("the nodes are %s, want %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

// A job keeps nothing of the slices that it was given: a caller may change them, or use them for another node.
func TestJobCopiesSlices(t *testing.T) {
	j := sabot.NewJob("job")
	keys, aggs := []string{"k"}, []sabot.Agg{sabot.Sum("a")}
	end(in(j).KeyBy(keys...).Window(hour).Aggregate("w", aggs...).Stream)
	if aggs[0].Name != "" {
		t.Errorf("Aggregate named the caller's aggregate %q", aggs[0].Name)
	}
	keys[0], aggs[0].Column = "x", "x"
	p, err := j.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Nodes[1].Key[0]; got != "k" {
		t.Errorf("the key is %q, want %q", got, "k")
	}
	if got := p.Nodes[2].Window.Aggs[0]; got != (sabot.Agg{Func: sabot.SumAgg, Column: "a", Name: "sum_a"}) {
		t.Errorf("the aggregate is %+v, want the sum of a", got)
	}
}
