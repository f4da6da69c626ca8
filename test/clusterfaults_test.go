package test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/test/deal"
)

// Processes die, freeze for longer than their lease and come back, so does the bucket, and the number of partitions changes twice: the output is
// that of an undisturbed run.
func TestClusterOnMinIO(t *testing.T) {
	flights := mustFlights(t, slice)
	for _, ex := range examples {
		t.Run(ex, func(t *testing.T) {
			t.Parallel()
			pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 5, Files: 6, Displace: 50 * time.Second, Format: "parquet", Nulls: 0.05})
			if err != nil {
				t.Fatal(err)
			}
			m := miniotest.Start(t)
			c := newCluster(newJob(t, ex, pattern), m.Bucket("sabot-"+ex))
			c.suffer(m)
			c.exact(written)
			c.clean()
		})
	}
	t.Run("clicks", func(t *testing.T) { // two exchanges
		t.Parallel()
		const rows = 200_000
		m := miniotest.Start(t)
		c := newCluster(newJob(t, "clicks", ""), m.Bucket("sabot-clicks"), "--clicks", fmt.Sprint(rows))
		c.suffer(m)
		c.exactClicks(rows)
		c.clean()
	})
}

// some is how many rows are read between two faults.
const some = 1500

// suffer runs the job to its end, through every fault.
func (c *cluster) suffer(m *miniotest.Server) {
	c.t.Helper()
	c.rate = 1000
	c.coordinator(0)
	var w []string
	for range 3 {
		w = append(w, c.joins())
	}
	c.until("the job to begin", func() bool { return c.committed().RowsRead > 0 })
	c.coordinator(1) // stands by

	c.kill(w[0])
	c.reads(some)
	w[0] = c.joins()
	c.rescales(16)
	c.reads(some)

	c.signal(w[1], syscall.SIGSTOP)
	c.until(w[1]+"'s share to go to others", func() bool { s := c.sharing(); return len(s) > 0 && !slices.Contains(s, w[1]) })
	c.reads(some)
	c.signal(w[1], syscall.SIGCONT)
	c.until(w[1]+" to have a share again", func() bool { return slices.Contains(c.sharing(), w[1]) })

	c.takesOver("coordinator-0", func() { c.kill("coordinator-0") })
	c.coordinator(0)
	c.reads(some)

	m.Stop()
	time.Sleep(time.Second) // an outage, not a moment
	m.Resume()
	c.reads(some)
	c.rescales(5)
	c.reads(some)
	c.signal(w[2], syscall.SIGTERM) // hands its share over
	if code := c.exited(w[2]); code != 143 {
		c.t.Errorf("a terminated worker ended with %d, want 143", code)
	}

	c.takesOver("coordinator-1", func() { c.signal("coordinator-1", syscall.SIGSTOP) })
	c.reads(some)
	c.signal("coordinator-1", syscall.SIGCONT)
	if code := c.exited("coordinator-1"); code != 1 {
		c.t.Errorf("a coordinator that came back after another had taken over ended with %d, want 1", code)
	}
	c.reads(some)
	if s := c.committed(); s.Ended {
		c.t.Errorf("the input ended before the last fault: it is too short for this test: %+v", s)
	}
	c.rate = -1
	for _, name := range w[:2] {
		c.joins()
		c.signal(name, syscall.SIGTERM)
	}
	c.ends()
}

// takesOver lets a fault happen to the coordinator that leads, and waits until another does.
func (c *cluster) takesOver(leads string, fault func()) {
	c.t.Helper()
	addr := c.addrs[leads[len(leads)-1]-'0']
	c.until(leads+" to lead", func() bool { _, err := c.sabot("status", "--json", "--coordinator", addr); return err == nil })
	term := c.committed().Term
	fault()
	c.until("another coordinator", func() bool { return c.committed().Term > term })
}
