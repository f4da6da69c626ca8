package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
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

type statusCmd struct {
	coordinator `embed:""`
	Watch       bool `help:"Show it again every two seconds, until interrupted."`
	JSON        bool `help:"Print JSON."`
}

// watchEvery is how often --watch shows the status.
const watchEvery = 2 * time.Second

// Run prints the status of a running job.
func (c statusCmd) Run(ctx context.Context, w io.Writer) error {
	for {
		var reply *controlpb.StatusReply
		err := c.ask(ctx, func(ctx context.Context, client *control.Client) (err error) {
			reply, err = client.Status(ctx, &controlpb.StatusRequest{})
			return err
		})
		if err != nil {
			return err
		}
		if c.JSON {
			b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(reply)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, string(b))
		} else {
			printStatus(w, reply)
		}
		if !c.Watch {
			return nil
		}
		if err := clock.Real().Sleep(ctx, watchEvery); err != nil {
			return nil //nolint:nilerr // interrupted: that is how watching ends
		}
	}
}

// printStatus prints a status for a person.
func printStatus(w io.Writer, s *controlpb.StatusReply) {
	sum := checkpoint.Summarize(s.Root)
	age := time.Duration(s.NowUs-s.Root.CommittedUs) * time.Microsecond
	fmt.Fprintf(w, "job %s, run %s, term %d: checkpoint %d, committed %s ago; %d rows read, %d late, %d dead; watermark %s\n\n", s.Root.Job, s.Root.Run,
		s.Root.Term, s.Root.Epoch, age.Round(100*time.Millisecond), sum.RowsRead, sum.RowsLate, sum.RowsDead, orDash(sum.Watermark))
	t := newTable(w)
	t.AppendHeader(table.Row{"worker", "id", "splits", "partitions", "rows read here", "unsent bytes", "heard of", "state"})
	splits, parts := shares(s.Root)
	for _, x := range s.Workers {
		state := "works"
		switch {
		case !x.HasGroup:
			state = "waits for a share"
		case x.Leaving:
			state = "goes after its last checkpoint"
		case x.OpenCut != 0:
			state = fmt.Sprintf("writes checkpoint %d", x.OpenCut)
		case x.Progress.GetEnded():
			state = "has read all"
		}
		t.AppendRow(table.Row{x.Name, x.Id, splits[x.Group], parts[x.Group], x.Progress.GetRows(), x.Progress.GetBytes(),
			fmt.Sprintf("%s ago", (time.Duration(x.SilentUs) * time.Microsecond).Round(100*time.Millisecond)), state})
	}
	t.Render()
	unread := int64(0)
	for _, e := range s.Root.Exchanges {
		for _, b := range e.Blocks {
			unread += b.Length
		}
	}
	if unread > 0 {
		fmt.Fprintf(w, "%d bytes are on their way between workers.\n", unread)
	}
	for _, why := range s.Stuck {
		fmt.Fprintf(w, "stuck: %s\n", why)
	}
}

// shares counts each group's open splits and its partitions.
func shares(root *pb.Root) (splits, parts map[uint32]int) {
	splits, parts = map[uint32]int{}, map[uint32]int{}
	for _, src := range root.Sources {
		for _, sp := range src.Splits {
			if !sp.Ended {
				splits[sp.Group]++
			}
		}
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			parts[p.Group]++
		}
	}
	return splits, parts
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
