package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// How Commit repeats its requests.
const (
	firstWait       = 50 * time.Millisecond
	longestWait     = 5 * time.Second
	defaultPatience = 5 * time.Minute
)

// Store reads and replaces the root of one job. It keeps nothing: any number may work on one job.
type Store struct {
	Bucket   objstore.Bucket
	Paths    Paths
	Clock    clock.Clock
	Log      *slog.Logger  // of repeated requests; nil: none
	Patience time.Duration // how long Commit goes on after failures; 0: five minutes
}

// Read returns the committed root and its version. The error wraps objstore.ErrNotFound when the job has none.
func (s Store) Read(ctx context.Context) (*pb.Root, objstore.Version, error) {
	key := s.Paths.Current()
	b, v, err := s.Bucket.Get(ctx, key)
	if err != nil {
		return nil, objstore.Absent, fmt.Errorf("read %s: %w", key, err)
	}
	root, err := DecodeRoot(b)
	if err != nil {
		return nil, objstore.Absent, fmt.Errorf("read %s: %w", key, err)
	}
	if root.Job != s.Paths.Job() {
		return nil, objstore.Absent, sabot.WithKind(sabot.Corrupt, fmt.Errorf("read %s: it is the root of job %q", key, root.Job))
	}
	return root, v, nil
}

// Commit replaces the root of the expected version (Absent: there is none yet) by body, and returns the new version. It stamps body with the
// time and a nonce, unless it has one; the caller must not change it afterwards.
//
// When the effect of a request is not known, Commit reads CURRENT: with body's nonce the commit has succeeded; at an unchanged version the same
// bytes are sent again; anything else is a Fenced error: somebody else leads the job. After any error the caller must not commit another root
// on the expected version, because a request may still take effect: it has to start over from Read.
func (s Store) Commit(ctx context.Context, body *pb.Root, expected objstore.Version) (objstore.Version, error) {
	if body.Nonce == "" {
		body.Nonce = s.Clock.Random(16)
	}
	body.CommittedUs = s.Clock.Now().UnixMicro()
	b, err := EncodeRoot(body)
	if err != nil {
		return objstore.Absent, sabot.WithKind(sabot.Internal, err)
	}
	c := commit{Store: s, body: body, bytes: b, expected: expected, began: s.Clock.Now()}
	v, err := c.run(ctx)
	if err != nil {
		return objstore.Absent, fmt.Errorf("commit epoch %d of %s under term %d: %w", body.Epoch, s.Paths.Current(), body.Term, err)
	}
	return v, nil
}

// commit is one Commit.
type commit struct {
	Store
	body     *pb.Root
	bytes    []byte
	expected objstore.Version
	began    time.Time
	waits    int
}

func (c *commit) run(ctx context.Context) (objstore.Version, error) {
	for {
		v, err := c.Bucket.PutIf(ctx, c.Paths.Current(), c.bytes, c.expected)
		switch {
		case err == nil:
			return v, nil
		case sabot.KindOf(err) == sabot.Invalid:
			return objstore.Absent, err
		case errors.Is(err, objstore.ErrConflict): // had no effect
		default:
			v, done, err := c.readBack(ctx, err)
			if done || err != nil {
				return v, err
			}
		}
		if err := c.wait(ctx, err); err != nil {
			return objstore.Absent, err
		}
	}
}

// readBack finds out what became of a request. Not done and no error: it has had no effect so far.
func (c *commit) readBack(ctx context.Context, cause error) (v objstore.Version, done bool, err error) {
	for {
		cur, at, err := c.Read(ctx)
		switch {
		case err == nil && cur.Nonce == c.body.Nonce:
			return at, true, nil
		case err == nil && at == c.expected:
			return objstore.Absent, false, nil
		case err == nil:
			return objstore.Absent, false, sabot.WithKind(sabot.Fenced, fmt.Errorf(
				"another process has taken the job over (it is at term %d, epoch %d): %w", cur.Term, cur.Epoch, cause))
		case errors.Is(err, objstore.ErrNotFound) && c.expected == objstore.Absent:
			return objstore.Absent, false, nil
		case errors.Is(err, objstore.ErrNotFound):
			return objstore.Absent, false, sabot.WithKind(sabot.Corrupt, fmt.Errorf("the root has vanished: %w", err))
		case sabot.KindOf(err) == sabot.Corrupt || sabot.KindOf(err) == sabot.Invalid:
			return objstore.Absent, false, err
		}
		if err := c.wait(ctx, err); err != nil {
			return objstore.Absent, false, err
		}
	}
}

// wait passes a while before the next request, longer each time, or says that it has been enough.
func (c *commit) wait(ctx context.Context, cause error) error {
	patience := c.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	if c.Clock.Now().Sub(c.began) >= patience {
		return sabot.WithKind(sabot.Retry, fmt.Errorf("gave up after %v, effect unknown: %w", patience, cause))
	}
	d := min(firstWait<<min(c.waits, 10), longestWait)
	c.waits++
	if c.Log != nil {
		c.Log.Warn("commit not confirmed, trying again", "epoch", c.body.Epoch, "wait", d, "error", cause)
	}
	if err := c.Clock.Sleep(ctx, d); err != nil {
		return sabot.WithKind(sabot.Retry, fmt.Errorf("interrupted, effect unknown: %w", errors.Join(err, cause)))
	}
	return nil
}
