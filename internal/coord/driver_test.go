package coord

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// recording notes every request.
type recording struct {
	objstore.Bucket
	mu  sync.Mutex
	log []string
}

func (b *recording) note(op, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := strings.Index(key, "/packs/"); i >= 0 && len(key) > i+40 {
		key = key[:i+7+33] // without the random part
	}
	b.log = append(b.log, op+" "+key)
}

// requests returns what was asked for since the last call, in order of text: some of it runs side by side.
func (b *recording) requests() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	log := b.log
	b.log = nil
	slices.Sort(log)
	return strings.Join(log, "\n")
}

func (b *recording) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	b.note("GET", key)
	return b.Bucket.Get(ctx, key)
}

func (b *recording) Put(ctx context.Context, key string, body []byte) error {
	b.note("PUT", key)
	return b.Bucket.Put(ctx, key, body)
}

func (b *recording) PutIf(ctx context.Context, key string, body []byte, v objstore.Version) (objstore.Version, error) {
	b.note("PUT-IF", key)
	return b.Bucket.PutIf(ctx, key, body, v)
}

func (b *recording) Delete(ctx context.Context, key string) error {
	b.note("DELETE", key)
	return b.Bucket.Delete(ctx, key)
}

func (b *recording) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	b.note("LIST", prefix)
	return b.Bucket.List(ctx, prefix)
}

// hand is the worker's side, driven by the test.
type hand struct {
	t      *testing.T
	ctx    context.Context
	conn   WorkerConn
	bucket *recording
	paths  checkpoint.Paths
	root   *pb.Root
	done   chan struct{}
	last   *pb.Root
	err    error
	driver *Driver
}

// begin starts a driver over the bucket, and a worker that has registered.
func begin(t *testing.T, b *recording, body *pb.Root, v objstore.Version) *hand {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	there, here := NewPipe()
	h := &hand{t: t, ctx: ctx, conn: here, bucket: b, paths: checkpoint.NewPaths("job"), done: make(chan struct{})}
	store := &checkpoint.Store{Bucket: b, Paths: h.paths, Clock: clock.Real()}
	h.driver = NewDriver(Options{Interval: time.Millisecond}, store)
	go func() {
		defer close(h.done)
		h.last, h.err = h.driver.Run(ctx, body, v)
	}()
	h.driver.Attach(ctx, "w", there)
	h.send(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w"}}})
	return h
}

func (h *hand) send(m *pb.FromWorker) {
	h.t.Helper()
	if err := h.conn.Send(h.ctx, m); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) recv() *pb.ToWorker {
	h.t.Helper()
	m, err := h.conn.Recv(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	switch m := m.Message.(type) {
	case *pb.ToWorker_Assignment:
		h.root = m.Assignment.Root
	case *pb.ToWorker_Committed:
		h.root = m.Committed.Root
	}
	return m
}

func (h *hand) progress(rows int64, ended bool) {
	h.t.Helper()
	h.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: h.root.Groups[0].Generation, Rows: rows, Ended: ended}}})
}

// cut answers a cut with one row of state; expire drops what is there.
func (h *hand) cut(rows int64, ended, expire bool) {
	h.t.Helper()
	c := h.recv().GetCut()
	if c == nil {
		h.t.Fatal("no cut was asked for")
	}
	g := h.root.Groups[0]
	o := &pb.Object{Key: h.paths.Pack(c.Term, c.Cut, fmt.Sprintf("%016d", c.Cut)), Size: 1}
	if err := h.bucket.Put(h.ctx, o.Key, []byte("x")); err != nil {
		h.t.Fatal(err)
	}
	p := &pb.ReportPartition{Stage: 1, Hi: checkpoint.HashSpace}
	if expire {
		p.Expired = []*pb.Expiry{{Table: "w", BeforeUs: 10}}
	} else {
		p.Refs = []*pb.Reference{{Table: "w", Length: 1, BucketHi: 10, Hi: checkpoint.HashSpace, Crc: 0xa93c5f93}}
	}
	h.send(&pb.FromWorker{Message: &pb.FromWorker_Report{Report: &pb.Report{Term: c.Term, Generation: c.Generation, Run: h.root.Run, Cut: c.Cut,
		CutId: fmt.Sprint("id", c.Cut), Base: g.Cut, BaseId: g.CutId, Objects: []*pb.Object{o}, Ended: ended,
		Splits: []*pb.ReportSplit{{Source: "src", Id: "a", Rows: rows, Ended: ended}}, Partitions: []*pb.ReportPartition{p}}}})
}

func (h *hand) committed() {
	h.t.Helper()
	if h.recv().GetCommitted() == nil {
		h.t.Fatal("no commit was told of")
	}
}

// pins asks the machine for a change of pins.
func (h *hand) pins(f func(*Machine, time.Time) error) {
	h.t.Helper()
	var refused error
	if err := h.driver.Do(h.ctx, func(m *Machine, now time.Time) { refused = f(m, now) }); err != nil || refused != nil {
		h.t.Fatal(err, refused)
	}
}

// savepoint makes a savepoint, and waits until it can be used.
func (h *hand) savepoint(id string) {
	h.t.Helper()
	h.pins(func(m *Machine, now time.Time) error { return m.Savepoint(id, id, now) })
	for p := checkpoint.PinOf(h.root, id); p == nil || !p.Written; p = checkpoint.PinOf(h.root, id) {
		h.committed()
	}
}

func (h *hand) wait() {
	h.t.Helper()
	<-h.done
	if h.err != nil {
		h.t.Fatal(h.err)
	}
}

func wantRequests(t *testing.T, what string, b *recording, want ...string) {
	t.Helper()
	if got := b.requests(); got != strings.Join(want, "\n") {
		t.Errorf("%s: requests\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
	}
}

func firstRoot() *pb.Root {
	return checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1, 0),
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a", Bounded: true}}}},
		Stages:  []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(1)}}})
}

// TestRequests holds every request of a job's life: what a start, a cut, an idle time, a stop, and a start again cost.
func TestRequests(t *testing.T) {
	defer goleak.VerifyNone(t)
	const pack1, pack2 = "job/packs/0000000000000001-0000000000000001", "job/packs/0000000000000001-0000000000000002"
	b := &recording{Bucket: mem.New()}
	h := begin(t, b, firstRoot(), objstore.Absent)
	h.recv()
	wantRequests(t, "first start", b, "PUT-IF job/CURRENT")
	h.progress(5, false)
	h.cut(5, false, false)
	h.committed()
	wantRequests(t, "steady cut", b, "PUT "+pack1, "PUT-IF job/CURRENT")
	for range 50 {
		h.progress(5, false)
	}
	time.Sleep(5 * time.Millisecond) // several intervals: time in which nothing must happen
	wantRequests(t, "idle", b)
	h.savepoint("s1")
	wantRequests(t, "savepoint", b, "PUT job/copies/0000000000000001-0000000000000001-s1", "PUT-IF job/CURRENT", "PUT-IF job/CURRENT")
	h.pins(func(m *Machine, now time.Time) error { return m.RemovePin("s1", now) })
	for checkpoint.PinOf(h.root, "s1") != nil {
		h.committed()
	}
	h.progress(6, false)
	h.cut(6, false, true)
	h.committed()
	h.driver.RequestStop()
	if h.recv().GetStop() == nil {
		t.Error("the worker was not told to stop")
	}
	h.wait()
	wantRequests(t, "removal of the savepoint, cut that drops a pack, and stop", b, "DELETE job/copies/0000000000000001-0000000000000001-s1", "DELETE "+pack1, "DELETE "+pack2, "PUT "+pack2, "PUT-IF job/CURRENT",
		"PUT-IF job/CURRENT")

	store := checkpoint.Store{Bucket: b, Paths: h.paths, Clock: clock.Real()}
	root, v, err := store.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	h = begin(t, b, checkpoint.TakeOver(root), v)
	h.recv()
	h.progress(0, true)
	h.cut(6, true, false)
	if h.recv().GetStop() == nil {
		t.Error("the worker was not told to stop")
	}
	h.wait()
	wantRequests(t, "resume and end", b, "GET job/CURRENT", "LIST job/copies/", "LIST job/packs/", "PUT job/packs/0000000000000002-0000000000000003", "PUT-IF job/CURRENT",
		"PUT-IF job/CURRENT")
	if h.last.FinishedUs == 0 || h.last.Term != 2 || h.last.Epoch != 3 {
		t.Errorf("last root %v", h.last)
	}
	rep, err := checkpoint.Fsck(context.Background(), b, "job")
	if err != nil || !rep.OK() || rep.GarbageBytes != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestDriverFenced(t *testing.T) {
	defer goleak.VerifyNone(t)
	b := &recording{Bucket: mem.New()}
	h := begin(t, b, firstRoot(), objstore.Absent)
	h.recv()
	store := checkpoint.Store{Bucket: b, Paths: h.paths, Clock: clock.Real()}
	root, v, err := store.Read(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Commit(h.ctx, checkpoint.TakeOver(root), v); err != nil {
		t.Fatal(err)
	}
	h.progress(5, false)
	h.cut(5, false, false)
	if h.recv().GetStop() == nil {
		t.Error("the worker was not told to stop")
	}
	<-h.done
	if sabot.KindOf(h.err) != sabot.Fenced {
		t.Errorf("error %v, want a Fenced one", h.err)
	}
	second := begin(t, b, firstRoot(), objstore.Absent)
	if <-second.done; sabot.KindOf(second.err) != sabot.Fenced || second.last != nil {
		t.Errorf("a start on a version that is gone: root %v, error %v", second.last, second.err)
	}
}

func TestDriverEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	store := &checkpoint.Store{Bucket: mem.New(), Paths: checkpoint.NewPaths("job"), Clock: clock.Real()}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	d := NewDriver(Options{}, store)
	done := make(chan error)
	go func() {
		_, err := d.Run(ctx, firstRoot(), objstore.Absent)
		done <- err
	}()
	cancel(cause)
	if err := <-done; err == nil {
		t.Error("no error")
	}
}

// jumping is a clock that stands still for an hour between two readings, once armed.
type jumping struct {
	clock.Clock
	mu    sync.Mutex
	armed bool
	by    time.Duration
}

func (c *jumping) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed {
		c.armed, c.by = false, c.by+time.Hour
	}
	return c.Clock.Now().Add(c.by)
}

func TestDeleterAsksAfterAGap(t *testing.T) {
	for _, deposed := range []bool{false, true} {
		ctx := context.Background()
		b := &recording{Bucket: mem.New()}
		clk := &jumping{Clock: clock.Real()}
		store := &checkpoint.Store{Bucket: b, Paths: checkpoint.NewPaths("job"), Clock: clk}
		root := firstRoot()
		v, err := store.Commit(ctx, root, objstore.Absent)
		if err != nil {
			t.Fatal(err)
		}
		if deposed {
			if _, err := store.Commit(ctx, checkpoint.TakeOver(root), v); err != nil {
				t.Fatal(err)
			}
		}
		d := newDeleter(store, clk, NewDriver(Options{}, store).opt.Log, func() *pb.Root { return root })
		x := batch{deleter: d, keys: []string{"job/packs/a"}, alive: clk.Now()}
		b.requests()
		clk.armed = true
		failed, err := x.work(ctx, false)
		if deposed {
			if !errors.Is(err, errDeposed) || len(failed) != 1 {
				t.Errorf("deposed: failed %q, error %v", failed, err)
			}
			wantRequests(t, "deposed", b, "GET job/CURRENT")
		} else {
			if err != nil || len(failed) != 0 {
				t.Errorf("failed %q, error %v", failed, err)
			}
			wantRequests(t, "still leading", b, "DELETE job/packs/a", "GET job/CURRENT")
		}
	}
}

func TestPipeKeepsTheLastProgress(t *testing.T) {
	ctx := context.Background()
	there, here := NewPipe()
	for i := range 1000 {
		m := &pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Rows: int64(i)}}}
		if i == 500 {
			m = &pb.FromWorker{Message: &pb.FromWorker_Failed{Failed: &pb.Failed{Error: "x"}}}
		}
		if err := here.Send(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 3 {
		m, err := there.Recv(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s", m.GetProgress().GetRows(), m.GetFailed().GetError()))
	}
	if want := []string{"499 ", "0 x", "999 "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := there.Recv(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing more: %v", err)
	}
}
