package benchmicro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstate"
)

// Options say what is measured.
type Options struct {
	Only    []string  // beginnings of the names of figures; empty: all
	Quick   bool      // fewer rounds, small state, short jobs: to see that it works
	Figures io.Writer // where figures go
	JSON    bool      // as JSON, one a line
}

// Work is something that Sabot and a baseline do, of which one round gives one figure or several.
type Work struct {
	Name  string
	Units []Unit
	Large bool                                // left out when it is to be quick
	Open  func(quick bool) (r *Race, e error) // called when the work is measured, and not before
}

// Unit is what one figure of a work counts. Its name is the work's, with the suffix.
type Unit struct {
	Suffix string
	Name   string
	More   bool // more is better
}

// Race is a work with its state ready. Close, which may be nil, removes what it has made.
type Race struct {
	Sabot, Baseline Side
	Close           func() error
}

// Side does one round of a work, and returns what it measured, in the order of the work's units.
type Side func(context.Context) ([]float64, error)

// Rounds of each side: at least so many, and for as long as patience lasts up to most of them. Short rounds, many of them, have a median that other
// programs on the machine move little.
const (
	rounds      = 7
	quickRounds = 3
	mostRounds  = 41
	patience    = 2 * time.Second
)

// Run measures all that is asked for.
func Run(ctx context.Context, opt Options) error { return Measure(ctx, Works(), opt) }

// Measure measures those of works that are asked for.
func Measure(ctx context.Context, works []Work, opt Options) error {
	if err := opt.check(works); err != nil {
		return err
	}
	out := &printer{w: opt.Figures, asJSON: opt.JSON}
	for _, w := range works {
		if w.Large && opt.Quick || !slices.ContainsFunc(w.names(), opt.wants) {
			continue
		}
		figures, err := w.measure(ctx, opt.Quick)
		if err != nil {
			return fmt.Errorf("measure %s: %w", w.Name, err)
		}
		for _, f := range figures {
			if !opt.wants(f.Name) {
				continue
			}
			if err := out.print(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns an error that names what no figure's name begins with.
func (o Options) check(works []Work) error {
	var names []string
	for _, w := range works {
		names = append(names, w.names()...)
	}
	for _, only := range o.Only {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, only) }) {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("no figure's name begins with %q; there are %s", only, strings.Join(names, ", ")))
		}
	}
	return nil
}

func (o Options) wants(name string) bool {
	return len(o.Only) == 0 || slices.ContainsFunc(o.Only, func(only string) bool { return strings.HasPrefix(name, only) })
}

// names returns the names of the work's figures.
func (w Work) names() (names []string) {
	for _, u := range w.Units {
		names = append(names, w.Name+u.Suffix)
	}
	return names
}

// measure races the two sides, after a round of each that does not count.
func (w Work) measure(ctx context.Context, quick bool) (figures []Figure, err error) {
	r, err := w.Open(quick)
	if err != nil {
		return nil, err
	}
	if r.Close != nil {
		defer func() { err = errors.Join(err, r.Close()) }()
	}
	begun := clock.Real().Now()
	more := func(i int) bool {
		if quick {
			return i <= quickRounds
		}
		return i <= rounds || i <= mostRounds && clock.Real().Now().Sub(begun) < patience
	}
	ours, theirs := make([][]float64, len(w.Units)), make([][]float64, len(w.Units))
	for i := 0; more(i); i++ {
		for _, s := range []struct {
			side Side
			to   [][]float64
		}{{r.Sabot, ours}, {r.Baseline, theirs}} {
			values, err := s.side.round(ctx)
			if err != nil {
				return nil, err
			}
			for u, v := range values {
				if i > 0 {
					s.to[u] = append(s.to[u], v)
				}
			}
		}
	}
	for u, name := range w.names() {
		f := Figure{Name: name, Unit: w.Units[u].Name, Value: median(ours[u]), Baseline: median(theirs[u])}
		if f.Ratio = f.Baseline / f.Value; w.Units[u].More {
			f.Ratio = f.Value / f.Baseline
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// round does one round without garbage of the one before. State that cannot be read is an error, as for a lane.
func (s Side) round(ctx context.Context) (values []float64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			failed, ok := r.(*objstate.StorageError)
			if !ok {
				panic(r)
			}
			err = failed
		}
	}()
	runtime.GC()
	return s(ctx)
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// took returns how long f takes.
func took(f func() error) (time.Duration, error) {
	begun := clock.Real().Now()
	err := f()
	return clock.Real().Now().Sub(begun), err
}

// worked returns how long f has a processor; f does all its work in this goroutine. What else runs on the machine does not count, but for what it takes of
// the caches.
func worked(f func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return between(threadTime, f)
}

// spent is worked for an f whose work is of several goroutines; those of all others in the process count too.
func spent(f func() error) (time.Duration, error) { return between(processTime, f) }

func between(now func() (time.Duration, error), f func() error) (time.Duration, error) {
	begun, err := now()
	if err == nil {
		err = f()
	}
	ended, err2 := now()
	return ended - begun, errors.Join(err, err2)
}

// WorkedEach is a side whose rounds do f, which handles n things in this goroutine: it measures nanoseconds of a processor for each.
func WorkedEach(n int, f func() error) Side { return perThing(worked, n, f) }

// SpentEach is a side whose rounds do f, which handles n things in whatever goroutines: it measures nanoseconds of the processors for each.
func SpentEach(n int, f func() error) Side { return perThing(spent, n, f) }

// TookEach is a side whose rounds do f, which handles n things: it measures nanoseconds of time for each.
func TookEach(n int, f func() error) Side { return perThing(took, n, f) }

func perThing(measure func(func() error) (time.Duration, error), n int, f func() error) Side {
	return func(context.Context) ([]float64, error) {
		d, err := measure(f)
		return []float64{float64(d.Nanoseconds()) / float64(n)}, err
	}
}

// Milliseconds is a side whose rounds do f: it measures the whole of it.
func Milliseconds(f func() error) Side {
	return func(context.Context) ([]float64, error) {
		d, err := took(f)
		return []float64{d.Seconds() * 1e3}, err
	}
}

// each returns a work of one figure, in nanoseconds for each thing.
func each(name, thing string, open func(quick bool) (*Race, error)) Work {
	return Work{Name: name, Units: []Unit{{Name: "ns/" + thing}}, Open: open}
}
