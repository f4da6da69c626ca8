package operators

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

type noted struct{ Note string }

// A handler of all rows of a key gets them in their order, keys in the order of their first rows, and the latest time. Rows that cannot be read
// are given up alone; of a call that fails all rows are, and nothing else of it stays.
func TestRowsOfAKey(t *testing.T) {
	f := newFeed(t, arrow.NewSchema([]arrow.Field{{Name: "key", Type: int64Type}, {Name: "note", Type: arrow.BinaryTypes.String, Nullable: true}}, nil), 0)
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, noted, scriptOut]) {
		calls := sabot.NewCounter(p, "calls")
		p.OnRows(func(rows []noted) error {
			calls.Inc()
			var text []string
			for _, r := range rows {
				text = append(text, r.Note)
			}
			p.Emit(scriptOut{fmt.Sprint(p.Key()), fmt.Sprintf("%s in call %d", strings.Join(text, " "), calls.Get())})
			if slices.Contains(text, "bad") {
				return errors.New("asked to fail")
			}
			return nil
		})
	}), f, newDisk(t, f.keyFields())).(*process)
	out := &recorder{t: t}
	row := func(at, key int64, note any) plainRow { return plainRow{at, []any{key, note}} }
	const unread = `column "note" is null, and field Note of operators.noted is no pointer`
	for _, step := range []struct {
		rows       []plainRow
		sel        []int32
		want, dead []string
	}{
		{rows: []plainRow{row(3, 7, "a"), row(9, 5, "b"), row(8, 7, "c"), row(2, 7, "d"), row(1, 5, "e")},
			want: []string{"8 [7 a c d in call 1]", "9 [5 b e in call 1]"}},
		{rows: []plainRow{row(3, 7, nil), row(4, 5, "f"), row(5, 7, "g"), row(6, 7, nil), row(7, 6, nil)},
			want: []string{"6 [7 g in call 2]", "4 [5 f in call 2]"},
			dead: []string{"3 [7 <nil>]: " + unread, "6 [7 <nil>]: " + unread, "7 [6 <nil>]: " + unread}},
		{rows: []plainRow{row(3, 7, "h"), row(4, 7, nil), row(5, 5, "i"), row(6, 7, "bad"), row(7, 6, "bad")},
			want: []string{"5 [5 i in call 3]"},
			dead: []string{"3 [7 h]: asked to fail", "4 [7 <nil>]: " + unread, "6 [7 bad]: asked to fail", "7 [6 bad]: asked to fail"}},
		{rows: []plainRow{row(3, 7, "j"), row(4, 7, "k"), row(5, 6, "l"), row(6, 7, "m")}, sel: []int32{1, 2, 3},
			want: []string{"6 [7 k m in call 3]", "5 [6 l in call 1]"}},
	} {
		*out = recorder{t: t}
		if err := op.Batch(f.batch(step.rows, step.sel), out); err != nil {
			t.Fatal(err)
		}
		same(t, "output", lines(out.rows, false), step.want)
		var dead []string
		for i, r := range out.dead {
			dead = append(dead, fmt.Sprint(r, ": ", out.reasons[i]))
		}
		same(t, "dead rows", dead, step.dead)
	}
}

// A counter that would overflow fails the call: it is as it was, and nothing of the call stays, whatever the handler does about it.
func TestCounterOverflow(t *testing.T) {
	f := newFeed(t, justKey, 0)
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		n := sabot.NewCounter(p, "n")
		late := p.Timer("late", sabot.ByEventTime, func(time.Time) error {
			n.Add(math.MinInt64)
			n.Add(math.MinInt64)
			return nil
		})
		p.OnRow(func(keyed) error {
			p.Emit(scriptOut{fmt.Sprint(p.Key()), fmt.Sprint(n.Get())})
			if n.Add(math.MaxInt64 - 1); n.Get() < 0 {
				return errors.New("it went around")
			}
			late.Set(time.UnixMicro(50))
			return nil
		})
	}), f, newDisk(t, f.keyFields())).(*process)
	out := &recorder{t: t}
	for range 3 {
		if err := op.Batch(f.batch(stamped(1, 10), nil), out); err != nil {
			t.Fatal(err)
		}
	}
	if err := op.Watermark(100, out); err != nil {
		t.Fatal(err)
	}
	const again = `the counter "n" leaves the range of int64: 9223372036854775806 and 9223372036854775806 more`
	same(t, "output", lines(out.rows, false), []string{"10 [0 0]"})
	same(t, "reasons", out.reasons, []string{again, again})
	const timer = `the counter "n" leaves the range of int64: -2 and -9223372036854775808 more`
	if len(out.deadKeys) != 1 || !strings.HasSuffix(out.deadKeys[0], timer) {
		t.Errorf("failed timers: %q, want one: %s", out.deadKeys, timer)
	}
}

// A key may have any number of times set: they fire in order.
func TestManyTimersOfAKey(t *testing.T) {
	const n = 100_000
	f := newFeed(t, justKey, 0)
	var fired []int64
	op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		timer := p.Timer("timer", sabot.ByEventTime, func(at time.Time) error {
			fired = append(fired, at.UnixMicro())
			return nil
		})
		p.OnRow(func(keyed) error {
			for i := range int64(n) {
				timer.Set(time.UnixMicro(100 + i*7919%n)) // 7919 is prime to n: each once, in a wild order
			}
			return nil
		})
	}), f, newDisk(t, f.keyFields()))
	out := &recorder{t: t}
	if err := op.Batch(f.batch(stamped(1, 10), nil), out); err != nil {
		t.Fatal(err)
	}
	if err := op.Watermark(sabot.MaxMicros, out); err != nil {
		t.Fatal(err)
	}
	if len(fired) != n || !slices.IsSorted(fired) || fired[0] != 100 || fired[n-1] != 100+n-1 {
		t.Errorf("%d timers fired, in order: %t; want %d in order", len(fired), slices.IsSorted(fired), n)
	}
}

// What is done to a list while it is gone through.
func TestListWhileGoneThrough(t *testing.T) {
	for _, opts := range [][]sabot.StateOption{nil, {sabot.TTL(time.Hour)}} {
		f := newFeed(t, justKey, 0)
		var got []string
		op := newProcessOp(t, processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
			list := sabot.NewList[string](p, "list", opts...)
			note := func(what string) {
				for i, v := range list.All() {
					what += fmt.Sprintf(" %d=%s", i, v)
				}
				got = append(got, what)
			}
			p.OnRow(func(keyed) error {
				list.AppendAll("a", "b", "c")
				for i, v := range list.All() {
					list.Append(fmt.Sprint(v, i))
				}
				note("appended:")
				for i := range list.All() {
					for j, v := range list.All() { // one within the other
						if i == 1 && j == 2 {
							got = append(got, "within: "+v)
						}
					}
				}
				for i := range list.All() {
					if i == 1 {
						list.Clear()
						list.Append("new")
					} else if i > 1 {
						got = append(got, "went on")
					}
				}
				note("cleared:")
				list.Put("x", "y")
				note("put:")
				list.Put()
				note("put nothing:")
				return nil
			})
		}), f, newDisk(t, f.keyFields())).(*process)
		if err := op.Batch(f.batch(stamped(1, 10), nil), &recorder{t: t}); err != nil {
			t.Fatal(err)
		}
		same(t, "notes", got, []string{"appended: 0=a 1=b 2=c 3=a0 4=b1 5=c2", "within: c", "cleared: 0=new", "put: 0=x 1=y", "put nothing:"})
		if n := op.keys.Len(); n != 0 {
			t.Errorf("%d keys are kept by an empty list, want 0", n)
		}
	}
}

// A timer that is set again before its cancelled forebear is read back is set, whatever the order of rows in the segments, and whether or not a cut has it.
func TestTimerSetAgainBeforeItIsReadBack(t *testing.T) {
	for _, cut := range []bool{false, true} {
		f := newFeed(t, arrow.NewSchema([]arrow.Field{{Name: "key", Type: int64Type}, {Name: "set", Type: arrow.FixedWidthTypes.Boolean}}, nil), 0)
		d := newDisk(t, f.keyFields())
		type row struct{ Set bool }
		fn := processFuncOf(func(p *sabot.Proc[int64, row, scriptOut]) {
			timer := p.Timer("timer", sabot.ByEventTime, func(at time.Time) error {
				p.Emit(scriptOut{fmt.Sprint(p.Key()), fmt.Sprint(sabot.MicrosOf(at))})
				return nil
			})
			p.OnRow(func(r row) error {
				if at := sabot.Micros(100).Time(); r.Set {
					timer.Set(at)
				} else {
					timer.Cancel(at)
				}
				return nil
			})
		})
		out := &recorder{t: t}
		op := newProcessOp(t, fn, f, d)
		give := func(set bool) {
			t.Helper()
			if err := op.Batch(f.batch([]plainRow{{10, []any{int64(7), set}}}, nil), out); err != nil {
				t.Fatal(err)
			}
		}
		for _, set := range []bool{true, false} {
			give(set)
			d.freeze(sabot.NoTime)()
		}
		op = newProcessOp(t, fn, f, d)
		give(true)
		if cut {
			d.freeze(sabot.NoTime)
		}
		if err := op.Watermark(200, out); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("in a cut: %t: what has fired", cut), lines(out.rows, false), []string{"100 [7 100]"})
	}
}
