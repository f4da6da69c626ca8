package sabot

import (
	"iter"
	"slices"
)

// List is a list of the current key: elements in the order in which they were appended.
//
// It is kept as a map of elements by number, so appending writes one element, whatever the length. With a TTL each element has its own: those
// that have expired are gone, and the others move up. When the one that was used last has expired, the list is empty.
type List[T any] struct {
	items *MapHandle[int64, T]
	next  *Value[int64] // with a TTL the next number, used whenever an element is; without one numbers have no gaps, and it is the length
	reads bool          // reading is using
	keys  []int64       // scratch
}

// NewList declares a list. T is as for NewValue. With a TTL it has a value besides, of its name with ".next".
func NewList[T any](p declarer, name string, opts ...StateOption) *List[T] {
	d := declared(name, ListState, opts)
	l := &List[T]{items: mapOf[int64, T](p.declare(name), d), reads: d.OnRead}
	if d.TTL > 0 {
		n := d
		n.Name, n.Kind = name+".next", ValueState
		l.next = valueOf[int64](p.declare(n.Name), n)
	}
	return l
}

// Append adds an element at the end.
func (l *List[T]) Append(v T) {
	if l.next == nil {
		l.items.Put(int64(l.items.Len()), v)
		return
	}
	n, ok := l.next.Get()
	if !ok {
		l.items.Clear() // all that may be left has expired, and numbers begin anew
	}
	l.items.Put(n, v)
	l.next.Put(n + 1)
}

// AppendAll adds elements at the end, in their order.
func (l *List[T]) AppendAll(vs ...T) {
	for _, v := range vs {
		l.Append(v)
	}
}

// Put makes the list consist of these elements, in their order.
func (l *List[T]) Put(vs ...T) {
	l.Clear()
	l.AppendAll(vs...)
}

// Get returns element i; ok is false when there is none, as for a negative i. With a TTL it looks at all elements to find it.
func (l *List[T]) Get(i int) (v T, ok bool) {
	if l.next == nil {
		return l.items.Get(int64(i))
	}
	keys := l.numbers()
	if i >= 0 && i < len(keys) {
		v, ok = l.items.Get(keys[i])
	}
	l.keys = keys
	return v, ok
}

// Len returns the number of elements. With a TTL it looks at all of them.
func (l *List[T]) Len() int {
	if l.next == nil {
		return l.items.Len()
	}
	if _, ok := l.next.Get(); !ok {
		return 0
	}
	n := 0
	for range l.items.All() {
		n++
	}
	return n
}

// All yields the elements with their index, in their order. What is appended meanwhile is not among them; going on after Clear or Put yields what is
// there then.
func (l *List[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		if l.next == nil {
			for i := range l.items.Len() {
				if v, ok := l.items.Get(int64(i)); !ok || !yield(i, v) {
					return
				}
			}
			return
		}
		keys := l.numbers()
		for i, k := range keys {
			if v, ok := l.items.Get(k); !ok || !yield(i, v) {
				break
			}
		}
		l.keys = keys
	}
}

// numbers returns the numbers of the elements that live, in order. The slice is the caller's, who gives it back.
func (l *List[T]) numbers() []int64 {
	keys := l.keys[:0]
	l.keys = nil
	if _, ok := l.next.Get(); !ok {
		return keys
	}
	for k := range l.items.All() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Clear removes all elements.
func (l *List[T]) Clear() {
	l.items.Clear()
	if l.next != nil {
		l.next.Clear()
	}
}
