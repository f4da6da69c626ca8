package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/savepoint"
)

type savepointCmd struct {
	Create  savepointCreateCmd  `cmd:"" help:"Keep a job's newest checkpoint until it is removed."`
	Ls      savepointLsCmd      `cmd:"" help:"List savepoints, retained checkpoints, and what clones need."`
	Restore savepointRestoreCmd `cmd:"" help:"Make a job that does not run go back to a savepoint or a retained checkpoint, or begin a new job with it."`
	Rm      savepointRmCmd      `cmd:"" help:"Remove a savepoint, a retained checkpoint, or what a clone needed."`
}

// keeping names a job in a bucket, and its coordinators when it runs.
type keeping struct {
	target      `embed:""`
	Coordinator []string         `help:"Addresses of the job's coordinators, when it runs as a cluster." placeholder:"HOST:PORT,..."`
	Security    control.Security `embed:""`
}

// keeper opens the bucket, and returns who can change the job's savepoints.
func (k keeping) keeper(ctx context.Context) (savepoint.Keeper, checkpoint.Store, error) {
	bucket, job, err := k.open(ctx)
	if err != nil {
		return nil, checkpoint.Store{}, err
	}
	s := checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(job), Clock: clock.Real()}
	if len(k.Coordinator) > 0 {
		return savepoint.Live{Ask: coordinator{k.Coordinator, k.Security}.ask, Clock: clock.Real()}, s, nil
	}
	return savepoint.Offline{Bucket: bucket, Job: job, Clock: clock.Real()}, s, nil
}

// nameOf returns a name for a savepoint that is given none: its time.
func nameOf(name string) string {
	if name != "" {
		return name
	}
	return clock.Real().Now().UTC().Format("20060102-150405.000")
}

type savepointCreateCmd struct {
	keeping `embed:""`
	Name    string `arg:"" optional:"" help:"Of the savepoint (default: the time)."`
}

// Run makes a savepoint.
func (c savepointCreateCmd) Run(ctx context.Context, w io.Writer) error {
	k, s, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	defer s.Bucket.Close()
	name, id := nameOf(c.Name), clock.Real().Random(8)
	if err := k.Create(ctx, id, name); err != nil {
		return err
	}
	root, _, err := s.Read(ctx)
	if err != nil {
		return err
	}
	epoch := uint64(0)
	if p := checkpoint.PinOf(root, id); p != nil {
		epoch = p.Epoch
	}
	fmt.Fprintf(w, "Savepoint %s keeps checkpoint %d of job %s.\n", name, epoch, s.Paths.Job())
	return nil
}

type savepointLsCmd struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

// pinRow is a pin as the list shows it.
type pinRow struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Checkpoint uint64 `json:"checkpoint"`
	Created    string `json:"created"`
	Bytes      int64  `json:"bytes"` // of the objects
	Written    bool   `json:"written"`
}

// Run lists a job's pins.
func (c savepointLsCmd) Run(ctx context.Context, w io.Writer) error {
	bucket, job, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer bucket.Close()
	root, _, err := checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(job), Clock: clock.Real()}.Read(ctx)
	if err != nil {
		return err
	}
	rows := []pinRow{}
	for _, p := range root.Pins {
		r := pinRow{p.Id, checkpoint.KindName(p.Kind), p.Name, p.Epoch, checkpoint.Instant(p.CreatedUs), 0, p.Written}
		for _, o := range p.Objects {
			r.Bytes += root.Objects[o].Size
		}
		rows = append(rows, r)
	}
	if c.JSON {
		return printJSON(w, rows)
	}
	t := newTable(w)
	t.AppendHeader(table.Row{"id", "kind", "name", "checkpoint", "created", "bytes", "usable"})
	for _, r := range rows {
		usable := "yes"
		switch {
		case r.Kind == checkpoint.KindName(pb.PinKind_CLONE):
			usable = "-"
		case !r.Written:
			usable = "not yet"
		}
		t.AppendRow(table.Row{r.ID, r.Kind, r.Name, r.Checkpoint, r.Created, r.Bytes, usable})
	}
	t.Render()
	return nil
}

type savepointRmCmd struct {
	keeping `embed:""`
	Name    string `arg:"" help:"The savepoint's name, or any id of the list."`
}

// Run removes a pin.
func (c savepointRmCmd) Run(ctx context.Context, w io.Writer) error {
	k, s, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	defer s.Bucket.Close()
	p, err := savepoint.Remove(ctx, k, s, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Removed: %s %s of checkpoint %d.\n", checkpoint.KindName(p.Kind), strings.TrimSpace(p.Name+" "+p.Id), p.Epoch)
	return nil
}

type savepointRestoreCmd struct {
	keeping `embed:""`
	Name    string `arg:"" help:"The savepoint's name, or any id of the list."`
	As      string `help:"Begin a new job of this name with it; the one that it is of is left as it is." placeholder:"JOB"`
}

// Run makes a job go back, or begins a new one.
func (c savepointRestoreCmd) Run(ctx context.Context, w io.Writer) error {
	k, s, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	defer s.Bucket.Close()
	if c.As != "" {
		return beginClone(ctx, w, k, s, c.Name, c.As)
	}
	o, ok := k.(savepoint.Offline)
	if !ok {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s runs: a job goes back only when it is stopped (sabot stop); --as begins a new one with the savepoint", s.Paths.Job()))
	}
	root, rep, err := o.Restore(ctx, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Job %s goes on from %s, with %d rows read, when it is started.\n", root.Job, c.Name, checkpoint.RowsRead(root))
	fmt.Fprintf(w, "What run %s published since comes again: the rows of its outputs with numbers above %d", rep.Run, rep.Above)
	if len(rep.Cuts) > 0 {
		fmt.Fprintf(w, ", or with one of %v", rep.Cuts)
	}
	for _, o := range rep.Open {
		fmt.Fprintf(w, ", and of %s %s %d", o.Sink, o.Range, o.Number)
	}
	fmt.Fprintln(w, ".")
	return nil
}

// beginClone makes a job that begins with a pin of another.
func beginClone(ctx context.Context, w io.Writer, k savepoint.Keeper, s checkpoint.Store, pin, job string) error {
	root, err := savepoint.Clone(ctx, k, s, pin, job)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Job %s begins where %s of job %s is, with %d rows read. Start it with --as %s.\n", job, pin, s.Paths.Job(), checkpoint.RowsRead(root), job)
	return nil
}

type cloneCmd struct {
	keeping `embed:""`
	As      string `arg:"" help:"The new job."`
}

// Run makes a savepoint for as long as it takes to clone it.
func (c cloneCmd) Run(ctx context.Context, w io.Writer) error {
	k, s, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	defer s.Bucket.Close()
	id := clock.Real().Random(8)
	if err := k.Create(ctx, id, "clone-"+id); err != nil {
		return err
	}
	err = beginClone(ctx, w, k, s, id, c.As)
	if rmErr := k.Remove(ctx, id); rmErr != nil {
		fmt.Fprintf(w, "Savepoint clone-%s is left, and can be removed: %v\n", id, rmErr)
	}
	return err
}
