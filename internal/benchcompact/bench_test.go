package benchcompact

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// short is a form of the simulation that takes a second or two.
func short() Options {
	return Options{Cuts: 300, Rows: 1500, Keys: 60_000, Partitions: 4, Lanes: 2, Throughput: 4e6, Seed: 1}
}

// Compaction keeps what is stored, read and written within the bounds that the project promises, and nothing reads a bucket that has expired.
func TestBounds(t *testing.T) {
	for _, w := range workloads(short()) {
		t.Run(w.name, func(t *testing.T) {
			r, err := Run(t.Context(), short(), w.name)
			if err != nil {
				t.Fatal(err)
			}
			if r.Space >= 1.6 || r.FanIn >= 20 || r.Written >= 15 || r.ExpiredRead > 0 {
				t.Errorf("%+v: want space < 1.6, fan-in < 20, written < 15, nothing read of expired buckets", r)
			}
			if r.Tasks == 0 || r.Live == 0 || r.Written <= 1 || r.Space <= 1 {
				t.Errorf("%+v: that is not a job with compactions", r)
			}
		})
	}
}

// The same options give the same figures.
func TestSame(t *testing.T) {
	o := short()
	o.Cuts, o.Only = 60, []string{"zipf"}
	var out [2]string
	for i := range out {
		var b bytes.Buffer
		o.Figures = &b
		if err := Bench(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		out[i] = b.String()
	}
	if out[0] != out[1] || !strings.Contains(out[0], "zipf: write amplification") {
		t.Errorf("first\n%s\nthen\n%s", out[0], out[1])
	}
}

func TestFiguresAsJSON(t *testing.T) {
	var b bytes.Buffer
	o := short()
	o.Cuts, o.Only, o.Figures, o.JSON = 40, []string{"uniform"}, &b, true
	if err := Bench(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		var f Figure
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Name == "" || f.Unit == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	o := short()
	o.Cuts, o.Lanes, o.Only = 3, 9, []string{"other"}
	err := Bench(t.Context(), o)
	for _, want := range []string{"3 cuts", "9 lanes", `"other"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to name %s", err, want)
		}
	}
}
