package operators

import (
	"cmp"
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
	keys  map[any]*modelKey
	out   answer
	died  []string // timers whose handler failed
}

type modelKey struct {
	values map[string]modelValue
	maps   map[string]map[int64]modelValue
	timers map[modelTimer]bool
}

type modelValue struct {
	text string
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
	c := &modelKey{map[string]modelValue{}, map[string]map[int64]modelValue{}, map[modelTimer]bool{}}
	if k != nil {
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
	return n == 0
}

var modelTTLs = map[string]struct {
	units  int64
	onRead bool
}{"text": {textTTL, false}, "float": {floatTTL, true}, "yes": {yesTTL, false}, "mtext": {mtextTTL, false}, "mrec": {mrecTTL, true}}

func (m *processModel) expired(name string, v modelValue, now sabot.Micros) bool {
	ttl := modelTTLs[name].units * m.unit
	return ttl > 0 && now != sabot.NoTime && now != sabot.MaxMicros && int64(now)-int64(v.used) >= ttl
}

var modelTexts = map[string]func(int64) string{
	"n": textBy(intOf), "text": textBy(textOf), "float": textBy(floatOf), "raw": textBy(rawOf), "rec": textBy(recOf), "yes": textBy(yesOf),
	"m": textBy(intOf), "mtext": textBy(textOf), "mrec": textBy(recOf),
}

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
	h := &handles{values: map[string]valueOps{}, maps: map[string]mapOps{}, timers: map[string]timerOps{},
		now: func() sabot.Micros { return now }, low: func() sabot.Micros { return m.low },
		emit: func(text string) {
			emitted = append(emitted, plainRow{int64(now), []any{keyText(key), text}})
		}}
	for _, name := range valueNames {
		h.values[name] = m.value(k, name, age)
	}
	for _, name := range mapNames {
		h.maps[name] = m.entries(k, name, age)
	}
	for _, name := range timerNames {
		h.timers[name] = timerOps{func(at int64) { k.timers[modelTimer{at, name}] = true }, func(at int64) { delete(k.timers, modelTimer{at, name}) }}
	}
	err := f(h)
	if err != nil {
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
				return "", false
			case m.expired(name, v, now):
				delete(k.values, name)
				return "", false
			case modelTTLs[name].onRead:
				k.values[name] = modelValue{v.text, max(v.used, now)}
			}
			return v.text, true
		},
		put:   func(n int64) { k.values[name] = modelValue{modelTexts[name](n), now} },
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
			if !ok || m.expired(name, v, now) {
				return "", false
			}
			if modelTTLs[name].onRead {
				e[i] = modelValue{v.text, max(v.used, now)}
			}
			return v.text, true
		},
		put:    func(i, n int64) { e[i] = modelValue{modelTexts[name](n), now} },
		remove: func(i int64) { delete(e, i) },
		len:    func() int { return len(e) },
		all: func(visit func(int64, string)) {
			for i, v := range maps.Clone(e) {
				if !m.expired(name, v, now) {
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
		maps.DeleteFunc(k.values, func(name string, v modelValue) bool { return m.expired(name, v, w) })
		for name, e := range k.maps {
			maps.DeleteFunc(e, func(_ int64, v modelValue) bool { return m.expired(name, v, w) })
		}
		m.keep(key, k)
	}
	if w != sabot.MaxMicros {
		m.swept = w
	}
	return dropped
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
