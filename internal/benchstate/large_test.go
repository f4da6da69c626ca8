package benchstate

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/objstore/metered"
)

// What has begun before the other ended does not depend on it.
func TestChain(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	for _, c := range []struct {
		what string
		log  []request
		want int
	}{
		{"nothing", nil, 0},
		{"one after another", []request{{metered.Get, 0, at(0), at(5)}, {metered.PutIf, 0, at(5), at(9)}, {metered.GetRange, 0, at(9), at(12)}}, 3},
		{"side by side", []request{{metered.GetRange, 0, at(0), at(5)}, {metered.GetRange, 0, at(1), at(6)}, {metered.GetRange, 0, at(4), at(7)}}, 1},
		{"one beside two", []request{{metered.GetRange, 0, at(0), at(3)}, {metered.GetRange, 0, at(4), at(6)}, {metered.GetRange, 0, at(0), at(7)}}, 2},
		{"what nothing waits for", []request{{metered.Get, 0, at(0), at(3)}, {metered.List, 0, at(3), at(4)}, {metered.Put, 0, at(4), at(5)}, {metered.Delete, 0, at(5), at(6)}}, 1},
	} {
		if got := chain(c.log); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// A job with much state has output after a start, of what it had kept before, and its requests and checkpoints are counted.
func TestRunLarge(t *testing.T) {
	c := LargeCase{Bucket: t.TempDir(), Keys: 4000, Value: 100, Checkpoint: 200 * time.Millisecond}
	made, err := RunLarge(t.Context(), c)
	if err != nil || made.Output != 0 {
		t.Fatalf("making state: %+v, %v", made, err)
	}
	c.Rows, c.AtOnce, c.Began = 400, 100, time.Now().UnixNano()
	r, err := RunLarge(t.Context(), c)
	if err != nil || r.Output <= 0 || r.Committed < r.Output || r.Chain < 3 || r.Calls[metered.Get].N == 0 || r.Calls[metered.GetRange].Bytes == 0 {
		t.Fatalf("going on: %+v, %v", r, err)
	}
	c.Burst, c.AtOnce, c.Checkpoint = 40, 0, time.Second
	c.Rows += 3 * c.Burst
	r, err = RunLarge(t.Context(), c)
	if err != nil || len(r.Cuts) == 0 {
		t.Fatalf("checkpoints: %+v, %v", r, err)
	}
	for _, cut := range r.Cuts {
		if cut.Commit < cut.Stages["align"]+cut.Stages["encode"]+cut.Stages["upload"] || cut.Stages["align"] < cut.Stall || cut.Stall <= 0 {
			t.Errorf("the times of a checkpoint do not fit together: %+v", cut)
		}
	}
}

// The figures of a case that was run by itself, and what cannot be measured.
func TestBenchLarge(t *testing.T) {
	var out bytes.Buffer
	o := LargeOptions{Program: []string{"false"}, Sizes: []int64{1000}, Value: 10, Starts: 1, Every: time.Second, Figures: &out, JSON: true, Folder: t.TempDir(),
		Told: func(string, ...any) {}}
	if err := BenchLarge(t.Context(), o); err == nil || !strings.Contains(err.Error(), "run the job") {
		t.Errorf("a program that fails: %v", err)
	}
	for _, change := range []func(*LargeOptions){func(o *LargeOptions) { o.Sizes = nil }, func(o *LargeOptions) { o.Value = 0 }, func(o *LargeOptions) { o.Starts = 0 },
		func(o *LargeOptions) { o.Sizes = []int64{15} }, func(o *LargeOptions) { o.Every = 0 }, func(o *LargeOptions) { o.Latency = -1 }} {
		o := o
		change(&o)
		if o.validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	arg, err := json.Marshal(argument{Large: &LargeCase{Bucket: t.TempDir(), Keys: 100, Value: 10, Checkpoint: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if err := RunCase(t.Context(), string(arg), &out); err != nil || !strings.Contains(out.String(), `"RSS"`) {
		t.Errorf("a case alone: %v, %s", err, out.String())
	}
	if err := RunCase(t.Context(), "{}", &out); err == nil {
		t.Error("a case that is none is run")
	}
}
