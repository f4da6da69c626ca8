package operators

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot"
)

// processModel is a scripted process function over plain maps. A call works on a copy of its key's state, and an error throws the copy away.
type processModel struct {
	unit  int64
	low   sabot.Micros
	swept sabot.Micros
	wall  sabot.Micros
	keys  map[any]*modelKey
	out   answer
	died  []string // timers whose handler failed
}

type modelKey struct {
	values map[string]modelValue
	maps   map[string]map[int64]modelValue
	lists  map[string]modelList
	timers map[modelTimer]bool
}

type modelValue struct {
	text string
	n, m int64 // of folds
	used sabot.Micros
}

type modelTimer struct {
	at   int64
	name string
}

func newProcessModel(unit int64) *processModel {
	return &processModel{unit: unit, low: sabot.NoTime, swept: sabot.NoTime, keys: map[any]*modelKey{}}
}

func (k *modelKey) clone() *modelKey {
	c := &modelKey{map[string]modelValue{}, map[string]map[int64]modelValue{}, map[string]modelList{}, map[modelTimer]bool{}}
	if k != nil {
		for name, l := range k.lists {
			c.lists[name] = modelList{l.live, l.used, slices.Clone(l.elements)}
		}
		maps.Copy(c.values, k.values)
		maps.Copy(c.timers, k.timers)
		for name, m := range k.maps {
			c.maps[name] = maps.Clone(m)
		}
	}
	return c
}

func (k *modelKey) empty() bool {
	n := len(k.values) + len(k.timers)
	for _, m := range k.maps {
		n += len(m)
	}
	for _, l := range k.lists {
		if n += len(l.elements); l.live {
			n++
		}
	}
	return n == 0
}

var modelTTLs = map[string]struct {
	units        int64
	onRead, wall bool
}{"text": {textTTL, false, false}, "float": {floatTTL, true, false}, "yes": {yesTTL, false, false}, "wall": {wallTTL, true, true},
	"mtext": {mtextTTL, false, false}, "mrec": {mrecTTL, true, false}, "mwall": {mwallTTL, false, true},
	"lttl": {lttlTTL, true, false}, "sum": {sumTTL, false, false}, "mean": {meanTTL, false, true}}

func (m *processModel) expired(name string, used, now sabot.Micros) bool {
	ttl := modelTTLs[name].units * m.unit
	return ttl > 0 && now != sabot.NoTime && now != sabot.MaxMicros && int64(now)-int64(used) >= ttl
}

// clock returns the time by which a handle's TTL goes, for a call of an age.
func (m *processModel) clock(name string, age sabot.Micros) sabot.Micros {
	if modelTTLs[name].wall {
		return m.wall
	}
	return age
}

// stamp returns when something is used last that is put now.
func stamp(old modelValue, had bool, now sabot.Micros) sabot.Micros {
	if had {
		return max(old.used, now)
	}
	return now
}

var modelTexts = map[string]func(int64) string{
	"n": textBy(intOf), "text": textBy(textOf), "float": textBy(floatOf), "raw": textBy(rawOf), "rec": textBy(recOf), "yes": textBy(yesOf),
	"wall": textBy(intOf), "def": textBy(textOf),
	"m": textBy(intOf), "mtext": textBy(textOf), "mrec": textBy(recOf), "mwall": textBy(recOf), "l": textBy(recOf), "lttl": textBy(intOf),
}

// modelAbsent is what getting gives where there is nothing.
var modelAbsent = map[string]string{"n": "0", "text": "", "float": "0", "raw": "[]", "rec": "{0 }", "yes": "false", "wall": "0", "def": "nothing",
	"m": "0", "mtext": "", "mrec": "{0 }", "mwall": "{9 nothing}", "l": "{0 }", "lttl": "0", "sum": "0", "mean": ""}

func textBy[T any](conv func(int64) T) func(int64) string {
	return func(n int64) string { return fmt.Sprint(conv(n)) }
}

// call runs f for a key at a time, with values of an age, and tells the error that f returned.
func (m *processModel) call(key any, now, age sabot.Micros, f func(h *handles) error) error {
	if age != sabot.MaxMicros {
		age = max(age, m.swept)
	}
	k := m.keys[key].clone()
	var emitted []plainRow
	var overflow error
	h := &handles{values: map[string]valueOps{}, maps: map[string]mapOps{}, lists: map[string]listOps{}, folds: map[string]foldOps{},
		timers: map[string]timerOps{}, now: func() sabot.Micros { return now }, low: func() sabot.Micros { return m.low },
		emit: func(text string) {
			emitted = append(emitted, plainRow{int64(now), []any{keyText(key), text}})
		}}
	for _, name := range valueNames {
		h.values[name] = m.value(k, name, m.clock(name, age))
	}
	for _, name := range mapNames {
		h.maps[name] = m.entries(k, name, m.clock(name, age))
	}
	for _, name := range listNames {
		h.lists[name] = m.list(k, name, m.clock(name, age))
	}
	for _, name := range foldNames {
		h.folds[name] = m.fold(k, name, m.clock(name, age), &overflow)
	}
	for _, name := range timerNames {
		h.timers[name] = timerOps{func(at int64) { k.timers[modelTimer{at, name}] = true }, func(at int64) { delete(k.timers, modelTimer{at, name}) }}
	}
	err := f(h)
	if err = errors.Join(overflow, err); err != nil {
		return err
	}
	m.out.rows = append(m.out.rows, emitted...)
	m.keep(key, k)
	return nil
}

func (m *processModel) keep(key any, k *modelKey) {
	if m.keys[key] = k; k.empty() {
		delete(m.keys, key)
	}
}

func (m *processModel) value(k *modelKey, name string, now sabot.Micros) valueOps {
	return valueOps{
		get: func() (string, bool) {
			v, ok := k.values[name]
			switch {
			case !ok:
				return modelAbsent[name], false
			case m.expired(name, v.used, now):
				delete(k.values, name)
				return modelAbsent[name], false
			case modelTTLs[name].onRead:
				k.values[name] = modelValue{text: v.text, used: max(v.used, now)}
			}
			return v.text, true
		},
		put: func(n int64) {
			old, had := k.values[name]
			k.values[name] = modelValue{text: modelTexts[name](n), used: stamp(old, had, now)}
		},
		clear: func() { delete(k.values, name) },
	}
}

func (m *processModel) entries(k *modelKey, name string, now sabot.Micros) mapOps {
	if k.maps[name] == nil {
		k.maps[name] = map[int64]modelValue{}
	}
	e := k.maps[name]
	return mapOps{
		get: func(i int64) (string, bool) {
			v, ok := e[i]
			if !ok || m.expired(name, v.used, now) {
				return modelAbsent[name], false
			}
			if modelTTLs[name].onRead {
				e[i] = modelValue{text: v.text, used: max(v.used, now)}
			}
			return v.text, true
		},
		put: func(i, n int64) {
			old, had := e[i]
			e[i] = modelValue{text: modelTexts[name](n), used: stamp(old, had, now)}
		},
		clear:  func() { clear(e) },
		remove: func(i int64) { delete(e, i) },
		len: func() (n int) {
			for _, v := range e {
				if !m.expired(name, v.used, now) {
					n++
				}
			}
			return n
		},
		all: func(visit func(int64, string)) {
			for i, v := range maps.Clone(e) {
				if !m.expired(name, v.used, now) {
					visit(i, v.text)
				}
			}
		},
	}
}

func (m *processModel) batch(rows []plainRow) {
	for _, r := range rows {
		if err := m.call(r.vals[0], sabot.Micros(r.time), sabot.Micros(r.time), func(h *handles) error { return h.run(parseScript(r.vals[1].(string))) }); err != nil {
			m.out.dead = append(m.out.dead, r)
		}
		m.fire('e', m.low)
	}
	m.sweep(true)
}

// batchByKey is batch for a handler that takes all rows of a key.
func (m *processModel) batchByKey(rows []plainRow) {
	var order []any
	byKey := map[any][]plainRow{}
	for _, r := range rows {
		key := r.vals[0]
		if byKey[key] == nil {
			order = append(order, key)
		}
		byKey[key] = append(byKey[key], r)
	}
	for _, key := range order {
		at := sabot.NoTime
		for _, r := range byKey[key] {
			at = max(at, sabot.Micros(r.time))
		}
		if err := m.call(key, at, at, func(h *handles) error {
			for _, r := range byKey[key] {
				if err := h.run(parseScript(r.vals[1].(string))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			m.out.dead = append(m.out.dead, byKey[key]...)
		}
		m.fire('e', m.low)
	}
	m.sweep(true)
}

// fire fires the timers of a clock (by its first letter) that are set for a time before w: all of them at sabot.MaxMicros.
func (m *processModel) fire(clock byte, w sabot.Micros) {
	for {
		var due []modelTimer
		var keys []any
		for key, k := range m.keys {
			for t := range k.timers {
				if t.name[0] == clock && w != sabot.NoTime && (sabot.Micros(t.at) < w || w == sabot.MaxMicros) {
					due, keys = append(due, t), append(keys, key)
				}
			}
		}
		if len(due) == 0 {
			return
		}
		i := 0
		for j := range due { // keys do not know of each other: between them the order is free
			if cmp.Or(cmp.Compare(due[j].at, due[i].at), cmp.Compare(due[j].name, due[i].name)) < 0 {
				i = j
			}
		}
		t, key := due[i], keys[i]
		k := m.keys[key].clone()
		delete(k.timers, t)
		m.keep(key, k)
		age := sabot.Micros(t.at)
		if clock == 't' {
			age = m.low
		}
		if err := m.call(key, sabot.Micros(t.at), age, func(h *handles) error { return h.fire(t.name, t.at, m.unit) }); err != nil {
			m.died = append(m.died, fmt.Sprintf("%s %d %s", keyText(key), t.at, err))
		}
		if clock == 't' {
			m.fire('e', m.low)
		}
	}
}

func (m *processModel) watermark(w sabot.Micros) (dropped int) {
	m.low = w
	m.fire('e', w)
	for key, k := range maps.Clone(m.keys) {
		k = k.clone()
		for t := range k.timers {
			if w == sabot.MaxMicros {
				delete(k.timers, t)
				dropped++
			}
		}
		m.keep(key, k)
	}
	m.sweep(false)
	m.sweep(true)
	if w != sabot.MaxMicros {
		m.swept = w
	}
	return dropped
}

// sweep drops what has expired by one of the clocks.
func (m *processModel) sweep(wall bool) {
	for key, k := range maps.Clone(m.keys) {
		k = k.clone()
		gone := func(name string, used sabot.Micros) bool {
			return modelTTLs[name].wall == wall && m.expired(name, used, m.clock(name, m.low))
		}
		maps.DeleteFunc(k.values, func(name string, v modelValue) bool { return gone(name, v.used) })
		for name, e := range k.maps {
			maps.DeleteFunc(e, func(_ int64, v modelValue) bool { return gone(name, v.used) })
		}
		for name, l := range k.lists {
			l.live = l.live && !gone(name, l.used)
			l.elements = slices.DeleteFunc(l.elements, func(v modelValue) bool { return gone(name, v.used) })
			k.lists[name] = l
		}
		m.keep(key, k)
	}
}

// next returns the time at which the model waits for processing time to have come.
func (m *processModel) next() (at int64, ok bool) {
	for _, k := range m.keys {
		for t := range k.timers {
			if t.name[0] == 't' && (!ok || t.at < at) {
				at, ok = t.at, true
			}
		}
	}
	return at + 1, ok
}

// take returns what came out since the last call: rows by key, in order for each.
func (m *processModel) take() (out answer, died []string) {
	out, died = m.out, m.died
	m.out, m.died = answer{}, nil
	slices.Sort(died)
	return out, died
}
