package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// cluster is a job's coordinator and workers.
type cluster struct {
	t      testing.TB
	ctx    context.Context
	bucket objstore.Bucket
	job    func() *sabot.Job
	opt    Options
	meet   chan arrival // workers on their way to the coordinator
	ids    atomic.Int64
	wg     sync.WaitGroup
}

func newCluster(t testing.TB, job func() *sabot.Job) *cluster {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	c := &cluster{t: t, ctx: ctx, bucket: mem.New(), job: job, meet: make(chan arrival)}
	level := slog.LevelError
	if os.Getenv("SABOT_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c.opt = Options{Checkpoint: 20 * time.Millisecond, Lanes: 2, Partitions: 8, Rate: 20_000,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("test", t.Name())}
	t.Cleanup(func() {
		cancel()
		c.wg.Wait()
	})
	return c
}

// member is a process of the cluster.
type process struct {
	abort  chan struct{}
	once   sync.Once
	ended  chan struct{}
	driver atomic.Pointer[coord.Driver] // of a coordinator that leads
	res    Result
	err    error
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill() {
	p.once.Do(func() { close(p.abort) })
	<-p.ended
}

func (c *cluster) coordinator() *process {
	p := &process{abort: make(chan struct{}), ended: make(chan struct{})}
	opt := c.opt
	opt.Store, opt.Abort = c.bucket, p.abort
	c.wg.Go(func() {
		defer close(p.ended)
		p.res, p.err = coordinate(c.ctx, c.job(), opt, func(ctx context.Context, driver *coord.Driver, _ objstore.Leadership) error {
			p.driver.Store(driver)
			var hangUp []func()
			defer func() {
				for _, f := range hangUp {
					f()
				}
			}()
			for {
				select {
				case a := <-c.meet:
					hangUp = append(hangUp, a.hangUp)
					if !driver.Attach(ctx, coord.WorkerID(fmt.Sprint("w", c.ids.Add(1))), a.conn) {
						return nil
					}
				case <-ctx.Done():
					return nil
				}
			}
		})
	})
	return p
}

// wire is a connection that both ends can hang up.
type wire struct {
	ended chan struct{}
	once  sync.Once
}

func newWire() *wire { return &wire{ended: make(chan struct{})} }

func (l *wire) hangUp() { l.once.Do(func() { close(l.ended) }) }

var errHungUp = errors.New("the other end has hung up")

// until returns a context that ends with the wire.
func (l *wire) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.ended:
			cancel(errHungUp)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// arrival is a worker on its way to the coordinator.
type arrival struct {
	conn   coord.Conn
	hangUp func()
}

type coordinatorEnd struct {
	coord.Conn
	*wire
}

func (e coordinatorEnd) Recv(ctx context.Context) (*pb.FromWorker, error) {
	ctx, done := e.until(ctx)
	defer done()
	return e.Conn.Recv(ctx)
}

type workerEnd struct {
	coord.WorkerConn
	*wire
}

func (e workerEnd) Recv(ctx context.Context) (*pb.ToWorker, error) {
	ctx, done := e.until(ctx)
	defer done()
	return e.WorkerConn.Recv(ctx)
}

func (e workerEnd) Close() error {
	e.hangUp()
	return nil
}

func (c *cluster) worker(name string) *process {
	p := &process{abort: make(chan struct{}), ended: make(chan struct{})}
	opt := c.opt
	opt.Store, opt.Abort = c.bucket, p.abort
	c.wg.Go(func() {
		defer close(p.ended)
		ctx, cancel := context.WithCancelCause(c.ctx)
		defer cancel(nil)
		p.err = work(ctx, c.job(), opt, name, func(ctx context.Context) (workerConn, error) {
			there, here := coord.NewPipe()
			l := newWire()
			select {
			case c.meet <- arrival{coordinatorEnd{there, l}, l.hangUp}:
			case <-time.After(50 * time.Millisecond):
				return nil, errors.New("nobody listens")
			case <-p.abort:
				return nil, ErrAborted
			}
			return workerEnd{here, l}, nil
		})
	})
	return p
}

// rescale asks for another number of partitions; whether it comes to that, a death may decide.
func (p *process) rescale(ctx context.Context, n int) {
	if d := p.driver.Load(); d != nil {
		_ = d.Do(ctx, func(m *coord.Machine, now time.Time) { _ = m.Rescale(n, now) }) // refused while another is under way, and at the end
	}
}

// status shows what a coordinator thinks of its workers.
func (p *process) status(ctx context.Context) (text string) {
	if d := p.driver.Load(); d != nil {
		st, err := d.Status(ctx)
		if err != nil {
			return "" // one that has ended has nothing to say
		}
		for _, w := range st.Workers {
			text += fmt.Sprintf("%+v\n", w)
		}
		text += fmt.Sprintln(st.Why())
	}
	return text
}

func (c *cluster) root() *pb.Root {
	store := checkpoint.Store{Bucket: c.bucket, Paths: checkpoint.NewPaths("meters")}
	root, _, err := store.Read(context.Background())
	if err != nil {
		return nil
	}
	return root
}

// stuck shows what of the last root matters when a job does not go on.
func (c *cluster) stuck() string {
	root := proto.Clone(c.root()).(*pb.Root)
	root.Plan, root.Objects, root.Operators, root.OldRuns = nil, nil, nil, nil
	for _, s := range root.Sources {
		s.Schema = nil
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			p.Refs = nil
		}
	}
	for _, o := range root.Outputs {
		o.Schema, o.Sections = nil, nil
	}
	return prototext.Format(root)
}

// fsck checks what is left in the bucket, and that no garbage is.
func (c *cluster) fsck() {
	c.t.Helper()
	rep, err := checkpoint.Fsck(context.Background(), c.bucket, "meters")
	if err != nil || !rep.OK() {
		c.t.Errorf("fsck: %+v, %v", rep, err)
	}
}
