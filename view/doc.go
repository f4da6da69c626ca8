// Package view reads the keyed state of a job from its bucket: any process that can read the bucket may, without touching a worker, and it writes
// nothing.
//
//	v, err := view.Open(ctx, bucket, "flights")
//	defer v.Close()
//	rows, err := v.Get(ctx, "hourly", "JFK")       // the open windows of a key
//	for row, err := range v.Scan(ctx, "hourly") {} // all rows, in order of the key's hash
//
// # What is seen
//
// A View is of one checkpoint, the newest when it was opened or refreshed, or an earlier one that is kept (At, AtSavepoint). What the job has done since
// its last checkpoint is not seen. Within a checkpoint each partition of a table is consistent with the input positions and the watermark that stand
// there beside it; partitions of different workers may be of different cuts, as they are when the job itself goes on from there.
//
// What a job started from that checkpoint would not find is not shown: windows that the partition's watermark has passed (with their lateness), timers
// of event time that it has passed, values and entries whose TTL has run out, by event time at the partition's watermark and by processing time at the
// time when the view was opened or refreshed.
//
// # Tables
//
// A row has the columns of the stream's key, then those below.
//
//	kind      rows of a key                  columns
//	values    one, unless it holds nothing   one for each value (also reducing, aggregating, counter); null: it is not there
//	entries   one for each entry             entry, value of a map; number, value of a list, whose elements follow each other in that order
//	window    one for each window            window_end, window_start, the aggregates so far, and with lateness pane, the number of the next one
//	timers    one for each timer             at, timer
//
// Values that are structs in Go are bytes of the engine's own encoding; the field's metadata "sabot.shape" says what they are of. Times as keys of a map
// are microseconds, as integers: the checkpoint does not tell them from integers.
//
// # How long
//
// A job deletes what its newest checkpoint and its savepoints do not name. A view of a checkpoint that nothing keeps any more fails with ErrStale once it
// needs what is gone; Refresh moves it to the newest. Views of savepoints last until these are removed.
//
// # Not here
//
// Rows by anything but the key, changes as they happen, and state as of a time between checkpoints.
package view
