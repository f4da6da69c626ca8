// Package operators holds what runs in a lane: filters, projections, Go functions, windows and process functions. One operator, one file.
//
// An operator is pushed batches and watermarks and emits batches; all of its calls come from its lane's goroutine. It takes over a reference of
// every batch it is given. Rows that cannot be processed go to Collector.Dead, one by one; an error ends the group's run. Rows that an operator
// emits keep the event time and the key of the rows, windows or timers that they come from.
//
// Keyed operators keep their state in an objstate.Store and do not know of cuts: the lane freezes the store at its barriers.
package operators
