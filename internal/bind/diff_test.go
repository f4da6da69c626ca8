package bind

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// design is what the tests change of a job.
type design struct {
	in, out  string
	maxDelay time.Duration
	filter   sabot.Expr
	key      string
	window   sabot.Window
	aggs     []sabot.Agg
	state    func(*stateOf)
	name     string
	late     bool
	rewire   bool // the process function takes the rows before the filter
	swap     bool // sinks are built in another order
}

func base() design {
	return design{in: "a/*.parquet", out: "out", maxDelay: time.Minute, filter: sabot.Col("amount").Gt(10), key: "user",
		window: sabot.Tumbling(time.Hour),
		aggs:   []sabot.Agg{sabot.Sum("price")}, state: func(p *stateOf) { sabot.NewValue[int](p, "seen", sabot.TTL(time.Hour)) }, name: "hourly"}
}

func (d design) plan(t *testing.T) (*sabot.Plan, *Graph) {
	t.Helper()
	j := sabot.NewJob("job")
	s := j.Source("in", place(d.in), sabot.EventTime("t", sabot.MaxDelay(d.maxDelay)))
	f := s.Filter(d.filter)
	a := f.KeyBy(d.key).Window(d.window).Aggregate(d.name, d.aggs...)
	if d.rewire {
		f = s
	}
	p := process(f, d.state)
	if d.swap {
		p.Sink("processed", place(d.out))
		a.Sink("windows", place(d.out))
	} else {
		a.Sink("windows", place(d.out))
		p.Sink("processed", place(d.out))
	}
	if d.late {
		a.Late().Sink("late", place(d.out))
	}
	g, err := bound(t, j)
	if err != nil {
		t.Fatal(err)
	}
	return g.Plan, g
}

// stored returns the plan as a root keeps it.
func stored(t *testing.T, p *sabot.Plan) *sabot.Plan {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var out sabot.Plan
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// Each change of a job changes its fingerprint, and Diff says what it was.
func TestDiff(t *testing.T) {
	const w = `{"id":0,"name":"hourly","kind":"window","window":{"kind":`
	const p = `{"id":0,"name":"p","kind":"process","process":{"In":"bind.order","Out":"bind.order"`
	const sum = `"aggs":[{"func":"sum","column":"price","name":"sum_price"}]}}`
	cases := map[string]struct {
		change func(d *design)
		want   []string
	}{
		"input":  {func(d *design) { d.in = "b" }, []string{`the input of source "in" was a/*.parquet and is b`}},
		"output": {func(d *design) { d.out = "x" }, []string{`the output of sink "windows" was out and is x`, `the output of sink "processed" was out and is x`}},
		"MaxDelay": {func(d *design) { d.maxDelay = 0 }, []string{`the options of the source "in" were ` +
			`{"id":0,"name":"in","kind":"source","source":{"identity":"a/*.parquet","time":"t","max_delay":60000000000,"max_future":86400000000000}} and are ` +
			`{"id":0,"name":"in","kind":"source","source":{"identity":"a/*.parquet","time":"t","max_future":86400000000000}}`}},
		"filter": {func(d *design) { d.filter = sabot.Col("paid") }, []string{`the options of the filter "filter-1" were ` +
			`{"id":0,"name":"filter-1","kind":"filter","filter":{"op":"gt","args":[{"op":"col","column":"amount"},{"op":"lit","lit":{"kind":"int64","int":10}}]}}` +
			` and are {"id":0,"name":"filter-1","kind":"filter","filter":{"op":"col","column":"paid"}}`}},
		"key": {func(d *design) { d.key = "paid" }, []string{`the options of the key-by "key-by-1" were {"id":0,"name":"key-by-1","kind":"key-by","key":["user"]}` +
			` and are {"id":0,"name":"key-by-1","kind":"key-by","key":["paid"]}`}},
		"window": {func(d *design) { d.window = sabot.Hopping(time.Hour, time.Minute) }, []string{`the options of the window "hourly" were ` +
			w + `"tumbling","size":3600000000000,"slide":3600000000000,` + sum + ` and are ` + w + `"hopping","size":3600000000000,"slide":60000000000,` + sum}},
		"lateness": {func(d *design) { d.window = d.window.Lateness(time.Second) }, []string{`the options of the window "hourly" were ` +
			w + `"tumbling","size":3600000000000,"slide":3600000000000,` + sum + ` and are ` +
			w + `"tumbling","size":3600000000000,"slide":3600000000000,"lateness":1000000000,` + sum}},
		"name": {func(d *design) { d.name = "w" }, []string{`the window "hourly" is gone`,
			`the sink "windows" took the rows of hourly and takes those of w`, `the window "w" is new`}},
		"late rows": {func(d *design) { d.late = true }, []string{`the late "late-1" is new`, `the sink "late" is new`}},
		"wiring":    {func(d *design) { d.rewire = true }, []string{`the key-by "key-by-2" took the rows of filter-1 and takes those of in`}},
		"order": {func(d *design) { d.swap = true }, []string{"the operators were built in the order in, filter-1, key-by-1, hourly, key-by-2, p, windows, processed " +
			"and are in the order in, filter-1, key-by-1, hourly, key-by-2, p, processed, windows"}},
		"state's TTL": {func(d *design) { d.state = func(p *stateOf) { sabot.NewValue[int](p, "seen") } }, []string{`the options of the process "p" were ` +
			p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` + p + `,"state":[{"name":"seen","kind":"value","type":"int64"}]}}`}},
		"state's type": {func(d *design) {
			d.state = func(p *stateOf) { sabot.NewValue[string](p, "seen", sabot.TTL(time.Hour)) }
		}, []string{
			`the options of the process "p" were ` + p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` +
				p + `,"state":[{"name":"seen","kind":"value","type":"utf8","ttl":3600000000000}]}}`}},
		"state's clock": {func(d *design) {
			d.state = func(p *stateOf) {
				sabot.NewValue[int](p, "seen", sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime))
			}
		}, []string{
			`the options of the process "p" were ` + p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` +
				p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000,"ttl_clock":1}]}}`}},
		"state's default": {func(d *design) {
			d.state = func(p *stateOf) { sabot.NewValue[int](p, "seen", sabot.TTL(time.Hour), sabot.Default(-1)) }
		}, []string{
			`the options of the process "p" were ` + p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` +
				p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000,"default":"-1"}]}}`}},
		"state's kind": {func(d *design) {
			d.state = func(p *stateOf) { sabot.NewCounter(p, "seen", sabot.TTL(time.Hour)) }
		}, []string{
			`the options of the process "p" were ` + p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` +
				p + `,"state":[{"name":"seen","kind":"counter","type":"int64","ttl":3600000000000}]}}`}},
		"no state": {func(d *design) { d.state = func(*stateOf) {} }, []string{`the options of the process "p" were ` +
			p + `,"state":[{"name":"seen","kind":"value","type":"int64","ttl":3600000000000}]}} and are ` + p + `}}`}},
		"constant that JSON has no number for": {func(d *design) { d.filter = sabot.Col("price").Lt(math.Inf(1)) }, []string{
			`the options of the filter "filter-1" were {"id":0,"name":"filter-1","kind":"filter","filter":` +
				`{"op":"gt","args":[{"op":"col","column":"amount"},{"op":"lit","lit":{"kind":"int64","int":10}}]}} and are ` +
				`{"id":0,"name":"filter-1","kind":"filter","filter":{"op":"lt","args":[{"op":"col","column":"price"},{"op":"lit","lit":{"kind":"float64","str":"+Inf"}}]}}`}},
	}
	was, graph := base().plan(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := base()
			c.change(&d)
			now, changed := d.plan(t)
			if got, want := strings.Join(Diff(stored(t, was), now), "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("Diff says\n%s\nwant\n%s", got, want)
			}
			if graph.Fingerprint() == changed.Fingerprint() {
				t.Error("the fingerprint is the same")
			}
		})
	}
}

func TestDiffOfKind(t *testing.T) {
	was := &sabot.Plan{Nodes: []*sabot.Node{{Name: "a", Kind: sabot.KindFilter}}}
	now := &sabot.Plan{Nodes: []*sabot.Node{{Name: "a", Kind: sabot.KindFunc}}}
	if got, want := strings.Join(Diff(was, now), "\n"), `"a" was a filter and is a func`; got != want {
		t.Errorf("Diff says %s, want %s", got, want)
	}
}

// fingerprint of base. When it changes, no stored job can be resumed by this version: that must be meant.
const fingerprint = "38b4ad1ac8144a95ac0d3a44c53b2591"

func TestFingerprintIsStable(t *testing.T) {
	was, graph := base().plan(t)
	now, again := base().plan(t)
	if graph.Fingerprint() != again.Fingerprint() {
		t.Error("the same job built twice has two fingerprints")
	}
	if d := Diff(stored(t, was), now); len(d) > 0 {
		t.Errorf("the same job built twice differs: %v", d)
	}
	if got := graph.Fingerprint(); got != fingerprint {
		t.Errorf("the fingerprint is %s, want %s", got, fingerprint)
	}
}

// Columns that nobody reads are no part of the fingerprint, those that somebody reads are, with their types.
func TestFingerprintOfColumns(t *testing.T) {
	build := func(fields ...arrow.Field) string {
		j := sabot.NewJob("job")
		j.Source("in", place("")).Select(sabot.Col("a")).Sink("end", place(""))
		p, err := j.Plan()
		if err != nil {
			t.Fatal(err)
		}
		g, err := Bind(p, j.Impl, map[string]*arrow.Schema{"in": arrow.NewSchema(fields, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return g.Fingerprint()
	}
	a, b := arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "b", Type: arrow.BinaryTypes.String}
	narrow := arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32}
	if build(a) != build(a, b) {
		t.Error("a column that nobody reads changes the fingerprint")
	}
	if build(a) == build(narrow) {
		t.Error("another type of a column does not change the fingerprint")
	}
}

func TestDescribe(t *testing.T) {
	_, g := base().plan(t)
	want := `stage 0
  source    in -> t timestamp[us], user utf8, amount int64, price float64
  filter    filter-1 -> t timestamp[us], user utf8, amount int64, price float64
  key-by    key-by-1 -> t timestamp[us], user utf8, amount int64, price float64
  key-by    key-by-2 -> t timestamp[us], user utf8, amount int64, price float64
stage 1, by user
  window    hourly -> user utf8, window_start timestamp[us], window_end timestamp[us], sum_price float64
  sink      windows
stage 2, by user
  process   p -> user utf8
  sink      processed
`
	if got := g.Describe(); got != want {
		t.Errorf("Describe says\n%s\nwant\n%s", got, want)
	}
	if s := fmt.Sprintf("%d %t %t %s", len(g.Stages), g.Stages[0].Keyed(), g.Stages[1].Keyed(), g.Stages[2].Inputs[0].From.Spec.Name); s != "3 false true key-by-2" {
		t.Errorf("the stages are %s, want 3, the first not keyed, the last fed by key-by-2", s)
	}
}
