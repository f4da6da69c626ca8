package datagen

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/conntest"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestConformance(t *testing.T) {
	for name, s := range map[string]Source{
		"defaults":   {Rows: 60},
		"splits":     {Rows: 61, Splits: 4, Seed: 9, Disorder: time.Second, Skew: 1, Keys: 7},
		"payload":    {Rows: 40, Splits: 2, Bytes: 33},
		"no rows":    {Rows: 2, Splits: 3},
		"rate":       {Rows: 60, Splits: 3, Rate: 999, Begin: noon.Add(-time.Hour)},
		"rate, time": {Rows: 30, Rate: 1e6, Begin: noon.Add(-time.Hour), Start: noon, Step: time.Minute},
	} {
		t.Run(name, func(t *testing.T) { conntest.Source(t, func() sabot.Source { return s }) })
	}
}

// clocked is a source whose readers see a clock of the test's.
type clocked struct {
	Source
	now func() time.Time
}

func (c clocked) Open(ctx context.Context, env sabot.Env, schema *arrow.Schema, s sabot.Split, at sabot.Position) (sabot.Reader, error) {
	env.Now = c.now
	return c.Source.Open(ctx, env, schema, s, at)
}

// Without end, there are the rows that are due and no more.
func TestConformanceUnbounded(t *testing.T) {
	s := clocked{Source{Splits: 3, Rate: 30, Begin: noon}, func() time.Time { return noon.Add(1990 * time.Millisecond) }}
	conntest.Source(t, func() sabot.Source { return s }, readAll(t, s, 0, 20), readAll(t, s, 1, 20), readAll(t, s, 2, 20))
}

// readAll returns the first n rows of a split.
func readAll(t *testing.T, s sabot.Source, split, n int) arrow.RecordBatch {
	t.Helper()
	schema, splits, err := s.Describe(t.Context(), sabot.Env{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), sabot.Env{MaxRows: n}, schema, splits[split], "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Rows == nil || int(c.Rows.NumRows()) != n {
		t.Fatalf("split %d gives %v, want %d rows", split, c.Rows, n)
	}
	return c.Rows
}

func numbers(t *testing.T, rec arrow.RecordBatch, name string) []int64 {
	t.Helper()
	idx := rec.Schema().FieldIndices(name)
	if len(idx) != 1 {
		t.Fatalf("there is no column %q in %v", name, rec.Schema())
	}
	if c, ok := rec.Column(idx[0]).(*array.Timestamp); ok {
		return arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(c.Values()))
	}
	return rec.Column(idx[0]).(*array.Int64).Int64Values()
}

// What a reader gives is what All yields.
func TestAll(t *testing.T) {
	s := Source{Seed: 4, Rows: 1000, Splits: 3, Keys: 50, Skew: 0.8, Disorder: 10 * time.Millisecond, Bytes: 21, Start: noon}
	want := map[int64]Row{}
	for r := range s.All() {
		want[r.Row] = r
	}
	got := 0
	for split, n := range []int{334, 333, 333} {
		rec := readAll(t, s, split, n)
		row, at, key, value := numbers(t, rec, "row"), numbers(t, rec, "at"), numbers(t, rec, "key"), numbers(t, rec, "value")
		text := rec.Column(4).(*array.String)
		for i := range row {
			r := Row{row[i], time.UnixMicro(at[i]).UTC(), key[i], value[i], text.Value(i)}
			if want[r.Row] != r {
				t.Fatalf("row %d is %+v, All says %+v", r.Row, r, want[r.Row])
			}
			got++
		}
		rec.Release()
	}
	if got != len(want) || len(want) != 1000 {
		t.Errorf("%d rows read, All yields %d, want 1000", got, len(want))
	}
}

func TestEventTimes(t *testing.T) {
	s := Source{Rows: 2000, Start: noon, Step: time.Second, Disorder: 5 * time.Second}
	least, most := time.Hour, time.Duration(0)
	for r := range s.All() {
		early := noon.Add(time.Duration(r.Row) * time.Second).Sub(r.At)
		least, most = min(least, early), max(most, early)
	}
	if least < 0 || least > 100*time.Millisecond || most > 5*time.Second || most < 4900*time.Millisecond {
		t.Errorf("rows are early by %s to %s, want 0s to 5s", least, most)
	}
}

func TestKeys(t *testing.T) {
	const rows, keys = 200_000, 100
	for _, skew := range []float64{0, 0.5, 1, 1.5} {
		counts := make([]float64, keys)
		for r := range (Source{Rows: rows, Keys: keys, Skew: skew}).All() {
			if r.Key < 0 || r.Key >= keys {
				t.Fatalf("skew %v: key %d, of %d keys", skew, r.Key, keys)
			}
			counts[r.Key]++
		}
		// The share of key k is the area under 1/x^s from k+1 to k+2.
		area := func(from, to float64) float64 {
			if skew == 1 {
				return math.Log(to / from)
			}
			return (math.Pow(to, 1-skew) - math.Pow(from, 1-skew)) / (1 - skew)
		}
		for k, n := range counts {
			want := rows * area(float64(k+1), float64(k+2)) / area(1, keys+1)
			if math.Abs(n-want) > 6*math.Sqrt(want)+1 {
				t.Errorf("skew %v: key %d has %v rows, want about %.0f", skew, k, n, want)
			}
		}
	}
}

// Rows come when they are due; a reader that goes on keeps the times, also with another rate.
func TestRate(t *testing.T) {
	now := noon
	s := Source{Rate: 100, Splits: 2} // a row of a split each 20 ms
	schema, splits, err := s.Describe(t.Context(), sabot.Env{})
	if err != nil {
		t.Fatal(err)
	}
	env := sabot.Env{Now: func() time.Time { return now }, MaxRows: 8}
	open := func(s Source, at sabot.Position) sabot.Reader {
		t.Helper()
		r, err := s.Open(t.Context(), env, schema, splits[1], at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	at := sabot.Position("")
	read := func(r sabot.Reader, want ...time.Duration) {
		t.Helper()
		c, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		if c.Rows != nil {
			for _, us := range numbers(t, c.Rows, "created") {
				got = append(got, time.UnixMicro(us).Sub(noon))
			}
			if at := numbers(t, c.Rows, "at"); !slices.Equal(at, numbers(t, c.Rows, "created")) {
				t.Errorf("event times %v are not when the rows were due", at)
			}
			c.Rows.Release()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s after the beginning there are rows of %v, want %v", now.Sub(noon), got, want)
		}
		at = c.After
	}
	const ms = time.Millisecond
	r := open(s, "")
	read(r, 0)
	read(r)
	now = noon.Add(59 * ms)
	read(r, 20*ms, 40*ms)
	now = noon.Add(300 * ms) // nobody reads for a while, by this process or another
	r = open(s, at)
	read(r, 60*ms, 80*ms, 100*ms, 120*ms, 140*ms, 160*ms, 180*ms, 200*ms)
	s.Rate = 20
	r = open(s, at)
	read(r, 220*ms)
	now = noon.Add(420 * ms)
	read(r, 320*ms, 420*ms)
}

// The engine is told when the next rows are there. Those of a high rate come together.
func TestNotifies(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		after time.Duration // the one before
		rows  int64
	}{{50, 20 * time.Millisecond, 1}, {10_000, time.Millisecond, 10}} {
		synctest.Test(t, func(t *testing.T) {
			s := Source{Rate: c.rate}
			schema, splits, err := s.Describe(t.Context(), sabot.Env{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Open(t.Context(), sabot.Env{}, schema, splits[0], "")
			if err != nil {
				t.Fatal(err)
			}
			woken := make(chan time.Time, 1)
			r.(sabot.Notifier).Notify(func() { woken <- time.Now() })
			last := time.Time{}
			for range 5 {
				for empty := false; ; empty = true {
					chunk, err := r.Read(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if chunk.Rows != nil {
						if n := chunk.Rows.NumRows(); !last.IsZero() && n != c.rows {
							t.Errorf("at %v rows a second %d come together, want %d", c.rate, n, c.rows)
						}
						chunk.Rows.Release()
						break
					}
					if empty {
						t.Fatal("it has told of rows, and has none")
					}
					<-woken
				}
				if now := time.Now(); !last.IsZero() && now.Sub(last) != c.after {
					t.Errorf("at %v rows a second some come %s after those before, want %s", c.rate, now.Sub(last), c.after)
				}
				last = time.Now()
			}
			if c, err := r.Read(t.Context()); err != nil || c.Rows != nil {
				t.Errorf("rows that are not due: %v, %v", c.Rows, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if len(woken) > 0 {
				t.Error("a reader that is closed wakes the engine")
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	_, _, err := Source{Rows: -1, Keys: -1, Skew: math.NaN(), Rate: -3, Begin: noon, Step: 3, Disorder: -1, Bytes: 1 << 30, Splits: -2}.Describe(t.Context(), sabot.Env{})
	if sabot.KindOf(err) != sabot.Invalid {
		t.Fatalf("the error is %v, want an Invalid one", err)
	}
	for _, field := range []string{"Rows", "Keys", "Skew", "Rate", "Step", "Disorder", "Bytes", "Splits"} {
		if !strings.Contains(err.Error(), "datagen: "+field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
	if _, _, err := (Source{Begin: noon}).Describe(t.Context(), sabot.Env{}); err == nil || !strings.Contains(err.Error(), "Begin is set") {
		t.Errorf("Begin without Rate: %v", err)
	}
	schema, splits, err := Source{}.Describe(t.Context(), sabot.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []sabot.Position{"x", "-1", "3@x"} {
		if _, err := (Source{Rate: 1}).Open(t.Context(), sabot.Env{}, schema, splits[0], at); sabot.KindOf(err) != sabot.Corrupt {
			t.Errorf("position %q: %v, want a Corrupt error", at, err)
		}
	}
	if _, err := (Source{}).Open(t.Context(), sabot.Env{}, schema, sabot.Split{ID: "1"}, ""); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a split too many: %v, want an Invalid error", err)
	}
	withRate := Source{Rate: 1}.schema()
	if _, err := (Source{}).Open(t.Context(), sabot.Env{}, withRate, splits[0], ""); err == nil || !strings.Contains(err.Error(), `"created"`) {
		t.Errorf("a column too many: %v", err)
	}
}

// Who goes on with other rows is refused by the engine, by this text; another rate is the same rows.
func TestIdentity(t *testing.T) {
	seen := map[string]int{}
	for i, s := range []Source{{}, {Seed: 1}, {Rows: 1}, {Splits: 2}, {Keys: 2}, {Skew: 2}, {Bytes: 2}, {Disorder: 2}, {Start: noon}, {Step: time.Hour}, {Rate: 5}} {
		if j, ok := seen[s.Identity()]; ok {
			t.Errorf("sources %d and %d have the identity %q", j, i, s.Identity())
		}
		seen[s.Identity()] = i
	}
	if a, b := (Source{Rate: 5}).Identity(), (Source{Rate: 6, Begin: noon}).Identity(); a != b {
		t.Errorf("the rate changes the identity from %q to %q", a, b)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, s := range []Source{{}, {Skew: 0.9}, {Bytes: 100}} {
		b.Run(fmt.Sprintf("skew %v, %d bytes", s.Skew, s.Bytes), func(b *testing.B) {
			schema, splits, err := s.Describe(b.Context(), sabot.Env{})
			if err != nil {
				b.Fatal(err)
			}
			r, err := s.Open(b.Context(), sabot.Env{}, schema, splits[0], "")
			if err != nil {
				b.Fatal(err)
			}
			rows := int64(0)
			for b.Loop() {
				c, err := r.Read(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				rows += c.Rows.NumRows()
				c.Rows.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
		})
	}
}
