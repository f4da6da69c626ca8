package sim

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"time"

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
	pace  int  // milliseconds that a turn takes at most
	mild  int  // how mild: 1 is the roughest
	calm  bool // no random faults at all: a scenario brings its own
	depth int
	bad   string
	trace []string // nil: not wanted

	bucket *mem.Bucket
	late   []func() // requests whose effect is still to come
	storm  int      // until this step every request is refused
	jobs   []*job   // the first, and the one that a person makes of it
	plan   plan
	names  int
	stats  map[string]int
}

func newWorld(c *choices, rules Rules, workers int) *world {
	w := &world{choices: c, rules: rules, now: time.Unix(1_000_000, 0), bucket: mem.New(), stats: map[string]int{}}
	x := c.intn(4)
	w.mild, w.pace = []int{1, 4, 12, 40}[x], []int{40, 20, 12, 12}[x]
	w.newJob("job", workers)
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

// fault is true once in n, or less often in a mild history; never in the quiet phase.
func (w *world) fault(n int) bool { return !w.quiet && !w.calm && w.oneIn(n*w.mild) }

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
	if len(w.late) > 0 && !w.plan.holdLate && w.intn(4) == 0 {
		w.comesLate()
	}
	for range w.intn(n + 1) {
		w.turn()
	}
}

// comesLate lets a request take effect at last.
func (w *world) comesLate() {
	f := w.late[0]
	w.late = w.late[1:]
	f()
}

// turn lets one actor do one thing.
func (w *world) turn() {
	w.now = w.now.Add(time.Duration(w.intn(w.pace)) * time.Millisecond)
	if w.fault(3000) {
		w.now = w.now.Add(time.Hour)
		w.note("the clock jumps by an hour")
	}
	if w.fault(2000) {
		w.storm = w.step + w.intn(200)
		w.note("the bucket refuses all")
	}
	j := w.jobs[0]
	if len(w.jobs) > 1 {
		j = w.jobs[w.intn(len(w.jobs))]
	}
	j.turn()
}

// run lets a history happen: so many steps of anything, and then whatever it takes to end.
func (w *world) run(steps int) {
	for w.step = 0; w.step < steps && w.bad == ""; w.step++ {
		w.turn()
	}
	w.end()
}

// end lets everything come to its end without faults, and looks at what is left.
func (w *world) end() {
	w.settle()
	for n := 0; n < 20000 && w.bad == "" && !w.ended(); n++ {
		w.step++
		w.turn()
	}
	w.depth = 99 // nobody does anything any more
	for _, j := range w.jobs {
		if w.bad == "" && (j.current != nil || j == w.jobs[0]) {
			j.final()
		}
	}
}

// settle begins the quiet phase.
func (w *world) settle() {
	w.quiet, w.fair, w.storm, w.plan = true, rand.New(rand.NewSource(1)), 0, plan{}
	w.note("faults end")
	for _, j := range w.jobs {
		for _, c := range j.coords {
			c.frozen = 0
		}
		for _, k := range j.workers {
			k.frozen = 0
		}
	}
}

func (w *world) ended() bool {
	return len(w.late) == 0 && !slices.ContainsFunc(w.jobs, func(j *job) bool { return !j.over() })
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
