// Package segment is the immutable sorted piece of a table: a valid Arrow IPC file, written and read by this package.
//
//	"ARROW1\0\0"
//	schema message
//	block 0, block 1, ...        record batches of about Options.BlockBytes, cut at partition boundaries
//	end of stream
//	filter                       split-block Bloom filter of the hash32s, see Filter; may be absent
//	index                        see below
//	footer                       with custom_metadata sabot.format, sabot.rows, sabot.columns (JSON), sabot.key (bytes of every key; 0: they differ),
//	                             sabot.filter and sabot.index (each "offset,length,crc"), and sabot.check, the checksum of these
//	footer length, "ARROW1"
//
// The columns are key (fixed-size binary when all keys have one length, else binary), op (uint8: 0 put, 1 delete) and the table's own, of type
// bool, int64, timestamp[us], float64, utf8 or binary. Keys begin with hash32 big-endian, ascend strictly, and are not null. Buffers are
// compressed one by one as Arrow prescribes, where that saves a quarter; LZ4 frames hold blocks of 1 KiB. So keys mostly lie there as they are, Decoder.Seek
// searches them in place, and Decoder.Pick decompresses no more than has the rows that are wanted; Decoder.Decode decodes a block whole.
//
// The index has, for each block, little-endian: offset u64, metadata length u32, body length u32, rows u32, CRC32C u32 of metadata and body, and
// the first and the last key, each as length u32 and bytes.
//
// Every byte that is read is checked against a CRC32C before it is used: what the footer tells by itself, filter and index by the footer, a block by
// the index, and a segment that is read whole by the reference that names it. What fails is an error of kind Corrupt.
//
// The package knows nothing of tables, partitions and time; which blocks may have a key is looked up in Reader.Blocks and Reader.Filter.
package segment
