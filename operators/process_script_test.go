package operators

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
)

// scriptOp is one thing that a handler does. Rows carry scripts of them, so that a process function and its model do the same.
type scriptOp struct {
	Do, On string
	K, N   int64
}

// valueOps, mapOps and timerOps are handles, of a process function or of the model, with all values as text.
type valueOps struct {
	get   func() (string, bool)
	put   func(n int64)
	clear func()
}

type mapOps struct {
	get    func(k int64) (string, bool)
	put    func(k, n int64)
	remove func(k int64)
	clear  func()
	len    func() int
	all    func(visit func(k int64, v string))
}

type listOps struct {
	add   func(ns ...int64)
	get   func(i int) (string, bool)
	len   func() int
	all   func(limit int) []string // the first ones, of at least one
	clear func()
}

type foldOps struct {
	add   func(n int64)
	get   func() (string, bool)
	clear func()
}

type timerOps struct{ set, cancel func(at int64) }

// handles is what a script works on.
type handles struct {
	values map[string]valueOps
	maps   map[string]mapOps
	lists  map[string]listOps
	folds  map[string]foldOps
	timers map[string]timerOps
	emit   func(text string)
	now    func() sabot.Micros
	low    func() sabot.Micros
}

// run does what a script says.
func (h *handles) run(script []scriptOp) error {
	for _, op := range script {
		v, m, l, f, t := h.values[op.On], h.maps[op.On], h.lists[op.On], h.folds[op.On], h.timers[op.On]
		switch op.Do {
		case "get":
			got, ok := v.get()
			h.emit(fmt.Sprintf("get %s: %q %v", op.On, got, ok))
		case "put":
			v.put(op.N)
		case "clear":
			v.clear()
		case "find":
			got, ok := m.get(op.K)
			h.emit(fmt.Sprintf("find %s %d: %q %v", op.On, op.K, got, ok))
		case "enter":
			m.put(op.K, op.N)
		case "remove":
			m.remove(op.K)
		case "prune": // removes entries while it goes through all of them
			m.all(func(k int64, _ string) {
				if k%2 == op.K%2 {
					m.remove(k)
				}
			})
		case "all":
			var all []string
			m.all(func(k int64, v string) { all = append(all, fmt.Sprintf("%d=%q", k, v)) })
			slices.Sort(all)
			h.emit(fmt.Sprintf("all %s: %v of %d", op.On, all, m.len()))
		case "wipe":
			m.clear()
		case "append":
			l.add(op.N)
		case "extend":
			l.add(op.N, op.K, op.N)
		case "replace":
			l.clear()
			l.add([]int64{op.N, op.K, 1, 2}[:op.K]...)
		case "nth":
			got, ok := l.get(int(op.N - 1))
			h.emit(fmt.Sprintf("nth %s %d: %q %v", op.On, op.N-1, got, ok))
		case "len":
			h.emit(fmt.Sprintf("len %s: %d", op.On, l.len()))
		case "list":
			h.emit(fmt.Sprintf("list %s: %v", op.On, l.all(int(1+op.K*3))))
		case "empty":
			l.clear()
		case "add":
			f.add(op.N)
		case "sum":
			got, ok := f.get()
			h.emit(fmt.Sprintf("sum %s: %q %v", op.On, got, ok))
		case "zero":
			f.clear()
		case "set":
			t.set(op.N)
		case "cancel":
			t.cancel(op.N)
		case "clock":
			h.emit(fmt.Sprintf("now %d, watermark %d", h.now(), h.low()))
		case "fail":
			return errors.New("asked to fail")
		}
	}
	return nil
}

// fire is what the handler of a timer does: it tells so, and runs a script that follows from name and time.
func (h *handles) fire(name string, at int64, unit int64) error {
	h.emit(fmt.Sprintf("fired %s set for %d", name, at))
	r := rand.New(rand.NewPCG(uint64(at), uint64(name[len(name)-1])))
	if sabot.Micros(at) == sabot.MaxMicros {
		return h.run([]scriptOp{{Do: "get", On: "n"}, {Do: "all", On: "m"}, {Do: "put", On: "n", N: 7}, {Do: "clock"}})
	}
	script := randomScript(r, at, unit, 3)
	for i := range script {
		if script[i].Do == "set" { // strictly later and rarely, so that it ends
			script[i].N = at + unit*(1+r.Int64N(20))
			if r.IntN(3) > 0 {
				script[i] = scriptOp{Do: "clock"}
			}
		}
	}
	return h.run(script)
}

var (
	valueNames = []string{"n", "text", "float", "raw", "rec", "yes", "wall", "def"}
	mapNames   = []string{"m", "mtext", "mrec", "mwall"}
	listNames  = []string{"l", "lttl"}
	foldNames  = []string{"sum", "mean", "count"}
	timerNames = []string{"event1", "event2", "tick1", "tick2"}
)

// randomScript returns up to n operations for a row or timer of a time.
func randomScript(r *rand.Rand, at, unit int64, n int) (script []scriptOp) {
	for range r.IntN(n + 1) {
		op := scriptOp{K: r.Int64N(4), N: r.Int64N(5)}
		switch x := r.IntN(32) - 12; {
		case x < -6:
			op.Do = []string{"append", "append", "append", "extend", "replace", "nth", "len", "list", "list", "empty"}[r.IntN(10)]
			op.On = listNames[r.IntN(len(listNames))]
		case x < 0:
			op.Do, op.On = []string{"add", "add", "add", "sum", "sum", "zero"}[r.IntN(6)], foldNames[r.IntN(len(foldNames))]
			if op.N -= 2; op.On == "count" && r.IntN(6) == 0 {
				op.N = math.MaxInt64 - op.K
			}
		case x < 8:
			op.Do, op.On = []string{"get", "get", "put", "put", "put", "clear"}[r.IntN(6)], valueNames[r.IntN(len(valueNames))]
		case x < 14:
			op.Do, op.On = []string{"find", "find", "enter", "enter", "enter", "enter", "remove", "all", "all", "prune", "wipe"}[r.IntN(11)], mapNames[r.IntN(len(mapNames))]
		case x < 18:
			op.Do, op.On = []string{"set", "set", "cancel"}[r.IntN(3)], timerNames[r.IntN(len(timerNames))]
			op.N = (at/unit + r.Int64N(25) - 6) * unit
			if op.On[0] == 'e' && r.IntN(12) == 0 {
				op.N = int64(sabot.MaxMicros)
			}
		case x < 19:
			op.Do = "clock"
		default:
			if op.Do = "fail"; r.IntN(2) == 0 {
				op.Do = "clock"
			}
		}
		script = append(script, op)
	}
	return script
}

// scriptRec is a value that is kept as bytes.
type scriptRec struct {
	A int64
	B string
}

// The values that number n stands for.
func intOf(n int64) int64     { return n }
func textOf(n int64) string   { return fmt.Sprint("text\x00"[:4+n%2], n) }
func floatOf(n int64) float64 { return float64(n) / 4 }
func rawOf(n int64) []byte    { return []byte{byte(n), 0, 1} }
func recOf(n int64) scriptRec { return scriptRec{n, textOf(n)} }
func yesOf(n int64) bool      { return n%2 == 0 }

type scriptIn struct{ Script string }

type scriptOut struct{ Key, Text string }

// scripted is a process function that does what its rows say, one by one or all of a key at once. TTLs are some of unit.
func scripted[K any](unit int64, byKey bool) func(p *sabot.Proc[K, scriptIn, scriptOut]) {
	return func(p *sabot.Proc[K, scriptIn, scriptOut]) {
		ttl := func(n int64) sabot.StateOption { return sabot.TTL(time.Duration(n*unit) * time.Microsecond) }
		h := &handles{emit: func(text string) { p.Emit(scriptOut{keyText(p.Key()), text}) }, values: map[string]valueOps{}, maps: map[string]mapOps{},
			lists: map[string]listOps{}, folds: map[string]foldOps{}, timers: map[string]timerOps{}, now: func() sabot.Micros { return sabot.MicrosOf(p.Now()) },
			low: func() sabot.Micros { return sabot.MicrosOf(p.Watermark()) }}
		h.values["n"] = opsOfValue(sabot.NewValue[int64](p, "n"), intOf)
		h.values["text"] = opsOfValue(sabot.NewValue[string](p, "text", ttl(textTTL)), textOf)
		h.values["float"] = opsOfValue(sabot.NewValue[float64](p, "float", ttl(floatTTL), sabot.TTLOnRead()), floatOf)
		h.values["raw"] = opsOfValue(sabot.NewValue[[]byte](p, "raw"), rawOf)
		h.values["rec"] = opsOfValue(sabot.NewValue[scriptRec](p, "rec"), recOf)
		h.values["yes"] = opsOfValue(sabot.NewValue[bool](p, "yes", ttl(yesTTL)), yesOf)
		wall := sabot.TTLClock(sabot.ByProcessingTime)
		h.values["wall"] = opsOfValue(sabot.NewValue[int64](p, "wall", ttl(wallTTL), wall, sabot.TTLOnRead()), intOf)
		h.values["def"] = opsOfValue(sabot.NewValue[string](p, "def", sabot.Default("nothing")), textOf)
		h.maps["mwall"] = opsOfMap(sabot.NewMap[int64, scriptRec](p, "mwall", ttl(mwallTTL), wall, sabot.Default(scriptRec{9, "nothing"})), intOf, intOf, recOf)
		h.lists["l"] = opsOfList(sabot.NewList[scriptRec](p, "l"), recOf)
		h.lists["lttl"] = opsOfList(sabot.NewList[int64](p, "lttl", ttl(lttlTTL), sabot.TTLOnRead()), intOf)
		sum := sabot.NewReducing[int64](p, "sum", func(a, b int64) int64 { return a + b }, ttl(sumTTL))
		h.folds["sum"] = foldOps{sum.Add, textOfGet(sum.Get), sum.Clear}
		mean := sabot.NewAggregating(p, "mean", sabot.Aggregator[int64, meanAcc, string]{
			Add:    func(a meanAcc, n int64) meanAcc { return meanAcc{a.Sum + n, a.N + 1} },
			Result: func(a meanAcc) string { return fmt.Sprintf("%d/%d", a.Sum, a.N) }}, ttl(meanTTL), wall)
		h.folds["mean"] = foldOps{mean.Add, textOfGet(mean.Get), mean.Clear}
		count := sabot.NewCounter(p, "count")
		h.folds["count"] = foldOps{count.Add, func() (string, bool) { return fmt.Sprint(count.Get()), true }, count.Clear}
		h.maps["m"] = opsOfMap(sabot.NewMap[int64, int64](p, "m"), intOf, intOf, intOf)
		texts := map[string]int64{}
		for k := range int64(4) {
			texts[textOf(k)] = k
		}
		h.maps["mtext"] = opsOfMap(sabot.NewMap[string, string](p, "mtext", ttl(mtextTTL)), textOf, func(k string) int64 { return texts[k] }, textOf)
		h.maps["mrec"] = opsOfMap(sabot.NewMap[int64, scriptRec](p, "mrec", ttl(mrecTTL), sabot.TTLOnRead()), intOf, intOf, recOf)
		for i, name := range timerNames {
			domain := sabot.ByEventTime
			if i >= 2 {
				domain = sabot.ByProcessingTime
			}
			t := p.Timer(name, domain, func(at time.Time) error { return h.fire(name, int64(sabot.MicrosOf(at)), unit) })
			h.timers[name] = timerOps{func(at int64) { t.Set(sabot.Micros(at).Time()) }, func(at int64) { t.Cancel(sabot.Micros(at).Time()) }}
		}
		if !byKey {
			p.OnRow(func(in scriptIn) error { return h.run(parseScript(in.Script)) })
			return
		}
		p.OnRows(func(rows []scriptIn) error {
			for _, in := range rows {
				if err := h.run(parseScript(in.Script)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// meanAcc is an accumulator that is kept as bytes.
type meanAcc struct{ Sum, N int64 }

// TTLs, in units.
const (
	textTTL, floatTTL, yesTTL, wallTTL = 8, 5, 30, 7
	mtextTTL, mrecTTL, mwallTTL        = 10, 6, 9
	lttlTTL, sumTTL, meanTTL           = 11, 6, 12
)

func textOfGet[T any](get func() (T, bool)) func() (string, bool) {
	return func() (string, bool) {
		x, ok := get()
		return fmt.Sprint(x), ok
	}
}

func opsOfList[T any](l *sabot.List[T], conv func(int64) T) listOps {
	return listOps{
		add: func(ns ...int64) {
			for _, n := range ns {
				l.Append(conv(n))
			}
		},
		get: func(i int) (string, bool) { return textOfGet(func() (T, bool) { return l.Get(i) })() },
		len: l.Len,
		all: func(limit int) (out []string) {
			for i, v := range l.All() {
				if out = append(out, fmt.Sprintf("%d=%q", i, fmt.Sprint(v))); len(out) == limit {
					break
				}
			}
			return out
		},
		clear: l.Clear,
	}
}

func parseScript(s string) (script []scriptOp) {
	if err := json.Unmarshal([]byte(s), &script); err != nil {
		panic(err)
	}
	return script
}

func keyText(k any) string {
	switch k := k.(type) {
	case *string:
		if k == nil {
			return "null"
		}
		return fmt.Sprintf("%q", *k)
	case string:
		return fmt.Sprintf("%q", k)
	case nil:
		return "null"
	}
	return fmt.Sprint(k)
}

func opsOfValue[T any](v *sabot.Value[T], conv func(int64) T) valueOps {
	return valueOps{
		get:   textOfGet(v.Get),
		put:   func(n int64) { v.Put(conv(n)) },
		clear: v.Clear,
	}
}

func opsOfMap[K, V any](m *sabot.MapHandle[K, V], key func(int64) K, number func(K) int64, conv func(int64) V) mapOps {
	return mapOps{
		get:    func(k int64) (string, bool) { return textOfGet(func() (V, bool) { return m.Get(key(k)) })() },
		put:    func(k, n int64) { m.Put(key(k), conv(n)) },
		remove: func(k int64) { m.Remove(key(k)) },
		clear:  m.Clear,
		len:    m.Len,
		all: func(visit func(int64, string)) {
			for k, v := range m.All() {
				visit(number(k), fmt.Sprint(v))
			}
		},
	}
}
