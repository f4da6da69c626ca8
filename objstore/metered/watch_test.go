package metered_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// sick is a bucket whose writes take a while, and then fail or not.
type sick struct {
	objstore.Bucket
	takes time.Duration
	err   error
}

func (s *sick) Put(ctx context.Context, key string, body []byte) error {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.err != nil {
		return s.err
	}
	return s.Bucket.Put(ctx, key, body)
}

func TestWatchNamesWhatTheBucketDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below, watch := &sick{Bucket: mem.New()}, &metered.Watch{}
		b := metered.Wrap(below, clock.Real(), nil, watch)
		put := func() { _ = b.Put(t.Context(), "a/pack", nil) } // what it comes to, the watch says
		says := func(when, want string, lasts time.Duration) {
			t.Helper()
			if what, d := watch.Trouble(time.Now()); what != want || d != lasts {
				t.Errorf("%s: %q for %v, want %q for %v", when, what, d, want, lasts)
			}
		}
		put()
		says("all is well", "", 0)
		below.takes, below.err = 9*time.Second, errors.New("no route to host")
		go put()
		time.Sleep(time.Second)
		says("a call takes a second", "", 0)
		time.Sleep(4 * time.Second)
		says("a call takes five", "put of a/pack is not answered", 5*time.Second)
		time.Sleep(5 * time.Second)
		says("one call has failed", "", 0)
		go put()
		time.Sleep(4 * time.Second)
		says("the next one takes four", "put of a/pack is not answered, and has failed before: no route to host", 14*time.Second)
		time.Sleep(6 * time.Second)
		says("two have failed", "put of a/pack fails: no route to host", 20*time.Second)
		time.Sleep(time.Minute)
		says("nobody has tried for a minute", "", 0)
		below.takes, below.err = 0, nil
		put()
		below.err = errors.New("once")
		put()
		says("one failure after a success", "", 0)

		ctx, cancel := context.WithCancel(t.Context())
		below.takes, below.err = time.Hour, nil
		for range 3 {
			go func() { _ = b.Put(ctx, "a/pack", nil) }()
		}
		time.Sleep(3 * time.Second)
		if what, _ := watch.Trouble(time.Now()); !strings.Contains(what, "is not answered") {
			t.Errorf("three calls are open for three seconds, and the watch says %q", what)
		}
		cancel()
		synctest.Wait()
		says("the callers have given up", "", 0)
	})
}
