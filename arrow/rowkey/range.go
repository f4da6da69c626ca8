package rowkey

// Range is a part of the hash space: the hash32 values from Lo up to and without Hi.
type Range struct{ Lo, Hi uint64 }

// Space is the number of hash32 values.
const Space = uint64(1) << 32

// Contains tells whether h lies in r.
func (r Range) Contains(h uint32) bool { return uint64(h) >= r.Lo && uint64(h) < r.Hi }

// Intersect returns what r and s share; it is empty (Lo >= Hi) when they share nothing.
func (r Range) Intersect(s Range) Range { return Range{max(r.Lo, s.Lo), min(r.Hi, s.Hi)} }

// Empty tells whether r holds nothing.
func (r Range) Empty() bool { return r.Lo >= r.Hi }

// Even cuts the hash space into n ranges of equal size, but for rounding.
func Even(n int) []Range {
	out := make([]Range, n)
	for i := range out {
		out[i] = Range{Space * uint64(i) / uint64(n), Space * uint64(i+1) / uint64(n)}
	}
	return out
}
