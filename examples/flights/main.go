// Command flights counts flights and averages their delays, for each airport and hour, from files to Parquet.
package main

import (
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
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

func main() {
	run.Main(flights, run.About[params]("Counts flights and averages their delays, for each airport and hour."))
}
