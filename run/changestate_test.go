package run

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
)

// seen is what a process function with some handles tells of each row.
type seen struct {
	Key, I   int64
	N        int64  // rows of the key so far
	Greatest *int64 // of the rows since that handle is there
	Places   int64  // entries of the map
	Woken    bool
}

// handles says which handles a process function has.
type handles struct {
	count, greatest, places bool
	countAs                 string // type of the count: int64 unless it is text
	ttl                     time.Duration
	before, timer           bool // timers: another one before the one that fires
}

// watching returns a job with a process function.
func (r *changeRig) watching(h handles) *sabot.Job {
	return r.job(func(rows *sabot.Stream) {
		sabot.Process(rows.KeyBy("key"), "watch", func(p *sabot.Proc[int64, reading, seen]) {
			var n *sabot.Value[int64]
			var most *sabot.Value[int64]
			var places *sabot.MapHandle[int64, bool]
			var options []sabot.StateOption
			if h.ttl > 0 {
				options = append(options, sabot.TTL(h.ttl))
			}
			if h.greatest { // before the other, whose place in the table changes by that
				most = sabot.NewValue[int64](p, "greatest")
			}
			switch {
			case h.count && h.countAs == "text":
				sabot.NewValue[string](p, "count")
			case h.count && h.countAs == "int32":
				sabot.NewValue[int32](p, "count")
			case h.count:
				n = sabot.NewValue[int64](p, "count", options...)
			}
			if h.places {
				places = sabot.NewMap[int64, bool](p, "places")
			}
			if h.before {
				p.Timer("early", sabot.ByEventTime, func(time.Time) error { return nil })
			}
			var wake *sabot.Timer
			if h.timer {
				wake = p.Timer("wake", sabot.ByEventTime, func(at time.Time) error {
					p.Emit(seen{Key: p.Key(), I: at.Unix(), Woken: true})
					return nil
				})
			}
			p.OnRow(func(x reading) error {
				out := seen{Key: x.Key, I: x.At.Unix()}
				if wake != nil {
					wake.Set(x.At.Add(30 * time.Minute))
				}
				if n != nil {
					was, _ := n.Get()
					n.Put(was + 1)
					out.N = was + 1
				}
				if most != nil {
					if was, ok := most.Get(); !ok || x.V > was {
						most.Put(x.V)
					}
					is, _ := most.Get()
					out.Greatest = &is
				}
				if places != nil {
					places.Put(x.By, true)
					out.Places = int64(places.Len())
				}
				p.Emit(out)
				return nil
			})
		}).Sink("seen", keeping[seen](r, "seen"))
	})
}

// model returns what the function tells of all rows, with the handles of before and after the change.
func model(before, after handles) (out []seen) {
	n, most, places := map[int64]int64{}, map[int64]int64{}, map[int64]map[int64]bool{}
	for i, x := range readings(all) {
		h := before
		if i >= half {
			h = after
		}
		s := seen{Key: x.Key, I: x.At.Unix()}
		if h.count {
			n[x.Key]++
			s.N = n[x.Key]
		}
		if h.greatest {
			most[x.Key] = max(most[x.Key], x.V)
			v := most[x.Key]
			s.Greatest = &v
		}
		if h.places {
			if places[x.Key] == nil {
				places[x.Key] = map[int64]bool{}
			}
			places[x.Key][x.By] = true
			s.Places = int64(len(places[x.Key]))
		}
		out = append(out, s)
	}
	return out
}

// A value that is added is empty for every key; the others keep theirs, whatever the order of the handles.
func TestNewValue(t *testing.T) {
	r := newChangeRig(t, all)
	before, after := handles{count: true}, handles{count: true, greatest: true, places: true}
	r.until(half, r.watching(before))
	r.until(half+100, r.watching(after)) // segments of both kinds are there
	r.end(r.watching(after))
	published(r, "seen", model(before, after))
}

// A handle that goes loses its state; a value's name is not given to another one.
func TestRemovedHandles(t *testing.T) {
	r := newChangeRig(t, all)
	before, after := handles{count: true, greatest: true, places: true}, handles{count: true}
	r.until(half, r.watching(before))
	r.refused(r.watching(after), lossHelp, `dropped: "watch", value greatest: it is gone`, `dropped: "watch", map places: it is gone (up to N rows)`)
	r.until(half+100, r.watching(after), lossy)
	r.refused(r.watching(before), undoHelp, `refused: "watch", value greatest: a value of this name was dropped before, and rows may still hold it: give it another name`)
	r.end(r.watching(after))
	published(r, "seen", model(before, after))
}

// When all values go, keys that have nothing else go with them.
func TestRemovedValues(t *testing.T) {
	r := newChangeRig(t, all)
	before, after := handles{count: true, places: true}, handles{places: true}
	r.until(half, r.watching(before))
	r.refused(r.watching(after), lossHelp, `dropped: "watch", values: it is gone (up to N rows)`)
	r.until(half+100, r.watching(after), lossy)
	again := handles{count: true, places: true} // nothing is left of the count
	r.end(r.watching(again))
	want := model(before, after)
	counts := map[int64]int64{}
	for i := half + 100; i < all; i++ {
		counts[want[i].Key]++
		want[i].N = counts[want[i].Key]
	}
	published(r, "seen", want)
}

// A key whose only value was of a handle that is gone is a key without anything.
func TestSwappedValues(t *testing.T) {
	r := newChangeRig(t, all)
	before, after := handles{count: true}, handles{greatest: true}
	r.until(half, r.watching(before))
	r.refused(r.watching(after), lossHelp, `dropped: "watch", value count: it is gone`)
	r.until(half+100, r.watching(after), lossy)
	r.end(r.watching(after))
	published(r, "seen", model(before, after))
}

// A value keeps its type, and does not become one with a TTL.
func TestChangedValue(t *testing.T) {
	r := newChangeRig(t, all)
	r.until(half, r.watching(handles{count: true}))
	r.refused(r.watching(handles{count: true, countAs: "text"}), undoHelp,
		`refused: "watch", value count: it was int64 and is utf8: give it another name, and drop this one`)
	r.refused(r.watching(handles{count: true, countAs: "int32"}), undoHelp,
		`refused: "watch", value count: it was int64 and is int32: give it another name, and drop this one`)
	r.refused(r.watching(handles{count: true, ttl: time.Hour}), undoHelp,
		`refused: "watch", value count: it has a TTL now, or one of another clock, but when it was used last by that is not known: give it another name, and drop this one`)
	r.end(r.watching(handles{count: true}))
	published(r, "seen", model(handles{count: true}, handles{count: true}))
}

// Values of structs are of one shape, and so are a map's keys and values: others are other state.
func TestChangedShapes(t *testing.T) {
	type narrow struct{ A int64 }
	type wide struct{ A, B int64 }
	pairs := []struct {
		was, now func(*sabot.Proc[int64, reading, seen])
		help     string
		says     string
	}{
		{shaped[narrow], shaped[wide], undoHelp, `refused: "watch", value v: it was struct S and is struct S: give it another name, and drop this one`},
		{keyed[narrow, int64], keyed[wide, int64], lossHelp, `dropped: "watch", map m: it holds map by struct S and is to hold map by struct S; it begins empty (up to N rows)`},
		{keyed[bool, int64], keyed[string, int64], lossHelp, `dropped: "watch", map m: it holds map by bool and is to hold map by utf8; it begins empty (up to N rows)`},
		{keyed[int64, narrow], keyed[int64, wide], lossHelp,
			`dropped: "watch", map m: it holds map by int64 of struct S and is to hold map by int64 of struct S; it begins empty (up to N rows)`},
	}
	for _, c := range pairs {
		r := newChangeRig(t, all)
		build := func(setup func(*sabot.Proc[int64, reading, seen])) *sabot.Job {
			return r.job(func(rows *sabot.Stream) {
				sabot.Process(rows.KeyBy("key"), "watch", setup).Sink("seen", keeping[seen](r, "seen"))
			})
		}
		r.until(half, build(c.was))
		r.refused(build(c.now), c.help, c.says)
	}
}

// shaped keeps one value, keyed one entry of a map.
func shaped[T any](p *sabot.Proc[int64, reading, seen]) {
	v := sabot.NewValue[T](p, "v")
	p.OnRow(func(reading) error {
		var zero T
		v.Put(zero)
		return nil
	})
}

func keyed[K, V any](p *sabot.Proc[int64, reading, seen]) {
	m := sabot.NewMap[K, V](p, "m")
	p.OnRow(func(reading) error {
		var key K
		var zero V
		m.Put(key, zero)
		return nil
	})
}

// A TTL may be longer or shorter, and may go.
func TestChangedTTL(t *testing.T) {
	r := newChangeRig(t, all)
	with := func(d time.Duration) handles { return handles{count: true, ttl: d} }
	r.until(half, r.watching(with(1000*time.Hour)))
	r.until(half+50, r.watching(with(2000*time.Hour)))
	r.end(r.watching(with(0)))
	published(r, "seen", model(with(0), with(0)))
}

// Timers of before fire as long as they come first in the same order; otherwise they are dropped.
func TestChangedTimers(t *testing.T) {
	woken := func(from, to int) (out []seen) {
		for _, x := range readings(all)[from:to] {
			out = append(out, seen{Key: x.Key, I: x.At.Add(30 * time.Minute).Unix(), Woken: true})
		}
		return out
	}
	r := newChangeRig(t, all)
	before, after := handles{count: true, timer: true}, handles{count: true, timer: true, before: true}
	r.until(half, r.watching(before))
	r.refused(r.watching(after), lossHelp, `dropped: "watch", timers of event time: the timers were wake (event time) and are early (event time), wake (event time), `+
		`and stored ones are told apart by their order; it begins empty (up to N rows)`)
	r.end(r.watching(after), lossy)
	fired := half - 31 // the watermark has passed their times
	published(r, "seen", append(append(model(before, after), woken(0, fired)...), woken(half, all)...))

	r = newChangeRig(t, all)
	r.until(half, r.watching(before))
	r.end(r.watching(handles{count: true, timer: true, greatest: true}))
	published(r, "seen", append(model(before, handles{count: true, greatest: true}), woken(0, all)...))
}

// A window may get a lateness, lose it and get another one. The rows are in order here: what is late does not differ.
func TestChangedLateness(t *testing.T) {
	r := newChangeRig(t, all)
	build := func(d time.Duration) *sabot.Job {
		return r.job(func(rows *sabot.Stream) {
			rows.KeyBy("key").Window(sabot.Tumbling(time.Hour).Lateness(d)).Aggregate("hourly", sabot.Sum("v").As("sum")).
				Select(sabot.Col("key"), sabot.Col("window_start"), sabot.Col("window_end"), sabot.Col("sum")).Sink("hours", keeping[total](r, "hours"))
		})
	}
	r.until(200, build(0))
	r.until(400, build(3*time.Hour))
	r.until(600, build(time.Hour))
	r.end(build(0))
	published(r, "hours", allHours())
}
