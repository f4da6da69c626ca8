package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// WriteCopy writes the copy of a root that Commit has committed, for a pin that it has brought in. It repeats what fails, as Commit does.
func (s Store) WriteCopy(ctx context.Context, root *pb.Root, pin *pb.Pin) error {
	key := s.Paths.Copy(pin)
	b, err := EncodeRoot(root)
	if err != nil {
		return sabot.WithKind(sabot.Internal, err)
	}
	c := commit{Store: s, body: root, began: s.Clock.Now()}
	for {
		err := s.Bucket.Put(ctx, key, b)
		if err == nil {
			return nil
		}
		if err := c.wait(ctx, err); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// ReadCopy reads the root that belongs to a pin of the committed root. What is not that root is a Corrupt error.
func (s Store) ReadCopy(ctx context.Context, pin *pb.Pin) (*pb.Root, error) {
	key := s.Paths.Copy(pin)
	b, _, err := s.Bucket.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("%s, which the job's root lists as written, is not there", key))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	root, err := DecodeRoot(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if p := PinOf(root, pin.Id); root.Job != s.Paths.Job() || p == nil || p.Term != pin.Term || p.Epoch != pin.Epoch {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("%s is not the copy of the root that it should be", key))
	}
	return root, nil
}

// SweepCopies lists the copies of a job and deletes those of terms up to the committed one that no pin keeps: what crashed processes left. Committed
// returns the newest root; it is asked after the listing, so that every copy which is listed has its pin in it, or has lost it for ever. It
// returns how many it deleted.
func (s Store) SweepCopies(ctx context.Context, committed func() *pb.Root) (int, error) {
	var keys []string
	for o, err := range s.Bucket.List(ctx, s.Paths.Copies()) {
		if err != nil {
			return 0, fmt.Errorf("list copies of %s: %w", s.Paths.Job(), err)
		}
		keys = append(keys, o.Key)
	}
	n := 0
	for _, k := range Collectable(committed(), keys) {
		if err := s.Bucket.Delete(ctx, k); err != nil {
			return n, fmt.Errorf("delete %s: %w", k, err)
		}
		n++
	}
	return n, nil
}
