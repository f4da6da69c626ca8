package conntest

import (
	"context"
	"errors"
	"testing"

	"github.com/sabot-stream/sabot"
)

// endedContext checks that Read does not go on when its context has ended.
func (s *suite) endedContext(t *testing.T) {
	for i, sp := range s.splits {
		ctx, cancel := context.WithCancel(t.Context())
		r := s.begin(t, s.schema, i, "", 1)
		if len(s.whole[i].marks) > 0 {
			r.step(t, ctx)
		}
		cancel()
		c, err := r.reader.Read(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Read of split %q by an ended context: error is %v, want %v", sp.ID, err, context.Canceled)
		}
		if c.Rows != nil {
			t.Errorf("Read of split %q by an ended context gave %d rows, want none", sp.ID, c.Rows.NumRows())
			c.Rows.Release()
		}
		r.close(t)
		if !sp.Bounded {
			s.endsWhileWaiting(t, i)
		}
	}
}

// endsWhileWaiting lets the context end while Read may be waiting for rows. A source that waits on hangs the test.
func (s *suite) endsWhileWaiting(t *testing.T, split int) {
	t.Helper()
	at := sabot.Position("")
	if m := s.whole[split].marks; len(m) > 0 {
		at = m[len(m)-1].at
	}
	r := s.begin(t, s.schema, split, at, 1)
	defer r.close(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		for {
			c, err := r.reader.Read(ctx)
			if c.Rows != nil {
				c.Rows.Release()
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Read of split %q while its context ends: error is %v, want %v", s.splits[split].ID, err, context.Canceled)
	}
}

// closes checks that Close may come at any time, and again.
func (s *suite) closes(t *testing.T) {
	for i, sp := range s.splits {
		for reads := range 3 {
			r := s.begin(t, s.schema, i, "", 1)
			for range min(reads, len(s.whole[i].rows)) {
				r.step(t, t.Context())
			}
			for try := range 2 {
				if err := r.reader.Close(); err != nil {
					t.Errorf("Close number %d of split %q behind %d reads: %v", try+1, sp.ID, reads, err)
				}
			}
		}
	}
}

// changedVersion checks that a split which is not what Describe saw is refused.
func (s *suite) changedVersion(t *testing.T) {
	for _, sp := range s.splits {
		if sp.Version == "" {
			continue // the source can say nothing of it
		}
		sp.Version += "0"
		r, err := s.open().Open(t.Context(), env(0), s.schema, sp, "")
		if err == nil {
			r.Close()
			t.Errorf("Open split %q at another version: no error, want one of kind %s", sp.ID, sabot.Invalid)
		} else if k := sabot.KindOf(err); k != sabot.Invalid {
			t.Errorf("Open split %q at another version: kind is %s, want %s: %v", sp.ID, k, sabot.Invalid, err)
		}
	}
}
