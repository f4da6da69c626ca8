package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

// coordinator names a running job by its coordinators.
type coordinator struct {
	Coordinator []string         `help:"Addresses of the job's coordinators; one of them leads (default ${default})." default:"127.0.0.1:7070,127.0.0.1:7071" placeholder:"HOST:PORT,..."`
	Security    control.Security `embed:""`
}

// requestTimeout bounds a request to a coordinator.
const requestTimeout = 10 * time.Second

// ask makes one request of the coordinator that leads: the others do not answer.
func (c coordinator) ask(ctx context.Context, f func(context.Context, *control.Client) error) error {
	var errs []error
	for _, addr := range c.Coordinator {
		err := c.askOne(ctx, addr, f)
		if err == nil || sabot.KindOf(err) == sabot.Invalid {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c coordinator) askOne(ctx context.Context, addr string, f func(context.Context, *control.Client) error) error {
	client, err := control.Dial(addr, c.Security)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := control.Meaning(f(ctx, client)); err != nil {
		return fmt.Errorf("ask the coordinator at %s: %w", addr, err)
	}
	return nil
}

type drainCmd struct {
	coordinator `embed:""`
	Worker      string `arg:"" help:"The worker's name or id, as status shows it."`
}

// Run sends a worker away.
func (c drainCmd) Run(ctx context.Context, w io.Writer) error {
	err := c.ask(ctx, func(ctx context.Context, client *control.Client) error {
		_, err := client.Drain(ctx, &controlpb.DrainRequest{Worker: c.Worker})
		return err
	})
	if err == nil {
		fmt.Fprintf(w, "Worker %s takes a last checkpoint and goes; its share goes to the others.\n", c.Worker)
	}
	return err
}

type stopCmd struct {
	coordinator `embed:""`
	Drain       bool   `help:"Close and publish all outputs before, as a change of the job's graph may need it."`
	Savepoint   bool   `help:"Keep the last checkpoint as a savepoint."`
	Name        string `help:"Of the savepoint (default: the time)." placeholder:"NAME"`
}

// Run stops a job.
func (c stopCmd) Run(ctx context.Context, w io.Writer) error {
	req := &controlpb.StopRequest{Drain: c.Drain}
	if c.Savepoint {
		req.SavepointId, req.SavepointName = clock.Real().Random(8), nameOf(c.Name)
	} else if c.Name != "" {
		return sabot.WithKind(sabot.Invalid, errors.New("--name is that of a savepoint: add --savepoint"))
	}
	err := c.ask(ctx, func(ctx context.Context, client *control.Client) error {
		_, err := client.Stop(ctx, req)
		return err
	})
	switch {
	case err != nil:
		return err
	case c.Savepoint:
		fmt.Fprintf(w, "The job takes a last checkpoint, keeps it as savepoint %s, and stops; it goes on from there when it is started again.\n", req.SavepointName)
	default:
		if c.Drain {
			fmt.Fprintln(w, "The job publishes what it has committed before it stops.")
		}
		fmt.Fprintln(w, "The job takes a last checkpoint and stops; it goes on from there when it is started again.")
	}
	return nil
}

type rescaleCmd struct {
	coordinator `embed:""`
	Partitions  uint32 `help:"Keyed partitions of each stage." required:"" placeholder:"N"`
}

// Run changes the number of partitions, and waits until it is committed.
func (c rescaleCmd) Run(ctx context.Context, w io.Writer) error {
	err := c.ask(ctx, func(ctx context.Context, client *control.Client) error {
		_, err := client.Rescale(ctx, &controlpb.RescaleRequest{Partitions: c.Partitions})
		return err
	})
	if err != nil {
		return err
	}
	for range 300 {
		have := 0
		err := c.ask(ctx, func(ctx context.Context, client *control.Client) error {
			reply, err := client.Status(ctx, &controlpb.StatusRequest{})
			if err == nil && len(reply.Root.Stages) > 0 {
				have = len(reply.Root.Stages[0].Partitions)
			}
			return err
		})
		if err != nil {
			return err
		}
		if have == int(c.Partitions) {
			fmt.Fprintf(w, "The job has %d partitions.\n", have)
			return nil
		}
		if err := clock.Real().Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the job does not have %d partitions after half a minute; see the coordinator's log", c.Partitions)
}
