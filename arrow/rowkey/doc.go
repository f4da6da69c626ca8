// Package rowkey encodes keys so that their bytes sort as their values do, hashes them, and cuts the hash space into ranges.
//
// A key is the concatenation of its fields. A field is one byte, 0 for null and 1 for a value, and then:
//
//	bool                    1 byte, 0 or 1
//	signed integers, dates, 8 bytes big-endian, sign bit flipped (date32 as days, timestamp as microseconds)
//	  timestamps
//	unsigned integers       8 bytes big-endian
//	floats                  8 bytes of the float64: sign flipped for positives, all bits for negatives; NaNs are one, last; -0 is +0
//	utf8, binary            the bytes with 0x00 as 0x00 0xff, and 0x00 0x01 at the end
//	decimal128              16 bytes big-endian, sign bit flipped
//
// So null sorts first, a prefix before what it begins, and every field ends where its bytes say: a decoder needs only the types.
//
// The hash is xxh3-64 of the key's bytes. Its upper 32 bits, hash32, choose the partition and order the state; tables probe with the lower.
// Encoding and hash are part of the stored format.
package rowkey
