package rowkey

// Column is a column of keys: key i is Bytes[Offsets[i]:Offsets[i+1]]. The zero Column has no rows.
type Column struct {
	Offsets []int32 // one more than rows, from 0
	Bytes   []byte
}

// Len returns the number of keys.
func (c Column) Len() int { return max(0, len(c.Offsets)-1) }

// At returns key i; it aliases the column.
func (c Column) At(i int) []byte { return c.Bytes[c.Offsets[i]:c.Offsets[i+1]:c.Offsets[i+1]] }
