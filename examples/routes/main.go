// Command routes finds quiet spells: more than six hours between two consecutive flights of a route.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/examples/internal/show"
	"github.com/sabot-stream/sabot/run"
)

// quiet is how long a route must have been without a flight to be reported.
const quiet = 6 * time.Hour

type params struct {
	Input  string `help:"Flight records: a path, glob or file:// URL." default:"testdata/flights.parquet"`
	Output string `help:"Folder in which Parquet files are published." default:"out/routes"`
}

type route struct{ Origin, Destination string }

type flight struct {
	Date time.Time
}

// spell is a time without flights. The last one of a route has no end: the input ends first.
type spell struct {
	Origin, Destination string
	QuietFrom           time.Time
	ResumedAt           *time.Time
	GapMinutes          *int64
}

// spells takes the flights of a route in order of event time, whatever the order in which they come: a flight waits in pending until the
// watermark has passed it, so that none before it is still to come.
func spells(p *sabot.Proc[route, flight, spell]) {
	pending := sabot.NewMap[time.Time, int64](p, "pending") // flights by minute
	last := sabot.NewValue[time.Time](p, "last")
	release := p.Timer("release", sabot.ByEventTime, func(at time.Time) error {
		before, ok := last.Get()
		if gap := at.Sub(before); ok && gap > quiet {
			k, minutes := p.Key(), int64(gap/time.Minute)
			p.Emit(spell{k.Origin, k.Destination, before, &at, &minutes})
		}
		last.Put(at)
		pending.Remove(at)
		return nil
	})
	finish := p.Timer("finish", sabot.ByEventTime, func(time.Time) error {
		at, _ := last.Get()
		k := p.Key()
		p.Emit(spell{k.Origin, k.Destination, at, nil, nil})
		last.Clear()
		return nil
	})
	p.OnRow(func(f flight) error {
		n, _ := pending.Get(f.Date)
		pending.Put(f.Date, n+1)
		release.Set(f.Date)
		finish.Set(sabot.EndOfTime)
		return nil
	})
}

func routes(p params) *sabot.Job {
	return build(file.Source{URL: p.Input}, file.Sink{URL: p.Output, Format: file.Parquet})
}

func build(in sabot.Source, out sabot.Sink) *sabot.Job {
	job := sabot.NewJob("routes")
	flights := job.Source("flights", in, sabot.EventTime("date", sabot.MaxDelay(time.Minute)))
	sabot.Process(flights.KeyBy("origin", "destination"), "spells", spells).Sink("parquet", out)
	return job
}

// longest prints the longest quiet spells, computed from the published Parquet files.
func longest(ctx context.Context, p params, w io.Writer) error {
	var all []spell
	err := show.Rows(ctx, p.Output, func(s spell) {
		if s.GapMinutes != nil {
			all = append(all, s)
		}
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b spell) int {
		return cmp.Or(cmp.Compare(*b.GapMinutes, *a.GapMinutes), cmp.Compare(a.Origin+a.Destination, b.Origin+b.Destination))
	})
	var rows [][]any
	for _, s := range all[:min(10, len(all))] {
		rows = append(rows, []any{s.Origin + " - " + s.Destination, s.QuietFrom.Format(time.DateTime), s.ResumedAt.Format(time.DateTime),
			time.Duration(*s.GapMinutes) * time.Minute})
	}
	show.Table(w, fmt.Sprintf("The longest of %d quiet spells, from %s:", len(all), p.Output), []any{"route", "quiet from", "resumed at", "gap"}, rows)
	return nil
}

func main() {
	run.Main(routes, run.AfterEnd(longest), run.About[params]("Finds quiet spells: more than six hours between two consecutive flights of a route."))
}
