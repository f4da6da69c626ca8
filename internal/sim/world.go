package sim

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// world is one history.
type world struct {
	*choices
	rules Rules
	now   time.Time
	step  int
	quiet bool // no more faults: everything must come to its end
	calm  bool // no random faults at all: a scenario brings its own
	depth int
	bad   string
	trace []string // nil: not wanted

	bucket  *mem.Bucket
	late    []func() // requests whose effect is still to come
	current *pb.Root
	coords  []*coordinator
	workers []*worker
	person  *person
	names   int

	outside map[string][]row    // published, by name
	snaps   map[string]*pb.Root // that brought pins in, by pin
	void    []voided            // outputs whose rows were said to come again
	stats   map[string]int
}

// voided are outputs that a restore has named.
type voided struct {
	run    string
	above  uint64
	cuts   []uint64
	upTo   uint64
	listed map[string]bool // by name, those that were open
}

func newWorld(c *choices, rules Rules, workers int) *world {
	w := &world{choices: c, rules: rules, now: time.Unix(1_000_000, 0), bucket: mem.New(), outside: map[string][]row{}, snaps: map[string]*pb.Root{}, stats: map[string]int{}}
	for i := range workers {
		w.workers = append(w.workers, &worker{w: w, name: fmt.Sprint("worker", i)})
	}
	w.person = &person{w: w}
	return w
}

func (w *world) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
		w.note("VIOLATION %s", w.bad)
	}
}

func (w *world) note(format string, args ...any) {
	if w.trace != nil {
		w.trace = append(w.trace, fmt.Sprintf("%5d %s ", w.step, w.now.Format("15:04:05.000"))+fmt.Sprintf(format, args...))
	}
}

// fault is true once in n, never in the quiet phase.
func (w *world) fault(n int) bool { return !w.quiet && !w.calm && w.oneIn(n) }

func (w *world) name() string { w.names++; return fmt.Sprintf("x%d", w.names) }

// simClock is the clock of one process: sleeping lets the others run.
type simClock struct {
	clock.Clock
	w *world
}

func (c simClock) Now() time.Time { return c.w.now }
func (c simClock) Sleep(_ context.Context, d time.Duration) error {
	c.w.now = c.w.now.Add(d)
	c.w.others(3)
	return nil
}
func (c simClock) Random(int) string { return c.w.name() }

// others lets other processes run while one is inside a call.
func (w *world) others(n int) {
	if w.depth > 2 || w.bad != "" {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	if len(w.late) > 0 && w.intn(4) == 0 {
		f := w.late[0]
		w.late = w.late[1:]
		f()
	}
	for range w.intn(n + 1) {
		w.turn()
	}
}

// turn lets one actor do one thing.
func (w *world) turn() {
	w.now = w.now.Add(time.Duration(w.intn(40)) * time.Millisecond)
	if w.fault(3000) {
		w.now = w.now.Add(time.Hour)
		w.note("the clock jumps by an hour")
	}
	leads := slices.ContainsFunc(w.coords, func(c *coordinator) bool { return !c.over() && c.frozen <= w.step })
	if w.current != nil && w.current.FinishedUs != 0 {
		leads = true // nobody is needed any more, but who is there goes on
	}
	if !leads && w.intn(2) == 0 || w.fault(400) {
		w.startCoordinator()
		return
	}
	n := len(w.workers) * 2
	switch x := w.intn(n + 4); {
	case x < n:
		w.workers[x/2].turn()
	case x == n+3:
		w.person.turn()
	case len(w.coords) > 0:
		c := w.coords[len(w.coords)-1]
		if w.intn(3) == 0 {
			c = w.coords[w.intn(len(w.coords))]
		}
		c.turn()
	}
}

// run lets a history happen: so many steps of anything, and then whatever it takes to end.
func (w *world) run(steps int) {
	for w.step = 0; w.step < steps+20000 && w.bad == ""; w.step++ {
		if w.step == steps {
			w.settle()
		}
		if w.quiet && w.ended() {
			break
		}
		w.turn()
	}
	if w.bad == "" {
		w.final()
	}
}

// settle begins the quiet phase.
func (w *world) settle() {
	w.quiet, w.fair = true, rand.New(rand.NewSource(1))
	w.note("faults end")
	for _, c := range w.coords {
		c.frozen = 0
	}
	for _, k := range w.workers {
		k.frozen = 0
	}
}

func (w *world) ended() bool {
	return w.current != nil && w.current.FinishedUs != 0 && len(w.late) == 0 && !slices.ContainsFunc(w.coords, func(c *coordinator) bool { return !c.over() })
}

func (w *world) ctx() context.Context { return context.Background() }

// Outcome is what became of a history.
type Outcome struct {
	Bad   string // what went wrong; empty: nothing
	Step  int
	Made  []uint16 // its choices
	Stats map[string]int
	Trace []string
}

// Seed runs the history of a seed.
func Seed(seed int64, steps int, rules Rules) Outcome {
	return history(&choices{r: rand.New(rand.NewSource(seed))}, steps, rules, false)
}

// Replay runs the history of some choices, and then of dull ones.
func Replay(script []uint16, steps int, rules Rules, trace bool) Outcome {
	return history(&choices{script: script}, steps, rules, trace)
}

func history(c *choices, steps int, rules Rules, trace bool) Outcome {
	w := newWorld(c, rules, 3)
	if trace {
		w.trace = []string{}
	}
	w.run(steps)
	return Outcome{w.bad, w.step, c.made, w.stats, w.trace}
}

// Shrink returns a shorter history that fails as that of made does: with the same beginning of what went wrong.
func Shrink(made []uint16, steps int, rules Rules, bad string, attempts int) []uint16 {
	kind := bad[:min(len(bad), 12)]
	return shrink(made, func(script []uint16) int {
		o := Replay(script, steps, rules, false)
		if len(o.Bad) >= len(kind) && o.Bad[:len(kind)] == kind {
			return max(1, len(o.Made))
		}
		return 0
	}, attempts)
}
