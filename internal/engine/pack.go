package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

const (
	// packBytes is the size at which a pack is full and the next is begun.
	packBytes = 64 << 20
	// sectionRows is the least number of rows of a record in a section, but for the last: small batches are joined.
	sectionRows = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packs are the objects of one cut in the making. State and sections, which are garbage soon, share an object while both are small.
type packs struct {
	name  func() string // of the next object
	apart bool          // state and sections go to objects of their own
	objs  []*pb.Object
	data  [][][]byte // what each object is put together from
	last  [2]int     // current object of each kind, plus one
}

// What lies in a pack.
const (
	stateBytes = iota
	sectionBytes
)

// sharedBytes is up to what size state and sections share an object.
const sharedBytes = 4 << 20

// add appends b, which nobody changes any more, to the current object of its kind and returns where it lies.
func (p *packs) add(kind int, b []byte) (object uint32, offset int64) {
	if !p.apart {
		kind = stateBytes
	}
	at := p.last[kind] - 1
	if at < 0 || p.objs[at].Size+int64(len(b)) > packBytes && p.objs[at].Size > 0 {
		p.objs = append(p.objs, &pb.Object{Key: p.name()})
		p.data = append(p.data, nil)
		at = len(p.data) - 1
		p.last[kind] = at + 1
	}
	offset = p.objs[at].Size
	p.data[at] = append(p.data[at], b)
	p.objs[at].Size += int64(len(b))
	return uint32(at), offset
}

// section appends b as a section of rows.
func (p *packs) section(b []byte, rows int64) *pb.Section {
	o, off := p.add(sectionBytes, b)
	return &pb.Section{Object: o, Offset: off, Length: int64(len(b)), Crc: crc32.Checksum(b, castagnoli), Rows: rows}
}

// filed returns a report whose objects are those of p.
func (p *packs) filed(r *pb.Report) *checkpoint.Filed {
	f := &checkpoint.Filed{Report: r, Bodies: map[string][]byte{}}
	for i, o := range p.objs {
		f.Bodies[o.Key] = slices.Concat(p.data[i]...)
	}
	return f
}

// file writes a report's objects, trying again as long as the failure may pass, and sends it. That the coordinator is gone is no error: the ledger
// has the report for the next one.
func (g *group) file(ctx context.Context, f *checkpoint.Filed) error {
	g.stage.next(Upload)
	defer g.stage.next("")
	for _, key := range f.Keys() {
		if err := g.w.put(ctx, key, f.Bodies[key]); err != nil {
			return fmt.Errorf("upload cut %d: %w", f.Report.Cut, err)
		}
	}
	g.ledger.Filed(f.Report, f.Bodies)
	_ = g.w.send(ctx, &pb.FromWorker{Message: &pb.FromWorker_Report{Report: f.Report}})
	g.w.reported.Store(true)
	g.w.nudge()
	return nil
}

func (w *Worker) put(ctx context.Context, key string, body []byte) error {
	t := trouble{of: &w.troubles}
	defer t.over()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := w.cfg.Bucket.Put(ctx, key, body)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case sabot.KindOf(err) == sabot.Invalid:
			return err // it names the key
		}
		t.failed(w.cfg.Clock.Now(), fmt.Errorf("write %s: %w", key, err))
		w.cfg.Log.Warn("write failed, trying again", "key", key, "bytes", len(body), "wait", wait, "error", err)
		if err := w.cfg.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// encodeSection writes batches as an Arrow IPC stream, small ones joined, and returns the records too. The caller releases them.
func encodeSection(schema *arrow.Schema, batches []*batch.Batch) ([]byte, []arrow.RecordBatch, error) {
	recs, err := joinSmall(schema, batches)
	if err != nil {
		return nil, nil, err
	}
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(schema))
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			return nil, nil, fmt.Errorf("encode output rows: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, fmt.Errorf("encode output rows: %w", err)
	}
	return buf.Bytes(), recs, nil
}

// joinSmall turns batches into records of at least sectionRows rows, but for the last. It takes over the batches' references.
func joinSmall(schema *arrow.Schema, batches []*batch.Batch) ([]arrow.RecordBatch, error) {
	var recs []arrow.RecordBatch
	for len(batches) > 0 {
		n, k := 0, 0
		for k < len(batches) && n < sectionRows {
			n += batches[k].Rows()
			k++
		}
		rec, err := joined(schema, batches[:k])
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
		batches = batches[k:]
	}
	return recs, nil
}

func joined(schema *arrow.Schema, batches []*batch.Batch) (arrow.RecordBatch, error) {
	for i, b := range batches {
		batches[i] = batch.Compact(b)
	}
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	if len(batches) == 1 && !batches[0].Shared() {
		return array.NewRecordBatch(schema, batches[0].Cols, int64(batches[0].N)), nil
	}
	rows := 0
	for _, b := range batches {
		rows += b.N
	}
	cols := make([]arrow.Array, len(schema.Fields()))
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for c := range cols {
		parts := make([]arrow.Array, len(batches))
		for i, b := range batches {
			parts[i] = b.Cols[c]
		}
		col, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return nil, fmt.Errorf("join column %q of output rows: %w", schema.Field(c).Name, err)
		}
		cols[c] = col
	}
	return array.NewRecordBatch(schema, cols, int64(rows)), nil
}

// readSection fetches a section and checks it against its checksum.
func (w *Worker) readSection(ctx context.Context, root *pb.Root, s *pb.Section) ([]byte, error) {
	key := root.Objects[s.Object].Key
	b, err := w.getRange(ctx, key, s.Offset, s.Length)
	if err != nil {
		var gone *missingError
		if errors.As(err, &gone) {
			err = sabot.WithKind(sabot.Corrupt, err)
		}
		return nil, fmt.Errorf("output section: %w", err)
	}
	if got := crc32.Checksum(b, castagnoli); got != s.Crc {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("read output section of %s at %d: checksum %08x, want %08x", key, s.Offset, got, s.Crc))
	}
	return b, nil
}
