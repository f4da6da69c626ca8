package savepoint

import (
	"context"
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

// Live changes a job through its coordinator.
type Live struct {
	Ask   func(ctx context.Context, f func(context.Context, *control.Client) error) error // makes a request
	Clock clock.Clock
}

// How long Live waits for the coordinator to commit what was asked for.
const (
	patience = time.Minute
	poll     = 50 * time.Millisecond
)

// Create implements Keeper.
func (l Live) Create(ctx context.Context, id, name string) error {
	err := l.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Savepoint(ctx, &controlpb.SavepointRequest{Id: id, Name: name})
		return err
	})
	if err != nil {
		return err
	}
	return l.until(ctx, id, func(p *pb.Pin) bool { return p != nil && p.Written })
}

// Remove implements Keeper.
func (l Live) Remove(ctx context.Context, id string) error {
	err := l.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.RemoveSavepoint(ctx, &controlpb.RemoveSavepointRequest{Id: id})
		return err
	})
	if err != nil {
		return err
	}
	return l.until(ctx, id, func(p *pb.Pin) bool { return p == nil })
}

// Clone implements Keeper.
func (l Live) Clone(ctx context.Context, of, id, job string) error {
	err := l.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Clone(ctx, &controlpb.CloneRequest{Of: of, Id: id, Job: job})
		return err
	})
	if err != nil {
		return err
	}
	return l.until(ctx, id, func(p *pb.Pin) bool { return p != nil })
}

// until waits until the committed root's pin of an id, nil when there is none, is as wanted.
func (l Live) until(ctx context.Context, id string, wanted func(*pb.Pin) bool) error {
	for began := l.Clock.Now(); l.Clock.Now().Sub(began) < patience; {
		var root *pb.Root
		err := l.Ask(ctx, func(ctx context.Context, c *control.Client) error {
			r, err := c.Status(ctx, &controlpb.StatusRequest{})
			root = r.GetRoot()
			return err
		})
		if err != nil {
			return err
		}
		if wanted(checkpoint.PinOf(root, id)) {
			return nil
		}
		if err := l.Clock.Sleep(ctx, poll); err != nil {
			return err
		}
	}
	return sabot.WithKind(sabot.Retry, fmt.Errorf("the coordinator has not committed it within %s: it may have been replaced by another, which does not know of it; "+
		"sabot savepoint ls shows what there is", patience))
}
