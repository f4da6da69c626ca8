package sabottest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/sabottest"
)

type Tx struct {
	Account, Shop string
	Cents         int64
	At            time.Time
}

type Alert struct {
	Account string
	Cents   int64
}

func fraud(p *sabot.Proc[string, Tx, Alert]) {
	small := sabot.NewValue[int64](p, "small", sabot.TTL(24*time.Hour))
	shops := sabot.NewMap[string, int64](p, "shops", sabot.TTL(720*time.Hour))
	forget := p.Timer("forget", sabot.ByEventTime, func(time.Time) error { small.Clear(); return nil })
	p.OnRow(func(tx Tx) error {
		n, _ := shops.Get(tx.Shop)
		shops.Put(tx.Shop, n+1)
		if _, ok := small.Get(); ok && n == 0 && tx.Cents > 500_00 {
			p.Emit(Alert{p.Key(), tx.Cents})
		}
		if tx.Cents < 1_00 {
			small.Put(tx.Cents)
			forget.Set(tx.At.Add(time.Minute))
		}
		if tx.Cents < 0 {
			return errors.New("negative amount") // undoes all of the above
		}
		return nil
	})
}

func fraudJob(in sabot.Source, out sabot.Sink) *sabot.Job {
	job := sabot.NewJob("fraud")
	tx := job.Source("tx", in, sabot.EventTime("at", sabot.MaxDelay(time.Second)))
	sabot.Process(tx.KeyBy("account"), "fraud", fraud).Sink("alerts", out)
	return job
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func after(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }

func TestFraud(t *testing.T) {
	job := func() *sabot.Job { return fraudJob(sabottest.Source[Tx](), sabottest.Sink[Alert]()) }
	test := func(h *sabottest.Harness) {
		sabottest.Feed(h, "tx",
			Tx{"a", "s1", 50, noon}, Tx{"a", "s2", 900_00, after(1)}, // an alert: small, then large in a new shop
			Tx{"b", "s1", 900_00, after(2)},                              // large alone
			Tx{"c", "s1", -5, after(3)}, Tx{"c", "s2", 900_00, after(4)}, // an error: what it wrote is undone
			Tx{"d", "s1", 50, after(5)}, Tx{"e", "s9", 1, after(100)}, Tx{"d", "s3", 900_00, after(101)}, // forgotten after a minute
			Tx{"e", "s9", 800_00, after(102)}, // a known shop
			Tx{"e", "s8", 700_00, after(103)})
		sabottest.Want(h, "alerts", Alert{"a", 900_00}, Alert{"e", 700_00})
	}
	t.Run("crash", func(t *testing.T) { sabottest.CrashEverywhere(t, job, test) })
	t.Run("fail", func(t *testing.T) { sabottest.FailEverywhere(t, job, test) })
}

type click struct {
	At   time.Time
	Ad   string
	Cost *int64
}

type counted struct {
	Ad                     string
	WindowStart, WindowEnd time.Time
	N                      int64
	Total                  *int64
	First, Last            *int64
	Pane                   int64
}

type lateClick struct {
	At time.Time
	Ad string
}

func cents(n int64) *int64 { return &n }

// Hopping windows with lateness and a late output, after a filter, a map and a union.
func windowJob() *sabot.Job {
	job := sabot.NewJob("clicks")
	at := sabot.EventTime("at", sabot.MaxDelay(2*time.Second))
	a := job.Source("left", sabottest.Source[click](), at)
	b := job.Source("right", sabottest.Source[click](), at)
	all := sabot.Map(a.Union(b).Filter(sabot.Col("ad").Ne("skip")), "same", func(c click) (click, error) { return c, nil })
	w := all.KeyBy("ad").Window(sabot.Hopping(20*time.Second, 10*time.Second).Lateness(10*time.Second)).
		Aggregate("counts", sabot.Count().As("n"), sabot.Sum("cost").As("total"), sabot.First("cost").As("first"), sabot.Last("cost").As("last"))
	w.Sink("counts-out", sabottest.Sink[counted]())
	w.Late().Select(sabot.Col("at"), sabot.Col("ad")).Sink("late-out", sabottest.Sink[lateClick]())
	return job
}

func TestHoppingWindowsWithLateness(t *testing.T) {
	sabottest.CrashEverywhere(t, windowJob, wantWindows)
}

func wantWindows(h *sabottest.Harness) {
	sabottest.Feed(h, "left", click{after(0), "x", cents(5)}, click{after(12), "x", nil}, click{after(13), "skip", cents(9)},
		click{after(40), "y", cents(1)}, // the watermark passes 38: [−10,10) to [10,30) have fired
		click{after(11), "x", cents(2)}, // late for [0,20) (20+10 <= 38), not for [10,30)
		click{after(3), "z", cents(7)})  // late for all
	win := func(from, n int, total, first, last *int64, pane int64) counted {
		return counted{"x", after(from), after(from + 20), int64(n), total, first, last, pane}
	}
	y := func(from int) counted {
		return counted{"y", after(from), after(from + 20), 1, cents(1), cents(1), cents(1), 0}
	}
	sabottest.Want(h, "counts-out",
		win(-10, 1, cents(5), cents(5), cents(5), 0), win(0, 2, cents(5), cents(5), cents(5), 0),
		win(10, 1, nil, nil, nil, 0), win(10, 2, cents(2), cents(2), cents(2), 1),
		y(30), y(40))
	sabottest.Want(h, "late-out", lateClick{after(3), "z"})
}
