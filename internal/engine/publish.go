package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// publisher publishes the closed outputs of committed roots, and writes committed dead letters out. What it has done goes into the next report.
type publisher struct {
	w     *Worker
	run   string
	group uint32
	cache *sectionCache
	slots chan struct{} // one for each publication under way
	fail  func(error)   // ends the job

	mu      sync.Mutex
	wg      sync.WaitGroup
	begun   map[string]bool
	done    []*pb.OutputKey
	written []*pb.DeadKey
	swept   bool
}

func newPublisher(w *Worker, run string, group uint32, cache *sectionCache, fail func(error)) *publisher {
	return &publisher{w: w, run: run, group: group, cache: cache, slots: make(chan struct{}, w.cfg.Lanes), fail: fail, begun: map[string]bool{}}
}

// start takes up what root lists and has not been begun. It returns at once.
func (p *publisher) start(ctx context.Context, root *pb.Root) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range root.Outputs {
		if o.Closed && o.Group == p.group && p.begin(fmt.Sprintf("%s/%s/%d", o.Sink, o.Range, o.Number)) {
			p.work(ctx, func() error { return p.publish(ctx, root, o) }, func() {
				p.done = append(p.done, &pb.OutputKey{Sink: o.Sink, Range: o.Range, Number: o.Number})
			})
		}
	}
	for _, d := range root.DeadSections {
		if d.Group == p.group && p.begin(fmt.Sprintf("dead/%d/%d", d.Cut, d.Index)) {
			p.work(ctx, func() error { return p.writeDead(ctx, root, d) }, func() {
				p.written = append(p.written, &pb.DeadKey{Cut: d.Cut, Index: d.Index})
			})
		}
	}
	if len(root.OldRuns) > 0 && first(root) == p.group && p.begin("sweep") {
		p.work(ctx, func() error { return p.sweep(ctx, root) }, func() { p.swept = true })
	}
}

// first returns the group that does what one of them has to do.
func first(root *pb.Root) uint32 {
	if owners := checkpoint.Owners(root); len(owners) > 0 {
		return owners[0]
	}
	return 0
}

func (p *publisher) begin(what string) bool {
	if p.begun[what] {
		return false
	}
	p.begun[what] = true
	return true
}

func (p *publisher) work(ctx context.Context, do func() error, note func()) {
	p.wg.Go(func() {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-p.slots }()
		if err := p.retry(ctx, do); err != nil {
			if ctx.Err() == nil {
				p.fail(err)
			}
			return
		}
		p.mu.Lock()
		note()
		p.mu.Unlock()
		p.w.nudge()
	})
}

// retry calls do until it succeeds, the context ends or the error is one that no retry mends.
func (p *publisher) retry(ctx context.Context, do func() error) error {
	t := trouble{of: &p.w.troubles}
	defer t.over()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := guarded(do)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if k := sabot.KindOf(err); k == sabot.Invalid || k == sabot.Corrupt {
			return err
		}
		t.failed(p.w.cfg.Clock.Now(), err)
		p.w.cfg.Log.Warn("publishing failed, trying again", "wait", wait, "error", err)
		if err := p.w.cfg.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// guarded turns a panic of user code into an error that stops the job: it would come again at each retry.
func guarded(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = sabot.WithKind(sabot.Invalid, fmt.Errorf("panic while publishing: %v", v))
		}
	}()
	return do()
}

func (p *publisher) publish(ctx context.Context, root *pb.Root, o *pb.Output) error {
	id := sabot.OutputID{Job: root.Job, Run: p.run, Sink: o.Sink, Range: o.Range, Number: o.Number}
	sink, ok := p.w.cfg.Impl(o.Sink).(sabot.Sink)
	if !ok {
		return sabot.WithKind(sabot.Internal, fmt.Errorf("publish %s: the job has no committed sink %q", id, o.Sink))
	}
	var recs []arrow.RecordBatch
	defer func() {
		for _, r := range recs {
			r.Release()
		}
	}()
	for _, s := range o.Sections {
		got, err := p.section(ctx, root, s)
		if err != nil {
			return fmt.Errorf("publish %s: %w", id, err)
		}
		recs = append(recs, got...)
	}
	if len(recs) == 0 {
		return nil
	}
	if err := publishTo(ctx, sink, id, recs); err != nil {
		return fmt.Errorf("publish %s: %w", id, err)
	}
	for _, s := range o.Sections {
		p.w.out[o.Sink].add(s.Rows, s.Length)
		p.cache.drop(root.Objects[s.Object].Key, s.Offset)
	}
	return nil
}

func publishTo(ctx context.Context, sink sabot.Sink, id sabot.OutputID, recs []arrow.RecordBatch) error {
	if s, ok := sink.(sabot.StreamSink); ok {
		r, err := array.NewRecordReader(recs[0].Schema(), recs)
		if err != nil {
			return err
		}
		defer r.Release()
		return s.PublishAll(ctx, id, r)
	}
	one, err := concatenate(recs)
	if err != nil {
		return err
	}
	defer one.Release()
	return sink.Publish(ctx, id, one)
}

func concatenate(recs []arrow.RecordBatch) (arrow.RecordBatch, error) {
	if len(recs) == 1 {
		recs[0].Retain()
		return recs[0], nil
	}
	schema := recs[0].Schema()
	rows := int64(0)
	for _, r := range recs {
		rows += r.NumRows()
	}
	cols := make([]arrow.Array, schema.NumFields())
	for c := range cols {
		parts := make([]arrow.Array, len(recs))
		for i, r := range recs {
			parts[i] = r.Column(c)
		}
		col, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return nil, fmt.Errorf("join column %q: %w", schema.Field(c).Name, err)
		}
		defer col.Release()
		cols[c] = col
	}
	return array.NewRecordBatch(schema, cols, rows), nil
}

// section returns the records of a section, from memory when this process wrote it.
func (p *publisher) section(ctx context.Context, root *pb.Root, s *pb.Section) ([]arrow.RecordBatch, error) {
	if recs := p.cache.get(root.Objects[s.Object].Key, s.Offset); recs != nil {
		return recs, nil
	}
	b, err := p.w.readSection(ctx, root, s)
	if err != nil {
		return nil, err
	}
	return decodeSection(b)
}

func (p *publisher) writeDead(ctx context.Context, root *pb.Root, d *pb.DeadSection) error {
	lines, err := p.w.readSection(ctx, root, d.Section)
	if err != nil {
		return err
	}
	if sink := p.w.cfg.DeadLetters; sink != nil {
		rec, err := deadRecord(lines)
		if err != nil {
			return err
		}
		defer rec.Release()
		id := sabot.OutputID{Job: root.Job, Run: p.run, Sink: "dead-letters", Range: fmt.Sprint(d.Index), Number: d.Cut}
		return publishTo(ctx, sink, id, []arrow.RecordBatch{rec})
	}
	return p.w.put(ctx, p.w.cfg.Paths.Dead(p.run, d.Cut, d.Index), lines)
}

// sweep removes what earlier runs published.
func (p *publisher) sweep(ctx context.Context, root *pb.Root) error {
	for name, sink := range p.w.sinks() {
		s, ok := sink.(sabot.Sweeper)
		if !ok {
			p.w.cfg.Log.Info("the sink cannot remove what earlier runs published", "sink", name, "runs", root.OldRuns)
			continue
		}
		n, err := s.Sweep(ctx, root.Job, name, root.OldRuns)
		if err != nil {
			return fmt.Errorf("remove the outputs of earlier runs from sink %q: %w", name, err)
		}
		p.w.cfg.Log.Debug("removed outputs of earlier runs", "sink", name, "outputs", n)
	}
	return nil
}

// report moves what has been done into r.
func (p *publisher) report(r *pb.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Published, r.DeadWritten, r.Swept = p.done, p.written, p.swept
	p.done, p.written, p.swept = nil, nil, false
}

// pending tells whether there is something to report.
func (p *publisher) pending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.done) > 0 || len(p.written) > 0 || p.swept
}

// sectionCache keeps the records of sections that this process wrote until they are published, within a budget.
type sectionCache struct {
	mu    sync.Mutex
	room  int64
	items map[sectionAt]cached
}

type sectionAt struct {
	object string
	offset int64
}

type cached struct {
	recs  []arrow.RecordBatch
	bytes int64
}

func newSectionCache(budget int64) *sectionCache {
	return &sectionCache{room: budget, items: map[sectionAt]cached{}}
}

// put takes over the records' references.
func (c *sectionCache) put(object string, offset int64, recs []arrow.RecordBatch, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room < bytes {
		for _, r := range recs {
			r.Release()
		}
		return
	}
	c.room -= bytes
	c.items[sectionAt{object, offset}] = cached{recs, bytes}
}

// get returns records that the caller releases, or nil.
func (c *sectionCache) get(object string, offset int64) []arrow.RecordBatch {
	c.mu.Lock()
	defer c.mu.Unlock()
	it, ok := c.items[sectionAt{object, offset}]
	if !ok {
		return nil
	}
	for _, r := range it.recs {
		r.Retain()
	}
	return append([]arrow.RecordBatch(nil), it.recs...)
}

func (c *sectionCache) drop(object string, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := sectionAt{object, offset}
	for _, r := range c.items[at].recs {
		r.Release()
	}
	c.room += c.items[at].bytes
	delete(c.items, at)
}
