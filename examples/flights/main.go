// Command flights counts flights and averages their delays, for each airport and hour, from files to Parquet.
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

type params struct {
	Input  string `help:"Flight records: a path, glob or file:// URL." default:"testdata/flights.parquet"`
	Output string `help:"Folder in which Parquet files are published." default:"out/flights"`
}

func flights(p params) *sabot.Job {
	job := sabot.NewJob("flights")
	job.Source("flights", file.Source{URL: p.Input}, sabot.EventTime("date", sabot.MaxDelay(time.Minute))).
		KeyBy("origin").
		Window(sabot.Tumbling(time.Hour)).
		Aggregate("hourly", sabot.Count().As("flights"), sabot.Avg("delay").As("avg_delay"), sabot.Max("delay").As("max_delay")).
		Sink("parquet", file.Sink{URL: p.Output, Format: file.Parquet})
	return job
}

// hourly is a row of the output, as far as the table needs it.
type hourly struct {
	Origin   *string // null where the record had none
	Flights  int64
	AvgDelay *float64
	MaxDelay *int64
}

// leastFlights is how many flights an airport has to have to be in the table.
const leastFlights = 100

// mostDelayed prints the airports with the greatest mean delay, computed from the published Parquet files.
func mostDelayed(ctx context.Context, p params, w io.Writer) error {
	type airport struct {
		name    string
		flights int64
		delay   float64 // sum
		worst   int64
	}
	airports := map[string]*airport{}
	err := show.Rows(ctx, p.Output, func(h hourly) {
		name := "unknown"
		if h.Origin != nil {
			name = *h.Origin
		}
		a := airports[name]
		if a == nil {
			a = &airport{name: name}
			airports[name] = a
		}
		a.flights += h.Flights
		if h.AvgDelay != nil {
			a.delay += *h.AvgDelay * float64(h.Flights)
			a.worst = max(a.worst, *h.MaxDelay)
		}
	})
	if err != nil {
		return err
	}
	var list []*airport
	for _, a := range airports {
		if a.flights >= leastFlights {
			list = append(list, a)
		}
	}
	mean := func(a *airport) float64 { return a.delay / float64(a.flights) }
	slices.SortFunc(list, func(a, b *airport) int { return cmp.Or(cmp.Compare(mean(b), mean(a)), cmp.Compare(a.name, b.name)) })
	var rows [][]any
	for _, a := range list[:min(10, len(list))] {
		rows = append(rows, []any{a.name, a.flights, fmt.Sprintf("%.1f", mean(a)), a.worst})
	}
	show.Table(w, fmt.Sprintf("The most delayed airports with at least %d flights, from %s:", leastFlights, p.Output),
		[]any{"airport", "flights", "mean delay (min)", "worst (min)"}, rows)
	return nil
}

func main() {
	run.Main(flights, run.AfterEnd(mostDelayed), run.About[params]("Counts flights and averages their delays, for each airport and hour."))
}
