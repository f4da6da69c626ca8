package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
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

type stateLsCmd struct {
	target `embed:""`
}

// tableSum sums up the references of one bucket of one table.
type tableSum struct {
	stage      uint32
	table      string
	lo, hi     int64
	partitions map[uint64]bool
	refs       int
	bytes      map[string]int64
	rows       map[string]int64
}

// Run lists the tables.
func (c stateLsCmd) Run(ctx context.Context, w io.Writer) error {
	bucket, job, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer bucket.Close()
	root, _, err := checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(job), Clock: clock.Real()}.Read(ctx)
	if err != nil {
		return err
	}
	t := newTable(w)
	t.AppendHeader(table.Row{"stage", "table", "from", "to", "partitions", "references", "rows", "bytes"})
	for _, s := range tables(root) {
		t.AppendRow(table.Row{s.stage, s.table, bound(s.lo, s.lo, s.hi), bound(s.hi, s.lo, s.hi), len(s.partitions), s.refs, sum(s.rows), sum(s.bytes)})
	}
	t.Render()
	fmt.Fprintln(w, "Rows count each segment's puts and deletes; compaction takes the older ones of a key away.")
	return nil
}

// tables sums up the root's references by table and time bucket, in order.
func tables(root *pb.Root) []*tableSum {
	sums := map[string]*tableSum{}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				id := fmt.Sprint(st.Id, r.Table, r.BucketLo, r.BucketHi)
				s := sums[id]
				if s == nil {
					s = &tableSum{stage: st.Id, table: r.Table, lo: r.BucketLo, hi: r.BucketHi, partitions: map[uint64]bool{}, bytes: map[string]int64{}, rows: map[string]int64{}}
					sums[id] = s
				}
				s.partitions[p.Lo] = true
				s.refs++
				segment := fmt.Sprint(r.Object, r.Offset)
				s.bytes[segment], s.rows[segment] = r.Length, r.Rows
			}
		}
	}
	out := make([]*tableSum, 0, len(sums))
	for _, s := range sums {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *tableSum) int {
		return cmp.Or(cmp.Compare(a.stage, b.stage), strings.Compare(a.table, b.table), cmp.Compare(a.lo, b.lo))
	})
	return out
}

// bound prints an end of a time bucket; tables without buckets have none.
func bound(us, lo, hi int64) string {
	if lo == 0 && hi == 0 {
		return "-"
	}
	return checkpoint.Instant(us)
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
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
