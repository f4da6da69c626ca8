// Package objstate is the keyed state of one lane: columnar tables in memory, over immutable segments in the bucket.
//
// # Memory
//
// A Table is a hash index from key to slot and typed columns by slot. An aggregate over a batch is one probe per row and then a loop over
// slices. A lane's Store knows all of its tables, and what else keeps state (timers), as Parts.
//
// # Segments
//
// At a barrier Store.Freeze copies what has changed since the last one out of the parts; Frozen.Encode, off the lane, sorts it and encodes a
// segment for each (table, time bucket). A row's key is
//
//	hash32 of the stream's key, big-endian | the stream's key, package rowkey | the table's suffix
//
// with the window's end, the timer's time and id, or the map's key as suffix. A slot born and dead between two barriers writes nothing; what
// the committed watermark has passed is dead on read, and is never deleted one by one: its whole bucket goes, unread, when its end has passed.
//
// # Reading
//
// At the first touch of a table all its references are read, oldest first, each within its clip. From then on the table is complete: a key
// that is absent in memory is absent.
//
// # Not here
//
// Which references there are, and when segments are merged, is decided by the coordinator; tables are never larger than memory.
package objstate
