package sabot_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

// Order is what the examples process, by customer.
type Order struct {
	Customer string
	At       time.Time
	Item     string
	Cents    int64
}

// Line is what they say.
type Line struct{ Text string }

// process runs a process function on orders of Ann, a second apart, and prints what it emits.
func process(setup func(*sabot.Proc[string, Order, Line]), orders ...Order) {
	in := channel.New[Order]()
	job := sabot.NewJob("orders")
	byCustomer := job.Source("in", in, sabot.EventTime("at")).KeyBy("customer")
	var mu sync.Mutex
	sabot.Process(byCustomer, "p", setup).Immediate("print", callback.Immediate(func(_ context.Context, lines []Line) error {
		mu.Lock()
		defer mu.Unlock()
		for _, l := range lines {
			fmt.Println(l.Text)
		}
		return nil
	}))
	for i := range orders {
		orders[i].Customer, orders[i].At = "Ann", time.Date(2026, 1, 1, 12, 0, i, 0, time.UTC)
	}
	if _, err := in.Send(context.Background(), orders...); err != nil {
		fmt.Println(err)
	}
	in.Close()
	if _, err := run.Run(context.Background(), job, run.Options{Store: mem.New(), Log: slog.New(slog.DiscardHandler)}); err != nil {
		fmt.Println(err)
	}
}

func ExampleNewValue() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		dearest := sabot.NewValue[int64](p, "dearest", sabot.Default(int64(1000)))
		p.OnRow(func(o Order) error {
			if most, _ := dearest.Get(); o.Cents > most {
				dearest.Put(o.Cents)
				p.Emit(Line{fmt.Sprintf("%s pays %d for %s, more than %d", p.Key(), o.Cents, o.Item, most)})
			}
			return nil
		})
	}, Order{Item: "tea", Cents: 900}, Order{Item: "wine", Cents: 1500}, Order{Item: "pen", Cents: 1200}, Order{Item: "coat", Cents: 9900})
	// Output:
	// Ann pays 1500 for wine, more than 1000
	// Ann pays 9900 for coat, more than 1500
}

func ExampleNewMap() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		spent := sabot.NewMap[string, int64](p, "spent", sabot.TTL(24*time.Hour))
		p.OnRow(func(o Order) error {
			n, again := spent.Get(o.Item)
			spent.Put(o.Item, n+o.Cents)
			if again {
				p.Emit(Line{fmt.Sprintf("%d for %s so far", n+o.Cents, o.Item)})
			}
			return nil
		})
	}, Order{Item: "tea", Cents: 900}, Order{Item: "pen", Cents: 200}, Order{Item: "tea", Cents: 950})
	// Output: 1850 for tea so far
}

func ExampleNewList() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		basket := sabot.NewList[string](p, "basket")
		p.OnRow(func(o Order) error {
			if o.Item != "checkout" {
				basket.Append(o.Item)
				return nil
			}
			for i, item := range basket.All() {
				p.Emit(Line{fmt.Sprintf("%d of %d: %s", i+1, basket.Len(), item)})
			}
			basket.Clear()
			return nil
		})
	}, Order{Item: "tea"}, Order{Item: "pen"}, Order{Item: "checkout"}, Order{Item: "coat"}, Order{Item: "checkout"})
	// Output:
	// 1 of 2: tea
	// 2 of 2: pen
	// 1 of 1: coat
}

func ExampleNewReducing() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		most := sabot.NewReducing[int64](p, "most", func(a, b int64) int64 { return max(a, b) })
		p.OnRow(func(o Order) error {
			most.Add(o.Cents)
			m, _ := most.Get()
			p.Emit(Line{fmt.Sprintf("%s: the dearest is %d", o.Item, m)})
			return nil
		})
	}, Order{Item: "tea", Cents: 900}, Order{Item: "pen", Cents: 200}, Order{Item: "coat", Cents: 9900})
	// Output:
	// tea: the dearest is 900
	// pen: the dearest is 900
	// coat: the dearest is 9900
}

// MeanOf is an accumulator: what is kept of the prices whose mean is wanted.
type MeanOf struct{ Sum, N int64 }

func ExampleNewAggregating() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		mean := sabot.NewAggregating(p, "mean", sabot.Aggregator[Order, MeanOf, float64]{
			Add:    func(m MeanOf, o Order) MeanOf { return MeanOf{m.Sum + o.Cents, m.N + 1} },
			Result: func(m MeanOf) float64 { return float64(m.Sum) / float64(m.N) },
		})
		p.OnRow(func(o Order) error {
			mean.Add(o)
			m, _ := mean.Get()
			p.Emit(Line{fmt.Sprintf("%s: %.1f on average", o.Item, m)})
			return nil
		})
	}, Order{Item: "tea", Cents: 900}, Order{Item: "pen", Cents: 200}, Order{Item: "coat", Cents: 9900})
	// Output:
	// tea: 900.0 on average
	// pen: 550.0 on average
	// coat: 3666.7 on average
}

func ExampleNewCounter() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		n := sabot.NewCounter(p, "orders", sabot.TTL(90*24*time.Hour))
		p.OnRow(func(o Order) error {
			if n.Inc(); n.Get()%3 == 0 {
				p.Emit(Line{fmt.Sprintf("%s is a gift: it is order %d", o.Item, n.Get())})
			}
			return nil
		})
	}, Order{Item: "tea"}, Order{Item: "pen"}, Order{Item: "coat"}, Order{Item: "wine"})
	// Output: coat is a gift: it is order 3
}

// One read and one write of state for all orders of a customer that come together.
func ExampleProc_OnRows() {
	process(func(p *sabot.Proc[string, Order, Line]) {
		total := sabot.NewValue[int64](p, "total")
		done := p.Timer("done", sabot.ByEventTime, func(time.Time) error {
			n, _ := total.Get()
			p.Emit(Line{fmt.Sprintf("%s has spent %d", p.Key(), n)})
			return nil
		})
		p.OnRows(func(orders []Order) error {
			n, _ := total.Get()
			for _, o := range orders {
				n += o.Cents
			}
			total.Put(n)
			done.Set(sabot.EndOfTime)
			return nil
		})
	}, Order{Cents: 900}, Order{Cents: 200}, Order{Cents: 9900})
	// Output: Ann has spent 11000
}
