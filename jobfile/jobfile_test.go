package jobfile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/connectors/stdout"
	"github.com/sabot-stream/sabot/examples"
	"github.com/sabot-stream/sabot/internal/exprtext"
	"github.com/sabot-stream/sabot/jobfile"
)

func planOf(t *testing.T, job *sabot.Job) string {
	t.Helper()
	p, err := job.Plan()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The example as data is the job of its Go program.
func TestFlights(t *testing.T) {
	job := sabot.NewJob("flights")
	job.Source("flights", file.Source{URL: "in.csv"}, sabot.EventTime("date", sabot.MaxDelay(time.Minute))).KeyBy("origin").Window(sabot.Tumbling(time.Hour)).
		Aggregate("hourly", sabot.Count().As("flights"), sabot.Avg("delay").As("avg_delay"), sabot.Max("delay").As("max_delay")).
		Sink("parquet", file.Sink{URL: "out/flights", Format: file.Parquet})
	got := planOf(t, jobfile.Parse("flights.yaml", examples.Flights, map[string]string{"input": "in.csv"}))
	if d := cmp.Diff(planOf(t, job), got); d != "" {
		t.Error(d)
	}
}

const everything = `
job: all
params: {in: a.csv, age: 90s}
sources:
  a:
    file: {url: "${in}", format: csv, columns: {at: timestamp, k: string, v: int64}, csv: {comma: ";", header: false, null: [NA, "-"]}}
    event_time: {column: at, max_delay: 10s, max_future: 2h, idle: 5s}
  b: {file: {url: b.csv, columns: {at: timestamp, k: string, v: int64}}, event_time: {column: at}}
operators:
  both: {from: [a, b], filter: "v > 0 and k is not null"}
  thin: {from: both, select: {k: k, at: at, w: "v * 2"}}
  wide:
    from: thin
    key_by: k
    window: {hopping: 1h, every: 10m, lateness: 1m}
    aggregate: {n: count(), m: count(w), s: sum(w), lo: min(w), hi: max(w), mean: avg(w), f: first(w), l: last(w)}
sinks:
  out: {from: wide, file: {url: out, format: jsonl, roll_bytes: 1000, roll_age: "${age}"}}
  missed: {from: wide, late: true, file: {url: missed}}
  screen: {from: thin, stdout: {}}
dead_letters: {file: {url: dead, format: jsonl}}
`

func TestEverything(t *testing.T) {
	job := sabot.NewJob("all")
	source := func(name string, s file.Source, opts ...sabot.TimeOption) *sabot.Stream {
		return job.Source(name, s, sabot.EventTime("at", opts...))
	}
	a := source("a", file.Source{URL: "a.csv"}, sabot.MaxDelay(10*time.Second), sabot.MaxFuture(2*time.Hour), sabot.IdleAfter(5*time.Second))
	both := a.Union(source("b", file.Source{URL: "b.csv"})).Filter(sabot.Col("v").Gt(int64(0)).And(sabot.Col("k").IsNotNull()))
	thin := both.Select(sabot.Col("k").As("k"), sabot.Col("at").As("at"), sabot.Col("v").Mul(int64(2)).As("w"))
	wide := thin.KeyBy("k").Window(sabot.Hopping(time.Hour, 10*time.Minute).Lateness(time.Minute)).Aggregate("wide", sabot.Count().As("n"), sabot.CountOf("w").As("m"),
		sabot.Sum("w").As("s"), sabot.Min("w").As("lo"), sabot.Max("w").As("hi"), sabot.Avg("w").As("mean"), sabot.First("w").As("f"), sabot.Last("w").As("l"))
	wide.Sink("out", file.Sink{URL: "out", Format: file.JSONL})
	wide.Late().Sink("missed", file.Sink{URL: "missed"})
	thin.Immediate("screen", stdout.Sink{})
	got := jobfile.Parse("all.yaml", []byte(everything), nil)
	if d := cmp.Diff(planOf(t, job), planOf(t, got)); d != "" {
		t.Error(d)
	}
	src := got.Impl("a").(file.Source)
	if src.CSV.Comma != ';' || !src.CSV.NoHeader || !cmp.Equal(src.CSV.Null, []string{"NA", "-"}) || src.Format != file.CSV || src.Schema.NumFields() != 3 ||
		src.Schema.Field(0).Type != exprtext.Types["timestamp"] {
		t.Errorf("source %+v", src)
	}
	if sink := got.Impl("out").(file.Sink); sink.RollBytes != 1000 || sink.RollAge != 90*time.Second {
		t.Errorf("sink %+v", sink)
	}
	if dead, ok := got.DeadLetterSink().(file.Sink); !ok || dead.URL != "dead" {
		t.Errorf("dead letters go to %+v", got.DeadLetterSink())
	}
}

func TestMistakesNameTheirLine(t *testing.T) {
	const head = "job: j\nsources:\n  a: {file: {url: a.csv}, event_time: {column: at}}\n"
	for text, want := range map[string]string{
		"":                "j.yaml: the file is empty",
		"job: [":          "j.yaml: line 1",
		"- a":             "j.yaml:1: a job file must be a mapping",
		"sources: {}":     "j.yaml:1: the job has no name",
		head + "sink: {}": `j.yaml:4: a job file has no "sink"`,
		head + "sinks: {s: {from: x, stdout: {}}}":                                                          `j.yaml:4: there is no "x" above`,
		head + "sinks:\n  s: {stdout: {}}":                                                                  `j.yaml:5: "s" says not whose rows`,
		head + "sinks:\n  s: {from: a}":                                                                     "j.yaml:5: it is not said where the rows go",
		head + "sinks:\n  s: {from: a, late: true, stdout: {}}":                                             `j.yaml:5: "a" is no window`,
		head + "operators:\n  f:\n    from: a\n    filter: v >":                                             `j.yaml:7: expression "v >": at 4: expected a value`,
		head + "operators:\n  f: {from: a, map: x}":                                                         "j.yaml:5: map needs a Go function",
		head + "operators:\n  w: {from: a, key_by: k}":                                                      "key_by, window and aggregate go together",
		head + "operators:\n  w: {from: a, key_by: k, window: {every: 1h}, aggregate: {n: count()}}":        "a window is {tumbling: SIZE}",
		head + "operators:\n  w: {from: a, key_by: k, window: {tumbling: 1 hour}, aggregate: {n: count()}}": `"1 hour" is no duration`,
		head + "operators:\n  w: {from: a, key_by: k, window: {tumbling: 1h}, aggregate: {n: median(v)}}":   `there is no aggregate "median"`,
		head + "operators:\n  w: {from: a, key_by: k, window: {tumbling: 1h}, aggregate: {n: sum()}}":       "sum takes one column",
		"job: j\nsources: {a: {file: {url: \"${x}\"}}}":                                                     `j.yaml:2: there is no parameter "x"`,
		"job: j\nsources: {a: {file: {url: a.csv, columns: {v: decimal}}}}":                                 `column "v": "decimal" is no type`,
		"job: j\nsources: {a: {file: {}}}":                                                                  "the file has no url",
		"job: j\nsources: {a: {}}":                                                                          `source "a" says not what it reads`,
		"job: j\nsources: {a: {file: {url: x, csv: {comma: \"ab\"}}}}":                                      "must be one character",
		head + "operators:\n  a: {from: a, key_by: k, window: {tumbling: 1h}, aggregate: {n: count()}}":     `j.yaml:5: the name "a" is taken by the source at j.yaml:3`,
	} {
		_, err := jobfile.Parse("j.yaml", []byte(text), nil).Plan()
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := jobfile.Parse("j.yaml", []byte(head), map[string]string{"x": "1"}).Plan(); err == nil || !strings.Contains(err.Error(), `no parameter "x"`) {
		t.Errorf("an unknown parameter: %v", err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if _, err := jobfile.Load(path, nil).Plan(); err == nil || !strings.Contains(err.Error(), "read the job file") {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, examples.Flights, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jobfile.Load(path, nil).Plan(); err != nil {
		t.Error(err)
	}
}

// FuzzParse: any file gives a plan or an Invalid error, and no panic.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add(string(examples.Flights))
	f.Add("a: &a [*a]\njob: *a")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := jobfile.Parse("f.yaml", []byte(s), nil).Plan(); err != nil && sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%v", err)
		}
	})
}
