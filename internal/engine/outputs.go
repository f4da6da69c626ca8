package engine

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// When an output is closed, unless its sink says otherwise.
const (
	rollBytes = 128 << 20
	rollAge   = time.Minute
)

// outputs are the open outputs of a group. The goroutine that commits uses them.
type outputs struct {
	open  map[outputPlace]*openOutput
	rolls map[string]roll // by sink
	cache *sectionCache

	nextDue atomic.Int64 // microseconds; 0: none is open
}

type outputPlace struct{ sink, rng string }

type openOutput struct {
	number uint64
	bytes  int64
	opened time.Time
}

type roll struct {
	bytes int64
	age   time.Duration
}

func newOutputs(root *pb.Root, group uint32, sinks map[string]sabot.Sink, cache *sectionCache) *outputs {
	o := &outputs{open: map[outputPlace]*openOutput{}, rolls: map[string]roll{}, cache: cache}
	for name, s := range sinks {
		o.rolls[name] = roll{rollBytes, rollAge}
		if r, ok := s.(sabot.Roller); ok {
			b, a := r.Roll()
			o.rolls[name] = roll{cmp.Or(b, rollBytes), cmp.Or(a, rollAge)}
		}
	}
	for _, out := range root.Outputs {
		if out.Closed || out.Group != group {
			continue
		}
		x := &openOutput{number: out.Number, opened: time.UnixMicro(out.OpenedUs)}
		for _, s := range out.Sections {
			x.bytes += s.Length
		}
		o.open[outputPlace{out.Sink, out.Range}] = x
	}
	o.noteDue()
	return o
}

// report packs the sections of a cut, and says which outputs they open and which close: at a size, an age, the end of input, when no lane
// of this group writes to that place any more, or all of them.
func (o *outputs) report(r *pb.Report, p *packs, parts []*encoded, now time.Time, closing bool) {
	said := map[outputPlace]*pb.ReportOutput{}
	live := map[outputPlace]bool{}
	for _, e := range parts {
		for _, s := range e.lane.sinks {
			live[outputPlace{s.name, s.rng}] = true
		}
		for _, s := range e.sections {
			at := outputPlace{s.sink, s.rng}
			x := o.open[at]
			ro := &pb.ReportOutput{}
			if x == nil {
				x = &openOutput{number: r.Cut, opened: now}
				o.open[at] = x
				ro.Schema = SchemaBytes(s.schema)
			}
			ro.Key = &pb.OutputKey{Sink: s.sink, Range: s.rng, Number: x.number}
			ro.OpenedUs = x.opened.UnixMicro()
			sec := p.section(s.data, s.rows)
			ro.Sections = []*pb.Section{sec}
			o.cache.put(p.objs[sec.Object].Key, sec.Offset, s.recs, sec.Length)
			x.bytes += sec.Length
			said[at] = ro
		}
	}
	for at, x := range o.open {
		if !closing && !o.due(at, x, now) && !r.Ended && live[at] {
			continue
		}
		if said[at] == nil {
			said[at] = &pb.ReportOutput{Key: &pb.OutputKey{Sink: at.sink, Range: at.rng, Number: x.number}, OpenedUs: x.opened.UnixMicro()}
		}
		said[at].Close = true
		delete(o.open, at)
	}
	for _, ro := range said {
		r.Outputs = append(r.Outputs, ro)
	}
	o.noteDue()
	slices.SortFunc(r.Outputs, func(a, b *pb.ReportOutput) int {
		return cmp.Or(cmp.Compare(a.Key.Sink, b.Key.Sink), cmp.Compare(a.Key.Range, b.Key.Range))
	})
}

func (o *outputs) due(at outputPlace, x *openOutput, now time.Time) bool {
	r := o.rolls[at.sink]
	return x.bytes >= r.bytes || now.Sub(x.opened) >= r.age
}

// SchemaBytes encodes a schema as the root keeps it: an Arrow IPC stream without rows.
func SchemaBytes(s *arrow.Schema) []byte {
	p := ipc.GetSchemaPayload(s, memory.DefaultAllocator)
	defer p.Release()
	var buf writerTo
	_, _ = p.WritePayload(&buf) // to memory: cannot fail
	return buf
}

type writerTo []byte

func (w *writerTo) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}

// anyDue tells whether an output has reached the age at which it closes. Called from any goroutine.
func (o *outputs) anyDue(now time.Time) bool {
	next := o.nextDue.Load()
	return next != 0 && now.UnixMicro() >= next
}

// noteDue keeps the time at which the next output closes by age.
func (o *outputs) noteDue() {
	next := int64(0)
	for at, x := range o.open {
		if t := x.opened.Add(o.rolls[at.sink].age).UnixMicro(); next == 0 || t < next {
			next = t
		}
	}
	o.nextDue.Store(next)
}
