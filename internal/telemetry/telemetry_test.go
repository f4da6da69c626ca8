package telemetry

import (
	"errors"
	"net/http/httptest"
	"slices"
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
	p.Handler(withPprof).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// Whoever has built alarms and pictures on these names relies on them.
func TestNamesStay(t *testing.T) {
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1, 0),
		Sources: []*pb.Source{{Name: "s", Splits: []*pb.Split{{Id: "a", HasWatermark: true, WatermarkUs: 1}}}}})
	seen := map[string]bool{}
	for _, workers := range []int{-1, 2} {
		p := New("job", clock.Real(), func() State { return State{Root: root, Workers: workers} }, func() error { return nil })
		p.Observe(metered.PutIf, metered.Precondition, time.Millisecond, 10)
		code, body := get(t, p, "/metrics", false)
		if code != 200 {
			t.Fatalf("status %d: %s", code, body)
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
		"sabot_term" + j, "sabot_watermark_delay_seconds" + j, "sabot_worker_restarts_total" + j, "sabot_worker_rows_total" + j,
		"sabot_worker_unsent_bytes" + j, "sabot_workers" + j,
		`sabot_storage_bytes_total{job_name="job",op="put_if"}`, `sabot_storage_operations_total{job_name="job",op="put_if",outcome="precondition"}`,
		`sabot_storage_seconds_count{job_name="job",op="put_if"}`, `sabot_storage_seconds_sum{job_name="job",op="put_if"}`}
	for _, op := range metered.Ops {
		want = append(want, `sabot_storage_operations_total{job_name="job",op="`+string(op)+`",outcome="ok"}`)
	}
	for _, name := range want {
		if !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
	for name := range seen {
		if !slices.Contains(want, name) {
			t.Errorf("%s is new: add it to the list, for ever", name)
		}
	}
}

func TestHealth(t *testing.T) {
	var notReady error
	p := New("job", clock.Real(), func() State { return State{Workers: -1} }, func() error { return notReady })
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
