package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/test/deal"
)

// cluster is a job on real MinIO: coordinators and workers that are processes of their own.
type cluster struct {
	*job
	url   string
	addrs []string // of the coordinators
	procs map[string]*exec.Cmd
}

// rate is what each worker reads per second: slow enough that faults fall into the job.
const clusterRate = 5000

func newCluster(t *testing.T, example, input string, m *miniotest.Server) *cluster {
	c := &cluster{job: newJob(t, example, input), url: m.Bucket("sabot-" + example), procs: map[string]*exec.Cmd{}}
	for range 2 {
		c.addrs = append(c.addrs, freeAddr(t))
	}
	t.Cleanup(func() {
		for name := range c.procs {
			c.kill(name)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(c.dir, "*.log")) // the pattern is a good one
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				t.Logf("%s:\n%s", filepath.Base(l), b)
			}
		}
	})
	return c
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts a process in a role, under a name; its output goes to <name>.log.
func (c *cluster) start(name, role string, flags ...string) {
	c.t.Helper()
	args := append([]string{role, "--input", c.input, "--output", c.output(), "--bucket", c.url, "--log-level", "info", "--lease", "3s"}, flags...)
	cmd := exec.Command(filepath.Join(bin, c.example), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), miniotest.Env()...)
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.procs[name] = cmd
}

func (c *cluster) coordinator(i int) {
	c.start(fmt.Sprint("coordinator-", i), "coordinator", "--listen", c.addrs[i], "--checkpoint", "200ms")
}

func (c *cluster) worker(i int) {
	c.start(fmt.Sprint("worker-", i), "worker", "--coordinator", strings.Join(c.addrs, ","), "--name", fmt.Sprint("worker-", i), "--rate", fmt.Sprint(clusterRate))
}

func (c *cluster) signal(name string, s syscall.Signal) {
	c.t.Helper()
	if err := c.procs[name].Process.Signal(s); err != nil {
		c.t.Fatalf("signal %s: %v", name, err)
	}
}

func (c *cluster) kill(name string) {
	_ = c.procs[name].Process.Kill() // it may have ended
	_ = c.procs[name].Wait()         // says that it was killed
	delete(c.procs, name)
}

// sabot runs the tool on the cluster's bucket.
func (c *cluster) sabot(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "sabot"), args...)
	cmd.Env = append(os.Environ(), miniotest.Env()...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// rows returns how many rows are read, as committed.
func (c *cluster) rows() int64 {
	out, err := c.sabot("inspect", "--json", "--bucket", c.url)
	if err != nil {
		return 0
	}
	var n int64
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(strings.TrimSpace(line), `"rows_read": %d,`, &n); err == nil {
			return n
		}
	}
	return n
}

// reach waits until so many rows are read.
func (c *cluster) reach(rows int64) {
	c.t.Helper()
	for began := time.Now(); c.rows() < rows; time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			out, _ := c.sabot("inspect", "--bucket", c.url) // for the message
			c.t.Fatalf("the job does not get to %d rows:\n%s", rows, out)
		}
	}
}

// ends waits until a coordinator has ended well.
func (c *cluster) ends() {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		out, err := c.sabot("inspect", "--json", "--bucket", c.url)
		if err == nil && strings.Contains(out, `"finished": true`) {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("the job does not end:\n%s", out)
		}
	}
}

// rescale changes the number of partitions while the job runs. While shares are dealt out it is refused, and asked for again.
func (c *cluster) rescale(partitions int) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		out, err := c.sabot("rescale", "--partitions", fmt.Sprint(partitions), "--coordinator", strings.Join(c.addrs, ","))
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("the job does not get %d partitions: %v\n%s", partitions, err, out)
		}
	}
}

// Processes die, freeze and come back, and so does the bucket; partitions change twice: the output is that of an undisturbed run.
func TestClusterOnMinIO(t *testing.T) {
	m := miniotest.Start(t)
	flights := mustFlights(t, slice)
	for _, ex := range examples {
		t.Run(ex, func(t *testing.T) {
			pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 5, Files: 6, Displace: 50 * time.Second, Format: "parquet", Nulls: 0.05})
			if err != nil {
				t.Fatal(err)
			}
			c := newCluster(t, ex, pattern, m)
			c.coordinator(0)
			for i := range 3 {
				c.worker(i)
			}
			c.reach(1)
			c.coordinator(1) // stands by

			c.reach(10_000)
			c.kill("worker-0")
			c.reach(20_000)
			c.worker(3)
			c.rescale(5)
			c.reach(35_000)
			c.kill("coordinator-0") // the other takes over
			c.reach(50_000)
			c.rescale(12)
			c.coordinator(0)
			c.signal("worker-1", syscall.SIGSTOP)
			c.reach(65_000) // its share has gone to others
			c.signal("worker-1", syscall.SIGCONT)
			if ex == "flights" {
				m.Stop()
				time.Sleep(2 * time.Second)
				m.Resume()
			}
			c.reach(90_000)
			c.signal("worker-2", syscall.SIGTERM) // hands its share over
			if err := c.procs["worker-2"].Wait(); err == nil || c.procs["worker-2"].ProcessState.ExitCode() != 143 {
				t.Errorf("a terminated worker ended with %v", c.procs["worker-2"].ProcessState)
			}
			c.ends()
			c.exact(written)
			if out, err := c.sabot("fsck", "--bucket", c.url); err != nil {
				t.Errorf("fsck: %v\n%s", err, out)
			}
		})
	}
}
