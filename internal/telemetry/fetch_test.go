package telemetry

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// Names are for ever, and each shows its own number.
func TestFetchNamesStay(t *testing.T) {
	p := New("job", clock.Real(), func() State { return State{} }, func() error { return nil })
	p.ShowFetch(func() fetch.Stats {
		return fetch.Stats{Gets: 1, Failed: 2, BytesFetched: 3, BytesAsked: 4, Hits: 5, Misses: 6, Corrupt: 7, Shared: 8, Whole: 9, Waits: 10, Throttled: 11,
			Dropped: 12, Put: 13, Evicted: 14, WriteFailed: 15, InFlight: 16, Pages: 17}
	})
	_, body := get(t, p, "/metrics", false)
	var got []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "sabot_fetch_") {
			got = append(got, strings.Replace(strings.TrimSpace(line), `{job_name="job"}`, "", 1))
		}
	}
	want := []string{"sabot_fetch_gets_total 1", "sabot_fetch_failed_total 2", "sabot_fetch_fetched_bytes_total 3", "sabot_fetch_asked_bytes_total 4",
		"sabot_fetch_hits_total 5", "sabot_fetch_misses_total 6", "sabot_fetch_corrupt_total 7", "sabot_fetch_shared_total 8", "sabot_fetch_whole_total 9",
		"sabot_fetch_waits_total 10", "sabot_fetch_throttled_total 11", "sabot_fetch_dropped_bytes_total 12", "sabot_fetch_put_total 13",
		"sabot_fetch_evicted_total 14", "sabot_fetch_write_failed_total 15", "sabot_fetch_in_flight 16", "sabot_fetch_pages 17"}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
