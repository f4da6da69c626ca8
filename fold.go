package sabot

import "fmt"

// Reducing is one value of the current key, into which others of its type are folded.
type Reducing[T any] struct {
	value  *Value[T]
	reduce func(a, b T) T
}

// NewReducing declares a value into which reduce folds others: a is what there is, b what is added. The first one is taken as it is. T is as
// for NewValue.
func NewReducing[T any](p declarer, name string, reduce func(a, b T) T, opts ...StateOption) *Reducing[T] {
	h := p.declare(name)
	if reduce == nil {
		panic(setupError{fmt.Sprintf("state %q: the function is nil", name)})
	}
	return &Reducing[T]{valueOf[T](h, declared(name, ReducingState, opts)), reduce}
}

// Add folds a value in.
func (r *Reducing[T]) Add(v T) {
	if old, ok := r.value.Get(); ok {
		v = r.reduce(old, v)
	}
	r.value.Put(v)
}

// Get returns what has been folded; ok is false when nothing has.
func (r *Reducing[T]) Get() (v T, ok bool) { return r.value.Get() }

// Clear removes it.
func (r *Reducing[T]) Clear() { r.value.Clear() }

// Aggregator says how values of one type are gathered in an accumulator, and what is made of that.
type Aggregator[In, Acc, Out any] struct {
	New    func() Acc // nil: the zero value
	Add    func(Acc, In) Acc
	Result func(Acc) Out
}

// Aggregating is an aggregate of the current key.
type Aggregating[In, Acc, Out any] struct {
	acc *Value[Acc]
	how Aggregator[In, Acc, Out]
}

// NewAggregating declares an aggregate. Its accumulator is what is kept: Acc is as for NewValue, In and Out are any types.
func NewAggregating[In, Acc, Out any](p declarer, name string, how Aggregator[In, Acc, Out], opts ...StateOption) *Aggregating[In, Acc, Out] {
	h := p.declare(name)
	if how.Add == nil || how.Result == nil {
		panic(setupError{fmt.Sprintf("state %q: the aggregator needs Add and Result", name)})
	}
	if how.New == nil {
		how.New = func() (a Acc) { return a }
	}
	return &Aggregating[In, Acc, Out]{valueOf[Acc](h, declared(name, AggregatingState, opts)), how}
}

// Add gathers a value.
func (a *Aggregating[In, Acc, Out]) Add(v In) {
	acc, ok := a.acc.Get()
	if !ok {
		acc = a.how.New()
	}
	a.acc.Put(a.how.Add(acc, v))
}

// Get returns the result of what has been gathered; ok is false when nothing has, and the result is the zero value then.
func (a *Aggregating[In, Acc, Out]) Get() (out Out, ok bool) {
	acc, ok := a.acc.Get()
	if ok {
		out = a.how.Result(acc)
	}
	return out, ok
}

// Clear removes it.
func (a *Aggregating[In, Acc, Out]) Clear() { a.acc.Clear() }

// Counter is a count of the current key. One that is 0 keeps no state.
type Counter struct {
	value *Value[int64]
	name  string
	fail  func(error)
}

// NewCounter declares a counter.
func NewCounter(p declarer, name string, opts ...StateOption) *Counter {
	return &Counter{valueOf[int64](p.declare(name), declared(name, CounterState, opts)), name, p.fail}
}

// Inc adds 1.
func (c *Counter) Inc() { c.Add(1) }

// Add adds n, which may be negative. A count that leaves the range of int64 fails the call, as if its handler returned an error: everything is
// undone, and the row goes to dead letters. The counter stays as it was.
func (c *Counter) Add(n int64) {
	old, _ := c.value.Get()
	sum := old + n
	switch {
	case (sum > old) != (n > 0) && n != 0:
		c.fail(fmt.Errorf("the counter %q leaves the range of int64: %d and %d more", c.name, old, n))
	case sum == 0:
		c.value.Clear()
	default:
		c.value.Put(sum)
	}
}

// Get returns the count.
func (c *Counter) Get() int64 {
	n, _ := c.value.Get()
	return n
}

// Clear makes it 0.
func (c *Counter) Clear() { c.value.Clear() }
