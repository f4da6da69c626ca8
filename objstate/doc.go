// Package objstate is the keyed state of one lane: columnar tables in memory, over immutable segments in the bucket.
//
// # Memory
//
// A Table is a hash index from key to slot and typed columns by slot. An aggregate over a batch is one probe per row and then a loop over
// slices. A lane's Store knows all of its tables, and what else keeps state (timers), as Parts.
//
// What a row costs is the lines of memory that are read for it, so an Index is laid out by them:
//
//	entry     lower half of the hash | slot + 1; in pages that divide when they are half full
//	cell      a slot's key, up to 15 or 31 bytes, zeros, length; or where an arena has it; in blocks
//
// and a batch is looked up in stages, each of which reads one kind for many rows.
//
// # Segments
//
// At a barrier Store.Freeze copies what has changed since the last one out of the parts; Frozen.Encode, off the lane, sorts it and encodes a
// segment for each (table, time bucket), and gives the memory of the copy back for the next barrier. A row's key is
//
//	hash32 of the stream's key, big-endian | the stream's key, package rowkey | the table's suffix
//
// with the window's end, the timer's time and id, or the map's key as suffix. A slot born and dead between two barriers writes nothing; what
// the committed watermark has passed is dead on read, and is never deleted one by one: its whole bucket goes, unread, when its end has passed.
//
// # Reading
//
// A Table is complete (a key that is absent in memory is absent) or partial: then Upsert lists the keys that it did not find as missing, and whoever uses the
// table has Handle.Lookup read what segments show of them, all together, before it looks at values; where a key has a single row (Spec.Single) the newest segment
// that has it is the last that is read. Handle.Load reads time buckets, or a part, whole;
// Handle.Scan goes through what segments show, in order. All panic with a *StorageError when that cannot be read.
//
//	level     a reference of the last root, with the index of its segment in memory
//	dirty     slots that have changed since the last barrier; filed: in a cut that may not be committed yet. Neither can be dropped from memory:
//	          reading them back would show what was before
//	hollow    slots whose key is in memory, for timers, and whose values are not
//
// Memory bounds what the stores of a worker hold; Store.Trim drops clean slots that have not been used lately.
//
// # Not here
//
// Which references there are, and when segments are merged, is decided by the coordinator. The state of one key has to fit into memory.
package objstate
