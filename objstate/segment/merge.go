package segment

import "bytes"

// Merger merges sorted rows. The zero Merger is ready.
type Merger struct {
	schema Schema
	inputs []*Rows // oldest first
}

// Add adds a segment's rows of [lo,hi), newer than all before. All segments have the same columns.
func (m *Merger) Add(r *Reader, lo, hi uint64) error {
	if m.inputs != nil && len(r.Schema()) != len(m.schema) {
		return corrupt("its columns are others than those of the segments before")
	}
	m.schema = r.Schema()
	in := New(m.schema)
	err := r.Scan(lo, hi, func(rows *Rows) error {
		for i := range rows.Len() {
			in.Append(rows, i)
		}
		return nil
	})
	m.inputs = append(m.inputs, in)
	return err
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
