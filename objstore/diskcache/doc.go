// Package diskcache keeps pages of immutable objects on a local disk. It may be lost at any time, whole or in part: whatever is not there, or not
// what was put there, is a miss. A reader never gets an error from it, and never wrong bytes.
//
//	<dir>/<identity>/<n>/   one process's pages of one bucket; identity is a hash, n counts processes of this machine from 0
//	    lock                held by flock for as long as the process lives; never removed
//	    index               4096 bytes that name format, page size and bucket, then 64 bytes for each slot
//	    pages               slot i is the bytes from i*PageSize on
//
// A slot of the index says what its page is:
//
//	0  hash of the object's key (xxh3-128)    28  CRC32C of the page, begun with a hash of bytes 0-27
//	16 number of the page in the object       32  zeros
//	24 length, at most PageSize               60  CRC32C of bytes 0-59
//
// all little-endian. A page shorter than PageSize is the beginning of one: the end of an object, or as much as anybody has asked for.
//
// Names of objects are never used twice, so a page never changes, and there is nothing to invalidate. Nothing is synced. What a crash leaves of a
// slot and its page is either both, or does not pass the checksum. A start reads the index, 64 bytes a slot, and no page.
//
// In memory a page costs about a hundred bytes; see Overhead. Eviction is CLOCK: a page that has been hit since the hand last passed stays for
// another turn, one that has only been put does not, so a scan does not push out what is in use.
package diskcache
