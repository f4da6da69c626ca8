package main

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/sabottest"
)

type record struct {
	Date                time.Time
	Origin, Destination string
}

var midnight = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

func at(hours, minutes int) time.Time {
	return midnight.Add(time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute)
}

func gap(from, to time.Time) spell {
	minutes := int64(to.Sub(from) / time.Minute)
	return spell{"ABE", "ORD", from, &to, &minutes}
}

func TestSpellsInEventTimeOrder(t *testing.T) {
	job := func() *sabot.Job { return build(sabottest.Source[record](), sabottest.Sink[spell]()) }
	sabottest.CrashEverywhere(t, job, func(h *sabottest.Harness) {
		flight := func(hours, minutes int) record { return record{at(hours, minutes), "ABE", "ORD"} }
		sabottest.Feed(h, "flights", flight(1, 1), flight(1, 0), // out of order, within the minute that a row may be late
			flight(7, 1),                     // six hours are not more than six hours
			flight(7, 1),                     // the same minute again
			flight(14, 0),                    // a spell
			record{at(14, 30), "ORD", "ABE"}, // another route
			flight(23, 30))
		first, second, third := at(7, 1), at(14, 0), at(23, 30)
		sabottest.Want(h, "parquet", gap(first, second), gap(second, third), spell{"ABE", "ORD", third, nil, nil}, spell{"ORD", "ABE", at(14, 30), nil, nil})
	})
}
