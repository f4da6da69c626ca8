package sabot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// nowhere is a source and a sink of nothing.
type nowhere struct{}

func (nowhere) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	return arrow.NewSchema(nil, nil), nil, nil
}

func (nowhere) Open(context.Context, sabot.Env, *arrow.Schema, sabot.Split, sabot.Position) (sabot.Reader, error) {
	return nil, errors.New("nothing to read")
}

func (nowhere) Publish(context.Context, sabot.OutputID, arrow.RecordBatch) error { return nil }

// wrong returns the problems of a job, without the file and line that each must begin with.
func wrong(t *testing.T, job *sabot.Job) []string {
	t.Helper()
	_, err := job.Plan()
	if err == nil {
		return nil
	}
	if sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("the error is of kind %s, want invalid: %v", sabot.KindOf(err), err)
	}
	var texts []string
	for line := range strings.Lines(err.Error()) {
		at, text, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || !strings.HasPrefix(at, "job_test.go:") {
			t.Errorf("%q does not begin with the line of the call", line)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestStructuralErrors(t *testing.T) {
	at := sabot.EventTime("at")
	windows := func(w sabot.Window, aggs ...sabot.Agg) func(*sabot.Job, *sabot.Stream) {
		return func(_ *sabot.Job, in *sabot.Stream) {
			in.KeyBy("key").Window(w).Aggregate("w", aggs...).Sink("out", nowhere{})
		}
	}
	for name, c := range map[string]struct {
		build func(job *sabot.Job, in *sabot.Stream)
		says  string
	}{
		"a name twice": {func(job *sabot.Job, in *sabot.Stream) {
			in.Sink("out", nowhere{})
			in.Sink("out", nowhere{})
		}, `the name "out" is taken by the sink at job_test.go:`},
		"a bad name":                    {func(_ *sabot.Job, in *sabot.Stream) { in.Sink("my sink", nowhere{}) }, `the name "my sink" may hold only letters`},
		"a long name":                   {func(_ *sabot.Job, in *sabot.Stream) { in.Sink(strings.Repeat("x", 65), nowhere{}) }, "is longer than 64 bytes"},
		"a sink that is nil":            {func(_ *sabot.Job, in *sabot.Stream) { in.Sink("out", nil) }, `sink "out" is nil`},
		"an immediate sink that is nil": {func(_ *sabot.Job, in *sabot.Stream) { in.Immediate("out", nil) }, `sink "out" is nil`},
		"a source that is nil": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("other", nil)).Sink("out", nowhere{})
		}, `source "other" is nil`},
		"another job's stream": {func(_ *sabot.Job, in *sabot.Stream) {
			in.Union(sabot.NewJob("b").Source("s", nowhere{})).Sink("out", nowhere{})
		}, `takes rows of another job, "b"`},
		"rows that nobody takes": {func(_ *sabot.Job, in *sabot.Stream) { in.Filter(sabot.Col("a").Gt(1)) }, `nothing takes the rows of "filter-1"`},
		"no key": {func(_ *sabot.Job, in *sabot.Stream) {
			in.KeyBy().Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Count()).Sink("out", nowhere{})
		}, "KeyBy has no columns"},
		"a key twice": {func(_ *sabot.Job, in *sabot.Stream) {
			in.KeyBy("a", "a").Window(sabot.Tumbling(time.Hour)).Aggregate("w", sabot.Count()).Sink("out", nowhere{})
		}, `KeyBy has an empty column, or one twice: "a"`},
		"no columns": {func(_ *sabot.Job, in *sabot.Stream) { in.Select().Sink("out", nowhere{}) }, "Select has no columns"},
		"a column twice": {func(_ *sabot.Job, in *sabot.Stream) {
			in.Select(sabot.Col("a"), sabot.Col("b").As("a")).Sink("out", nowhere{})
		}, `Select has two columns "a"`},
		"a column without name":     {func(_ *sabot.Job, in *sabot.Stream) { in.Select(sabot.Col("a").Add(1)).Sink("out", nowhere{}) }, "a column of Select has no name"},
		"windows of no size":        {windows(sabot.Tumbling(0), sabot.Count()), `the windows of "w" have size 0s and slide 0s`},
		"windows of negative size":  {windows(sabot.Tumbling(-time.Hour), sabot.Count()), "both must be positive"},
		"a slide that does not fit": {windows(sabot.Hopping(time.Hour, 25*time.Minute), sabot.Count()), "have size 1h0m0s, which is no multiple of their slide 25m0s"},
		"windows of nanoseconds":    {windows(sabot.Tumbling(1500*time.Nanosecond), sabot.Count()), "are not whole microseconds"},
		"negative lateness":         {windows(sabot.Tumbling(time.Hour).Lateness(-time.Second), sabot.Count()), `Lateness of "w" is negative: -1s`},
		"no aggregates":             {windows(sabot.Tumbling(time.Hour)), `"w" aggregates nothing`},
		"aggregates of one name":    {windows(sabot.Tumbling(time.Hour), sabot.Sum("a"), sabot.Sum("a")), `"w" has two columns "sum_a": name one by As`},
		"an aggregation without name": {func(_ *sabot.Job, in *sabot.Stream) {
			in.KeyBy("key").Window(sabot.Tumbling(time.Hour)).Aggregate("", sabot.Count()).Sink("out", nowhere{})
		}, "Aggregate needs a name: its state hangs on it"},
		"a negative delay": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("other", nowhere{}, sabot.EventTime("at", sabot.MaxDelay(-1), sabot.MaxFuture(1), sabot.IdleAfter(1)))).Sink("out", nowhere{})
		}, `MaxDelay of "other" is negative`},
		"a negative future": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("other", nowhere{}, sabot.EventTime("at", sabot.MaxFuture(-1)))).Sink("out", nowhere{})
		}, `MaxFuture of "other" is negative`},
		"a negative idle timeout": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("other", nowhere{}, sabot.EventTime("at", sabot.IdleAfter(-1)))).Sink("out", nowhere{})
		}, `IdleAfter of "other" is negative`},
		"a time without name": {func(job *sabot.Job, in *sabot.Stream) {
			in.Union(job.Source("other", nowhere{}, sabot.EventTime(""))).Sink("out", nowhere{})
		}, `the event-time column of "other" has no name`},
		"a batch function without columns": {func(_ *sabot.Job, in *sabot.Stream) {
			sabot.MapBatch(in, "m", nil, nil).Sink("out", nowhere{})
		}, `MapBatch "m" has no output schema`},
	} {
		t.Run(name, func(t *testing.T) {
			job := sabot.NewJob("a")
			c.build(job, job.Source("in", nowhere{}, at))
			got := wrong(t, job)
			if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), c.says) {
				t.Errorf("it says %q, want %q", got, c.says)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	job := sabot.NewJob("a")
	in := job.Source("in", nil)
	in.Select().Sink("my sink", nowhere{})
	in.KeyBy("k").Window(sabot.Tumbling(0)).Aggregate("w").Sink("out", nil)
	if got := wrong(t, job); len(got) != 6 {
		t.Errorf("%d problems are told of, want 6:\n%s", len(got), strings.Join(got, "\n"))
	}
	if got := wrong(t, sabot.NewJob("empty")); len(got) != 1 || got[0] != "the job has no source" {
		t.Errorf("an empty job: %q", got)
	}
}

func TestKinds(t *testing.T) {
	inner := errors.New("inner")
	err := fmt.Errorf("outer: %w", sabot.WithKind(sabot.Corrupt, inner))
	if sabot.KindOf(err) != sabot.Corrupt || !errors.Is(err, inner) || err.Error() != "outer: inner" {
		t.Errorf("%v of kind %s", err, sabot.KindOf(err))
	}
	if sabot.KindOf(inner) != sabot.Internal || sabot.WithKind(sabot.Retry, nil) != nil || sabot.KindOf(sabot.Permanent(inner)) != sabot.Invalid {
		t.Error("an error without a mark, no error, or a permanent one has the wrong kind")
	}
}

func TestMicros(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)} {
		if got := sabot.MicrosOf(at).Time(); !got.Equal(at) {
			t.Errorf("%s became %s", at, got)
		}
	}
	if sabot.MicrosOf(sabot.EndOfTime) != sabot.MaxMicros || sabot.MicrosOf(time.Unix(1<<60, 0)) != sabot.MaxMicros || sabot.MicrosOf(time.Unix(-1<<60, 0)) != sabot.NoTime {
		t.Error("times beyond the ends are not the ends")
	}
}
