package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// missingError says that the bucket does not have an object that a root has named.
type missingError struct {
	key string
	err error
}

func (e *missingError) Error() string { return e.err.Error() }

// Unwrap returns the bucket's error.
func (e *missingError) Unwrap() error { return e.err }

// getRange reads a range of an object that a root names.
func (w *Worker) getRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	b, err := w.cfg.Bucket.GetRange(ctx, key, off, n)
	return b, readFailed(key, off, err)
}

// readFailed says what was being read when err happened, if it did.
func readFailed(key string, off int64, err error) error {
	if errors.Is(err, objstore.ErrNotFound) {
		err = &missingError{key, err}
	}
	if err != nil {
		return fmt.Errorf("read %s at %d: %w", key, off, err)
	}
	return nil
}

// stale tells what it means that an object is missing: the root that named it may not be the last one any more, whether or not this worker has
// been told so meanwhile. Only what the last root names must be there.
func (w *Worker) stale(ctx context.Context, root *pb.Root, gone *missingError, err error) error {
	now, _, readErr := checkpoint.Store{Bucket: w.cfg.Bucket, Paths: w.cfg.Paths, Clock: w.cfg.Clock}.Read(ctx)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case now.Term > root.Term:
		return sabot.WithKind(sabot.Fenced, fmt.Errorf("another process has taken the job over (term %d, ours is %d): %w", now.Term, root.Term, err))
	case !slices.ContainsFunc(now.Objects, func(o *pb.Object) bool { return o.Key == gone.key }):
		return sabot.WithKind(sabot.Retry, fmt.Errorf("checkpoint %d does not name it any more: %w", now.Epoch, err))
	}
	return err
}
