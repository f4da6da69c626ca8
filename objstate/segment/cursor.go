package segment

import "bytes"

// Cursor goes through the rows of a segment whose hash32 lies in a range, in order of key, with a run of blocks in memory. Its zero position is
// before the first row.
type Cursor struct {
	r        *Reader
	lo, hi   uint64
	from, to int // blocks still to be read
	run      []byte
	first    int64 // offset of run in the segment
	bytes    int64 // of a run
	want     Schema
	dec      Decoder
	rows     *Rows
	i        int
}

// Cursor returns a cursor over [lo,hi) that reads about so many bytes at a time. Its rows have the columns of want, see Project.
func (r *Reader) Cursor(want Schema, lo, hi uint64, runBytes int64) *Cursor {
	from, to := r.within(lo, hi)
	return &Cursor{r: r, lo: lo, hi: hi, from: from, to: to, bytes: runBytes, want: want}
}

// Next moves to the next row; it is false behind the last one.
func (c *Cursor) Next() (bool, error) {
	c.i++
	for c.rows == nil || c.i >= c.rows.Len() {
		if c.from == c.to {
			return false, nil
		}
		if err := c.block(); err != nil {
			return false, err
		}
		c.i = 0
	}
	return true, nil
}

// block decodes the next block, and reads a run when it is in none.
func (c *Cursor) block() error {
	b := c.r.blocks[c.from]
	if b.end() > c.first+int64(len(c.run)) {
		end := c.from + 1
		for end < c.to && c.r.blocks[end].end()-b.Offset <= c.bytes {
			end++
		}
		run, err := c.r.get(b.Offset, c.r.blocks[end-1].end()-b.Offset)
		if err != nil {
			return err
		}
		c.run, c.first = run, b.Offset
	}
	rows, err := c.dec.Decode(c.r, c.from, c.run[b.Offset-c.first:b.end()-c.first])
	if err != nil {
		return err
	}
	c.from++
	c.rows, err = Project(rows.clip(c.lo, c.hi), c.r.schema, c.want)
	return err
}

// Row returns the current row, as row i of rows. It is valid until the next call of Next.
func (c *Cursor) Row() (rows *Rows, i int) { return c.rows, c.i }

func (c *Cursor) key() []byte { return c.rows.Key(c.i) }

// Merge yields the newest row of each key of the cursors, which are in the order of age, oldest first, and stand before their first rows.
func Merge(cursors []*Cursor, yield func(rows *Rows, i int) error) error {
	live := make([]*Cursor, 0, len(cursors))
	for _, c := range cursors {
		ok, err := c.Next()
		if err != nil {
			return err
		}
		if ok {
			live = append(live, c)
		}
	}
	for len(live) > 0 {
		newest := live[0]
		for _, c := range live[1:] {
			if !less(newest.key(), c.key()) { // equal, or less: the later of equal ones is newer
				newest = c
			}
		}
		key := newest.key()
		if err := yield(newest.rows, newest.i); err != nil {
			return err
		}
		kept := live[:0]
		for _, c := range live {
			if c == newest || !bytes.Equal(c.key(), key) {
				kept = append(kept, c) // the newest moves on last: the others are compared with its key
				continue
			}
			ok, err := c.Next()
			if err != nil {
				return err
			}
			if ok {
				kept = append(kept, c)
			}
		}
		live = kept
		ok, err := newest.Next()
		if err != nil {
			return err
		}
		if !ok {
			live = remove(live, newest)
		}
	}
	return nil
}

func remove(cursors []*Cursor, c *Cursor) []*Cursor {
	for i, x := range cursors {
		if x == c {
			return append(cursors[:i], cursors[i+1:]...)
		}
	}
	return cursors
}
