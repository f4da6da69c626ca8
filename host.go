package sabot

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// The types in this file are the seam between process functions and the engine. User code does not call them.

// ProcessFunc is a process function with its types erased, as a Job carries it for the engine.
type ProcessFunc interface {
	// Bind checks the types of the function against the input's columns and its key, runs its set-up once against a recording host, and
	// returns the columns of its output and what state it declares.
	Bind(in *arrow.Schema, key []string) (out *arrow.Schema, state []StateDecl, err error)
	// Open runs the set-up for one lane.
	Open(in *arrow.Schema, key []string, h Host) (RowHandler, error)
}

// RowHandler is one lane's instance of a process function. One goroutine calls it.
type RowHandler interface {
	Reset(columns []arrow.Array) error // the input of the next Row calls
	ByKey() bool                       // rows of one key are handled at once, by Rows instead of Row
	Row(i int) error                   // handles row i of those columns
	// Rows handles rows of those columns, all of the current key and in their order. Those that cannot be read are given to unread instead.
	Rows(rows []int32, unread func(row int32, reason error)) error
	Emitted() int         // rows emitted and not yet flushed
	Truncate(n int)       // drops emitted rows beyond the first n
	Flush() []arrow.Array // takes the emitted rows, in columns of the output schema; the caller releases them
}

// Host is what the engine gives to one lane's instance. Declarations are made during set-up only. A failure of storage inside a call
// unwinds by a panic that the lane's loop recovers.
type Host interface {
	// Value returns a ValueCell[T] for the canonical Go type T of the declared Arrow type: bool (bool), int64 (int64, timestamp[us]),
	// float64 (float64), string (utf8), []byte (binary).
	Value(StateDecl) any
	// Map returns a MapCell[K, V] likewise; K is int64 or string.
	Map(StateDecl) any
	// Timer declares a timer; fire runs with the key set to the timer's.
	Timer(d StateDecl, fire func(at time.Time) error) TimerCell
	// Key returns field i of the current key: bool, int64 (all integers, timestamps, dates), float64, string, []byte or nil.
	Key(i int) any
	// Now returns the event time of the current row or timer, the latest of several rows; for a processing-time timer the time it was set for.
	Now() Micros
	// Watermark returns the current watermark.
	Watermark() Micros
}

// ValueCell is one value of the current key.
type ValueCell[T any] interface {
	Get() (T, bool)
	Put(T) // keeps no bytes of its argument
	Clear()
}

// MapCell is the map of the current key.
type MapCell[K, V any] interface {
	Get(K) (V, bool)
	Put(K, V) // keeps no bytes of its arguments
	Remove(K)
	Clear() // removes all entries, those included that have expired
	Len() int
	All(yield func(K, V) bool) // in no order; the entry at hand may be removed
}

// TimerCell sets timers of the current key.
type TimerCell interface {
	Set(Micros)    // no effect when set already
	Cancel(Micros) // no effect when not set
}
