package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/savepoint"
)

// What the tests' jobs read before they change, and in all.
const (
	half = 333
	all  = 700
)

// hours returns a job that adds readings up by key and hour, with what a graph has besides.
func (r *changeRig) hours(more ...func(rows *sabot.Stream, keyed *sabot.Keyed)) *sabot.Job {
	return r.job(func(rows *sabot.Stream) {
		keyed := rows.KeyBy("key")
		keyed.Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
		for _, f := range more {
			f(rows, keyed)
		}
	})
}

// job returns a job that reads the readings.
func (r *changeRig) job(then func(rows *sabot.Stream)) *sabot.Job {
	job := sabot.NewJob("change")
	then(job.Source("in", r.source(), sabot.EventTime("at")))
	return job
}

// byTens adds up by the other key, in windows of ten minutes.
func (r *changeRig) byTens(rows *sabot.Stream, _ *sabot.Keyed) {
	rows.Select(sabot.Col("at"), sabot.Col("by").As("key"), sabot.Col("v")).KeyBy("key").Window(sabot.Tumbling(10*time.Minute)).
		Aggregate("tens", sabot.Sum("v").As("sum")).Sink("ten-minutes", keeping[total](r, "tens"))
}

// allHours is what the hourly windows come to.
func allHours() []total { return totals(readings(all), byKey, time.Hour, time.Time{}, time.Time{}) }

// readUntil returns the time up to which everything was read when the job changed: the watermark.
func readUntil() time.Time { return readings(all)[half-1].At }

// What is done to rows before they come to the state is the user's to change: state and positions are kept.
func TestChangedMap(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := newChangeRig(t, all)
	build := func(factor int64) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			if factor != 1 {
				rows = rows.Select(sabot.Col("at"), sabot.Col("key"), sabot.Col("v").Mul(factor).As("v"))
			}
			rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	r.until(half, build(1))
	r.end(build(10))
	seen := readings(all)
	for i := half; i < all; i++ {
		seen[i].V *= 10
	}
	published(r, "hours", totals(seen, byKey, time.Hour, time.Time{}, time.Time{}))
}

// An operator that is new sees the rows from then on; the others do not notice, also when their stages get other numbers.
func TestNewOperator(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours())
	r.end(r.job(func(rows *sabot.Stream) { // before the one that is kept
		r.byTens(rows, nil)
		rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
	}))
	published(r, "hours", allHours())
	published(r, "tens", totals(readings(all)[half:], byBy, 10*time.Minute, readUntil(), time.Time{}))
	if !slices.Contains(r.said, `  new: "tens": it begins empty, and sees the rows that come from now on`) {
		t.Errorf("the start says %q", r.said)
	}
}

// What another process commits of the old graph cannot be committed any more, and the order in which operators are built means nothing.
func TestReorderedOperators(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours(r.byTens))
	before := r.root()
	r.end(r.job(func(rows *sabot.Stream) {
		r.byTens(rows, nil)
		rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
	}))
	published(r, "hours", allHours())
	published(r, "tens", totals(readings(all), byBy, 10*time.Minute, time.Time{}, time.Time{}))
	after := r.root()
	if after.Term != before.Term+1 || after.Groups[0].Generation != before.Groups[0].Generation+1 || after.Groups[0].Previous != -1 || after.Run != before.Run {
		t.Errorf("term %d, groups %v, run %s after term %d, groups %v, run %s", after.Term, after.Groups, after.Run, before.Term, before.Groups, before.Run)
	}
}

// One stage becomes two, and these one again: partitions, watermarks and references go with the tables.
func TestDividedStage(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(divided bool) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			first := rows.KeyBy("key")
			second := first
			if divided {
				second = rows.KeyBy("key")
			}
			first.Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
			second.Window(sabot.Tumbling(2*time.Hour)).Aggregate("two-hourly", sabot.Sum("v").As("sum")).Sink("two-hours", keeping[total](r, "two hours"))
		})
	}
	r.until(200, build(false))
	r.until(400, build(true))
	if n := len(r.root().Stages); n != 2 {
		t.Fatalf("%d stages, want 2", n)
	}
	r.until(600, build(false))
	r.end(build(true))
	published(r, "hours", allHours())
	published(r, "two hours", totals(readings(all), byKey, 2*time.Hour, time.Time{}, time.Time{}))
}

// An operator that goes takes its state with it, which has to be allowed; what it has published stays.
func TestRemovedOperator(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours(r.byTens))
	r.refused(r.hours(), drainHelp, `drain first: "ten-minutes": it is gone, and 2 outputs wait to be published`, `dropped: "tens", windows: the operator is gone (up to N rows)`)
	r.drain(r.hours(r.byTens))
	r.refused(r.hours(), lossHelp, `dropped: "tens", windows: the operator is gone (up to N rows)`)
	r.end(r.hours(), lossy)
	published(r, "hours", allHours())
	published(r, "tens", totals(readings(all)[:half], byBy, 10*time.Minute, time.Time{}, readUntil()))
}

// An operator of another name is another operator.
func TestRenamedOperator(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(name string) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate(name, sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	r.until(half, build("hourly"))
	r.refused(build("each-hour"), lossHelp, `dropped: "hourly", windows: the operator is gone (up to N rows)`)
	r.end(build("each-hour"), lossy)
	published(r, "hours", append(totals(readings(all)[:half], byKey, time.Hour, time.Time{}, readUntil()),
		totals(readings(all)[half:], byKey, time.Hour, readUntil(), time.Time{})...))
}

// Under another key state means nothing.
func TestChangedKey(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(key string) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.KeyBy(key).Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).
				Select(sabot.Col(key).As("key"), sabot.Col("window_start"), sabot.Col("window_end"), sabot.Col("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	r.until(half, r.hours())
	r.refused(build("by"), lossHelp, `dropped: "hourly", windows: its key was key int64 and is by int64; it begins empty (up to N rows)`)
	r.end(build("by"), lossy)
	published(r, "hours", append(totals(readings(all)[:half], byKey, time.Hour, time.Time{}, readUntil()),
		totals(readings(all)[half:], byBy, time.Hour, readUntil(), time.Time{})...))
}

// Aggregates may go from the end; others cannot come to windows that are open.
func TestChangedAggregates(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(aggs ...sabot.Agg) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", aggs...).
				Select(sabot.Col("key"), sabot.Col("window_start"), sabot.Col("window_end"), sabot.Col("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	sum, most, n := sabot.Sum("v").As("sum"), sabot.Max("v").As("most"), sabot.Count().As("n")
	r.until(half, build(sum, most))
	r.refused(build(sum, most, n), lossHelp, `dropped: "hourly", windows: its aggregates were sum of v int64, max of v int64 and are sum of v int64, max of v int64, count, `+
		`and open windows have not seen all rows with the new ones; it begins empty (up to N rows)`)
	r.refused(build(sum), lossHelp, `dropped: "hourly", aggregates: max of v int64 of open windows`)
	r.until(half+50, build(sum), lossy)
	r.end(build(sabot.Sum("v").As("sum")))
	published(r, "hours", allHours())
}

// A source that is added begins at its beginning; one that goes, or reads something else, loses its positions.
func TestChangedSources(t *testing.T) {
	r := newChangeRig(t, all)
	other := &tap{"other", readings(all)[half:], &r.limit}
	build := func(with bool, place string) *sabot.Job {
		job := sabot.NewJob("change")
		rows := job.Source("in", &tap{place, r.rows, &r.limit}, sabot.EventTime("at"))
		if with {
			rows = rows.Union(job.Source("more", other, sabot.EventTime("at")))
		}
		rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
		return job
	}
	r.until(half, build(false, "tap"))
	r.until(half+20, build(true, "tap"))
	r.refused(build(false, "tap"), lossHelp, `dropped: "more": its positions are dropped: 353 rows have been read`)
	r.refused(build(true, "elsewhere"), lossHelp,
		`dropped: "in": its input was tap and is elsewhere: the positions in that are dropped, and this is read from its beginning`)
	r.end(build(true, "tap"))
	twice := append(readings(all), readings(all)[half:]...)
	published(r, "hours", totals(twice, byKey, time.Hour, time.Time{}, time.Time{}))
}

// A sink that is added gets the rows from then on; one whose place or columns change publishes first what waits.
func TestChangedSinks(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(place string, more bool) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			w := rows.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("hourly", sabot.Sum("v").As("sum"))
			w.Sink("hours", &keeper[total]{r, "hours " + place, place})
			if more {
				w.Sink("copy", keeping[total](r, "copy"))
			}
		})
	}
	r.until(half, build("here", false))
	r.refused(build("there", false), drainHelp, `drain first: "hours": 2 outputs wait to be published to here before it goes to there`)
	r.drain(build("here", false))
	r.until(half+100, build("there", true))
	r.end(build("there", true))
	published(r, "hours here", totals(readings(all), byKey, time.Hour, time.Time{}, readUntil()))
	published(r, "hours there", totals(readings(all), byKey, time.Hour, readUntil(), time.Time{}))
	published(r, "copy", totals(readings(all), byKey, time.Hour, readUntil(), time.Time{}))
}

// The graph of before cannot drain what it is not of, and a job that has ended is begun anew.
func TestChangesThatCannotBe(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours())
	_, err := Run(t.Context(), r.hours(r.byTens), r.options([]func(*Options){func(o *Options) { o.Drain = true }}))
	if sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("another graph drains: %v", err)
	}
	r.end(r.hours())
	r.refused(r.hours(r.byTens), undoHelp, "refused: the job: it has finished; --fresh begins it anew")
}

// A savepoint of an older graph comes back under the rules that a stopped job is changed by.
func TestChangedAfterRestore(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours())
	off := savepoint.Offline{Bucket: r.bucket, Job: "change", Clock: clock.Real()}
	if err := off.Create(t.Context(), "s1", "mid"); err != nil {
		t.Fatal(err)
	}
	if _, err := savepoint.Clone(t.Context(), off, *r.store("change"), "mid", "twin"); err != nil {
		t.Fatal(err)
	}
	r.end(r.hours(r.byTens))
	published(r, "hours", allHours())
	first := r.kept
	r.kept = map[string]map[string]any{}
	if _, _, err := off.Restore(t.Context(), "mid"); err != nil {
		t.Fatal(err)
	}
	r.end(r.hours(r.byTens))
	published(r, "tens", totals(readings(all)[half:], byBy, 10*time.Minute, readUntil(), time.Time{}))
	published(r, "hours", allHours()) // that were open when the savepoint was made

	r.kept = map[string]map[string]any{}
	as := func(o *Options) { o.As = "twin" }
	r.end(r.hours(r.byTens), as)
	published(r, "tens", totals(readings(all)[half:], byBy, 10*time.Minute, readUntil(), time.Time{}))
	r.kept = first
}

// A window of another size begins empty.
func TestChangedWindow(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(size time.Duration) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.KeyBy("key").Window(sabot.Tumbling(size)).Aggregate("hourly", sabot.Sum("v").As("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	r.until(half, build(time.Hour))
	r.refused(build(2*time.Hour), lossHelp,
		`dropped: "hourly", windows: it holds windows of 1h0m0s each 1h0m0s and is to hold windows of 2h0m0s each 2h0m0s; it begins empty (up to N rows)`)
	r.end(build(2*time.Hour), lossy)
	published(r, "hours", append(totals(readings(all)[:half], byKey, time.Hour, time.Time{}, readUntil()),
		totals(readings(all)[half:], byKey, 2*time.Hour, readUntil(), time.Time{})...))
}

// Who stood by while another process changed the job does not change it back; who stood by for the graph that still is there changes it.
func TestStandbyTakesNoChangeBack(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.hours())
	first := r.root().Fingerprint
	r.until(half+20, r.hours(r.byTens))
	root := r.root()
	plan, err := r.hours().Plan()
	if err != nil {
		t.Fatal(err)
	}
	standby := localRun{plan: plan, stoodBy: first, opt: Options{Bucket: ".sabot"}}
	err = standby.mayChange(root)
	if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), `the window "tens" is gone`) ||
		!strings.HasSuffix(err.Error(), "The job was changed to that graph while this process stood by; start it again to change the job to its own") {
		t.Errorf("a process that stood by for the graph of before: %v", err)
	}
	for _, waited := range []string{"", root.Fingerprint} {
		standby.stoodBy = waited
		if err := standby.mayChange(root); err != nil {
			t.Errorf("a process that stood by for %q: %v", waited, err)
		}
	}
}
