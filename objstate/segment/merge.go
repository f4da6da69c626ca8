package segment

import "bytes"

// Merger merges sorted rows. The zero Merger is ready.
type Merger struct {
	schema Schema
	inputs []*Rows // oldest first
}

// Add adds a segment's rows of [lo,hi), newer than all before. The result has the columns of all segments, by name: which of them its reader wants, it
// says itself. A name stands for one type.
func (m *Merger) Add(r *Reader, lo, hi uint64) error {
	if err := m.widen(r.Schema()); err != nil {
		return err
	}
	in := New(m.schema)
	err := r.Scan(lo, hi, func(rows *Rows) error {
		rows, err := Project(rows, r.Schema(), m.schema)
		if err != nil {
			return corrupt("%w", err)
		}
		for i := range rows.Len() {
			in.Append(rows, i)
		}
		return nil
	})
	m.inputs = append(m.inputs, in)
	return err
}

// widen adds the columns of a schema to the result, and to what is there already.
func (m *Merger) widen(s Schema) error {
	if m.inputs == nil {
		m.schema = s
		return nil
	}
	if same(m.schema, s) {
		return nil
	}
	wide := union(m.schema, s)
	for i, in := range m.inputs {
		rows, err := Project(in, m.schema, wide)
		if err != nil {
			return corrupt("%w", err)
		}
		m.inputs[i] = rows
	}
	m.schema = wide
	return nil
}

// Rows returns the newest row of each key, in order; with bottom without deletes.
func (m *Merger) Rows(bottom bool) (Schema, *Rows) {
	out := New(m.schema)
	at := make([]int, len(m.inputs))
	for {
		var least []byte
		newest := -1
		for k, in := range m.inputs {
			if at[k] == in.Len() {
				continue
			}
			key := in.Key(at[k])
			if c := bytes.Compare(key, least); newest < 0 || c <= 0 {
				least, newest = key, k
			}
		}
		if newest < 0 {
			return m.schema, out
		}
		if in := m.inputs[newest]; !bottom || in.Ops[at[newest]] != Delete {
			out.Append(in, at[newest])
		}
		for k, in := range m.inputs {
			if at[k] < in.Len() && bytes.Equal(in.Key(at[k]), least) {
				at[k]++
			}
		}
	}
}
