package benchcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sabot-stream/sabot/internal/benchbucket"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

// cluster is a job's coordinators and workers.
type cluster struct {
	bench      *Bench
	name       string
	dir        string   // of its logs and samples
	url        string   // of its bucket
	params     []string // of the job
	checkpoint time.Duration
	addrs      [2]string
	procs      map[string]*process
	next       int // number of the next worker
}

// process is one of a cluster's processes.
type process struct {
	cmd   *exec.Cmd
	http  string
	ended chan struct{}
}

// cluster returns a cluster without processes, whose bucket is empty.
func (b *Bench) cluster(name string, checkpoint time.Duration, params ...string) (*cluster, error) {
	c := &cluster{bench: b, name: name, dir: filepath.Join(b.dir, name), url: benchbucket.Within(b.bucket, name), checkpoint: checkpoint, procs: map[string]*process{}}
	if err := os.MkdirAll(c.samples(), 0o755); err != nil {
		return nil, err
	}
	c.params = append([]string{"--samples", c.samples()}, params...)
	for i := range c.addrs {
		var err error
		if c.addrs[i], err = benchbucket.FreeAddr(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) samples() string { return filepath.Join(c.dir, "samples") }

// start starts a process of the job, under a name.
func (c *cluster) start(name string, flags ...string) error {
	http, err := benchbucket.FreeAddr()
	if err != nil {
		return err
	}
	args := slices.Concat(c.bench.opt.Program[1:], c.params, flags, []string{"--bucket", c.url, "--http", http, "--pprof", "--log-level", "info"})
	cmd := exec.Command(c.bench.opt.Program[0], args...)
	cmd.Env = append(os.Environ(), c.bench.env...)
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd, http, make(chan struct{})}
	c.procs[name] = p
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return nil
}

// coordinator starts coordinator 0 or 1.
func (c *cluster) coordinator(i int) error {
	return c.start(fmt.Sprint("coordinator-", i), "--checkpoint", c.checkpoint.String(), "coordinator", "--listen", c.addrs[i])
}

// workers starts n workers more.
func (c *cluster) workers(n int) error {
	for range n {
		name := fmt.Sprint("worker-", c.next)
		c.next++
		if err := c.start(name, "worker", "--coordinator", strings.Join(c.addrs[:], ","), "--name", name); err != nil {
			return err
		}
	}
	return nil
}

// begin starts coordinators and workers.
func (c *cluster) begin(ctx context.Context, coordinators, workers int) (*watch, error) {
	for i := range coordinators {
		if err := c.coordinator(i); err != nil {
			return nil, err
		}
	}
	if err := c.workers(workers); err != nil {
		return nil, err
	}
	return c.watch(ctx)
}

// up is begin, and waits until every worker has a share, and every share makes progress.
func (c *cluster) up(ctx context.Context, coordinators, workers int) (*watch, error) {
	w, err := c.begin(ctx, coordinators, workers)
	if err != nil {
		return nil, err
	}
	if err := w.settle(ctx, workers); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// kill kills a process as kill -9 does, and waits for its end.
func (c *cluster) kill(name string) { c.end(name, syscall.SIGKILL) }

// goodEnd is how long a process that is asked to end may take until it is killed.
const goodEnd = 2 * time.Minute

// end sends a signal to a process and waits for its end.
func (c *cluster) end(name string, sig syscall.Signal) {
	p := c.procs[name]
	delete(c.procs, name)
	_ = p.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(goodEnd):
		_ = p.cmd.Process.Kill() // likewise
		<-p.ended
	}
}

// down ends all processes: the workers first, with a last checkpoint when that is asked for.
func (c *cluster) down(clean bool) {
	sig := syscall.SIGKILL
	if clean {
		sig = syscall.SIGTERM
	}
	for _, role := range []string{"worker", "coordinator"} {
		names := c.names(role)
		for _, name := range names {
			_ = c.procs[name].cmd.Process.Signal(sig) // it may have ended
		}
		for _, name := range names {
			c.end(name, sig)
		}
	}
}

// names returns the names of the processes of a role.
func (c *cluster) names(role string) (names []string) {
	for name := range c.procs {
		if strings.HasPrefix(name, role) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// alive returns an error when a process has ended that was not told to.
func (c *cluster) alive() error {
	for name, p := range c.procs {
		select {
		case <-p.ended:
			return fmt.Errorf("%s of the measured job has ended: %s", name, c.tail(name))
		default:
		}
	}
	return nil
}

// tail returns the last lines of a process's log.
func (c *cluster) tail(name string) string {
	b, err := os.ReadFile(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-1000):])
}

// leader returns which coordinator leads: the one that answers.
func (c *cluster) leader(ctx context.Context) (i int, s *controlpb.StatusReply, err error) {
	var errs []error
	for i := range c.addrs {
		if c.procs[fmt.Sprint("coordinator-", i)] == nil {
			continue
		}
		err := c.ask(ctx, i, func(ctx context.Context, k *control.Client) (err error) {
			s, err = k.Status(ctx, &controlpb.StatusRequest{})
			return err
		})
		if err == nil {
			return i, s, nil
		}
		errs = append(errs, err)
	}
	return 0, nil, fmt.Errorf("no coordinator answers: %w", errors.Join(errs...))
}

// ask makes a request of a coordinator.
func (c *cluster) ask(ctx context.Context, i int, f func(context.Context, *control.Client) error) error {
	k, err := control.Dial(c.addrs[i], control.Security{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return errors.Join(control.Meaning(f(ctx, k)), k.Close())
}

// rescale changes the number of partitions.
func (c *cluster) rescale(ctx context.Context, n int) error {
	i, _, err := c.leader(ctx)
	if err != nil {
		return err
	}
	return c.ask(ctx, i, func(ctx context.Context, k *control.Client) error {
		_, err := k.Rescale(ctx, &controlpb.RescaleRequest{Partitions: uint32(n)})
		return err
	})
}

// told writes a line for whoever waits.
func (b *Bench) told(format string, args ...any) {
	if b.opt.Progress != nil {
		fmt.Fprintf(b.opt.Progress, "%s "+format+"\n", append([]any{clock.Real().Now().Format("15:04:05")}, args...)...)
	}
}
