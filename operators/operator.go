package operators

import (
	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// Operator is one node of a plan in one lane. The lane's goroutine alone calls it. An error ends the group's run: rows that cannot be
// processed go to Collector.Dead instead.
type Operator interface {
	// Batch takes over one reference of b and emits what follows from it.
	Batch(b *batch.Batch, out Collector) error
	// Watermark says that the watermark of the operator's input has risen to w (MaxMicros: the true end of input). What is due is emitted
	// before it returns; the lane then passes w on.
	Watermark(w sabot.Micros, out Collector) error
}

// Ticker is implemented by operators that wait for processing time.
type Ticker interface {
	// NextTick returns the processing time at which Tick wants to be called; ok is false when it waits for nothing.
	NextTick() (at sabot.Micros, ok bool)
	// Tick says that processing time has reached now.
	Tick(now sabot.Micros, out Collector) error
}

// Collector takes what an operator produces. Calls run the operators downstream before they return.
type Collector interface {
	// Emit passes on one reference of b.
	Emit(b *batch.Batch) error
	// Late passes on rows that came too late, as selected in b, and one reference of b. They go to the node's late output, or are counted.
	Late(b *batch.Batch) error
	// Dead gives up row i of b (an index into its columns, not its selection): the row goes to the job's dead letters. b stays the caller's.
	Dead(b *batch.Batch, i int, reason string) error
	// DeadKey gives up what was to be done for a key outside of any row (a timer).
	DeadKey(key []byte, at sabot.Micros, reason string) error
	// Dropped counts processing-time timers dropped at the end of input.
	Dropped(timers int)
}

// Locator is implemented by operators that run user code on rows: what is being processed, for the message of a panic.
type Locator interface {
	// At returns the index of the current row in its batch (-1: a timer) and its key; a nil key means none.
	At() (row int, key []byte)
}
