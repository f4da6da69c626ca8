package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/exchange"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/compaction"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/operators"
	"github.com/sabot-stream/sabot/timers"
)

// inboxDepth is how many messages of one producer may wait in an inbox.
const inboxDepth = 8

// build makes the lanes of all stages.
func (g *group) build(ctx context.Context, root *pb.Root) error {
	b := &builder{g: g, root: root, shared: checkpoint.Shared(root), stages: make([]*stageLanes, len(g.w.cfg.Graph.Stages))}
	for _, st := range g.w.cfg.Graph.Stages {
		b.stages[st.ID] = b.plan(st)
	}
	for _, st := range g.w.cfg.Graph.Stages {
		for i := range b.stages[st.ID].n {
			if err := b.lane(ctx, st, i); err != nil {
				return err
			}
		}
	}
	for _, st := range g.w.cfg.Graph.Stages {
		if err := b.reader(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

type builder struct {
	g      *group
	root   *pb.Root
	shared bool // with other groups: rows go from stage to stage through the bucket
	stages []*stageLanes
	limit  *limiter
	align  *aligner
	lows   map[string][]atomic.Int64
}

// stageLanes is what is settled of a stage before its lanes are made.
type stageLanes struct {
	n       int
	inboxes []*exchange.Inbox
	ranges  [][]rowkey.Range // by lane
	first   []int            // by in-edge: number of its first producer in each inbox
	all     []rowkey.Range   // of every partition of the stage, also of other groups'
	parts   []*pb.Partition  // the group's
	lanes   []*keyedLane
}

func (b *builder) plan(st *bind.Stage) *stageLanes {
	s := &stageLanes{}
	if !st.Keyed() {
		splits := 0
		for _, src := range b.root.Sources {
			for _, sp := range src.Splits {
				if sp.Group == b.g.id {
					splits++
				}
			}
		}
		s.n = max(1, min(b.g.w.cfg.Lanes, splits))
		b.limit = newLimiter(b.g.w.cfg.Rate, b.g.w.cfg.Clock)
		b.align = newAligner(s.n)
		b.lows = map[string][]atomic.Int64{}
		for _, src := range st.Sources {
			b.lows[src.Spec.Name] = make([]atomic.Int64, s.n)
		}
		return s
	}
	for _, rs := range b.root.Stages {
		if int(rs.Id) != st.ID {
			continue
		}
		for _, p := range rs.Partitions {
			s.all = append(s.all, rowkey.Range{Lo: p.Lo, Hi: p.Hi})
			if p.Group == b.g.id {
				s.parts = append(s.parts, p)
			}
		}
	}
	s.ranges = laneRanges(s.parts, b.g.w.cfg.Lanes)
	s.n = len(s.ranges)
	producers := make([]int, len(st.Inputs))
	first := 0
	for i, e := range st.Inputs {
		producers[i] = 1 // the reader
		if !b.shared {
			producers[i] = b.stages[e.From.Stage].n
		}
		s.first = append(s.first, first)
		first += producers[i]
	}
	for range s.n {
		in := exchange.NewInbox(producers, inboxDepth)
		s.inboxes = append(s.inboxes, in)
		b.g.inboxes = append(b.g.inboxes, in)
	}
	return s
}

// laneRanges divides partitions among about n lanes, each a run of neighbours of one watermark: a lane that knew of a lower one would take a row for
// in time which another partition of it has passed.
func laneRanges(parts []*pb.Partition, n int) [][]rowkey.Range {
	size := (len(parts) + n - 1) / max(1, n)
	var lanes [][]rowkey.Range
	for i, p := range parts {
		if i == 0 || len(lanes[len(lanes)-1]) >= size || p.HasWatermark != parts[i-1].HasWatermark || p.WatermarkUs != parts[i-1].WatermarkUs {
			lanes = append(lanes, nil)
		}
		lanes[len(lanes)-1] = append(lanes[len(lanes)-1], rowkey.Range{Lo: p.Lo, Hi: p.Hi})
	}
	return lanes
}

// reader makes what reads the stage's input from the bucket, if anything does: with other groups always, alone what is left there.
func (b *builder) reader(ctx context.Context, st *bind.Stage) error {
	s := b.stages[st.ID]
	waiting := slices.ContainsFunc(b.root.Exchanges, func(e *pb.Exchange) bool { return int(e.Stage) == st.ID })
	if !st.Keyed() || s.n == 0 || !b.shared && !waiting {
		return nil
	}
	r := &exchangeReader{g: b.g, stage: st.ID, lanes: s.lanes, cuts: b.g.cuts, wake: make(chan struct{}, 1), roots: make(chan *pb.Root, 1),
		drain: !b.shared, done: ctx.Done(), read: checkpoint.NewReading(b.root, uint32(st.ID), b.g.id)}
	lane, used := 0, 0
	var bounds []uint32 // where the next lane begins; what lies between two of our partitions never comes
	for _, p := range s.parts {
		if used == len(s.ranges[lane]) {
			lane, used = lane+1, 0
			bounds = append(bounds, uint32(p.Lo))
		}
		used++
	}
	for i, e := range st.Inputs {
		k, err := newKeyer(e.From)
		if err != nil {
			return err
		}
		in := readerInput{rows: e.From.Out, keys: k, scatter: batch.NewScatter(bounds), producer: s.first[i], sent: sabot.NoTime}
		if e.From.Stage == 0 {
			in.low = lowOfSources(sourcesOf(b.g.w.cfg.Graph, e.From))
		} else {
			in.low = lowOfStage(e.From.Stage)
		}
		r.inputs = append(r.inputs, in)
	}
	b.g.readers = append(b.g.readers, r)
	return nil
}

// newKeyer returns what computes the keys of a KeyBy's rows.
func newKeyer(n *bind.Node) (*keyer, error) {
	k := &keyer{}
	for _, name := range n.Spec.Key {
		k.columns = append(k.columns, n.In[0].FieldIndices(name)[0])
	}
	var err error
	k.encoder, err = rowkey.NewEncoder(bind.Fields(n.In[0], n.Spec.Key))
	return k, err
}

// sourcesOf returns the sources whose rows reach a node of stage 0.
func sourcesOf(g *bind.Graph, n *bind.Node) (names []string) {
	if n.Spec.Kind == sabot.KindSource {
		return []string{n.Spec.Name}
	}
	for _, in := range n.Spec.Inputs {
		names = append(names, sourcesOf(g, g.Nodes[in])...)
	}
	return names
}

// lane makes lane i of a stage.
func (b *builder) lane(ctx context.Context, st *bind.Stage, i int) error {
	w := b.g.w
	base := lane{stage: st.ID, index: i, low: sabot.NoTime, meter: newMeter(w.cfg.Clock, sabot.NoTime), touched: new(atomic.Bool)}
	base.dead = &deadLetters{fail: w.cfg.FailOnBad}
	if !st.Keyed() {
		l := &sourceLane{lane: base, clock: w.cfg.Clock, limit: b.limit, align: b.align, progress: b.g.progress, cuts: b.g.cuts, room: &b.g.room,
			wake: make(chan struct{}, 1), env: sabot.Env{Job: b.root.Job, Run: b.root.Run, Log: w.cfg.Log, Now: w.cfg.Clock.Now, MaxRows: chunkRows(w.cfg.Rate)}}
		b.g.sources = append(b.g.sources, l)
		heads, err := b.wire(ctx, st, &l.lane)
		if err != nil {
			return err
		}
		return b.splits(st, l, heads)
	}
	s := b.stages[st.ID]
	l := &keyedLane{lane: base, inbox: s.inboxes[i], clock: w.cfg.Clock, progress: b.g.progress, cuts: b.g.cuts,
		room: &b.g.room, poke: make(chan struct{}, 1)}
	b.g.keyed = append(b.g.keyed, l)
	s.lanes = append(s.lanes, l)
	l.ranges, l.keyFields = s.ranges[i], st.KeyFields
	l.low = committedLow(b.root, st.ID, l.ranges)
	l.meter.low.Store(int64(l.low))
	dec, err := rowkey.NewDecoder(st.KeyFields)
	if err != nil {
		return err
	}
	l.keyDecoder, l.dead.keys = dec, l.keyValues
	l.store, err = objstate.NewStore(objstate.Options{Ranges: l.ranges, Watermark: l.low, Fetch: b.g.fetch(ctx), Open: b.g.opener(ctx), KeyFields: st.KeyFields,
		Memory: b.g.w.memory, Refs: func() objstate.Snapshot { return b.g.snapshot(st.ID, l.ranges) },
		Committed: func() uint64 { return checkpoint.GroupOf(b.g.root.Load(), b.g.id).Cut }})
	if err != nil {
		return err
	}
	heads, err := b.wire(ctx, st, &l.lane)
	if err != nil {
		return err
	}
	for _, e := range st.Inputs {
		l.entry = append(l.entry, heads[e.From.Spec.ID])
		l.lows = append(l.lows, l.low)
	}
	return nil
}

// wire makes the lane's operators and connects them. It returns who takes the rows of each node outside of the stage (or source), by its id.
func (b *builder) wire(ctx context.Context, st *bind.Stage, l *lane) (map[int][]target, error) {
	to := map[int][]target{} // who takes a node's rows
	for _, n := range slices.Backward(st.Nodes) {
		t, err := b.target(ctx, n, l, to)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		ins := []target{t}
		if k := len(n.Spec.Inputs); k > 1 {
			j := &join{node: t, tracker: timers.NewTracker(k)}
			ins = ins[:0]
			for i := range k {
				ins = append(ins, input{j, i})
			}
		}
		for i, from := range n.Spec.Inputs {
			to[from] = append(to[from], ins[i])
		}
	}
	slices.Reverse(l.nodes) // in the order of the plan
	return to, nil
}

// target makes what takes the rows of node n in this lane.
func (b *builder) target(ctx context.Context, n *bind.Node, l *lane, to map[int][]target) (target, error) {
	spec, impl := n.Spec, b.g.w.cfg.Impl
	fail := func(err error) (target, error) {
		return nil, fmt.Errorf("operator %q (%s): %w", spec.Name, spec.At, err)
	}
	var op operators.Operator
	var err error
	switch spec.Kind {
	case sabot.KindSource:
		return nil, nil
	case sabot.KindSink:
		s := &sinkNode{name: spec.Name, rng: l.rangeName(), schema: n.In[0]}
		l.sinks = append(l.sinks, s)
		return s, nil
	case sabot.KindSinkNow:
		return newImmediate(ctx, spec.Name, impl(spec.Name).(sabot.ImmediateSink)), nil
	case sabot.KindKeyBy:
		t, err := b.edge(ctx, n, l)
		if err != nil {
			return fail(err)
		}
		return t, nil
	case sabot.KindFilter:
		op, err = operators.NewFilter(*spec.Filter, n.In[0])
	case sabot.KindProject:
		op, err = operators.NewProject(spec.Project, n.In[0], n.Out)
	case sabot.KindFunc:
		op, err = operators.NewFunc(impl(spec.Name), n.In[0], n.Out)
	case sabot.KindUnion, sabot.KindLateRows:
		op = passOn{}
	case sabot.KindWindow:
		op, err = operators.NewWindow(operators.WindowConfig{Name: spec.Name, Spec: *spec.Window, In: n.In[0], Out: n.Out, KeyFields: l.keyFields}, l.store)
	case sabot.KindProcess:
		op, err = operators.NewProcess(operators.ProcessConfig{Name: spec.Name, In: n.In[0], Out: n.Out, KeyFields: l.keyFields,
			Now: b.g.w.cfg.Clock.Now}, impl(spec.Name).(sabot.ProcessFunc), l.store)
	default:
		err = fmt.Errorf("the engine knows no %q", spec.Kind)
	}
	if err != nil {
		return fail(err)
	}
	node := &node{lane: l, name: spec.Name, op: op, to: to[spec.ID]}
	if spec.Kind == sabot.KindWindow {
		node.to, node.late = b.splitLate(to[spec.ID])
	}
	l.nodes = append(l.nodes, node)
	if _, ok := op.(operators.Ticker); ok {
		l.tickers = append(l.tickers, node)
	}
	if spec.Kind == sabot.KindLateRows {
		return lateTarget{node}, nil
	}
	return node, nil
}

// lateTarget marks the node that takes a window's late rows instead of its results.
type lateTarget struct{ *node }

func (b *builder) splitLate(all []target) (to, late []target) {
	for _, t := range all {
		if l, ok := t.(lateTarget); ok {
			late = append(late, l.node)
		} else {
			to = append(to, t)
		}
	}
	return to, late
}

// edge makes the lane's end of the exchange behind a KeyBy.
func (b *builder) edge(ctx context.Context, n *bind.Node, l *lane) (target, error) {
	k, err := newKeyer(n)
	if err != nil {
		return nil, err
	}
	for _, st := range b.g.w.cfg.Graph.Stages {
		for i, in := range st.Inputs {
			if in.From != n {
				continue
			}
			to := b.stages[st.ID]
			if b.shared {
				return b.remote(l, st.ID, i, n, k, to), nil
			}
			e := &edge{done: ctx.Done(), low: sabot.NoTime, producer: to.first[i] + l.index, to: to.inboxes, keys: k, meter: l.meter}
			var bounds []uint32
			for _, r := range to.ranges[1:] {
				bounds = append(bounds, uint32(r[0].Lo))
			}
			e.scatter = batch.NewScatter(bounds)
			l.edges = append(l.edges, e)
			return e, nil
		}
	}
	return nil, nil // nothing reads this stream
}

// mostBlocks is how many blocks an exchange has at most.
const mostBlocks = 256

// remote makes the lane's end of an exchange through the bucket. Its blocks are the partitions of the stage that reads, several in one where there
// are many.
func (b *builder) remote(l *lane, stage, input int, n *bind.Node, k *keyer, to *stageLanes) *remoteEdge {
	e := &remoteEdge{stage: stage, input: input, keys: *k, schema: remoteSchema(n.Out, b.g.w.cfg.Graph.Timed(n)), pending: &b.g.unsent}
	step := (len(to.all) + mostBlocks - 1) / mostBlocks
	var bounds []uint32
	for i := 0; i < len(to.all); i += step {
		e.bounds = append(e.bounds, to.all[i].Lo)
		if i > 0 {
			bounds = append(bounds, uint32(to.all[i].Lo))
		}
	}
	e.blocks = make([][]*batch.Batch, len(e.bounds))
	e.bounds = append(e.bounds, checkpoint.HashSpace)
	e.scatter = batch.NewScatter(bounds)
	l.remotes = append(l.remotes, e)
	return e
}

// splits gives a source lane its share of the splits that are not ended.
func (b *builder) splits(st *bind.Stage, l *sourceLane, heads map[int][]target) error {
	k := 0
	for _, src := range st.Sources {
		impl, ok := b.g.w.cfg.Impl(src.Spec.Name).(sabot.Source)
		if !ok {
			return fmt.Errorf("source %q: %T is no sabot.Source", src.Spec.Name, b.g.w.cfg.Impl(src.Spec.Name))
		}
		in := &sourceInput{name: src.Spec.Name, spec: src.Spec.Source, impl: impl, schema: src.Out, timeCol: -1, flow: b.g.w.in[src.Spec.Name], to: heads[src.Spec.ID],
			sent: sabot.NoTime, lows: b.lows[src.Spec.Name]}
		if c := src.Spec.Source.TimeCol; c != "" {
			in.timeCol = src.Out.FieldIndices(c)[0]
		}
		l.inputs = append(l.inputs, in)
		for _, s := range committedSplits(b.root, src.Spec.Name) {
			if s.Group != b.g.id {
				continue
			}
			if mine := k%b.stages[st.ID].n == l.index; !mine {
				if !s.Ended {
					k++
				}
				continue
			}
			if !s.Ended {
				k++
			}
			l.splits = append(l.splits, resumed(in, s))
		}
	}
	return nil
}

// resumed returns a split as the root knows it. An ended one is carried along so that every report covers it.
func resumed(in *sourceInput, s *pb.Split) *splitRun {
	r := &splitRun{in: in, split: sabot.Split{ID: sabot.SplitID(s.Id), Version: s.Version, Bytes: s.Bytes, Bounded: s.Bounded}}
	r.splitState = splitState{source: in.name, id: r.split.ID, position: sabot.Position(s.Position), rows: s.Rows, dead: s.Dead, low: sabot.NoTime,
		done: s.Done, ended: s.Ended}
	if s.HasWatermark {
		r.low = sabot.Micros(s.WatermarkUs)
	}
	return r
}

func committedSplits(root *pb.Root, source string) []*pb.Split {
	for _, src := range root.Sources {
		if src.Name == source {
			return src.Splits
		}
	}
	return nil
}

// committedLow returns the least committed watermark of the ranges' partitions.
func committedLow(root *pb.Root, stage int, ranges []rowkey.Range) sabot.Micros {
	low := sabot.MaxMicros
	each(root, stage, ranges, func(p *pb.Partition) {
		if p.HasWatermark {
			low = min(low, sabot.Micros(p.WatermarkUs))
		} else {
			low = sabot.NoTime
		}
	})
	return low
}

// snapshot returns the committed references of a lane's partitions.
func (g *group) snapshot(stage int, ranges []rowkey.Range) objstate.Snapshot {
	root := g.root.Load()
	return objstate.Snapshot{Version: root, Of: func(table string) []objstate.Ref {
		var out []objstate.Ref
		each(root, stage, ranges, func(p *pb.Partition) {
			for _, r := range p.Refs {
				if r.Table == table {
					out = append(out, compaction.Ref(r, root.Objects))
				}
			}
		})
		return out
	}}
}

// each calls f for the partitions of a stage that lie in the ranges.
func each(root *pb.Root, stage int, ranges []rowkey.Range, f func(*pb.Partition)) {
	for _, st := range root.Stages {
		if int(st.Id) != stage {
			continue
		}
		for _, p := range st.Partitions {
			if slices.ContainsFunc(ranges, func(r rowkey.Range) bool { return p.Lo >= r.Lo && p.Hi <= r.Hi }) {
				f(p)
			}
		}
	}
}

// rangeName names the part of the key space, or of the source stage, that the lane's outputs come from.
func (l *lane) rangeName() string {
	if len(l.ranges) == 0 {
		return fmt.Sprintf("s%03d", l.index)
	}
	return fmt.Sprintf("%d.%08x", l.stage, uint32(l.ranges[0].Lo))
}
