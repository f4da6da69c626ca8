package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

type stateLsCmd struct {
	seen `embed:""`
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

// tableRow is a tableSum as the list shows it. Rows count each segment's puts and deletes.
type tableRow struct {
	Stage      uint32  `json:"stage"`
	Table      string  `json:"table"`
	From       *string `json:"from"` // of the time bucket; null: the table has none
	To         *string `json:"to"`
	Partitions int     `json:"partitions"`
	References int     `json:"references"`
	Rows       int64   `json:"rows"`
	Bytes      int64   `json:"bytes"`
}

// Run lists the tables.
func (c stateLsCmd) Run(ctx context.Context, w io.Writer) error {
	v, done, err := c.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	rows := []tableRow{}
	for _, s := range tables(v.Root()) {
		r := tableRow{Stage: s.stage, Table: s.table, Partitions: len(s.partitions), References: s.refs, Rows: sum(s.rows), Bytes: sum(s.bytes)}
		if s.lo != 0 || s.hi != 0 {
			from, to := checkpoint.Instant(s.lo), checkpoint.Instant(s.hi)
			r.From, r.To = &from, &to
		}
		rows = append(rows, r)
	}
	if c.JSON {
		return printJSON(w, rows)
	}
	t := newTable(w)
	t.AppendHeader(table.Row{"stage", "table", "from", "to", "partitions", "references", "rows", "bytes"})
	for _, r := range rows {
		t.AppendRow(table.Row{r.Stage, r.Table, orDash(r.From), orDash(r.To), r.Partitions, r.References, r.Rows, r.Bytes})
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

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}
