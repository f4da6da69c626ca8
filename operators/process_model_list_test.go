package operators

import (
	"fmt"
	"math"

	"github.com/sabot-stream/sabot"
)

// modelList is a list: when it was used last, and its elements, those included that have expired and were not swept.
type modelList struct {
	live     bool // with a TTL: something was appended, and has not expired
	used     sabot.Micros
	elements []modelValue
}

func (m *processModel) list(k *modelKey, name string, now sabot.Micros) listOps {
	ttl := modelTTLs[name]
	// open calls f with the indices of the elements that live.
	open := func(f func(l *modelList, living []int)) {
		l := k.lists[name]
		var living []int
		if ttl.units > 0 && (!l.live || m.expired(name, l.used, now)) {
			l.live = false
		} else {
			if ttl.onRead {
				l.used = max(l.used, now)
			}
			for i, v := range l.elements {
				if !m.expired(name, v.used, now) {
					living = append(living, i)
				}
			}
		}
		f(&l, living)
		k.lists[name] = l
	}
	read := func(l *modelList, i int) string {
		if v := &l.elements[i]; ttl.onRead {
			v.used = max(v.used, now)
		}
		return l.elements[i].text
	}
	return listOps{
		add: func(ns ...int64) {
			l := k.lists[name]
			if ttl.units > 0 && len(ns) > 0 {
				if !l.live || m.expired(name, l.used, now) {
					l = modelList{live: true, used: now}
				}
				l.used = max(l.used, now)
			}
			for _, n := range ns {
				l.elements = append(l.elements, modelValue{text: modelTexts[name](n), used: now})
			}
			k.lists[name] = l
		},
		get: func(i int) (text string, ok bool) {
			text = modelAbsent[name]
			open(func(l *modelList, living []int) {
				if ok = i >= 0 && i < len(living); ok {
					text = read(l, living[i])
				}
			})
			return text, ok
		},
		len: func() (n int) {
			open(func(_ *modelList, living []int) { n = len(living) })
			return n
		},
		all: func(limit int) (out []string) {
			open(func(l *modelList, living []int) {
				for i, at := range living[:min(limit, len(living))] {
					out = append(out, fmt.Sprintf("%d=%q", i, read(l, at)))
				}
			})
			return out
		},
		clear: func() { delete(k.lists, name) },
	}
}

// fold is a handle into which numbers are folded. Its state is a value of the same name.
func (m *processModel) fold(k *modelKey, name string, now sabot.Micros, overflow *error) foldOps {
	text := map[string]func(modelValue) string{
		"sum":   func(v modelValue) string { return fmt.Sprint(v.n) },
		"count": func(v modelValue) string { return fmt.Sprint(v.n) },
		"mean":  func(v modelValue) string { return fmt.Sprintf("%d/%d", v.n, v.m) },
	}[name]
	get := func() (v modelValue, ok bool) {
		if v, ok = k.values[name]; ok && m.expired(name, v.used, now) {
			delete(k.values, name)
			return modelValue{}, false
		}
		return v, ok
	}
	return foldOps{
		add: func(n int64) {
			v, had := get()
			if name == "count" && (n > 0 && v.n > math.MaxInt64-n || n < 0 && v.n < math.MinInt64-n) {
				if *overflow == nil {
					*overflow = fmt.Errorf("the counter %q leaves the range of int64: %d and %d more", name, v.n, n)
				}
				return
			}
			v = modelValue{n: v.n + n, m: v.m + 1, used: stamp(v, had, now)}
			if k.values[name] = v; name == "count" && v.n == 0 {
				delete(k.values, name)
			}
		},
		get: func() (string, bool) {
			v, ok := get()
			switch {
			case name == "count":
				return text(v), true
			case !ok:
				return modelAbsent[name], false
			}
			return text(v), true
		},
		clear: func() { delete(k.values, name) },
	}
}
