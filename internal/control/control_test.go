package control_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	controlpb "github.com/sabot-stream/sabot/internal/control/pb"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

const secret = "a-secret-of-the-job-nobody-else-knows"

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a coordinator that can be reached.
type running struct {
	addr string
	logs *bytes.Buffer
	end  func() (*pb.Root, error)
}

// serve runs the coordinator of a job with one split, on a bucket in memory.
func serve(t *testing.T, sec control.Security) running {
	t.Helper()
	s, err := control.Listen("127.0.0.1:0", sec, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	logs := &bytes.Buffer{}
	store := &checkpoint.Store{Bucket: mem.New(), Paths: checkpoint.NewPaths("job"), Clock: clock.Real()}
	d := coord.NewDriver(coord.Options{Interval: 10 * time.Millisecond, Settle: time.Millisecond, Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}, store)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, d) }()
	type outcome struct {
		root *pb.Root
		err  error
	}
	ran := make(chan outcome, 1)
	go func() {
		root, err := d.Run(ctx, checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Fingerprint: "plan", Now: time.Now(),
			Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a", Bounded: true}}}}}), objstore.Absent)
		ran <- outcome{root, err}
	}()
	ended := false
	end := func() (*pb.Root, error) {
		ended = true
		d.RequestStop()
		o := <-ran
		cancel()
		return o.root, errors.Join(o.err, <-served)
	}
	t.Cleanup(func() {
		if !ended {
			cancel()
			<-ran
			<-served
		}
	})
	return running{s.Addr(), logs, end}
}

func connect(t *testing.T, addr string, sec control.Security) (*control.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := control.Connect(ctx, []string{addr}, sec)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() }) // it may be closed
	}
	return c, err
}

func register(fingerprint string) *pb.FromWorker {
	return &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w", Fingerprint: fingerprint}}}
}

func TestWorkersAreGivenTheirShare(t *testing.T) {
	defer goleak.VerifyNone(t)
	sec := control.Security{TokenFile: tokenFile(t, secret)}
	r := serve(t, sec)
	c, err := connect(t, r.addr, sec)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), register("plan")); err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv(t.Context())
	if err != nil || m.GetAssignment() == nil || m.GetAssignment().Root.Job != "job" {
		t.Fatalf("the worker is told %v, %v, want its share", m, err)
	}
	cl, err := control.Dial(r.addr, sec)
	if err != nil {
		t.Fatal(err)
	}
	st, err := cl.Status(t.Context(), &controlpb.StatusRequest{})
	if err != nil || len(st.Workers) != 1 || st.Workers[0].Name != "w" || !st.Workers[0].HasGroup {
		t.Errorf("the status shows %v, %v", st, err)
	}
	if strings.Contains(st.String()+r.logs.String(), secret) {
		t.Error("the token is shown")
	}
	if _, err := cl.Drain(t.Context(), &controlpb.DrainRequest{Worker: "nobody"}); sabot.KindOf(control.Meaning(err)) != sabot.Invalid {
		t.Errorf("a worker that is not there is sent away: %v", err)
	}
	if err := cl.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.end(); err != nil {
		t.Error(err)
	}
	if m, err := c.Recv(t.Context()); err != nil || m.GetStop() == nil {
		t.Errorf("at the end the worker is told %v, %v, want that it stops", m, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	r := serve(t, control.Security{TokenFile: tokenFile(t, secret)})
	for name, sec := range map[string]control.Security{"no token": {}, "another token": {TokenFile: tokenFile(t, "another-secret-of-enough-characters")}} {
		if _, err := connect(t, r.addr, sec); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("%s: %v, want to be told of the token", name, err)
		}
	}
	for name, sec := range map[string]control.Security{"a short token": {TokenFile: tokenFile(t, "short")}, "no token file": {TokenFile: "/nowhere"},
		"no certificate": {CertFile: "/nowhere", KeyFile: "/nowhere"}, "a CA that is none": {CAFile: tokenFile(t, secret)}} {
		if _, err := control.Dial(r.addr, sec); sabot.KindOf(err) != sabot.Invalid || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want an Invalid error that shows no secret", name, err)
		}
		if _, err := control.Listen("127.0.0.1:0", sec, clock.Real()); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%s: a coordinator starts: %v", name, err)
		}
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		if _, err := control.Listen(addr, control.Security{}, clock.Real()); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "without a token") {
			t.Errorf("a coordinator listens on %s without a token: %v", addr, err)
		}
	}
}

func TestWorkersOfAnotherKind(t *testing.T) {
	r := serve(t, control.Security{})
	for name, first := range map[string]*pb.FromWorker{
		"another plan":    register("another"),
		"no registration": {Message: &pb.FromWorker_Progress{Progress: &pb.Progress{}}},
		"nothing at all":  {},
	} {
		c, err := connect(t, r.addr, control.Security{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		m, err := c.Recv(t.Context())
		if stop := m.GetStop(); err == nil && (stop == nil || stop.Again) || err != nil && sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%s: told %v, %v, want to be sent away", name, m, err)
		}
	}
	c, err := connect(t, r.addr, control.Security{})
	if err != nil {
		t.Fatal(err)
	}
	big := register("plan")
	big.GetRegister().Worker = strings.Repeat("x", 65<<20)
	if err := c.Send(t.Context(), big); err == nil {
		if m, err := c.Recv(t.Context()); err == nil {
			t.Errorf("a message of 65 MiB is answered by %v", m)
		}
	}
	if _, err := r.end(); err != nil {
		t.Errorf("the coordinator has suffered: %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := control.Connect(t.Context(), []string{"127.0.0.1:1", "127.0.0.1:2"}, control.Security{})
	if sabot.KindOf(err) != sabot.Retry || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "127.0.0.1:2") {
		t.Errorf("%v of kind %s, want both addresses, kind retry", err, sabot.KindOf(err))
	}
}
