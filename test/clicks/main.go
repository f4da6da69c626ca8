// Command clicks is a job of two exchanges for tests on processes: made-up clicks are counted by user, and what comes of it by country.
package main

import (
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/datagen"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/run"
	"github.com/sabot-stream/sabot/test/clicks/expect"
)

type params struct {
	Clicks int64  `help:"How many clicks there are; 0: without end." default:"100000"`
	Pace   int    `help:"Clicks per second, for clicks without end: event times are those of the clock." default:"0"`
	Output string `help:"Folder of folders in which Parquet files are published." default:"out/clicks"`
}

// source makes the clicks.
func (p params) source() datagen.Source {
	if p.Pace > 0 {
		return datagen.Source{Rows: p.Clicks, Splits: expect.Splits, Rate: float64(p.Pace), Keys: expect.Users, Skew: expect.Skew, Disorder: expect.Disorder}
	}
	return expect.Source(p.Clicks)
}

// count is what a user has clicked in ten seconds.
type count struct {
	Key                    int64
	WindowStart, WindowEnd time.Time
	Clicks, Value          int64
}

// placed is a count with its user's country.
type placed struct {
	Country       string
	User          int64
	At            time.Time
	Clicks, Value int64
}

// visit is a user in a slot of time.
type visit struct {
	Slot time.Time
	User int64
}

// leader is who has clicked most in a country in a slot of time.
type leader struct {
	Country string
	Until   time.Time
	User    int64
	Clicks  int64
	Nth     int64 // slot of the country in which anybody clicked
}

// leaders adds up the counts of each user in slots of five minutes, and tells of the greatest when the slot is over.
func leaders(p *sabot.Proc[string, placed, leader]) {
	sums := sabot.NewMap[visit, int64](p, "sums")
	told := sabot.NewCounter(p, "told")
	over := p.Timer("over", sabot.ByEventTime, func(until time.Time) error {
		best := leader{Country: p.Key(), Until: until}
		for v, n := range sums.All() {
			if !v.Slot.Add(expect.Slot).Equal(until) {
				continue
			}
			if n > best.Clicks || n == best.Clicks && v.User < best.User {
				best.User, best.Clicks = v.User, n
			}
			sums.Remove(v)
		}
		told.Inc()
		best.Nth = told.Get()
		p.Emit(best)
		return nil
	})
	p.OnRow(func(r placed) error {
		v := visit{r.At.Truncate(expect.Slot), r.User}
		n, _ := sums.Get(v)
		sums.Put(v, n+r.Clicks)
		over.Set(v.Slot.Add(expect.Slot))
		return nil
	})
}

func clicks(p params) *sabot.Job {
	job := sabot.NewJob("clicks")
	users := job.Source("clicks", p.source(), sabot.EventTime("at", sabot.MaxDelay(expect.Disorder))).
		KeyBy("key").
		Window(sabot.Tumbling(expect.Window)).
		Aggregate("users", sabot.Count().As("clicks"), sabot.Sum("value").As("value"))
	users.Sink("users-out", p.sink("users"))

	countries := sabot.Map(users.Stream, "place", func(c count) (placed, error) {
		return placed{expect.Country(c.Key), c.Key, c.WindowStart, c.Clicks, c.Value}, nil
	}).KeyBy("country")
	countries.Window(sabot.Tumbling(expect.Long)).
		Aggregate("countries", sabot.Count().As("users"), sabot.Sum("clicks").As("clicks"), sabot.Max("value").As("most")).
		Sink("countries-out", p.sink("countries"))
	sabot.Process(countries, "leaders", leaders).Sink("leaders-out", p.sink("leaders"))
	return job
}

func (p params) sink(name string) sabot.Sink {
	return file.Sink{URL: fmt.Sprintf("%s/%s", p.Output, name), Format: file.Parquet}
}

func main() { run.Main(clicks) }
