package run

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// shared is a bucket in memory that passes for one of several processes: they tell who leads by a lease.
type shared struct{ objstore.Bucket }

func (s shared) Limits() objstore.Limits {
	l := s.Bucket.Limits()
	l.Private = false
	return l
}

// said is what a process writes.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

// watcher is a coordinator as its program runs it, of a job through which nothing flows.
type watcher struct {
	t      *testing.T
	bucket *fault.Bucket
	out    said
	stop   context.CancelFunc
	ended  chan int
}

func startWatcher(t *testing.T, b objstore.Bucket, lease time.Duration, f coordinatorFlags) *watcher {
	w := &watcher{t: t, bucket: fault.Wrap(b, nil), ended: make(chan int, 1)}
	job := sabot.NewJob("idle")
	job.Source("in", channel.New[measure]()).Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []measure) error { return nil }))
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	f.Listen = "127.0.0.1:0"
	opt := Options{Store: w.bucket, Lease: lease, Log: slog.New(slog.NewTextHandler(&w.out, nil))}
	go func() { w.ended <- executeCoordinator(ctx, f, opt, &w.out, &w.out, job) }()
	return w
}

// says waits until the process has said something.
func (w *watcher) says(text string) {
	w.t.Helper()
	for began := time.Now(); w.out.count(text) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			w.t.Fatalf("it does not say %q", text)
		}
	}
}

// dies ends it as a death does: its bucket hears no more of it.
func (w *watcher) dies() {
	w.bucket.Kill(errors.New("dead"))
	w.ends()
}

func (w *watcher) ends() {
	w.stop()
	<-w.ended
}

// made counts calls since there were so many, of some operation on some object.
func made(b *fault.Bucket, since int, op fault.Op, name string) (n int) {
	for _, c := range b.Calls()[since:] {
		if c.Op == op && strings.HasSuffix(c.Key, name) {
			n++
		}
	}
	return n
}

const leads = "Coordinating at"

// A standby asks the leader whether it lives; when that one dies, it leads.
func TestStandbyAsksTheLeader(t *testing.T) {
	defer goleak.VerifyNone(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-secret-of-enough-characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := coordinatorFlags{Security: control.Security{TokenFile: token}}
	all := fault.Wrap(shared{mem.New()}, nil)
	first := startWatcher(t, all, 3*time.Second, f)
	first.says(leads)
	for began := time.Now(); made(all, 0, fault.PutIf, "/LEASE") < 2; time.Sleep(5 * time.Millisecond) { // the second one says where it listens
		if time.Since(began) > time.Minute {
			t.Fatal("it does not say where it listens")
		}
	}
	second := startWatcher(t, all, 3*time.Second, f)
	second.says("Waiting: the job is being run by")
	before := len(all.Calls())
	time.Sleep(4 * time.Second)
	if n := made(all, before, fault.Put, "/STANDBY") + made(all, before, fault.PutIf, "/LEASE"); n > 0 || second.out.count(leads) > 0 {
		t.Errorf("%d writes while the leader answers; the standby leads %d times", n, second.out.count(leads))
	}
	first.dies()
	second.says(leads)
	second.ends()
}

// Who does not know the token waits all the same, by the bucket, and says so once.
func TestStandbyWithoutTheToken(t *testing.T) {
	defer goleak.VerifyNone(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-secret-of-enough-characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := fault.Wrap(shared{mem.New()}, nil)
	first := startWatcher(t, all, time.Second, coordinatorFlags{Security: control.Security{TokenFile: token}})
	first.says(leads)
	second := startWatcher(t, all, time.Second, coordinatorFlags{})
	second.says("does not answer this one")
	second.says("the token is missing")
	renewed := made(all, 0, fault.PutIf, "/LEASE")
	for began := time.Now(); made(all, 0, fault.PutIf, "/LEASE") < renewed+10; time.Sleep(10 * time.Millisecond) {
		if second.out.count(leads) > 0 || time.Since(began) > time.Minute {
			t.Fatal("the leader does not show life, or the standby does not see it")
		}
	}
	if n := second.out.count("does not answer this one"); n != 1 {
		t.Errorf("it says %d times that the leader does not answer", n)
	}
	first.ends() // in good order
	second.says(leads)
	second.ends()
}
