package control_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/coord"
)

// leading is a coordinator's server that tells standbys that it holds the leadership "mine".
func leading(t *testing.T, listen string, sec control.Security) (s *control.Server, asked func() []string, end func()) {
	t.Helper()
	s, err := control.Listen(listen, sec, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 100)
	s.AnswerStandbys(func(leadership, standby string) bool {
		names <- standby
		return leadership == "mine"
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, coord.NewDriver(coord.Options{}, nil)) }()
	return s, func() (got []string) {
			for len(names) > 0 {
				got = append(got, <-names)
			}
			return got
		}, func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
}

func ask(t *testing.T, a *control.Asker, leadership string, addrs ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return a.Ask(ctx, addrs, leadership, "standby")
}

func TestStandbysAreAnswered(t *testing.T) {
	defer goleak.VerifyNone(t)
	sec := control.Security{TokenFile: tokenFile(t, secret)}
	s, asked, end := leading(t, "127.0.0.1:0", sec)
	a := &control.Asker{Security: sec}
	for range 2 { // on a new connection, and on the one that is there
		if err := ask(t, a, "mine", "127.0.0.1:1", s.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked(); !slices.Equal(got, []string{"standby", "standby"}) {
		t.Errorf("it was asked by %q", got)
	}
	if err := ask(t, a, "another's", s.Addr()); err == nil || !strings.Contains(err.Error(), "does not lead") {
		t.Errorf("a leadership that it does not hold: %v", err)
	}
	end()
	for range 3 {
		if err := ask(t, a, "mine", s.Addr()); err == nil || !strings.Contains(err.Error(), s.Addr()) {
			t.Errorf("a server that has ended: %v, want an error with its address", err)
		}
	}
	again, _, end := leading(t, s.Addr(), sec)
	defer end()
	if err := ask(t, a, "mine", again.Addr()); err != nil {
		t.Errorf("a server that is back: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestStandbysThatAreNotLetIn(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, asked, end := leading(t, "127.0.0.1:0", control.Security{TokenFile: tokenFile(t, secret)})
	defer end()
	for name, sec := range map[string]control.Security{"no token": {}, "another token": {TokenFile: tokenFile(t, "another-secret-of-enough-characters")}} {
		a := &control.Asker{Security: sec}
		err := ask(t, a, "mine", s.Addr())
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "--token-file") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want to be told of the token", name, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := asked(); len(got) > 0 {
		t.Errorf("it was asked by %q, who is not let in", got)
	}
}

// A coordinator that does not know of leases, as on a folder, holds none.
func TestServerWithoutLeadership(t *testing.T) {
	r := serve(t, control.Security{})
	a := &control.Asker{}
	if err := ask(t, a, "", r.addr); err == nil {
		t.Error("it says that it holds a leadership")
	}
}

func TestReach(t *testing.T) {
	s, err := control.Listen("127.0.0.1:0", control.Security{}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Reach(); !slices.Equal(got, []string{s.Addr()}) {
		t.Errorf("on the loopback it is reached at %q, want %q", got, s.Addr())
	}
	open, err := control.Listen("0.0.0.0:0", control.Security{TokenFile: tokenFile(t, secret)}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	_, port, err := net.SplitHostPort(open.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range open.Reach() {
		host, p, err := net.SplitHostPort(addr)
		if ip := net.ParseIP(host); err != nil || p != port || ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
			t.Errorf("listening everywhere it is reached at %q", addr)
		}
	}
}
