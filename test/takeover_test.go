package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/test/deal"
)

// Two coordinators of a job on MinIO, at the lease that is the default: however the one that leads ends, the other one does, and the log of this test
// says after how long.
func TestTakeoverTakes(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for leases")
	}
	pattern, _, err := deal.Deal(t.TempDir(), mustFlights(t, slice), deal.How{Seed: 5, Files: 1, Format: "parquet"})
	if err != nil {
		t.Fatal(err)
	}
	m := miniotest.Start(t)
	c := newCluster(newJob(t, "flights", pattern), m.Bucket("sabot-takeover"))
	c.coordinator(0, "--lease", "5s")
	c.until("a coordinator to lead", func() bool { return c.committed().Term > 0 })
	for i, how := range []struct {
		name string
		sig  syscall.Signal
	}{{"killed", syscall.SIGKILL}, {"frozen", syscall.SIGSTOP}, {"stopped", syscall.SIGTERM}} {
		leads, next := []string{"coordinator-0", "coordinator-1"}[i%2], 1-i%2
		c.coordinator(next, "--lease", "5s")
		time.Sleep(15 * time.Second) // it stands by, and whatever a start costs is over
		var began time.Time
		c.takesOver(leads, func() {
			began = time.Now()
			c.signal(leads, how.sig)
		})
		t.Logf("%s: the standby leads after %.1f s", how.name, time.Since(began).Seconds())
		if how.sig == syscall.SIGSTOP {
			c.signal(leads, syscall.SIGCONT)
		}
		c.exited(leads)
	}
}
