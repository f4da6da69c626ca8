package benchmicro

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot"
)

// units of all figures, by name, in order.
var units = [][2]string{
	{"table.upsert.int64.1k", "ns/row"}, {"table.upsert.string.1k", "ns/row"}, {"table.upsert.int64.1M", "ns/row"}, {"table.upsert.string.1M", "ns/row"},
	{"state.multiget.memory", "ns/key"}, {"state.multiget.folder", "ns/key"},
	{"handle.value.300", "ns/row"}, {"handle.value.100k", "ns/row"}, {"handle.map.300", "ns/row"},
	{"timers.fire.1M", "ns/timer"}, {"watermark.combine", "ns/call"}, {"watermark.window", "ns/call"},
	{"scatter.2", "ns/row"}, {"scatter.8", "ns/row"}, {"rowkey.int64", "ns/key"}, {"rowkey.string", "ns/key"},
	{"kernel.select", "ns/row"}, {"kernel.filter", "ns/row"}, {"kernel.product", "ns/row"},
	{"segment.encode.none", "ns/row"}, {"segment.decode.none", "ns/row"}, {"segment.encode.lz4", "ns/row"}, {"segment.decode.lz4", "ns/row"},
	{"segment.encode.zstd", "ns/row"}, {"segment.decode.zstd", "ns/row"},
	{"cut.1M.stall", "ms"}, {"cut.1M.total", "ms"}, {"compaction", "MB/s"}, {"resume.first-lookup", "ms"}, {"pipeline.window", "krows/s"}, {"pipeline.window.cpu", "ns/row"},
	{"latency.immediate.p50", "ms"}, {"latency.immediate.p99", "ms"}, {"latency.immediate.p999", "ms"},
	{"latency.committed.p50", "ms"}, {"latency.committed.p99", "ms"}, {"latency.committed.p999", "ms"},
}

// All figures are there in the quick form, and make sense; how fast anything is does not matter.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute")
	}
	var out bytes.Buffer
	if err := Run(context.Background(), Options{Quick: true, JSON: true, Figures: &out}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(units) {
		t.Fatalf("%d figures, want %d:\n%s", len(lines), len(units), out.String())
	}
	for i, line := range lines {
		var f Figure
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got := [2]string{f.Name, f.Unit}; got != units[i] {
			t.Errorf("figure %d is %v, want %v", i, got, units[i])
		}
		for _, v := range []float64{f.Value, f.Baseline, f.Ratio} {
			if !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("%s: every number has to be above 0", line)
			}
		}
		want := f.Baseline / f.Value
		if strings.HasSuffix(f.Unit, "/s") {
			want = f.Value / f.Baseline
		}
		if math.Abs(f.Ratio-want) > 1e-9*want {
			t.Errorf("%s: the ratio should be %g", line, want)
		}
	}
}

// counting is a work whose sides only count their rounds, and say that Sabot takes twice as long.
func counting(name string, opened, ours, theirs *int) Work {
	return Work{Name: name, Units: []Unit{{Suffix: ".a", Name: "ms"}, {Suffix: ".b", Name: "rows/s", More: true}}, Open: func(bool) (*Race, error) {
		*opened++
		return &Race{
			Sabot: func(context.Context) ([]float64, error) {
				*ours++
				return []float64{2, 2}, same("rounds", *ours, *theirs+1)
			},
			Baseline: func(context.Context) ([]float64, error) {
				*theirs++
				return []float64{1, 1}, same("rounds", *theirs, *ours)
			},
		}, nil
	}}
}

// What is not asked for is not even opened; the sides of what is take turns.
func TestOnly(t *testing.T) {
	var out bytes.Buffer
	var opened, ours, theirs, no int
	works := []Work{counting("x", &no, &no, &no), counting("y", &opened, &ours, &theirs)}
	if err := Measure(context.Background(), works, Options{Only: []string{"y.b"}, Figures: &out}); err != nil {
		t.Fatal(err)
	}
	if no != 0 || opened != 1 || ours <= rounds || theirs != ours {
		t.Errorf("x ran %d times; y was opened %d times and ran %d and %d times, want 0, 1 and %d or more", no, opened, ours, theirs, rounds+1)
	}
	const want = "NAME                           UNIT              SABOT     BASELINE    RATIO\n" +
		"y.b                            rows/s                2            1     2.00\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	err := Measure(context.Background(), works, Options{Only: []string{"z"}, Figures: &out})
	if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "x.a, x.b, y.a, y.b") {
		t.Errorf("asked for what is not there: %v", err)
	}
}

// A side that fails ends the measurement, and what its race has made is removed.
func TestFailure(t *testing.T) {
	closed := false
	broken := errors.New("broken")
	work := each("x", "row", func(bool) (*Race, error) {
		return &Race{Sabot: func(context.Context) ([]float64, error) { return nil, broken }, Close: func() error { closed = true; return nil }}, nil
	})
	if err := Measure(context.Background(), []Work{work}, Options{}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "measure x") || !closed {
		t.Errorf("got %v, closed: %v", err, closed)
	}
}
