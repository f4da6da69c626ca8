package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// still is a clock whose sleeps pass at once.
type still struct {
	clock.Clock
	now    time.Time
	n      int
	asleep func() // called by each Sleep
}

func newStill() *still { return &still{Clock: clock.Real(), now: time.Unix(1000, 0)} }

func (c *still) Now() time.Time { return c.now }
func (c *still) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	if c.asleep != nil {
		c.asleep()
	}
	return ctx.Err()
}
func (c *still) Random(int) string { c.n++; return fmt.Sprintf("nonce%d", c.n) }

// scripted is a bucket whose conditional writes and reads fail as told, one entry a call: "" passes, "before" and "after" fail without and
// with the effect, anything else is that error without the effect.
type scripted struct {
	objstore.Bucket
	puts, gets []string
	bodies     [][]byte // of all conditional writes tried
	reads      int
}

var faults = map[string]error{"conflict": objstore.ErrConflict, "precondition": objstore.ErrPrecondition, "invalid": sabot.WithKind(sabot.Invalid, errors.New("denied")),
	"before": objstore.ErrAmbiguous, "after": objstore.ErrAmbiguous, "unknown": errors.New("reset by peer")}

func next(script *[]string) string {
	if len(*script) == 0 {
		return ""
	}
	s := (*script)[0]
	*script = (*script)[1:]
	return s
}

func (b *scripted) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	b.bodies = append(b.bodies, bytes.Clone(body))
	s := next(&b.puts)
	if err := faults[s]; err != nil && s != "after" {
		return "", err
	}
	v, err := b.Bucket.PutIf(ctx, key, body, expected)
	if s == "after" && err == nil {
		return "", faults[s]
	}
	return v, err
}

func (b *scripted) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	b.reads++
	if err := faults[next(&b.gets)]; err != nil {
		return nil, "", err
	}
	return b.Bucket.Get(ctx, key)
}

func TestCommit(t *testing.T) {
	fenced, retry, invalid := sabot.Fenced, sabot.Retry, sabot.Invalid
	for _, c := range []struct {
		name        string
		puts, gets  []string
		other       bool // somebody else commits before our first request
		tries       int
		reads       int
		err         *sabot.Kind
		lateFirst   bool // our first request takes effect while we wait
		patienceOut bool
	}{
		{name: "success", tries: 1},
		{name: "conflict twice", puts: []string{"conflict", "conflict"}, tries: 3},
		{name: "lost before the effect", puts: []string{"before"}, tries: 2, reads: 1},
		{name: "answer lost", puts: []string{"after"}, tries: 1, reads: 1},
		{name: "unknown error", puts: []string{"unknown"}, tries: 2, reads: 1},
		{name: "412 of our own repeated request", puts: []string{"after", "precondition"}, tries: 1, reads: 1},
		{name: "412 at an unchanged version", puts: []string{"precondition"}, tries: 2, reads: 1},
		{name: "applied late", puts: []string{"before"}, lateFirst: true, tries: 2, reads: 2},
		{name: "read-back fails twice", puts: []string{"after"}, gets: []string{"unknown", "before"}, tries: 1, reads: 3},
		{name: "deposed", other: true, tries: 1, reads: 1, err: &fenced},
		{name: "deposed, ambiguous", other: true, puts: []string{"before"}, tries: 1, reads: 1, err: &fenced},
		{name: "denied", puts: []string{"invalid"}, tries: 1, err: &invalid},
		{name: "bucket gone for long", puts: many("unknown", 500), gets: many("unknown", 500), patienceOut: true, tries: 1, err: &retry},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, clk, inner := context.Background(), newStill(), mem.New()
			b := &scripted{Bucket: inner}
			s := Store{Bucket: b, Paths: NewPaths("job"), Clock: clk}
			base, err := s.Commit(ctx, sampleRoot(), objstore.Absent)
			if err != nil {
				t.Fatal(err)
			}
			body := sampleRoot()
			body.Nonce, body.Term = "", 3
			b.puts, b.gets, b.bodies, b.reads = c.puts, c.gets, nil, 0
			if c.other {
				rival := sampleRoot()
				rival.Nonce, rival.Term = "rival", 4
				if _, err := inner.PutIf(ctx, "job/CURRENT", encoded(t, rival), base); err != nil {
					t.Fatal(err)
				}
			}
			if c.lateFirst {
				clk.asleep = func() {
					if _, err := inner.PutIf(ctx, "job/CURRENT", b.bodies[0], base); err != nil {
						t.Fatal(err)
					}
				}
			}
			v, err := s.Commit(ctx, body, base)
			if c.err != nil {
				if err == nil || sabot.KindOf(err) != *c.err {
					t.Fatalf("error %v, want one of kind %v", err, *c.err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if len(b.bodies) != c.tries || !c.patienceOut && b.reads != c.reads {
				t.Errorf("%d writes and %d reads, want %d and %d", len(b.bodies), b.reads, c.tries, c.reads)
			}
			for _, x := range b.bodies {
				if !bytes.Equal(x, b.bodies[0]) {
					t.Error("a repeated request carried other bytes")
				}
			}
			if err == nil {
				got, at, err := s.Read(ctx)
				if err != nil || at != v || got.Nonce != body.Nonce {
					t.Errorf("committed %v at %q, Commit said %q; %v", got.GetNonce(), at, v, err)
				}
			}
		})
	}
}

func many(s string, n int) []string {
	a := make([]string, n)
	for i := range a {
		a[i] = s
	}
	return a
}

func TestCommitStampsEachBody(t *testing.T) {
	ctx := context.Background()
	s := Store{Bucket: mem.New(), Paths: NewPaths("job"), Clock: newStill()}
	a, b := sampleRoot(), sampleRoot()
	a.Nonce, b.Nonce = "", ""
	v, err := s.Commit(ctx, a, objstore.Absent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, b, v); err != nil {
		t.Fatal(err)
	}
	if a.Nonce == "" || a.Nonce == b.Nonce || a.CommittedUs == 0 {
		t.Errorf("nonces %q and %q, time %d", a.Nonce, b.Nonce, a.CommittedUs)
	}
}

func TestCommitOfVanishedRoot(t *testing.T) {
	ctx := context.Background()
	s := Store{Bucket: mem.New(), Paths: NewPaths("job"), Clock: newStill()}
	v, err := s.Commit(ctx, sampleRoot(), objstore.Absent)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket.Delete(ctx, "job/CURRENT"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, sampleRoot(), v); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("error %v, want a Corrupt one", err)
	}
}

func TestRead(t *testing.T) {
	ctx := context.Background()
	s := Store{Bucket: mem.New(), Paths: NewPaths("other"), Clock: newStill()}
	if _, _, err := s.Read(ctx); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	if err := s.Bucket.Put(ctx, "other/CURRENT", encoded(t, sampleRoot())); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(ctx); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("the root of another job: %v", err)
	}
}
