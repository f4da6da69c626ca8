package kernel

import (
	"time"
)

type truncate struct {
	a     node
	width int64
}

func (*truncate) shape() shape { return ints }

func (o *truncate) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = floorDiv(x, o.width) * o.width
	}
	return out
}

type extract struct {
	a node
	f func(time.Time) int64
}

func (*extract) shape() shape { return ints }

func (o *extract) eval(f *frame) *vec {
	a := o.a.eval(f)
	out := &vec{ints: f.newInts(), null: a.null}
	for i, x := range a.ints {
		out.ints[i] = o.f(time.UnixMicro(x).UTC())
	}
	return out
}

var parts = map[string]func(time.Time) int64{
	"year":   func(t time.Time) int64 { return int64(t.Year()) },
	"month":  func(t time.Time) int64 { return int64(t.Month()) },
	"day":    func(t time.Time) int64 { return int64(t.Day()) },
	"hour":   func(t time.Time) int64 { return int64(t.Hour()) },
	"minute": func(t time.Time) int64 { return int64(t.Minute()) },
	"second": func(t time.Time) int64 { return int64(t.Second()) },
	"dow":    func(t time.Time) int64 { return int64(t.Weekday()) },
	"doy":    func(t time.Time) int64 { return int64(t.YearDay()) },
	"epoch":  func(t time.Time) int64 { return floorDiv(t.UnixMicro(), 1_000_000) },
}
