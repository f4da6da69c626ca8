package telemetry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/metered"
)

func get(t *testing.T, p *Process, path string, withPprof bool) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.Handler(withPprof, map[string]http.Handler{"GET /more": http.NotFoundHandler()}).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// Whoever has built alarms and pictures on these names relies on them.
func TestNamesStay(t *testing.T) {
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1, 0),
		Sources: []*pb.Source{{Name: "s", Splits: []*pb.Split{{Id: "a", HasWatermark: true, WatermarkUs: 1}}}}})
	load := &pb.Load{Splits: []*pb.SplitLoad{{Source: "s", Id: "a", LagRows: 3, LagBytes: 4, LagUs: 5}, {Source: "s", Id: "b", LagRows: -1, LagBytes: -1, LagUs: -1}},
		Lanes: []*pb.LaneLoad{{Stage: 0, Busy: 1}, {Stage: 1, Lo: 0, Hi: 10, Full: 0.5, HasWatermark: true, WatermarkUs: 1}, {Stage: 1, Lo: 10, Hi: 20}}}
	coordinator := &Coordinator{Workers: 2, Wanted: 3, Lag: map[string]Lag{"s": {1, 2, time.Second}}}
	worker := &Worker{In: map[string]Flow{"s": {1, 2}}, Out: map[string]Flow{"out": {1, 2}}, Load: load}
	seen := map[string]bool{}
	for name, state := range map[string]State{"coordinator": {Root: root, Coordinator: coordinator}, "worker": {Root: root, Worker: worker},
		"both": {Root: root, Coordinator: coordinator, Worker: worker}, "neither": {}} {
		p := New("job", clock.Real(), func() State { return state }, func() error { return nil })
		p.Observe(metered.PutIf, metered.Precondition, time.Millisecond, 10)
		for _, stage := range []string{"align", "freeze", "encode", "upload"} {
			p.Cut(stage, time.Millisecond)
		}
		code, body := get(t, p, "/metrics", false)
		if code != 200 {
			t.Fatalf("%s: status %d: %s", name, code, body)
		}
		for line := range strings.Lines(body) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasPrefix(name, "sabot_") && !strings.Contains(name, "_bucket{") {
				seen[name] = true
			}
		}
	}
	const j = `{job_name="job"}`
	want := []string{"sabot_commit_age_seconds" + j, "sabot_dead_letters_total" + j, "sabot_epoch" + j, "sabot_exchange_unread_bytes" + j,
		"sabot_outputs_waiting" + j, "sabot_references" + j, "sabot_rows_late_total" + j, "sabot_rows_read_total" + j, "sabot_state_bytes" + j,
		"sabot_stuck" + j, "sabot_term" + j, "sabot_watermark_delay_seconds" + j, "sabot_worker_restarts_total" + j, "sabot_worker_retries_total" + j,
		"sabot_worker_rows_total" + j, "sabot_worker_unsent_bytes" + j, "sabot_worker_watermark_delay_seconds" + j, "sabot_workers" + j, "sabot_workers_wanted" + j,
		`sabot_storage_bytes_total{job_name="job",op="put_if"}`, `sabot_storage_operations_total{job_name="job",op="put_if",outcome="precondition"}`,
		`sabot_storage_seconds_count{job_name="job",op="put_if"}`, `sabot_storage_seconds_sum{job_name="job",op="put_if"}`,
		`sabot_worker_queue_ratio{job_name="job",stage="1"}`,
		`sabot_worker_source_rows_total{job_name="job",source="s"}`, `sabot_worker_source_bytes_total{job_name="job",source="s"}`,
		`sabot_worker_sink_rows_total{job_name="job",sink="out"}`, `sabot_worker_sink_bytes_total{job_name="job",sink="out"}`}
	for _, name := range []string{"lag_rows", "lag_bytes", "lag_seconds", "worker_lag_rows", "worker_lag_bytes", "worker_lag_seconds"} {
		want = append(want, "sabot_"+name+`{job_name="job",source="s"}`)
	}
	for _, stage := range []string{"0", "1"} {
		want = append(want, `sabot_worker_busy_ratio{job_name="job",stage="`+stage+`"}`, `sabot_worker_blocked_ratio{job_name="job",stage="`+stage+`"}`)
	}
	for _, stage := range []string{"align", "freeze", "encode", "upload"} {
		want = append(want, `sabot_cut_seconds_count{job_name="job",stage="`+stage+`"}`, `sabot_cut_seconds_sum{job_name="job",stage="`+stage+`"}`)
	}
	for _, op := range metered.Ops {
		want = append(want, `sabot_storage_operations_total{job_name="job",op="`+string(op)+`",outcome="ok"}`)
	}
	for _, name := range want {
		if !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range seen {
		base, _, _ := strings.Cut(name, "{")
		base = strings.TrimSuffix(strings.TrimSuffix(base, "_sum"), "_count")
		if !strings.Contains(string(doc), "`"+base+"`") {
			t.Errorf("docs/operations.md does not tell of %s", base)
		}
		if !slices.Contains(want, name) {
			t.Errorf("%s is new: add it to the list, for ever", name)
		}
	}
}

// What a job has many of must not make many series: the number of lines does not grow with splits and lanes.
func TestFewSeries(t *testing.T) {
	series := func(n int) int {
		root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1, 0), Sources: []*pb.Source{{Name: "s"}},
			Stages: []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(n)}}})
		load := &pb.Load{}
		for i := range n {
			root.Sources[0].Splits = append(root.Sources[0].Splits, &pb.Split{Id: strconv.Itoa(i)})
			load.Splits = append(load.Splits, &pb.SplitLoad{Source: "s", Id: strconv.Itoa(i), LagRows: 1})
			load.Lanes = append(load.Lanes, &pb.LaneLoad{Stage: 1, Lane: uint32(i), Lo: uint64(i), Hi: uint64(i + 1)})
		}
		p := New("job", clock.Real(), func() State {
			return State{Root: root, Coordinator: &Coordinator{Lag: map[string]Lag{"s": {}}}, Worker: &Worker{Load: load}}
		}, nil)
		_, body := get(t, p, "/metrics", false)
		return strings.Count(body, "\nsabot_")
	}
	if few, many := series(2), series(500); few != many {
		t.Errorf("%d series for 2 splits and lanes, %d for 500", few, many)
	}
}

func TestHealth(t *testing.T) {
	var notReady error
	p := New("job", clock.Real(), func() State { return State{} }, func() error { return notReady })
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/debug/pprof/": 404, "/other": 404} {
		if code, body := get(t, p, path, false); code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
	if code, _ := get(t, p, "/debug/pprof/", true); code != 200 {
		t.Errorf("pprof that was asked for: %d", code)
	}
	notReady = errors.New("no share yet")
	if code, body := get(t, p, "/readyz", false); code != 503 || !strings.Contains(body, "no share yet") {
		t.Errorf("a process that is not ready: %d, %s", code, body)
	}
}
