package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

// encoded is one part of a cut, ready to be packed.
type encoded struct {
	*part
	segments []segmentBytes
	sections []sinkRows
}

type segmentBytes struct {
	meta objstate.Meta
	data []byte
}

type sinkRows struct {
	sink, rng string
	schema    *arrow.Schema
	data      []byte
	recs      []arrow.RecordBatch
	rows      int64
}

// commit turns the lanes' parts of a cut into packs and a report, uploads the ones and sends the other.
func (g *group) commit(ctx context.Context, c cutParts) error {
	g.stage.next(Encode)
	g.froze(c.parts)
	parts, err := encodeParts(ctx, c.parts)
	if err != nil {
		return err
	}
	p := &packs{name: func() string {
		return g.ledger.Pack(uint64(c.n), g.w.cfg.Clock.Random(8))
	}}
	sent, err := encodeExchanges(parts)
	if err != nil {
		return err
	}
	size := 0
	for _, e := range parts {
		size += e.size()
	}
	for _, x := range sent {
		size += len(x.data)
	}
	p.apart = size > sharedBytes
	r := g.ledger.Begin(uint64(c.n), g.w.cfg.Clock.Random(8))
	r.Ended = len(parts) > 0 || g.finished
	ops := map[string]counts{}
	slices.SortFunc(parts, func(a, b *encoded) int {
		return cmp.Or(cmp.Compare(a.lane.stage, b.lane.stage), cmp.Compare(a.lane.index, b.lane.index))
	})
	inputs := g.inputs(c.parts)
	for _, e := range parts {
		g.reportPart(r, p, e, inputs)
		for name, n := range e.counts {
			ops[name] = ops[name].plus(n)
		}
		r.Ended = r.Ended && e.ended
	}
	if g.finished { // nothing runs any more, but the report still covers all that the group owns
		g.reportFinished(r)
	}
	for name, n := range ops {
		r.Operators = append(r.Operators, &pb.OperatorCounts{Name: name, RowsIn: n.in, RowsOut: n.out, Late: n.late, Dead: n.dead})
		r.Late += n.late
		r.Dead += n.dead
	}
	slices.SortFunc(r.Operators, func(a, b *pb.OperatorCounts) int { return cmp.Compare(a.Name, b.Name) })
	for _, x := range sent {
		x.Object, x.Offset = p.add(sectionBytes, x.data)
		x.Group, x.Cut = g.id, r.Cut
		r.Exchanges = append(r.Exchanges, x.Exchange)
	}
	g.outputs.report(r, p, parts, g.w.cfg.Clock.Now(), g.closing.Load())
	g.publisher.report(r)
	g.compactor.report(r, p)
	r.Objects = append(p.objs, r.Objects...)
	return g.file(ctx, p.filed(r))
}

// fileAgain sends the cut that the coordinator before has not committed, as cut n.
func (g *group) fileAgain(ctx context.Context, n uint64) error {
	random := func() string { return g.w.cfg.Clock.Random(8) }
	return g.file(ctx, g.ledger.Again(n, random(), random))
}

// encodeParts sorts and encodes what the lanes froze, side by side.
func encodeParts(ctx context.Context, parts []*part) ([]*encoded, error) {
	var out []*encoded
	eg, _ := errgroup.WithContext(ctx)
	for _, p := range parts {
		if p.lane == nil {
			continue
		}
		e := &encoded{part: p}
		out = append(out, e)
		eg.Go(e.encode)
	}
	return out, eg.Wait()
}

// encodedExchange is what a cut sends to one input of a stage.
type encodedExchange struct {
	*pb.Exchange
	data []byte
}

// encodeExchanges joins what the lanes send to other groups, input by input.
func encodeExchanges(parts []*encoded) ([]encodedExchange, error) {
	type to struct{ stage, input int }
	rows := map[to][]*remoteRows{}
	var order []to
	for _, e := range parts {
		for _, r := range e.remote {
			at := to{r.edge.stage, r.edge.input}
			if rows[at] == nil {
				order = append(order, at)
			}
			rows[at] = append(rows[at], r)
		}
	}
	var out []encodedExchange
	for _, at := range order {
		x, data, err := encodeRemote(rows[at])
		if err != nil {
			return nil, err
		}
		if x != nil {
			out = append(out, encodedExchange{x, data})
		}
	}
	return out, nil
}

// place of a partition.
type partitionAt struct {
	stage int
	lo    uint64
}

// inputs returns how far the group's partitions have read what groups send, as of a cut.
func (g *group) inputs(parts []*part) map[partitionAt][]*pb.Input {
	m := map[partitionAt][]*pb.Input{}
	for _, x := range g.drained {
		m[partitionAt{x.stage, x.lo}] = x.inputs
	}
	for _, p := range parts {
		for _, x := range p.inputs {
			m[partitionAt{x.stage, x.lo}] = x.inputs
		}
	}
	return m
}

func (e *encoded) encode() error {
	if e.frozen != nil {
		err := e.frozen.Encode(func(seg []byte, m objstate.Meta) error {
			e.segments = append(e.segments, segmentBytes{m, seg})
			return nil
		})
		if err != nil {
			return fmt.Errorf("encode state of stage %d lane %d: %w", e.lane.stage, e.lane.index, err)
		}
	}
	for _, r := range e.rows {
		data, recs, err := encodeSection(r.schema, r.batches)
		if err != nil {
			return fmt.Errorf("sink %q: %w", r.sink, err)
		}
		e.sections = append(e.sections, sinkRows{r.sink, r.rng, r.schema, data, recs, r.n})
	}
	return nil
}

func (e *encoded) size() (n int) {
	for _, s := range e.segments {
		n += len(s.data)
	}
	for _, s := range e.sections {
		n += len(s.data)
	}
	return n
}

// reportPart adds a lane's splits, partitions and dead letters.
func (g *group) reportPart(r *pb.Report, p *packs, e *encoded, inputs map[partitionAt][]*pb.Input) {
	for _, s := range e.splits {
		r.Splits = append(r.Splits, &pb.ReportSplit{Source: s.source, Id: string(s.id), Position: string(s.position), Rows: s.rows,
			WatermarkUs: int64(s.low), HasWatermark: s.low != sabot.NoTime, Ended: s.ended, Done: s.done, Dead: s.dead,
			Idle: s.idling})
	}
	refs := map[rowkey.Range][]*pb.Reference{}
	for _, s := range e.segments {
		o, off := p.add(stateBytes, s.data)
		for _, rng := range s.meta.Ranges {
			refs[rng] = append(refs[rng], &pb.Reference{Table: s.meta.Table, Object: o, Offset: off, Length: int64(len(s.data)), Crc: s.meta.Info.CRC,
				BucketLo: int64(s.meta.Bucket.Lo), BucketHi: int64(s.meta.Bucket.Hi), Rows: int64(s.meta.Info.Rows), Cut: r.Cut, Tail: s.meta.Info.Tail, Lo: rng.Lo, Hi: rng.Hi})
		}
	}
	var expired []*pb.Expiry
	if e.frozen != nil {
		for _, x := range e.frozen.Expired() {
			expired = append(expired, &pb.Expiry{Table: x.Table, BeforeUs: int64(x.Before)})
		}
	}
	for _, rng := range e.lane.ranges {
		rp := &pb.ReportPartition{Stage: uint32(e.lane.stage), Lo: rng.Lo, Hi: rng.Hi, WatermarkUs: int64(e.low), HasWatermark: e.low != sabot.NoTime,
			Expired: expired, Refs: refs[rng], Inputs: inputs[partitionAt{e.lane.stage, rng.Lo}]}
		r.Partitions = append(r.Partitions, rp)
	}
	r.TimersDropped += e.dropped
	if len(e.dead) > 0 {
		r.DeadSections = append(r.DeadSections, &pb.DeadSection{Section: p.section(e.dead, e.deaths), Cut: r.Cut, Index: uint32(len(r.DeadSections))})
	}
}

// reportFinished repeats the committed splits and partitions of a job whose input has ended.
func (g *group) reportFinished(r *pb.Report) {
	root := g.root.Load()
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			if s.Group != g.id {
				continue
			}
			r.Splits = append(r.Splits, &pb.ReportSplit{Source: src.Name, Id: s.Id, Position: s.Position, Rows: s.Rows, WatermarkUs: s.WatermarkUs,
				HasWatermark: s.HasWatermark, Ended: s.Ended, Done: s.Done, Dead: s.Dead})
		}
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			if p.Group != g.id {
				continue
			}
			r.Partitions = append(r.Partitions, &pb.ReportPartition{Stage: st.Id, Lo: p.Lo, Hi: p.Hi, WatermarkUs: p.WatermarkUs, HasWatermark: p.HasWatermark})
		}
	}
}
