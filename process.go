package sabot

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/row"
)

// Proc is one lane's instance of a process function: its set-up declares state, timers and the handler of rows, whose closures run on the
// lane's goroutine only. K is the key's type, a struct in KeyBy's order when the key has several columns.
type Proc[K, In, Out any] struct {
	host  Host
	in    *row.Decoder[In]
	out   *row.Encoder[Out]
	key   func() K
	onRow func(In) error
	names map[string]bool

	// The rows at hand: here, since on the stack they would escape, at an allocation each.
	row      In
	emitting Out
}

// Process runs a process function on the rows of each key, in the order in which they come. Its state hangs on the name.
func Process[K, In, Out any](k *Keyed, name string, setup func(*Proc[K, In, Out])) *Stream {
	out, n := k.stream.then(KindProcess, name, processFunc[K, In, Out]{setup})
	n.Process = &ProcessSpec{In: reflect.TypeFor[In]().String(), Out: reflect.TypeFor[Out]().String()}
	out.job.callable(n, setup != nil)
	if name == "" {
		out.job.problem(n.At, "Process needs a name: its state hangs on it")
	}
	return out
}

// OnRow sets the handler of rows. An error undoes what this call wrote, emitted and set, and dead-letters the row.
func (p *Proc[K, In, Out]) OnRow(f func(In) error) { p.onRow = f }

// Emit adds a row to the output, with the event time of the row or timer at hand.
func (p *Proc[K, In, Out]) Emit(o Out) {
	p.emitting = o
	p.out.Append(&p.emitting)
}

// Key returns the current key.
func (p *Proc[K, In, Out]) Key() K { return p.key() }

// Now returns the event time of the row or timer at hand.
func (p *Proc[K, In, Out]) Now() time.Time { return p.host.Now().Time() }

// Watermark returns the current watermark: no row before it is still to come, but late ones.
func (p *Proc[K, In, Out]) Watermark() time.Time { return p.host.Watermark().Time() }

func (p *Proc[K, In, Out]) declare(name string) Host {
	if name == "" || p.names[name] {
		panic(setupError{fmt.Sprintf("the name %q of a handle is empty or taken: state hangs on it", name)})
	}
	p.names[name] = true
	return p.host
}

// setupError is what a declaration panics with; Bind turns it into an error.
type setupError struct{ text string }

// declarer is any Proc.
type declarer interface{ declare(name string) Host }

// Timer is a timer of the current key.
type Timer struct{ cell TimerCell }

// Timer declares a timer. When it is due, fire is called with the time that it was set for. A key may have any number of times set.
func (p *Proc[K, In, Out]) Timer(name string, domain TimeDomain, fire func(time.Time) error) *Timer {
	h := p.declare(name)
	return &Timer{h.Timer(StateDecl{Name: name, Kind: TimerState, Domain: domain}, fire)}
}

// Set makes the timer fire once the clock is past t. Setting one time twice is setting it once. A time in the past fires at once, after the
// current call.
func (t *Timer) Set(at time.Time) { t.cell.Set(MicrosOf(at)) }

// Cancel takes back a Set of the same time.
func (t *Timer) Cancel(at time.Time) { t.cell.Cancel(MicrosOf(at)) }

// StateOption is an option of a handle.
type StateOption func(*StateDecl)

// TTL lets a value, or a map's entry, vanish when d of event time has passed since it was last put.
func TTL(d time.Duration) StateOption { return func(s *StateDecl) { s.TTL = d } }

// TTLOnRead makes getting count like putting for TTL.
func TTLOnRead() StateOption { return func(s *StateDecl) { s.OnRead = true } }

func (s *StateDecl) apply(opts []StateOption) {
	for _, o := range opts {
		o(s)
	}
	if s.TTL < 0 {
		panic(setupError{fmt.Sprintf("state %q: the TTL is negative: %s", s.Name, s.TTL)})
	}
}

// Value is one value of the current key.
type Value[T any] struct {
	get   func() (T, bool)
	put   func(T)
	clear func()
}

// NewValue declares a value. T is any column type, or a struct, which is kept as bytes.
func NewValue[T any](p declarer, name string, opts ...StateOption) *Value[T] {
	h := p.declare(name)
	d := StateDecl{Name: name, Kind: ValueState}
	d.apply(opts)
	c := conversionOf[T](name)
	d.Value, d.Shape = c.arrow, c.shape
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

// Get returns the value; ok is false when there is none.
func (v *Value[T]) Get() (T, bool) { return v.get() }

// Put sets the value.
func (v *Value[T]) Put(x T) { v.put(x) }

// Clear removes the value.
func (v *Value[T]) Clear() { v.clear() }

// MapHandle is a map of the current key.
type MapHandle[K, V any] struct {
	get    func(K) (V, bool)
	put    func(K, V)
	remove func(K)
	len    func() int
	all    func(yield func(K, V) bool)
}

// NewMap declares a map. V is as for NewValue; K is any column type or a struct.
func NewMap[K, V any](p declarer, name string, opts ...StateOption) *MapHandle[K, V] {
	h := p.declare(name)
	d := StateDecl{Name: name, Kind: MapState}
	d.apply(opts)
	kc, vc := conversionOf[K](name), conversionOf[V](name)
	d.Key, d.Value = arrow.DataType(arrow.BinaryTypes.String), vc.arrow
	d.KeyShape, d.Shape = kc.keyShape(), vc.shape
	if kc.toInt != nil {
		d.Key = arrow.PrimitiveTypes.Int64
	}
	cell := h.Map(d)
	m := &MapHandle[K, V]{}
	if kc.toInt != nil {
		bindMapKey(m, cell, kc.toInt, kc.fromInt, vc)
	} else {
		to, from := kc.text()
		bindMapKey(m, cell, to, from, vc)
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
	m.len = c.Len
	m.all = func(yield func(K, V) bool) {
		c.All(func(k CK, v CV) bool { return yield(fromK(k), fromV(v)) })
	}
}

// Get returns the entry of k; ok is false when there is none.
func (m *MapHandle[K, V]) Get(k K) (V, bool) { return m.get(k) }

// Put sets the entry of k.
func (m *MapHandle[K, V]) Put(k K, v V) { m.put(k, v) }

// Remove removes the entry of k.
func (m *MapHandle[K, V]) Remove(k K) { m.remove(k) }

// Len returns the number of entries.
func (m *MapHandle[K, V]) Len() int { return m.len() }

// All yields the entries, in no order. The entry at hand may be removed meanwhile.
func (m *MapHandle[K, V]) All() iter.Seq2[K, V] { return m.all }

// processFunc implements ProcessFunc.
type processFunc[K, In, Out any] struct{ setup func(*Proc[K, In, Out]) }

func (f processFunc[K, In, Out]) Bind(in *arrow.Schema, key []string) (*arrow.Schema, []StateDecl, error) {
	rec := &recorder{}
	h, err := f.open(in, key, rec)
	if err != nil {
		return nil, nil, err
	}
	return h.out.Schema(), rec.decls, nil
}

// Columns returns the names of the input columns that the function reads.
func (f processFunc[K, In, Out]) Columns(in *arrow.Schema) ([]string, error) {
	d, err := row.NewDecoder[In](in)
	if err != nil {
		return nil, err
	}
	return d.Columns(), nil
}

func (f processFunc[K, In, Out]) Open(in *arrow.Schema, key []string, h Host) (RowHandler, error) {
	return f.open(in, key, h)
}

func (f processFunc[K, In, Out]) open(in *arrow.Schema, key []string, h Host) (p *Proc[K, In, Out], err error) {
	p = &Proc[K, In, Out]{host: h, names: map[string]bool{}}
	var bad []error
	if p.in, err = row.NewDecoder[In](in); err != nil {
		bad = append(bad, err)
	}
	if p.out, err = row.NewEncoder[Out](); err != nil {
		bad = append(bad, err)
	}
	if p.key, err = keyReader[K](in, key, h); err != nil {
		bad = append(bad, err)
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case setupError:
			err = errors.New(v.text)
		default:
			err = fmt.Errorf("the set-up panicked: %v", v)
		}
	}()
	f.setup(p)
	if p.onRow == nil {
		return nil, errors.New("the set-up gave no handler of rows: call OnRow")
	}
	return p, nil
}

// Reset implements RowHandler.
func (p *Proc[K, In, Out]) Reset(columns []arrow.Array) error { return p.in.Reset(columns) }

// Row implements RowHandler.
func (p *Proc[K, In, Out]) Row(i int) error {
	if err := p.in.Decode(i, &p.row); err != nil {
		return err
	}
	return p.onRow(p.row)
}

// Emitted implements RowHandler.
func (p *Proc[K, In, Out]) Emitted() int { return p.out.Len() }

// Truncate implements RowHandler.
func (p *Proc[K, In, Out]) Truncate(n int) { p.out.Truncate(n) }

// Flush implements RowHandler.
func (p *Proc[K, In, Out]) Flush() []arrow.Array { return p.out.Flush() }

// keyReader checks K against the key's columns, and returns what reads the current key.
func keyReader[K any](in *arrow.Schema, key []string, h Host) (func() K, error) {
	t := reflect.TypeFor[K]()
	types := make([]arrow.DataType, len(key))
	for i, name := range key {
		f, _ := in.FieldsByName(name)
		types[i] = f[0].Type
	}
	if len(key) == 1 && row.TypeOf(base(t)) != nil {
		if !keyFits(base(t), types[0]) {
			return nil, fmt.Errorf("the key column %q is %s, the function's key is %s", key[0], types[0], t)
		}
		if t == reflect.TypeFor[string]() {
			return func() (k K) {
				s, _ := h.Key(0).(string)
				*any(&k).(*string) = s
				return k
			}, nil
		}
		if t == reflect.TypeFor[int64]() {
			return func() (k K) {
				n, _ := h.Key(0).(int64)
				*any(&k).(*int64) = n
				return k
			}, nil
		}
		return func() (k K) {
			setKey(reflect.ValueOf(&k).Elem(), h.Key(0))
			return k
		}, nil
	}
	if t.Kind() != reflect.Struct || t.NumField() != len(key) {
		return nil, fmt.Errorf("the key has columns %s; the function's key %s must be a struct of as many fields, in that order", strings.Join(key, ", "), t)
	}
	for i := range key {
		f := t.Field(i)
		if !f.IsExported() || !keyFits(base(f.Type), types[i]) {
			return nil, fmt.Errorf("the key column %q is %s, field %s of %s is %s", key[i], types[i], f.Name, t, f.Type)
		}
	}
	return func() (k K) {
		v := reflect.ValueOf(&k).Elem()
		for i := range key {
			setKey(v.Field(i), h.Key(i))
		}
		return k
	}, nil
}

func base(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func keyFits(t reflect.Type, col arrow.DataType) bool {
	want := row.TypeOf(t)
	return want != nil && (arrow.TypeEqual(want, col) || t.Kind() == reflect.Int && arrow.IsSignedInteger(col.ID()) ||
		t.Kind() == reflect.Int64 && arrow.IsSignedInteger(col.ID()) || t.Kind() == reflect.Float64 && col.ID() == arrow.FLOAT32 ||
		arrow.TypeEqual(want, &arrow.TimestampType{Unit: arrow.Microsecond}) && col.ID() == arrow.DATE32)
}

// setKey sets a field of a key from the host's canonical value; null is the zero value, or nil of a pointer.
func setKey(v reflect.Value, x any) {
	if x == nil {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		if us, ok := x.(int64); ok {
			v.Set(reflect.ValueOf(Micros(us).Time()))
		}
		return
	}
	v.Set(reflect.ValueOf(x).Convert(v.Type()))
}
