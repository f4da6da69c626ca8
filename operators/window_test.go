package operators

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

var timestampType = &arrow.TimestampType{Unit: arrow.Microsecond}

// windowInput returns the columns of a test's input, with a key of the type.
func windowInput(key arrow.DataType) *arrow.Schema {
	f := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	return arrow.NewSchema([]arrow.Field{f("key", key),
		f("i", int64Type), f("j", int64Type), f("d", arrow.PrimitiveTypes.Int32), f("u", arrow.PrimitiveTypes.Uint64),
		f("f", float64Type), f("s", arrow.BinaryTypes.String), f("b", arrow.FixedWidthTypes.Boolean), f("t", timestampType)}, nil)
}

// everyAgg returns all aggregates that there are over the columns.
func everyAgg(in *arrow.Schema) (aggs []sabot.Agg) {
	add := func(f sabot.AggFunc, col string) {
		aggs = append(aggs, sabot.Agg{Func: f, Column: col, Name: fmt.Sprintf("%s_%s", f, col)})
	}
	add(sabot.CountAgg, "")
	for _, c := range in.Fields()[1:] {
		add(sabot.CountAgg, c.Name)
		for _, f := range []sabot.AggFunc{sabot.MinAgg, sabot.MaxAgg, sabot.FirstAgg, sabot.LastAgg} {
			add(f, c.Name)
		}
		switch c.Type.ID() {
		case arrow.INT64, arrow.INT32, arrow.UINT64, arrow.FLOAT64:
			add(sabot.SumAgg, c.Name)
			add(sabot.AvgAgg, c.Name)
		}
	}
	return aggs
}

// windowOutput returns the columns of the results, as bind.Bind has them.
func windowOutput(in *arrow.Schema, spec sabot.WindowSpec) *arrow.Schema {
	out := []arrow.Field{in.Field(0), {Name: "window_start", Type: timestampType}, {Name: "window_end", Type: timestampType}}
	for _, a := range spec.Aggs {
		t := arrow.DataType(int64Type)
		if a.Func != sabot.CountAgg {
			t = in.Field(in.FieldIndices(a.Column)[0]).Type
			switch {
			case a.Func == sabot.AvgAgg:
				t = float64Type
			case a.Func == sabot.SumAgg && t.ID() != arrow.FLOAT64:
				t = int64Type
			}
		}
		out = append(out, arrow.Field{Name: a.Name, Type: t, Nullable: true})
	}
	if spec.Lateness > 0 {
		out = append(out, arrow.Field{Name: "pane", Type: int64Type})
	}
	return arrow.NewSchema(out, nil)
}

// windowRun drives a window operator and its model through the same steps.
type windowRun struct {
	r     *rand.Rand
	feed  *feed
	spec  sabot.WindowSpec
	huge  bool  // integers so large that sums overflow
	keys  int64 // a power of two: about how many there are
	ahead int64 // how far some rows are ahead of the others; 0: none are
	op    Operator
	disk  *disk
	got   *recorder
	model *windowModel
	at    int64 // about where event time is
	steps []func(*windowModel) answer
}

func newWindowRun(t *testing.T, seed uint64) *windowRun {
	r := rand.New(rand.NewPCG(seed, 7))
	in := windowInput(arrow.BinaryTypes.String)
	if r.IntN(2) == 0 {
		in = windowInput(int64Type)
	}
	slide := time.Duration(1+r.IntN(20)) * time.Microsecond
	spec := sabot.WindowSpec{Slide: slide, Size: slide * time.Duration(1+r.IntN(2)*r.IntN(5))}
	if r.IntN(2) == 0 {
		spec.Lateness = time.Duration(1+r.IntN(60)) * time.Microsecond
	}
	spec.Aggs = everyAgg(in)
	if r.IntN(4) > 0 {
		r.Shuffle(len(spec.Aggs), func(i, j int) { spec.Aggs[i], spec.Aggs[j] = spec.Aggs[j], spec.Aggs[i] })
		spec.Aggs = spec.Aggs[:1+r.IntN(9)]
	}
	w := &windowRun{r: r, feed: newFeed(t, in, 0), spec: spec, huge: r.IntN(3) == 0, keys: 4, at: r.Int64N(400) - 200, model: newWindowModel(in, spec)}
	w.disk = newDisk(t, w.feed.keyFields())
	w.open()
	return w
}

// open makes an operator of the committed state.
func (w *windowRun) open() {
	cfg := WindowConfig{Name: "w", Spec: w.spec, In: w.feed.schema, Out: windowOutput(w.feed.schema, w.spec), KeyFields: w.feed.keyFields()}
	op, err := NewWindow(cfg, w.disk.resume())
	if err != nil {
		w.feed.t.Fatal(err)
	}
	w.op = op
}

// value returns a value for a column, so often the same that ties and nulls are frequent.
func (w *windowRun) value(t arrow.DataType) any {
	if w.r.IntN(5) == 0 {
		return nil
	}
	switch t.ID() {
	case arrow.STRING:
		return []string{"", "a", "ab", "b", "a\x00", "é"}[w.r.IntN(6)]
	case arrow.BOOL:
		return w.r.IntN(2) == 0
	case arrow.FLOAT64:
		if w.r.IntN(40) == 0 {
			return []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[w.r.IntN(3)]
		}
		return float64(w.r.IntN(41)-20)/3 + 0.1
	case arrow.UINT64:
		if w.huge {
			return []uint64{math.MaxUint64, 1 << 63, math.MaxInt64, math.MaxInt64 / 3, 1, 0}[w.r.IntN(6)]
		}
		return uint64(w.r.IntN(20))
	case arrow.INT64:
		if w.huge && w.r.IntN(2) == 0 {
			return []int64{math.MaxInt64, math.MinInt64, math.MaxInt64 / 2, math.MinInt64 / 2, math.MaxInt64 - 3}[w.r.IntN(5)]
		}
	}
	return int64(w.r.IntN(21) - 10)
}

func (w *windowRun) rows() []plainRow {
	rows := make([]plainRow, w.r.IntN(30))
	burst := w.r.IntN(3) == 0 // times that stand still, which make long runs in one window
	at := w.at
	for i := range rows {
		if !burst || w.r.IntN(8) == 0 {
			at = w.at + w.r.Int64N(120) - 80
			if w.ahead > 0 && w.r.IntN(10) == 0 {
				at += w.r.Int64N(w.ahead)
			}
		}
		rows[i].time = at
		for c, f := range w.feed.schema.Fields() {
			v := w.value(f.Type)
			if n, ok := v.(int64); ok && c == 0 {
				v = n & (w.keys - 1)
			}
			rows[i].vals = append(rows[i].vals, v)
		}
	}
	return rows
}

// step takes a random batch or watermark through the operator and the model, and compares what comes out.
func (w *windowRun) step(name string) {
	t := w.feed.t
	t.Helper()
	if w.r.IntN(3) > 0 {
		rows := w.rows()
		sel := deselect(w.r, len(rows))
		w.both(name+", batch", func() error { return w.op.Batch(w.feed.batch(rows, sel), w.got) },
			func(m *windowModel) answer { return m.batch(picked(rows, sel)) })
		return
	}
	w.at += w.r.Int64N(50)
	low := max(sabot.Micros(w.at-w.r.Int64N(60)), w.model.low)
	w.watermark(fmt.Sprintf("%s, watermark %d", name, low), low)
}

func (w *windowRun) watermark(name string, low sabot.Micros) {
	w.feed.t.Helper()
	w.both(name, func() error { return w.op.Watermark(low, w.got) }, func(m *windowModel) answer { return m.watermark(low) })
}

func (w *windowRun) both(name string, op func() error, step func(*windowModel) answer) {
	t := w.feed.t
	t.Helper()
	w.got = &recorder{t: t}
	if err := op(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	want := step(w.model)
	w.steps = append(w.steps, step)
	same(t, name+": late rows", lines(w.got.late, false), lines(want.late, false))
	same(t, name+": dead rows", lines(w.got.dead, true), lines(want.dead, true))
	same(t, name+": results", lines(w.got.rows, true), lines(want.rows, true))
	if w.feed.open != 0 {
		t.Fatalf("%s: %d batches were not released", name, w.feed.open)
	}
}

func TestWindowAgainstBruteForce(t *testing.T) {
	for seed := range seeds(150) {
		w := newWindowRun(t, seed)
		for i := range 30 {
			w.step(fmt.Sprintf("seed %d, step %d", seed, i))
		}
		w.watermark(fmt.Sprintf("seed %d, end", seed), sabot.MaxMicros)
	}
}

// mark implements rig.
func (w *windowRun) mark() (back func()) {
	steps := slices.Clone(w.steps)
	return func() {
		w.steps = slices.Clone(steps)
		w.model = newWindowModel(w.feed.schema, w.spec)
		for _, s := range w.steps {
			s(w.model)
		}
	}
}

// low implements rig.
func (w *windowRun) low() sabot.Micros { return w.model.low }

// An operator that is made of a committed state goes on as the one did that was frozen; what came after the freeze is gone. So it does whatever there
// is memory for, and whatever becomes of the stored state meanwhile that shows the same.
func TestWindowResumes(t *testing.T) {
	for seed := range seeds(120) {
		w := newWindowRun(t, 10_000+seed)
		if seed%3 == 2 {
			w.keys = 16
		}
		if seed%4 > 1 {
			w.ahead = w.spec.Slide.Microseconds() * 400 // so that buckets are wide, and overlap where partitions are united
		}
		newHistory(w.r, w.disk, w).run(fmt.Sprintf("seed %d", seed), 80)
		w.watermark(fmt.Sprintf("seed %d, end", seed), sabot.MaxMicros)
	}
}
