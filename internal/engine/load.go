package engine

import (
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// loadEvery is how often a worker tells how it fares.
const loadEvery = time.Second

// splitShown is what others may know of a split that is being read. Its lane makes a new one for each chunk.
type splitShown struct {
	rows  int64
	low   sabot.Micros
	done  float64
	ended bool
	quiet bool // it had nothing to give
	idle  bool
}

// show lets others know how far the split is.
func (s *splitRun) show(now time.Time) {
	s.shown.Store(&splitShown{s.rows, s.low, s.done, s.ended, !s.quiet.IsZero(), s.idle(now)})
}

// loads makes a group's Loads. One goroutine uses it.
type loads struct {
	g        *group
	at       time.Time // of the last one
	meters   map[*meter]meterReading
	arrivals map[*splitRun]*arrivals
}

func newLoads(g *group) *loads {
	l := &loads{g: g, meters: map[*meter]meterReading{}, arrivals: map[*splitRun]*arrivals{}}
	for _, x := range g.lanes() {
		_, l.meters[x.meter] = x.meter.shares(meterReading{}, g.w.cfg.Clock.Now())
	}
	return l
}

// lanes returns what all lanes have in common.
func (g *group) lanes() (all []*lane) {
	for _, l := range g.sources {
		all = append(all, &l.lane)
	}
	for _, l := range g.keyed {
		all = append(all, &l.lane)
	}
	return all
}

// make returns how the group fares, and what it has done since the call before.
func (l *loads) make(now time.Time) *pb.Load {
	load := &pb.Load{CutStage: l.g.stage.under()}
	load.Trouble, load.TroubleUs = l.g.w.trouble(now)
	for _, src := range l.g.sources {
		for _, s := range src.splits {
			if x := l.split(s, now); x != nil {
				load.Splits = append(load.Splits, x)
			}
		}
		load.Lanes = append(load.Lanes, l.lane(&src.lane, now))
	}
	for _, k := range l.g.keyed {
		x := l.lane(&k.lane, now)
		x.Full = k.inbox.Full()
		x.Lo, x.Hi = k.ranges[0].Lo, k.ranges[len(k.ranges)-1].Hi
		load.Lanes = append(load.Lanes, x)
	}
	l.at = now
	return load
}

func (l *loads) lane(of *lane, now time.Time) *pb.LaneLoad {
	x := &pb.LaneLoad{Stage: uint32(of.stage), Lane: uint32(of.index)}
	var s laneShares
	s, l.meters[of.meter] = of.meter.shares(l.meters[of.meter], now)
	x.Busy, x.Blocked, x.Throttled = s.busy, s.blocked, s.throttled
	if low := sabot.Micros(of.meter.low.Load()); low != sabot.NoTime {
		x.WatermarkUs, x.HasWatermark = int64(low), true
	}
	return x
}

// split returns nil for a split that nobody reads: the root tells all there is to know of it.
func (l *loads) split(s *splitRun, now time.Time) *pb.SplitLoad {
	shown := s.shown.Load()
	if shown == nil || shown.ended {
		delete(l.arrivals, s)
		return nil
	}
	x := &pb.SplitLoad{Source: s.source, Id: string(s.id), Rows: shown.rows, LagRows: -1, LagBytes: -1, LagUs: -1, Idle: shown.idle}
	if shown.low != sabot.NoTime {
		x.WatermarkUs, x.HasWatermark = int64(shown.low), true
	}
	if shown.quiet {
		x.LagRows = 0
	}
	if lagger := s.lagger.Load(); lagger != nil {
		if n, ok := (*lagger).Lag(); ok {
			x.LagRows = n
		}
	}
	if s.split.Bounded {
		if s.split.Bytes > 0 {
			x.LagBytes = int64(float64(s.split.Bytes) * max(0, 1-shown.done))
		}
		return x // its rows have not come, they were there
	}
	if x.LagRows >= 0 {
		if l.arrivals[s] == nil {
			l.arrivals[s] = &arrivals{}
		}
		if d, ok := l.arrivals[s].note(now, x.Rows, x.LagRows); ok {
			x.LagUs = d.Microseconds()
		}
	}
	return x
}

// bytesOf returns how many bytes the values of a batch take.
func bytesOf(b *batch.Batch) (n int64) {
	for _, c := range b.Cols {
		switch c := c.(type) {
		case *array.String:
			n += int64(len(c.ValueBytes()))
		case *array.Binary:
			n += int64(len(c.ValueBytes()))
		default:
			if t, ok := c.DataType().(arrow.FixedWidthDataType); ok {
				n += int64(t.BitWidth()) * int64(c.Len()) / 8
			}
		}
	}
	return n
}

// flow counts what goes through a source or a sink of this worker, whatever becomes of it.
type flow struct{ rows, bytes atomic.Int64 }

func (f *flow) add(rows, bytes int64) {
	f.rows.Add(rows)
	f.bytes.Add(bytes)
}

// Flow is what has gone through a source or a sink of this worker since it began, also what was read again.
type Flow struct{ Rows, Bytes int64 }

// Flows returns what has gone through the worker's sources and its committed sinks, by name. Any goroutine may call it.
func (w *Worker) Flows() (in, out map[string]Flow) {
	read := func(m map[string]*flow) map[string]Flow {
		r := make(map[string]Flow, len(m))
		for name, f := range m {
			r[name] = Flow{f.rows.Load(), f.bytes.Load()}
		}
		return r
	}
	return read(w.in), read(w.out)
}

// loaded returns p with how the group fares, when that is due.
func (w *Worker) loaded(p *pb.Progress, now time.Time) *pb.Progress {
	g := w.current()
	if g == nil {
		w.load.Store(nil)
		return p
	}
	if now.Sub(g.loads.at) < loadEvery {
		return p
	}
	full := proto.Clone(p).(*pb.Progress)
	full.Load = g.loads.make(now)
	w.load.Store(full.Load)
	return full
}

// Load returns how the worker fared last, nil when it has no group or has not looked yet. Nobody changes it. Any goroutine may call it.
func (w *Worker) Load() *pb.Load { return w.load.Load() }
