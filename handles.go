package sabot

import (
	"fmt"
	"iter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// StateOption is an option of a handle.
type StateOption func(*StateDecl)

// TTL lets a value, a map's entry or a list's element vanish when d has passed since it was last put: d of event time, unless TTLClock says
// otherwise. A row that comes late does not shorten its life.
func TTL(d time.Duration) StateOption { return func(s *StateDecl) { s.TTL = d } }

// TTLOnRead makes getting count like putting for TTL. Going through all entries of a map does not count.
func TTLOnRead() StateOption { return func(s *StateDecl) { s.OnRead = true } }

// TTLClock chooses the clock of TTL. ByEventTime is that of the row or timer at hand; where there is none, on streams without event time,
// nothing ever expires by it. ByProcessingTime is the worker's, which goes on while a job does not run: what a row finds then depends on when it is
// processed. State that was kept by one clock cannot be used by the other.
func TTLClock(c TimeDomain) StateOption { return func(s *StateDecl) { s.Clock = c } }

// Default makes Get return v, besides false, where a value or a map's entry is absent. V must be of the handle's type.
func Default[T any](v T) StateOption { return func(s *StateDecl) { s.Absent = v } }

// declared returns the declaration of a handle.
func declared(name string, kind StateKind, opts []StateOption) StateDecl {
	s := StateDecl{Name: name, Kind: kind}
	for _, o := range opts {
		o(&s)
	}
	switch {
	case s.TTL < 0:
		panic(setupError{fmt.Sprintf("state %q: the TTL is negative: %s", name, s.TTL)})
	case s.TTL%time.Microsecond != 0:
		panic(setupError{fmt.Sprintf("state %q: the TTL is not whole microseconds: %s", name, s.TTL)})
	case s.TTL == 0 && (s.OnRead || s.Clock != ByEventTime):
		panic(setupError{fmt.Sprintf("state %q: TTLOnRead and TTLClock say more of a TTL, and it has none", name)})
	case s.Clock > ByProcessingTime:
		panic(setupError{fmt.Sprintf("state %q: there is no clock %d", name, s.Clock)})
	case s.Absent != nil && kind != ValueState && kind != MapState:
		panic(setupError{fmt.Sprintf("state %q: only values and maps have a default", name)})
	}
	return s
}

// absent returns what makes the default of a declaration, anew each time, and notes it there as text; nil when it has none.
func absent[T any](d *StateDecl, c *conversion[T]) func() T {
	if d.Absent == nil {
		return nil
	}
	v, ok := d.Absent.(T)
	if !ok {
		panic(setupError{fmt.Sprintf("state %q: the default is of type %T, and not %T like the values: say it as in Default(%T(...))", d.Name, d.Absent, v, v)})
	}
	d.Default = c.describe(v)
	if c.toBytes == nil {
		return func() T { return v }
	}
	b := append([]byte(nil), c.toBytes(v)...)
	return func() T { return c.fromBytes(append([]byte(nil), b...)) }
}

// Value is one value of the current key.
type Value[T any] struct {
	get   func() (T, bool)
	put   func(T)
	clear func()
}

// NewValue declares a value. T is any column type, or a struct, which is kept as bytes.
func NewValue[T any](p declarer, name string, opts ...StateOption) *Value[T] {
	return valueOf[T](p.declare(name), declared(name, ValueState, opts))
}

// valueOf makes a handle of any kind that keeps one value.
func valueOf[T any](h Host, d StateDecl) *Value[T] {
	c := conversionOf[T](d.Name)
	d.Value, d.Shape = c.arrow, c.shape
	or := absent(&d, c)
	v := &Value[T]{}
	switch cell := h.Value(d).(type) {
	case ValueCell[T]:
		v.get, v.put, v.clear = cell.Get, cell.Put, cell.Clear
	case ValueCell[int64]:
		bindValue(v, cell, c.toInt, c.fromInt)
	case ValueCell[float64]:
		bindValue(v, cell, c.toFloat, c.fromFloat)
	case ValueCell[bool]:
		bindValue(v, cell, c.toBool, c.fromBool)
	case ValueCell[string]:
		bindValue(v, cell, c.toString, c.fromString)
	case ValueCell[[]byte]:
		bindValue(v, cell, c.toBytes, c.fromBytes)
	}
	if get := v.get; get != nil && or != nil {
		v.get = func() (T, bool) {
			if x, ok := get(); ok {
				return x, true
			}
			return or(), false
		}
	}
	return v
}

func bindValue[T, C any](v *Value[T], cell ValueCell[C], to func(T) C, from func(C) T) {
	v.get = func() (out T, ok bool) {
		c, ok := cell.Get()
		if ok {
			out = from(c)
		}
		return out, ok
	}
	v.put = func(x T) { cell.Put(to(x)) }
	v.clear = cell.Clear
}

// Get returns the value. When there is none, ok is false and the value is the default, without one the zero value.
func (v *Value[T]) Get() (x T, ok bool) { return v.get() }

// Put sets the value.
func (v *Value[T]) Put(x T) { v.put(x) }

// Clear removes the value.
func (v *Value[T]) Clear() { v.clear() }

// MapHandle is a map of the current key.
type MapHandle[K, V any] struct {
	get    func(K) (V, bool)
	put    func(K, V)
	remove func(K)
	clear  func()
	len    func() int
	all    func(yield func(K, V) bool)
}

// NewMap declares a map. V is as for NewValue; K is any column type or a struct.
func NewMap[K, V any](p declarer, name string, opts ...StateOption) *MapHandle[K, V] {
	return mapOf[K, V](p.declare(name), declared(name, MapState, opts))
}

// mapOf makes a handle of any kind that keeps entries.
func mapOf[K, V any](h Host, d StateDecl) *MapHandle[K, V] {
	if d.Name == "timers" || d.Name == "ticks" {
		panic(setupError{fmt.Sprintf("state %q: a table of timers has that name; choose another", d.Name)})
	}
	kc, vc := conversionOf[K](d.Name), conversionOf[V](d.Name)
	d.Key, d.Value = arrow.DataType(arrow.BinaryTypes.String), vc.arrow
	d.KeyShape, d.Shape = kc.keyShape(), vc.shape
	if kc.toInt != nil {
		d.Key = arrow.PrimitiveTypes.Int64
	}
	or := absent(&d, vc)
	cell := h.Map(d)
	m := &MapHandle[K, V]{}
	if kc.toInt != nil {
		bindMapKey(m, cell, kc.toInt, kc.fromInt, vc)
	} else {
		to, from := kc.text()
		bindMapKey(m, cell, to, from, vc)
	}
	if get := m.get; get != nil && or != nil {
		m.get = func(k K) (V, bool) {
			if v, ok := get(k); ok {
				return v, true
			}
			return or(), false
		}
	}
	return m
}

func bindMapKey[K, V, CK any](m *MapHandle[K, V], cell any, to func(K) CK, from func(CK) K, vc *conversion[V]) {
	switch c := cell.(type) {
	case MapCell[CK, V]:
		bindMap(m, c, to, from, same[V], same[V])
	case MapCell[CK, int64]:
		bindMap(m, c, to, from, vc.toInt, vc.fromInt)
	case MapCell[CK, float64]:
		bindMap(m, c, to, from, vc.toFloat, vc.fromFloat)
	case MapCell[CK, bool]:
		bindMap(m, c, to, from, vc.toBool, vc.fromBool)
	case MapCell[CK, string]:
		bindMap(m, c, to, from, vc.toString, vc.fromString)
	case MapCell[CK, []byte]:
		bindMap(m, c, to, from, vc.toBytes, vc.fromBytes)
	}
}

func same[T any](v T) T { return v }

func bindMap[K, V, CK, CV any](m *MapHandle[K, V], c MapCell[CK, CV], toK func(K) CK, fromK func(CK) K, toV func(V) CV, fromV func(CV) V) {
	m.get = func(k K) (out V, ok bool) {
		v, ok := c.Get(toK(k))
		if ok {
			out = fromV(v)
		}
		return out, ok
	}
	m.put = func(k K, v V) { c.Put(toK(k), toV(v)) }
	m.remove = func(k K) { c.Remove(toK(k)) }
	m.clear, m.len = c.Clear, c.Len
	m.all = func(yield func(K, V) bool) {
		c.All(func(k CK, v CV) bool { return yield(fromK(k), fromV(v)) })
	}
}

// Get returns the entry of k. When there is none, ok is false and the value is the default, without one the zero value.
func (m *MapHandle[K, V]) Get(k K) (v V, ok bool) { return m.get(k) }

// Put sets the entry of k.
func (m *MapHandle[K, V]) Put(k K, v V) { m.put(k, v) }

// Remove removes the entry of k.
func (m *MapHandle[K, V]) Remove(k K) { m.remove(k) }

// Clear removes all entries.
func (m *MapHandle[K, V]) Clear() { m.clear() }

// Len returns the number of entries. With a TTL it looks at all of them.
func (m *MapHandle[K, V]) Len() int { return m.len() }

// All yields the entries, in no order. The entry at hand may be removed meanwhile.
func (m *MapHandle[K, V]) All() iter.Seq2[K, V] { return m.all }
