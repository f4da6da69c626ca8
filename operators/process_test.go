package operators

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// processFuncOf returns the process function as a job carries it.
func processFuncOf[K, In, Out any](setup func(*sabot.Proc[K, In, Out])) sabot.ProcessFunc {
	job := sabot.NewJob("test")
	sabot.Process(job.Source("in", nil).KeyBy("key"), "p", setup)
	return job.Impl("p").(sabot.ProcessFunc)
}

// newProcess makes the operator of a function over what is committed.
func newProcessOp(t testing.TB, fn sabot.ProcessFunc, f *feed, d *disk) Operator {
	t.Helper()
	return newTimedProcessOp(t, fn, f, d, nil)
}

// newTimedProcessOp is newProcessOp with a clock.
func newTimedProcessOp(t testing.TB, fn sabot.ProcessFunc, f *feed, d *disk, now func() time.Time) Operator {
	t.Helper()
	out, _, err := fn.Bind(f.schema, []string{"key"})
	if err != nil {
		t.Fatal(err)
	}
	d.clock = now
	op, err := NewProcess(ProcessConfig{Name: "p", In: f.schema, Out: out, KeyFields: f.keyFields(), Now: now}, fn, d.resume())
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// processRun drives a scripted process function and its model through the same steps.
type processRun struct {
	r     *rand.Rand
	feed  *feed
	fn    sabot.ProcessFunc
	unit  int64
	byKey bool
	op    *process
	disk  *disk
	model *processModel
	at    int64
	clock int64 // processing time
	keys  int64 // how many there are
	steps []func(*processModel)
}

func newProcessRun(t *testing.T, seed uint64) *processRun {
	r := rand.New(rand.NewPCG(seed, 11))
	unit := []int64{1, 1_000_000, 40_000_000}[r.IntN(3)]
	p := &processRun{r: r, unit: unit, byKey: r.IntN(2) == 0, at: (r.Int64N(200) - 100) * unit, keys: 6, model: newProcessModel(unit)}
	key := arrow.Field{Name: "key", Type: arrow.BinaryTypes.String, Nullable: true}
	p.fn = processFuncOf(scripted[*string](unit, p.byKey))
	if r.IntN(2) == 0 {
		key = arrow.Field{Name: "key", Type: int64Type}
		p.fn = processFuncOf(scripted[int64](unit, p.byKey))
	}
	p.feed = newFeed(t, arrow.NewSchema([]arrow.Field{key, {Name: "script", Type: arrow.BinaryTypes.String}}, nil), 0)
	p.disk = newDisk(t, p.feed.keyFields())
	p.clock = p.at
	p.open()
	return p
}

func (p *processRun) open() {
	p.op = newTimedProcessOp(p.feed.t, p.fn, p.feed, p.disk, func() time.Time { return sabot.Micros(p.clock).Time() }).(*process)
}

// asleep tells whether some timers are in segments only, and perhaps keys that have nothing else.
func (p *processRun) asleep() bool {
	return p.op.event != nil && len(p.op.event.stored) > 0 || p.op.proc != nil && len(p.op.proc.stored) > 0
}

func (p *processRun) rows() []plainRow {
	rows := make([]plainRow, p.r.IntN(12))
	for i := range rows {
		rows[i].time = p.at + (p.r.Int64N(40)-25)*p.unit
		var key any = p.r.Int64N(p.keys)
		if p.feed.schema.Field(0).Nullable {
			if key = fmt.Sprint("key", key); p.r.IntN(6) == 0 {
				key = nil
			}
		}
		script, err := json.Marshal(randomScript(p.r, rows[i].time, p.unit, 6))
		if err != nil {
			p.feed.t.Fatal(err)
		}
		rows[i].vals = []any{key, string(script)}
	}
	return rows
}

func (p *processRun) step(name string) {
	p.feed.t.Helper()
	switch x := p.r.IntN(10); {
	case x < 6:
		rows := p.rows()
		sel := deselect(p.r, len(rows))
		p.both(name+", batch", func(c Collector) error { return p.op.Batch(p.feed.batch(rows, sel), c) },
			func(m *processModel) {
				if p.byKey {
					m.batchByKey(picked(rows, sel))
				} else {
					m.batch(picked(rows, sel))
				}
			})
	case x < 8:
		p.at += p.r.Int64N(15) * p.unit
		low := max(sabot.Micros(p.at-p.r.Int64N(15)*p.unit), p.model.low)
		p.both(fmt.Sprintf("%s, watermark %d", name, low), func(c Collector) error { return p.op.Watermark(low, c) },
			func(m *processModel) { m.watermark(low) })
	default:
		p.tick(name + ", tick")
	}
}

// tick moves processing time, and calls the operator when it wants to be, as a lane does.
func (p *processRun) tick(name string) {
	t := p.feed.t
	t.Helper()
	p.clock = max(p.clock+p.r.Int64N(5)*p.unit, p.at)
	at, ok := p.op.NextTick()
	want, some := p.model.next()
	exact := ok == some && (!ok || int64(at) == want)
	early := len(p.op.proc.stored) > 0 && (!some || ok && int64(at) <= want) // of a bucket it is known only that it is there
	if p.op.proc.loaded && !exact && !early {
		t.Fatalf("%s: NextTick is %d %v, want %d %v", name, at, ok, want, some)
	}
	if now := sabot.Micros(p.clock); ok && at <= now {
		p.both(fmt.Sprintf("%s at %d", name, now), func(c Collector) error { return p.op.Tick(now, c) }, func(m *processModel) { m.fire('t', now) })
	}
}

// both takes one step and compares what comes out: rows in order for each key, dead rows, failed timers, and how many keys hold something.
func (p *processRun) both(name string, op func(Collector) error, step func(*processModel)) {
	t := p.feed.t
	t.Helper()
	got := &recorder{t: t}
	if err := op(got); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	wall, take := sabot.Micros(p.clock), step
	step = func(m *processModel) {
		m.wall = wall
		take(m)
	}
	step(p.model)
	p.steps = append(p.steps, step)
	want, died := p.model.take()
	same(t, name+": dead rows", lines(got.dead, false), lines(want.dead, false))
	same(t, name+": failed timers", p.readable(got.deadKeys), died)
	same(t, name+": output", byKey(got.rows), byKey(want.rows))
	if got, want := p.op.keys.Len(), len(p.model.keys); got != want && !p.disk.bounded && !p.asleep() { // else some are in segments only, with what has expired
		t.Fatalf("%s: %d keys are kept, want %d", name, got, want)
	}
	for slot := range uint32(p.op.keys.Slots()) {
		if p.op.keys.InUse(slot) && p.op.keys.IsHollow(slot) && p.op.holds[slot] == 0 {
			t.Fatalf("%s: a key without values is kept, and no timer refers to it", name)
		}
	}
	if p.feed.open != 0 {
		t.Fatalf("%s: %d batches were not released", name, p.feed.open)
	}
}

// readable turns the key bytes of failed timers into text, and sorts.
func (p *processRun) readable(deadKeys []string) (out []string) {
	for _, d := range deadKeys {
		var key []byte
		var at int64
		if _, err := fmt.Sscanf(d, "%x %d", &key, &at); err != nil {
			p.feed.t.Fatal(err)
		}
		fields := make([]any, 1)
		if err := p.op.decoder.Decode(key, fields); err != nil {
			p.feed.t.Fatal(err)
		}
		out = append(out, keyText(fields[0])+d[strings.IndexByte(d, ' '):])
	}
	slices.Sort(out)
	return out
}

func byKey(rows []plainRow) []string {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b plainRow) int { return strings.Compare(a.vals[0].(string), b.vals[0].(string)) })
	return lines(rows, false)
}

// end ends the input: what is set fires, then timers of processing time are dropped.
func (p *processRun) end(name string) {
	p.feed.t.Helper()
	dropped := 0
	p.both(name+", end", func(c Collector) error {
		err := p.op.Watermark(sabot.MaxMicros, c)
		rows := c.(*recorder).rows
		if !slices.IsSortedFunc(rows, func(a, b plainRow) int { return cmp.Compare(a.time, b.time) }) {
			p.feed.t.Fatalf("%s: timers fired out of order: %v", name, lines(rows, false))
		}
		dropped = c.(*recorder).dropped
		return err
	}, func(m *processModel) {
		if want := m.watermark(sabot.MaxMicros); dropped != want {
			p.feed.t.Fatalf("%s: %d timers of processing time were dropped, want %d", name, dropped, want)
		}
	})
}

func TestProcessAgainstPlainMaps(t *testing.T) {
	for seed := range seeds(100) {
		p := newProcessRun(t, seed)
		for i := range 40 {
			p.step(fmt.Sprintf("seed %d, step %d", seed, i))
		}
		p.end(fmt.Sprintf("seed %d", seed))
	}
}

// mark implements rig.
func (p *processRun) mark() (back func()) {
	steps := slices.Clone(p.steps)
	return func() {
		p.steps = slices.Clone(steps)
		p.model = newProcessModel(p.unit)
		for _, s := range p.steps {
			s(p.model)
		}
		p.model.take()
	}
}

// low implements rig.
func (p *processRun) low() sabot.Micros { return p.model.low }

// An operator that is made of a committed state goes on as the one did that was frozen; what came after the freeze is gone. So it does whatever there
// is memory for, and whatever becomes of the stored state meanwhile that shows the same.
func TestProcessResumes(t *testing.T) {
	for seed := range seeds(120) {
		p := newProcessRun(t, 10_000+seed)
		if seed%3 == 2 {
			p.keys = 30
		}
		newHistory(p.r, p.disk, p).run(fmt.Sprintf("seed %d", seed), 100)
		p.end(fmt.Sprintf("seed %d", seed))
	}
}

// stamped returns n rows of as many keys, all of one time.
func stamped(n int, at int64) []plainRow {
	rows := make([]plainRow, n)
	for i := range rows {
		rows[i] = plainRow{at, []any{int64(i)}}
	}
	return rows
}

type keyed struct{ Key int64 }

var justKey = arrow.NewSchema([]arrow.Field{{Name: "key", Type: int64Type}}, nil)

// However many keys and handles there are, watermarks in the end find all that has expired.
func TestSweepsReachEverySlot(t *testing.T) {
	const keys = 4 * sweepSlots
	f := newFeed(t, justKey, 0)
	d := newDisk(t, f.keyFields())
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		a := sabot.NewValue[int64](p, "a", sabot.TTL(time.Microsecond))
		b := sabot.NewValue[string](p, "b", sabot.TTL(time.Microsecond))
		m := sabot.NewMap[int64, bool](p, "m", sabot.TTL(time.Microsecond))
		p.OnRow(func(keyed) error {
			a.Put(1)
			b.Put("b")
			m.Put(p.Key(), true)
			return nil
		})
	}), f, d).(*process)
	out := &recorder{t: t}
	if err := op.Batch(f.batch(stamped(keys, 10), nil), out); err != nil {
		t.Fatal(err)
	}
	if got := op.keys.Len(); got != keys {
		t.Fatalf("%d keys are kept, want %d", got, keys)
	}
	for w := range sabot.Micros(keys/sweepSlots + 1) {
		if err := op.Watermark(100+w, out); err != nil {
			t.Fatal(err)
		}
	}
	if got := op.keys.Len(); got != 0 {
		t.Errorf("%d keys are kept after each slot has been swept, want 0", got)
	}
}

// A timer of processing time for the end of time wakes nobody, and is dropped with the input's end.
func TestTimerForEndOfProcessingTime(t *testing.T) {
	f := newFeed(t, justKey, 0)
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		never := p.Timer("never", sabot.ByProcessingTime, func(time.Time) error { return nil })
		p.OnRow(func(keyed) error {
			never.Set(sabot.EndOfTime)
			return nil
		})
	}), f, newDisk(t, f.keyFields())).(*process)
	out := &recorder{t: t}
	if err := op.Tick(0, out); err != nil {
		t.Fatal(err)
	}
	if err := op.Batch(f.batch(stamped(1, 10), nil), out); err != nil {
		t.Fatal(err)
	}
	if at, ok := op.NextTick(); ok {
		t.Errorf("NextTick is %d, want none", at)
	}
	if err := op.Watermark(sabot.MaxMicros, out); err != nil {
		t.Fatal(err)
	}
	if out.dropped != 1 {
		t.Errorf("%d timers were dropped, want 1", out.dropped)
	}
}

// Rows that a handler emits keep the time and key of theirs when the output is handed on in pieces.
func TestProcessHandsOutputOnInPieces(t *testing.T) {
	const rows = emitRows
	f := newFeed(t, justKey, 0)
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		p.OnRow(func(keyed) error {
			for range 3 {
				p.Emit(scriptOut{fmt.Sprint(p.Key()), ""})
			}
			return nil
		})
	}), f, newDisk(t, f.keyFields()))
	in := stamped(rows, 0)
	var want []string
	for i := range in {
		in[i].time = int64(7 * i)
		for range 3 {
			want = append(want, plainRow{in[i].time, []any{fmt.Sprint(i), ""}}.String())
		}
	}
	out := &recorder{t: t}
	if err := op.Batch(f.batch(in, nil), out); err != nil {
		t.Fatal(err)
	}
	same(t, "output", lines(out.rows, false), want)
}
