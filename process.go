package sabot

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/row"
)

// Proc is one lane's instance of a process function: its set-up declares state, timers and the handler of rows, whose closures run on the
// lane's goroutine only. K is the key's type, a struct in KeyBy's order when the key has several columns.
type Proc[K, In, Out any] struct {
	host   Host
	in     *row.Decoder[In]
	out    *row.Encoder[Out]
	key    func() K
	onRow  func(In) error
	onRows func([]In) error
	names  map[string]bool
	timers int
	failed error // why the call at hand fails whatever its handler returns; nil: it does not

	// The rows at hand: here, since on the stack they would escape, at an allocation each.
	row      In
	rows     []In
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

// OnRows sets the handler of rows, instead of OnRow: it gets all rows of one key that came in one batch, in their order. Now is the latest of
// their event times. Keys come in the order of their first rows in the batch. An error undoes what this call wrote, emitted and set, and
// dead-letters all of its rows; one that cannot be read is dead-lettered alone.
//
// How rows come in batches follows from the load, and is not the same after a restart: what counts should not depend on it. The slice is the
// caller's again when f returns.
func (p *Proc[K, In, Out]) OnRows(f func([]In) error) { p.onRows = f }

// Emit adds a row to the output, with the event time of the row or timer at hand.
func (p *Proc[K, In, Out]) Emit(o Out) {
	p.emitting = o
	p.out.Append(&p.emitting)
}

// Key returns the current key.
func (p *Proc[K, In, Out]) Key() K { return p.key() }

// Now returns the event time of the row or timer at hand; of several rows the latest.
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

// fail makes the call at hand fail.
func (p *Proc[K, In, Out]) fail(err error) {
	if p.failed == nil {
		p.failed = err
	}
}

// result returns how a call ends whose handler returned err.
func (p *Proc[K, In, Out]) result(err error) error {
	if p.failed != nil {
		err = errors.Join(p.failed, err)
		p.failed = nil
	}
	return err
}

// declarer is any Proc.
type declarer interface {
	declare(name string) Host
	fail(error)
}

// Timer is a timer of the current key.
type Timer struct{ cell TimerCell }

// Timer declares a timer. When it is due, fire is called with the time that it was set for. A key may have any number of times set.
func (p *Proc[K, In, Out]) Timer(name string, domain TimeDomain, fire func(time.Time) error) *Timer {
	h := p.declare(name)
	if p.timers++; p.timers > maxTimers {
		panic(setupError{fmt.Sprintf("timer %q: a process function has at most %d timers; each may have any number of times set", name, maxTimers)})
	}
	return &Timer{h.Timer(StateDecl{Name: name, Kind: TimerState, Domain: domain}, func(at time.Time) error { return p.result(fire(at)) })}
}

// maxTimers is how many timers a stored timer's number tells apart.
const maxTimers = 256

// Set makes the timer fire once the clock is past t. Setting one time twice is setting it once. A time in the past fires at once, after the
// current call.
func (t *Timer) Set(at time.Time) { t.cell.Set(MicrosOf(at)) }

// Cancel takes back a Set of the same time.
func (t *Timer) Cancel(at time.Time) { t.cell.Cancel(MicrosOf(at)) }

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
	switch {
	case p.onRow == nil && p.onRows == nil:
		return nil, errors.New("the set-up gave no handler of rows: call OnRow or OnRows")
	case p.onRow != nil && p.onRows != nil:
		return nil, errors.New("the set-up gave two handlers of rows: call OnRow or OnRows, not both")
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
	return p.result(p.onRow(p.row))
}

// ByKey implements RowHandler.
func (p *Proc[K, In, Out]) ByKey() bool { return p.onRows != nil }

// Rows implements RowHandler.
func (p *Proc[K, In, Out]) Rows(rows []int32, unread func(row int32, reason error)) error {
	p.rows = slices.Grow(p.rows[:0], len(rows))[:len(rows)]
	n := 0
	for _, i := range rows {
		if err := p.in.Decode(int(i), &p.rows[n]); err != nil {
			unread(i, err)
			continue
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return p.result(p.onRows(p.rows[:n]))
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
