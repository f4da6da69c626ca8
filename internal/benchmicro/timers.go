package benchmicro

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/operators"
	"github.com/sabot-stream/sabot/timers"
)

func timerWorks() []Work {
	return []Work{
		each("timers.fire.1M", "timer", fires),
		each("watermark.combine", "call", combines),
		each("watermark.window", "call", advances),
	}
}

const (
	timerCount = 1_000_000
	timerSpan  = 600_000_000 // ten minutes
	timerStep  = 1_000_000   // between watermarks
)

// A million timers of as many keys, at random times of ten minutes, are set, and fire as the watermark goes on by seconds.
func fires(bool) (*Race, error) {
	r := rand.New(rand.NewPCG(1, 1))
	in := make([]timers.Timer, timerCount)
	for i := range in {
		in[i] = timers.Timer{At: sabot.Micros(r.Int64N(timerSpan)), Slot: uint32(i)}
	}
	set, h := timers.NewSet(), &timerHeap{}
	return &Race{
		Sabot: WorkedEach(timerCount, func() error {
			for _, t := range in {
				set.Add(t)
			}
			set.Changes(func(timers.Timer) {})
			return fireAll(func(w sabot.Micros) bool {
				_, _, ok := set.Pop(w)
				return ok
			})
		}),
		Baseline: WorkedEach(timerCount, func() error {
			for _, t := range in {
				heap.Push(h, t)
			}
			return fireAll(func(w sabot.Micros) bool {
				if len(*h) == 0 || (*h)[0].At >= w {
					return false
				}
				heap.Pop(h)
				return true
			})
		}),
	}, nil
}

func fireAll(pop func(sabot.Micros) bool) error {
	n := 0
	for w := sabot.Micros(0); w <= timerSpan; w += timerStep {
		for pop(w) {
			n++
		}
	}
	return same("timers fired", n, timerCount)
}

type timerHeap []timers.Timer

// Len implements heap.Interface.
func (h timerHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h timerHeap) Less(i, j int) bool { return h[i].At < h[j].At }

// Swap implements heap.Interface.
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timers.Timer)) }

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	*h = (*h)[:last]
	return t
}

const (
	inputs   = 8
	advanced = 1 << 20
)

// The watermarks of eight inputs, which rise in turn, are combined, against a loop that looks for the least.
func combines(bool) (*Race, error) {
	tracker := timers.NewTracker(inputs)
	var plain [inputs]sabot.Micros
	ours, theirs := sabot.Micros(0), sabot.Micros(0)
	return &Race{
		Sabot: WorkedEach(advanced, func() error {
			for i := range advanced {
				ours++
				tracker.Set(i%inputs, ours)
			}
			low, _ := tracker.Set(0, 0)
			return same("is the watermark", low, ours-inputs+1)
		}),
		Baseline: WorkedEach(advanced, func() error {
			low := sabot.Micros(0)
			for i := range advanced {
				theirs++
				plain[i%inputs] = theirs
				low = theirs
				for _, w := range plain {
					low = min(low, w)
				}
			}
			return same("is the watermark", low, theirs-inputs+1)
		}),
	}, nil
}

// The watermark of an operator with open windows of a thousand keys rises, and none is due, against a comparison with the end of the first window.
func advances(bool) (*Race, error) {
	in, err := newInput(int64Type, 1000, 0)
	if err != nil {
		return nil, err
	}
	store, err := emptyStore(in.keyFields())
	if err != nil {
		return nil, err
	}
	us := &arrow.TimestampType{Unit: arrow.Microsecond}
	out := arrow.NewSchema([]arrow.Field{in.schema.Field(0), {Name: "window_start", Type: us}, {Name: "window_end", Type: us}, {Name: "n", Type: int64Type}}, nil)
	const size = 1000 * time.Hour
	op, err := operators.NewWindow(operators.WindowConfig{Name: "w", In: in.schema, Out: out, KeyFields: in.keyFields(),
		Spec: sabot.WindowSpec{Kind: sabot.TumblingWindow, Size: size, Slide: size, Aggs: []sabot.Agg{{Func: sabot.CountAgg, Name: "n"}}}}, store)
	if err != nil {
		return nil, err
	}
	for _, b := range in.batches {
		b.Retain()
		if err := op.Batch(b, &collector{}); err != nil {
			return nil, err
		}
	}
	low, plain, end := sabot.Micros(0), sabot.Micros(0), sabot.Micros(size.Microseconds())
	fired := &collector{}
	return &Race{
		Sabot: WorkedEach(advanced, func() error {
			for range advanced {
				low++
				if err := op.Watermark(low, fired); err != nil {
					return err
				}
			}
			return same("rows are due", fired.rows, 0)
		}),
		Baseline: WorkedEach(advanced, func() error {
			due := 0
			for range advanced {
				if plain++; plain >= end {
					due++
					end = math.MaxInt64
				}
			}
			return same("rows are due", due, 0)
		}),
	}, nil
}
