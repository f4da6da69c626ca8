package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot/checkpoint"
)

type inspectCmd struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

// Run prints a snapshot of the job.
func (c inspectCmd) Run(ctx context.Context, w io.Writer) error {
	bucket, job, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer bucket.Close()
	s, err := checkpoint.Inspect(ctx, bucket, job)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(w, s)
	}
	t := newTable(w)
	state := "has input left"
	switch {
	case s.Finished:
		state = "finished at " + *s.FinishedAt
	case s.Ended:
		state = "all input is read, output is being published"
	}
	t.AppendRows([]table.Row{{"job", s.Job}, {"run", s.Run}, {"state", state}, {"epoch", s.Epoch}, {"term", s.Term}, {"committed", s.CommittedAt},
		{"watermark", orDash(s.Watermark)}, {"rows read", s.RowsRead}, {"rows late", s.RowsLate}, {"rows dead", s.RowsDead},
		{"partitions", s.Partitions}, {"references", s.References}, {"bytes", s.Bytes},
		{"outputs", fmt.Sprintf("%d open, %d to be published", s.OutputsOpen, s.OutputsWaiting)}})
	t.Render()
	fmt.Fprintln(w)
	t = newTable(w)
	t.AppendHeader(table.Row{"source", "split", "rows", "dead", "done", "watermark", "position"})
	for _, sp := range s.Splits {
		t.AppendRow(table.Row{sp.Source, sp.ID, sp.Rows, sp.Dead, fmt.Sprintf("%.0f %%", 100*sp.Done), orDash(sp.Watermark), sp.Position})
	}
	t.Render()
	return nil
}

func orDash(s *string) string {
	switch {
	case s == nil:
		return "-"
	case *s == checkpoint.EndOfInput:
		return "end of input"
	}
	return *s
}

func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = 0
	return t
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type fsckCmd struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

// Run checks the job.
func (c fsckCmd) Run(ctx context.Context, w io.Writer) error {
	bucket, job, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer bucket.Close()
	r, err := checkpoint.Fsck(ctx, bucket, job)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		for _, b := range r.Bad {
			fmt.Fprintf(w, "bad: %s: %s\n", b.Key, b.Reason)
		}
		fmt.Fprintf(w, "job %s, epoch %d: %d objects, %d ranges, %d bytes live, %d bytes retained, %d bytes garbage: ", r.Job, r.Epoch, r.Objects, r.Ranges,
			r.LiveBytes, r.RetainedBytes, r.GarbageBytes)
		if r.OK() {
			fmt.Fprintln(w, "all there and whole")
		} else {
			fmt.Fprintf(w, "%d bad objects\n", len(r.Bad))
		}
	}
	if !r.OK() {
		return errFound
	}
	return nil
}
