package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// figure is a line of sabot bench --json.
type figure struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Value  float64  `json:"value"`
	Target *float64 `json:"target"`
}

// bench runs sabot bench and returns its figures by name.
func bench(t *testing.T, args ...string) map[string]figure {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "sabot"), append([]string{"bench"}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SABOT_") }) // on a folder, whatever other tests use
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("sabot bench %v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	all := map[string]figure{}
	for d := json.NewDecoder(&out); d.More(); {
		var f figure
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		if _, twice := all[f.Name]; twice {
			t.Errorf("figure %s is there twice", f.Name)
		}
		if f.Value < 0 || math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
			t.Errorf("figure %s is %v %s", f.Name, f.Value, f.Unit)
		}
		all[f.Name] = f
	}
	return all
}

// Every figure is there, and none is one that cannot be. How fast the machine is does not matter.
func TestBenchCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute or two")
	}
	got := bench(t, "cluster", "--quick", "--json")
	want := map[string]string{} // unit by name
	positive := map[string]bool{}
	add := func(name, unit string, above0 bool) { want[name], positive[name] = unit, above0 }
	for _, n := range []int{1, 2, 4} {
		add(fmt.Sprintf("throughput_%d_workers", n), "rows/s", true)
	}
	for _, ms := range []int{200, 1000} {
		for _, n := range []int{1, 2} {
			add(fmt.Sprintf("latency_%dms_%d_workers_p50", ms, n), "s", true)
			add(fmt.Sprintf("latency_%dms_%d_workers_p99", ms, n), "s", true)
		}
	}
	for _, load := range []string{"idle", "idle_with_standby", "1k", "100k"} {
		unit := "1/checkpoint"
		if strings.HasPrefix(load, "idle") {
			unit = "1/h"
		} else {
			add("requests_"+load+"_checkpoints", "1/s", true)
		}
		for _, op := range []string{"get", "get_range", "put", "put_if", "list", "delete"} {
			add("requests_"+load+"_"+op, unit, false)
		}
		add("stored_"+load, "MB", true)
		add("dollars_"+load, "$/month", true)
	}
	for _, state := range []string{"small", "large"} {
		add("state_"+state, "MB", true)
		for _, what := range []string{"none", "join", "drain", "rescale"} {
			add("pause_"+what+"_"+state, "s", true)
			add("pause_"+what+"_"+state+"_output", "s", true)
		}
		add("recovery_worker_"+state, "s", true)
		add("recovery_coordinator_"+state, "s", true)
	}
	for name, unit := range want {
		f, ok := got[name]
		switch {
		case !ok:
			t.Errorf("figure %s is missing", name)
		case f.Unit != unit:
			t.Errorf("figure %s is in %q, want %q", name, f.Unit, unit)
		case positive[name] && f.Value == 0:
			t.Errorf("figure %s is 0", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("figure %s is not expected", name)
		}
	}
	// On a folder nobody has to renew a lease: while nothing flows, nothing is asked for.
	for _, op := range []string{"put", "put_if", "get", "delete", "list"} {
		if n := got["requests_idle_"+op].Value; n != 0 {
			t.Errorf("an idle job makes %v requests %s an hour", n, op)
		}
	}
	if n := got["requests_1k_put_if"].Value; n < 0.6 || n > 1.5 { // one may be made before the first count and seen after it
		t.Errorf("%v conditional writes for each checkpoint: each is one", n)
	}
	for name, target := range map[string]float64{"dollars_idle": 5, "pause_rescale_small": 1, "pause_drain_large": 1, "recovery_worker_small": 10, "recovery_coordinator_large": 10} {
		if f := got[name]; f.Target == nil || *f.Target != target {
			t.Errorf("figure %s has the target %v, want %v", name, f.Target, target)
		}
	}
	if got["state_large"].Value < got["state_small"].Value {
		t.Errorf("the large state has %v MB, the small one %v MB", got["state_large"].Value, got["state_small"].Value)
	}
}

// A soak of a few seconds ends well: its output is that of brute force, and its bucket is whole.
func TestBenchSoak(t *testing.T) {
	got := bench(t, "soak", "--duration", "8s", "--json")
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"soak_checkpoints", "soak_heap_early", "soak_heap_late", "soak_live_share_early", "soak_live_share_late", "soak_live_share_least",
		"soak_objects_early", "soak_objects_late", "soak_output_rows", "soak_rss_early", "soak_rss_late"}
	if !slices.Equal(names, want) {
		t.Errorf("figures %v, want %v", names, want)
	}
	if n := got["soak_output_rows"].Value; n < 8000 { // and those of windows
		t.Errorf("%v rows came out of 8000 that went in", n)
	}
}

// A bench over what another has left would go on with its jobs.
func TestBenchWantsAnEmptyBucket(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "something"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"cluster", "--bucket", dir}, {"cluster", "--bucket", dir, "--minio", "minio"}, {"cluster", "--only", "everything"}, {"soak", "--keys", "9"}} {
		out, err := exec.Command(filepath.Join(bin, "sabot"), append([]string{"bench"}, args...)...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "error: ") {
			t.Errorf("sabot bench %v: %v\n%s", args, err, out)
		}
	}
}
