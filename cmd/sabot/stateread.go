package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/internal/jsonl"
	"github.com/sabot-stream/sabot/view"
)

// seen names a checkpoint of a job.
type seen struct {
	target `embed:""`
	At     string `help:"A savepoint's name, or the number or id of any checkpoint that is kept (sabot savepoint ls), instead of the newest." placeholder:"CHECKPOINT"`
	JSON   bool   `help:"Print JSON."`
}

// view opens a view of the checkpoint; done ends it.
func (c seen) view(ctx context.Context) (v *view.View, done func(), err error) {
	bucket, job, err := c.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	newest, err := view.Open(ctx, bucket, job, view.Follow())
	if err != nil {
		bucket.Close()
		return nil, nil, err
	}
	done = func() {
		newest.Close()
		bucket.Close()
	}
	if c.At == "" {
		return newest, done, nil
	}
	if v, err = newest.AtSavepoint(ctx, c.At); sabot.KindOf(err) == sabot.Invalid {
		if epoch, notNumber := strconv.ParseUint(c.At, 10, 64); notNumber == nil {
			v, err = newest.At(ctx, epoch)
		}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return v, done, nil
}

type stateGetCmd struct {
	seen  `embed:""`
	Table string   `arg:"" help:"The table; sabot state ls lists them."`
	Key   []string `arg:"" help:"A value for each column of the key, and then if wanted a map's entry, a window's end or a timer's time. null is null, times are RFC 3339, bytes 0x...; put -- before a key that begins with a dash."`
}

// Run shows the rows of a key; exit 1 when there are none.
func (c stateGetCmd) Run(ctx context.Context, w io.Writer) error {
	v, done, err := c.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	t, err := v.Table(c.Table)
	if err != nil {
		return err
	}
	key, err := t.ParseKey(c.Key...)
	if err != nil {
		return err
	}
	rows, err := v.Get(ctx, c.Table, key...)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		if !c.JSON {
			fmt.Fprintf(w, "Table %s has nothing of this key at checkpoint %d.\n", c.Table, v.Epoch())
		}
		return errFound
	}
	p := printer{w: w, json: c.JSON}
	if err := p.print(view.RecordOf(rows)); err != nil {
		return err
	}
	p.end()
	return nil
}

type stateScanCmd struct {
	seen  `embed:""`
	Table string `arg:"" help:"The table; sabot state ls lists them."`
	Limit int64  `help:"Most rows to show, 100 unless told; 0: all." default:"100" placeholder:"N"`
}

// Run shows rows in the order of the keys' hashes.
func (c stateScanCmd) Run(ctx context.Context, w io.Writer) error {
	if c.Limit < 0 {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("--limit %d: it cannot be negative", c.Limit))
	}
	v, done, err := c.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	p := printer{w: w, json: c.JSON}
	left, more := c.Limit, false
	for rec, err := range v.Batches(ctx, c.Table) {
		if err != nil {
			return err
		}
		if c.Limit > 0 {
			if more = rec.NumRows() > left || left == 0; more {
				rec = rec.NewSlice(0, left)
			}
			left -= rec.NumRows()
		}
		if err := p.print(rec); err != nil {
			return err
		}
		if more {
			break
		}
	}
	p.end()
	if more && !c.JSON {
		fmt.Fprintf(w, "The first %d rows, in no order of their own; --limit 0 shows all.\n", c.Limit)
	}
	return nil
}

// printer prints batches of one table.
type printer struct {
	w    io.Writer
	json bool
	t    table.Writer
}

func (p *printer) print(rec arrow.RecordBatch) error {
	if p.json {
		var b bytes.Buffer
		if err := jsonl.Encode(&b, rec); err != nil {
			return err
		}
		_, err := p.w.Write(b.Bytes())
		return err
	}
	if p.t == nil {
		p.t = newTable(p.w)
		header := table.Row{}
		for _, f := range rec.Schema().Fields() {
			header = append(header, f.Name)
		}
		p.t.AppendHeader(header)
	}
	for i := range int(rec.NumRows()) {
		r := table.Row{}
		for _, c := range rec.Columns() {
			r = append(r, cellText(c, i))
		}
		p.t.AppendRow(r)
	}
	return nil
}

func (p *printer) end() {
	if p.t != nil {
		p.t.Render()
	}
}

// cellText returns a value as people, and ParseKey, read it.
func cellText(c arrow.Array, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch c := c.(type) {
	case *array.Timestamp:
		if sabot.Micros(c.Value(i)) == sabot.MaxMicros {
			return "end of time"
		}
		return jsonl.Time(c.Value(i))
	case *array.Date32:
		return c.Value(i).ToTime().Format(time.DateOnly)
	case *array.Binary:
		return "0x" + hex.EncodeToString(c.Value(i))
	}
	return c.ValueStr(i)
}

type stateExportCmd struct {
	seen  `embed:""`
	Table string `arg:"" help:"The table; sabot state ls lists them."`
	Out   string `help:"The file: .parquet, .arrow, .csv or .jsonl. One that exists is replaced, once the new one is whole." required:"" placeholder:"FILE"`
}

// Run writes a table to a file, a batch at a time.
func (c stateExportCmd) Run(ctx context.Context, w io.Writer) (err error) {
	f, err := file.FormatOf(c.Out)
	if err != nil {
		return err
	}
	v, done, err := c.view(ctx)
	if err != nil {
		return err
	}
	defer done()
	t, err := v.Table(c.Table)
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(c.Out), "."+filepath.Base(c.Out)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", c.Out, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	rows := newBatches(t.Schema(), v.Batches(ctx, c.Table))
	defer rows.stop()
	if err := errors.Join(file.Write(out, f, rows), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", c.Out, err)
	}
	if err := errors.Join(os.Chmod(out.Name(), 0o644), os.Rename(out.Name(), c.Out)); err != nil {
		return fmt.Errorf("write %s: %w", c.Out, err)
	}
	if c.JSON {
		return printJSON(w, map[string]any{"table": c.Table, "checkpoint": v.Epoch(), "rows": rows.n, "file": c.Out})
	}
	_, err = fmt.Fprintf(w, "%s has the %d rows of table %s at checkpoint %d.\n", c.Out, rows.n, c.Table, v.Epoch())
	return err
}

// batches is an array.RecordReader of a sequence.
type batches struct {
	schema *arrow.Schema
	next   func() (arrow.RecordBatch, error, bool)
	stop   func()
	rec    arrow.RecordBatch
	err    error
	n      int64
}

func newBatches(schema *arrow.Schema, seq iter.Seq2[arrow.RecordBatch, error]) *batches {
	b := &batches{schema: schema}
	b.next, b.stop = iter.Pull2(seq)
	return b
}

// Retain implements array.RecordReader: memory is the garbage collector's.
func (b *batches) Retain() {}

// Release implements array.RecordReader.
func (b *batches) Release() {}

// Schema implements array.RecordReader.
func (b *batches) Schema() *arrow.Schema { return b.schema }

// Next implements array.RecordReader.
func (b *batches) Next() bool {
	rec, err, ok := b.next()
	if !ok || err != nil {
		b.err = err
		return false
	}
	b.rec = rec
	b.n += rec.NumRows()
	return true
}

// RecordBatch implements array.RecordReader.
func (b *batches) RecordBatch() arrow.RecordBatch { return b.rec }

// Record implements array.RecordReader.
func (b *batches) Record() arrow.RecordBatch { return b.rec }

// Err implements array.RecordReader.
func (b *batches) Err() error { return b.err }
