package engine

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/exchange"
)

// exchangeReader gives the keyed lanes of one stage what other groups, and this one, have sent to it through the bucket. It reads the exchanges of a
// committed root one by one, in the order of their cuts, each for all of the group's partitions by one request; when all of a root are read, that
// root's watermarks hold. A cut falls between two exchanges, so a partition's position is the last cut that it has read of each group.
type exchangeReader struct {
	g      *group
	stage  int
	inputs []readerInput
	lanes  []*keyedLane
	read   *checkpoint.Reading
	cuts   *cutter
	wake   chan struct{} // a cut is asked for
	roots  chan *pb.Root // the newest committed one; one place
	drain  bool          // only what is there already: after it, rows come in memory
	done   <-chan struct{}
}

// readerInput is one input of the stage.
type readerInput struct {
	rows     *arrow.Schema
	keys     *keyer
	scatter  *batch.Scatter
	producer int
	low      func(root *pb.Root) (sabot.Micros, bool) // watermark of all that sends; false: nothing new is known
	sent     sabot.Micros
}

// run reads until the context ends; a drain ends when everything in its root is read.
func (r *exchangeReader) run(ctx context.Context) error {
	var last exchange.Cut
	root := r.g.root.Load()
	adopted := false // root's watermarks have been passed on
	for ctx.Err() == nil {
		if c := r.cuts.asked(); c > last && !r.drain {
			last = c
			if err := r.cut(c); err != nil {
				return err
			}
			continue
		}
		if e := r.read.Next(root); e != nil {
			if err := r.take(ctx, root, e); err != nil {
				return err
			}
			r.g.progress.read(rowsOf(e))
			continue
		}
		if r.drain {
			return nil
		}
		if !adopted {
			if err := r.adopt(root); err != nil {
				return err
			}
			adopted = true
			continue
		}
		select {
		case root = <-r.roots:
			adopted = false
		case <-r.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// take gives the lanes the rows of an exchange, and of the other inputs' of the same cut.
func (r *exchangeReader) take(ctx context.Context, root *pb.Root, first *pb.Exchange) error {
	for _, e := range root.Exchanges {
		if e.Stage != first.Stage || e.Cut != first.Cut {
			continue
		}
		if err := r.deliver(ctx, root, e); err != nil {
			return fmt.Errorf("read rows for stage %d of group %d, cut %d: %w", r.stage, e.Group, e.Cut, err)
		}
	}
	r.read.Done(first.Group, first.Cut)
	return nil
}

func (r *exchangeReader) deliver(ctx context.Context, root *pb.Root, e *pb.Exchange) error {
	if int(e.Input) >= len(r.inputs) {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("the stage has no input %d", e.Input))
	}
	from, to, off, n := r.read.Span(e)
	if from == to {
		return nil
	}
	key := root.Objects[e.Object].Key
	body, err := r.g.w.getRange(ctx, key, off, n)
	if err != nil {
		return err
	}
	for _, b := range e.Blocks[from:to] {
		block := body[:b.Length]
		body = body[b.Length:]
		if !r.read.Wants(e, b) {
			continue
		}
		if got := crc32.Checksum(block, castagnoli); got != b.Crc {
			return sabot.WithKind(sabot.Corrupt, fmt.Errorf("%s: checksum %08x, want %08x", key, got, b.Crc))
		}
		batches, err := decodeBlock(block, r.inputs[e.Input].rows, r.inputs[e.Input].keys)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if err := r.send(e, batches); err != nil {
			return err
		}
	}
	return nil
}

// send gives batches, whose references it takes over, to the lanes: each row to its partition's, and only if that has not read it.
func (r *exchangeReader) send(e *pb.Exchange, batches []*batch.Batch) error {
	in := &r.inputs[e.Input]
	for i, b := range batches {
		for k, piece := range in.scatter.Split(r.ours(e, b)) {
			if piece == nil {
				continue
			}
			if err := r.lanes[k].inbox.Put(r.done, in.producer, exchange.Message{Batch: piece, Watermark: in.sent}); err != nil {
				for _, rest := range batches[i+1:] {
					rest.Release()
				}
				return err
			}
		}
	}
	return nil
}

// ours returns the rows of b, whose reference it takes over, that lie in a partition of ours which has not read them.
func (r *exchangeReader) ours(e *pb.Exchange, b *batch.Batch) *batch.Batch {
	sel := make([]int32, 0, b.N)
	for i, h := range b.Hashes {
		if r.read.Takes(e, rowkey.Hash32(h)) {
			sel = append(sel, int32(i))
		}
	}
	if len(sel) < b.N {
		b.Sel = sel
	}
	return compactKeyed(b)
}

// compactKeyed returns the selected rows of b, keyed as b is.
func compactKeyed(b *batch.Batch) *batch.Batch {
	if b.Sel == nil {
		return b
	}
	cols := make([]arrow.Array, len(b.Cols))
	for i, c := range b.Cols {
		cols[i] = batch.Take(c, b.Sel)
	}
	k := batch.New(b.Schema, cols, len(b.Sel), nil)
	k.Keys.Offsets = []int32{0}
	for _, i := range b.Sel {
		k.Hashes = append(k.Hashes, b.Hashes[i])
		k.Keys.Bytes = append(k.Keys.Bytes, b.Keys.At(int(i))...)
		k.Keys.Offsets = append(k.Keys.Offsets, int32(len(k.Keys.Bytes)))
		if b.Times != nil {
			k.Times = append(k.Times, b.Times[i])
		}
	}
	b.Release()
	return k
}

// adopt passes on the watermarks of a root that is read whole.
func (r *exchangeReader) adopt(root *pb.Root) error {
	for i := range r.inputs {
		in := &r.inputs[i]
		w, ok := in.low(root)
		if !ok || w <= in.sent {
			continue
		}
		in.sent = w
		for _, l := range r.lanes {
			if err := l.inbox.Put(r.done, in.producer, exchange.Message{Watermark: w}); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut sends the barrier to the lanes, and notes how far the partitions have read.
func (r *exchangeReader) cut(n exchange.Cut) error {
	p := &part{counts: map[string]counts{}, inputs: r.positions(), ended: true}
	for i := range r.inputs {
		for _, l := range r.lanes {
			if err := l.inbox.Put(r.done, r.inputs[i].producer, exchange.Message{Watermark: r.inputs[i].sent, Barrier: n}); err != nil {
				return err
			}
		}
	}
	r.cuts.add(n, p)
	return nil
}

// position is how far a partition has read the groups.
type position struct {
	stage  int
	lo     uint64
	inputs []*pb.Input
}

func (r *exchangeReader) positions() []position {
	var out []position
	for _, p := range r.read.Parts {
		out = append(out, position{stage: r.stage, lo: p.Lo, inputs: p.Inputs()})
	}
	return out
}

// tell gives the reader a newer committed root.
func (r *exchangeReader) tell(root *pb.Root) {
	select {
	case <-r.roots: // an older one that it has not looked at
	default:
	}
	r.roots <- root
}

func rowsOf(e *pb.Exchange) (n int64) {
	for _, b := range e.Blocks {
		n += b.Rows
	}
	return n
}

// lowOfSources returns the watermark of some sources as a root tells it: the least of their splits that are neither ended nor idle.
func lowOfSources(names []string) func(*pb.Root) (sabot.Micros, bool) {
	return func(root *pb.Root) (sabot.Micros, bool) {
		low, open, idle := sabot.MaxMicros, false, true
		for _, src := range root.Sources {
			if !slices.Contains(names, src.Name) {
				continue
			}
			for _, s := range src.Splits {
				if s.Ended {
					continue
				}
				open = true
				if s.Idle {
					continue
				}
				idle = false
				if s.HasWatermark {
					low = min(low, sabot.Micros(s.WatermarkUs))
				} else {
					low = sabot.NoTime
				}
			}
		}
		return low, !open || !idle
	}
}

// lowOfStage returns the watermark of a keyed stage as a root tells it: the least of its partitions.
func lowOfStage(stage int) func(*pb.Root) (sabot.Micros, bool) {
	return func(root *pb.Root) (sabot.Micros, bool) {
		low := sabot.MaxMicros
		for _, st := range root.Stages {
			if int(st.Id) != stage {
				continue
			}
			for _, p := range st.Partitions {
				if !p.HasWatermark {
					return sabot.NoTime, true
				}
				low = min(low, sabot.Micros(p.WatermarkUs))
			}
		}
		return low, true
	}
}
