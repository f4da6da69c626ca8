package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Options say how a coordinator works. Durations that are 0 take the default in brackets.
type Options struct {
	Interval          time.Duration // between the starts of checkpoints [1 s]; not below what the bucket allows
	CutTimeout        time.Duration // a cut open for so long makes the group start again [5 min]
	CompactionTimeout time.Duration // a compaction open for so long is given up [5 min]
	StopTimeout       time.Duration // from RequestStop until the end, come what may [2 min]
	// Settle is how long the workers of a cluster have after one of them has come or gone, before the shares are dealt out [0: there is one worker
	// only, and its end is that of the run]; one that is not heard of for Silence is gone [0: its connection tells].
	Settle      time.Duration
	Silence     time.Duration
	Compaction  Policy
	Retain      int           // how many committed roots are kept to fall back to [3]; below 0: none
	RetainEvery time.Duration // between two of them [5 min]
	// Trouble tells what is wrong with the bucket, for Status; nil: nobody does.
	Trouble func(now time.Time) (what string, lasts time.Duration)
	Clock   clock.Clock  // nil: the real one
	Log     *slog.Logger // nil: none
}

func (o Options) withDefaults() Options {
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.CutTimeout = cmp.Or(o.CutTimeout, 5*time.Minute)
	o.CompactionTimeout = cmp.Or(o.CompactionTimeout, 5*time.Minute)
	o.StopTimeout = cmp.Or(o.StopTimeout, 2*time.Minute)
	o.Retain = cmp.Or(o.Retain, 3)
	o.RetainEvery = cmp.Or(o.RetainEvery, 5*time.Minute)
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Driver runs one term of a job: the machine and the I/O around it.
type Driver struct {
	store   *checkpoint.Store
	opt     Options
	version objstore.Version // of the last commit; used by one commit at a time
	root    atomic.Pointer[pb.Root]
	stop    chan struct{}
	drain   atomic.Bool // the stop is to drain the job
	once    sync.Once
	arrived chan connection
	calls   chan func(*Machine, time.Time)
	done    chan struct{} // closed when Run returns
}

// connection is a worker that has come.
type connection struct {
	id   WorkerID
	conn Conn
}

// event is a message of a worker, or the end of its connection.
type event struct {
	from WorkerID
	msg  *pb.FromWorker
	lost error
}

// NewDriver returns a driver for the job of store. Workers come by Attach.
func NewDriver(opt Options, store *checkpoint.Store) *Driver {
	return &Driver{store: store, opt: opt.withDefaults(), stop: make(chan struct{}), arrived: make(chan connection), calls: make(chan func(*Machine, time.Time)), done: make(chan struct{})}
}

// Attach brings in a worker, under an id that no other has had. It waits until Run takes the worker up, and returns false when Run has returned or
// ctx ends before. Any goroutine may call it.
func (d *Driver) Attach(ctx context.Context, id WorkerID, conn Conn) bool {
	select {
	case d.arrived <- connection{id, conn}:
		return true
	case <-d.done:
	case <-ctx.Done():
	}
	return false
}

// Do calls f with the machine, between two of its steps, and waits for it. The error says that Run has returned, or has not taken the call up before
// ctx has ended. Any goroutine may call it.
func (d *Driver) Do(ctx context.Context, f func(m *Machine, now time.Time)) error {
	called := make(chan struct{})
	select {
	case d.calls <- func(m *Machine, now time.Time) {
		defer close(called)
		f(m, now)
	}:
		<-called
		return nil
	case <-d.done:
		return errors.New("the coordinator has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Root returns the committed root, nil before the first commit; nobody changes it. Any goroutine may call it.
func (d *Driver) Root() *pb.Root { return d.root.Load() }

// StopTimeout is how long a stop may take.
func (d *Driver) StopTimeout() time.Duration { return d.opt.StopTimeout }

// RequestStop makes Run commit one last cut, if there is anything new, and return. Any goroutine may call it, any number of times, also before
// Run.
func (d *Driver) RequestStop() { d.once.Do(func() { close(d.stop) }) }

// RequestDrain is RequestStop, and makes Run bring what is committed to its end before: outputs and dead letters too.
func (d *Driver) RequestDrain() {
	d.drain.Store(true)
	d.RequestStop()
}

// Run commits body, which checkpoint.FreshRoot or checkpoint.TakeOver has made, on top of the expected version of CURRENT, and coordinates
// from there until the job has finished, RequestStop was heard, the context ends, or the job cannot go on. It returns the last committed root,
// nil when there is none. FinishedUs tells whether the job is done. A Fenced error says that somebody else leads the job.
//
// Run is called once, and returns when all its goroutines have ended. By then the workers have been told to stop, except when the context has
// ended. Body belongs to the driver, and must not be changed any more.
func (d *Driver) Run(ctx context.Context, body *pb.Root, expected objstore.Version) (*pb.Root, error) {
	defer close(d.done)
	m, err := d.begin(ctx, body, expected)
	if err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var goroutines sync.WaitGroup
	del := newDeleter(d.store, d.opt.Clock, d.opt.Log, d.root.Load)
	goroutines.Go(func() { del.run(inner) })
	if body.Term > 1 {
		del.sweep()
	}
	l := loop{Driver: d, m: m, del: del, inbox: make(chan event), commits: make(chan error, 1), copied: make(chan copied), conns: map[WorkerID]Conn{}}
	l.begin = func(root *pb.Root) {
		goroutines.Go(func() { l.commits <- d.commit(inner, root) })
	}
	l.copy = func(c Copy) {
		goroutines.Go(func() {
			err := d.store.WriteCopy(inner, c.Root, c.Pin)
			select {
			case l.copied <- copied{c.Pin.Id, err}:
			case <-inner.Done():
			}
		})
	}
	l.listen = func(c connection) {
		goroutines.Go(func() { l.receive(inner, c) })
	}
	if err = l.run(ctx); err == nil {
		del.drain(ctx)
	}
	cancel()
	goroutines.Wait()
	return d.Root(), err
}

// begin makes the first commit and the machine that goes on from it.
func (d *Driver) begin(ctx context.Context, body *pb.Root, expected objstore.Version) (*Machine, error) {
	gap := d.store.Bucket.Limits().CASInterval
	if d.opt.Interval < gap {
		d.opt.Log.Warn("the bucket allows fewer checkpoints than asked for", "interval", d.opt.Interval, "every", gap)
	}
	checkpoint.Finish(body, d.opt.Clock.Now())
	d.version = expected
	if err := d.commit(ctx, body); err != nil {
		return nil, fmt.Errorf("start job %s: %w", body.Job, err)
	}
	return NewMachine(body, Settings{Interval: max(d.opt.Interval, gap), CommitGap: gap, CutTimeout: d.opt.CutTimeout,
		CompactionTimeout: d.opt.CompactionTimeout, Settle: d.opt.Settle, Silence: d.opt.Silence, Policy: d.opt.Compaction,
		Retain: d.opt.Retain, RetainEvery: d.opt.RetainEvery}, d.opt.Clock.Now()), nil
}

// commit commits body on top of the last commit.
func (d *Driver) commit(ctx context.Context, body *pb.Root) error {
	v, err := d.store.Commit(ctx, body, d.version)
	if err != nil {
		return err
	}
	d.version = v
	d.root.Store(body)
	return nil
}

func (d *Driver) log(ctx context.Context, l Log) {
	level := slog.LevelInfo
	if l.Warn {
		level = slog.LevelWarn
	}
	d.opt.Log.Log(ctx, level, l.Text, l.Args...)
}

// loop drives the machine until its end.
type loop struct {
	*Driver
	m       *Machine
	del     *deleter
	inbox   chan event
	commits chan error // the result of the commit under way
	copied  chan copied
	conns   map[WorkerID]Conn
	begin   func(*pb.Root)
	copy    func(Copy)
	listen  func(connection)
}

// copied is the end of writing the copy for a pin.
type copied struct {
	pin string
	err error
}

// receive passes on what a worker says, until its connection ends.
func (l *loop) receive(ctx context.Context, c connection) {
	for {
		m, err := c.conn.Recv(ctx)
		select {
		case l.inbox <- event{c.id, m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *loop) run(ctx context.Context) error {
	stop := l.stop
	for {
		if end := l.act(ctx, l.m.Ready()); end != nil {
			return end.Err
		}
		now := l.opt.Clock.Now()
		var due <-chan time.Time
		disarm := func() bool { return false }
		if at := l.m.Next(now); !at.IsZero() {
			t := l.opt.Clock.NewTimer(max(0, at.Sub(now)))
			due, disarm = t.C(), t.Stop
		}
		select {
		case c := <-l.arrived:
			l.conns[c.id] = c.conn
			l.listen(c)
		case f := <-l.calls:
			f(l.m, l.opt.Clock.Now())
		case ev := <-l.inbox:
			if err := l.heard(ctx, ev); err != nil {
				disarm()
				return err
			}
		case err := <-l.commits:
			if err != nil {
				l.m.CommitFailed(err)
			} else {
				l.m.CommitDone(l.opt.Clock.Now())
			}
		case c := <-l.copied:
			l.m.CopyDone(c.pin, c.err, l.opt.Clock.Now())
		case <-due:
			l.m.Tick(l.opt.Clock.Now())
		case <-stop:
			stop = nil
			now := l.opt.Clock.Now()
			if l.drain.Load() {
				l.m.RequestDrain(now, now.Add(l.opt.StopTimeout))
			} else {
				l.m.RequestStop(now, now.Add(l.opt.StopTimeout))
			}
		case <-ctx.Done():
			disarm()
			return context.Cause(ctx)
		}
		disarm()
	}
}

// heard gives an event to the machine. In a local run the end of the worker is that of the run.
func (l *loop) heard(ctx context.Context, ev event) error {
	if ev.lost == nil {
		l.m.Step(ev.from, ev.msg, l.opt.Clock.Now())
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.opt.Settle == 0 {
		return fmt.Errorf("the worker is gone: %w", ev.lost)
	}
	delete(l.conns, ev.from)
	l.m.Leave(ev.from, l.opt.Clock.Now())
	return nil
}

// act does what the machine says.
func (l *loop) act(ctx context.Context, r Ready) *End {
	for _, text := range r.Logs {
		l.log(ctx, text)
	}
	for _, msg := range r.Messages {
		if c := l.conns[msg.To]; c != nil {
			c.Send(msg.Body)
		}
	}
	if len(r.Garbage) > 0 {
		l.del.add(r.Garbage)
	}
	for _, c := range r.Copies {
		l.copy(c)
	}
	if r.End == nil && r.Commit != nil {
		l.begin(r.Commit)
	}
	return r.End
}
