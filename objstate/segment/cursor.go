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
	at       BlockInfo // the block that rows are of
	stored   []byte    // it, as the segment holds it
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
	c.at, c.stored = b, c.run[b.Offset-c.first:b.end()-c.first]
	rows, err := c.dec.Decode(c.r, c.from, c.stored)
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

// Run is rows [From,To) of Rows, each the newest of its key. They are valid during the call that they come with.
type Run struct {
	Rows     *Rows
	From, To int

	of     *Reader
	block  BlockInfo
	stored []byte // of the block that the run is the whole of; nil: it is not a whole one
}

// run returns the rows from the current one up to another as a run.
func (c *Cursor) runTo(to int) Run {
	x := Run{Rows: c.rows, From: c.i, To: to, of: c.r}
	if c.i == 0 && to == c.at.Rows {
		x.block, x.stored = c.at, c.stored
	}
	return x
}

// Merge yields the newest row of each key of the cursors, which are in the order of age, oldest first, and stand before their first rows.
func Merge(cursors []*Cursor, yield func(rows *Rows, i int) error) error {
	return merge(cursors, func(c *Cursor, to int) error {
		for ; c.i < to; c.i++ {
			if err := yield(c.rows, c.i); err != nil {
				return err
			}
		}
		return nil
	})
}

// MergeRuns is Merge by runs of rows that follow each other both in their segment and in the whole.
func MergeRuns(cursors []*Cursor, yield func(Run) error) error {
	return merge(cursors, func(c *Cursor, to int) error {
		if err := yield(c.runTo(to)); err != nil {
			return err
		}
		c.i = to
		return nil
	})
}

// input is a cursor of a merge.
type input struct {
	*Cursor
	age  int
	hash uint32 // of its current key
}

// before tells whether a's key comes before b's, or is the same and newer.
func (a *input) before(b *input) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	if c := bytes.Compare(a.key(), b.key()); c != 0 {
		return c < 0
	}
	return a.age > b.age
}

// merge calls take with the cursor that has the next rows, which stand from its current one up to another; it moves behind them.
func merge(cursors []*Cursor, take func(c *Cursor, to int) error) error {
	live := make([]*input, 0, len(cursors)) // in the order of their current keys
	place := func(in *input) {              // puts it, which is not among them, where it belongs
		in.hash = hash32(in.key())
		live = append(live, in)
		k := len(live) - 1
		for ; k > 0 && in.before(live[k-1]); k-- {
			live[k] = live[k-1]
		}
		live[k] = in
	}
	next := func(in *input) error { // moves on one that is not among them
		ok, err := in.Next()
		if err == nil && ok {
			place(in)
		}
		return err
	}
	for age, c := range cursors {
		if err := next(&input{Cursor: c, age: age}); err != nil {
			return err
		}
	}
	for len(live) > 0 {
		first := live[0]
		for len(live) > 1 && live[1].hash == first.hash && bytes.Equal(live[1].key(), first.key()) { // older
			old := live[1]
			live = append(live[:1], live[2:]...)
			if err := next(old); err != nil {
				return err
			}
		}
		to := first.rows.Len()
		if len(live) > 1 {
			to = first.until(live[1])
		}
		live = append(live[:0], live[1:]...)
		if err := take(first.Cursor, to); err != nil {
			return err
		}
		first.i = to - 1
		if err := next(first); err != nil {
			return err
		}
	}
	return nil
}

// until returns the first row of the block behind the current one whose key does not come before another's.
func (a *input) until(b *input) int {
	rows, n, key := a.rows, a.rows.Len(), b.key()
	before := func(i int) bool {
		k := rows.Key(i)
		if h := hash32(k); h != b.hash {
			return h < b.hash
		}
		return bytes.Compare(k, key) < 0
	}
	i := a.i + 1
	if i < n && before(n-1) {
		return n
	}
	for i < n && before(i) {
		i++
	}
	return i
}
