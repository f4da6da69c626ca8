package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/test/clicks/expect"
	"github.com/sabot-stream/sabot/test/oracle"
)

// clusterRate is what each worker reads per second: slow enough that faults fall into the job.
const clusterRate = 5000

// patience is how long anything that a cluster has to do may take.
const patience = time.Minute

// cluster is a job in a bucket: coordinators and workers that are processes of their own.
type cluster struct {
	*job
	url    string
	params []string // of the job, besides input and output
	addrs  []string // of the coordinators
	procs  map[string]*exec.Cmd
	rate   int // rows that each worker that starts reads per second; 0: clusterRate, less than 0: no limit
	next   int // number of the next worker that joins
}

func newCluster(j *job, url string, params ...string) *cluster {
	t := j.t
	c := &cluster{job: j, url: url, params: params, procs: map[string]*exec.Cmd{}}
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
				t.Logf("%s:\n%s", filepath.Base(l), b[max(0, len(b)-8<<10):])
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
	args := slices.Concat([]string{role, "--output", c.output(), "--bucket", c.url, "--log-level", "info", "--lease", "2s"}, c.params, flags)
	if c.input != "" {
		args = append(args, "--input", c.input)
	}
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

func (c *cluster) coordinator(i int, flags ...string) {
	c.start(fmt.Sprint("coordinator-", i), "coordinator", append([]string{"--listen", c.addrs[i], "--checkpoint", "200ms"}, flags...)...)
}

func (c *cluster) worker(i int) {
	name := fmt.Sprint("worker-", i)
	flags := []string{"--coordinator", strings.Join(c.addrs, ","), "--name", name}
	if c.rate >= 0 {
		flags = append(flags, "--rate", fmt.Sprint(cmp.Or(c.rate, clusterRate)))
	}
	c.start(name, "worker", flags...)
}

// joins starts one more worker and returns its name.
func (c *cluster) joins() string {
	c.worker(c.next)
	c.next++
	return fmt.Sprint("worker-", c.next-1)
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

// exited waits until a process has ended by itself, and returns its exit code.
func (c *cluster) exited(name string) int {
	c.t.Helper()
	cmd := c.procs[name]
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code tells
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Signal(syscall.SIGQUIT) // so that its log tells where it hangs
		<-ended
		c.t.Errorf("%s does not end", name)
	}
	delete(c.procs, name)
	return cmd.ProcessState.ExitCode()
}

// sabot runs the tool.
func (c *cluster) sabot(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "sabot"), args...)
	cmd.Env = append(os.Environ(), miniotest.Env()...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// ask runs the tool and decodes the JSON that it prints; ok is false when it fails, as it does while nobody leads.
func (c *cluster) ask(into any, args ...string) bool {
	c.t.Helper()
	out, err := c.sabot(args...)
	if err != nil {
		return false
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		c.t.Fatalf("%v printed no JSON: %v\n%s", args, err, out)
	}
	return true
}

// committed returns the job's snapshot; a zero one while it has none.
func (c *cluster) committed() (s snapshot) {
	c.t.Helper()
	c.ask(&s, "inspect", "--json", "--bucket", c.url)
	return s
}

// sharing returns the names of the workers that have a share, as the coordinator knows it.
func (c *cluster) sharing() (names []string) {
	c.t.Helper()
	var s struct {
		Workers []struct {
			Name     string `json:"name"`
			HasGroup bool   `json:"has_group"`
		} `json:"workers"`
	}
	c.ask(&s, "status", "--json", "--coordinator", strings.Join(c.addrs, ","))
	for _, w := range s.Workers {
		if w.HasGroup {
			names = append(names, w.Name)
		}
	}
	return names
}

// until waits for something.
func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > patience {
			out, _ := c.sabot("inspect", "--bucket", c.url)
			status, _ := c.sabot("status", "--coordinator", strings.Join(c.addrs, ",")) // both for the message
			c.t.Fatalf("waited %s for %s:\n%s%s", patience, what, out, status)
		}
	}
}

// reach waits until so many rows are read, as committed.
func (c *cluster) reach(rows int64) {
	c.t.Helper()
	c.until(fmt.Sprint(rows, " rows"), func() bool { return c.committed().RowsRead >= rows })
}

// reads waits until so many more rows are read.
func (c *cluster) reads(rows int64) {
	c.t.Helper()
	c.reach(c.committed().RowsRead + rows)
}

// rescales asks for a number of partitions until it is done: while shares are dealt out, the coordinator asks to come again.
func (c *cluster) rescales(partitions int) {
	c.t.Helper()
	c.until(fmt.Sprint(partitions, " partitions"), func() bool {
		_, err := c.sabot("rescale", "--partitions", fmt.Sprint(partitions), "--coordinator", strings.Join(c.addrs, ","))
		return err == nil
	})
}

// ends waits until the job has ended well.
func (c *cluster) ends() {
	c.t.Helper()
	c.until("the job's end", func() bool { return c.committed().Finished })
}

// clean checks that the bucket holds everything whole.
func (c *cluster) clean() {
	c.t.Helper()
	if out, err := c.sabot("fsck", "--bucket", c.url); err != nil {
		c.t.Errorf("fsck: %v\n%s", err, out)
	}
}

// exactClicks compares what the clicks job has published with brute force.
func (j *job) exactClicks(clicks int64) {
	j.t.Helper()
	for sink, want := range expect.Of(clicks) {
		got, err := oracle.Published(filepath.Join(j.output(), sink))
		if err != nil {
			j.t.Fatal(err)
		}
		if d := oracle.Diff(want, got); d != "" {
			j.t.Errorf("sink %s published other rows than brute force:\n%s", sink, d)
		}
	}
}
