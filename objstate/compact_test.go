package objstate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// merging makes up inputs of a merge, and what has to come of it.
type merging struct {
	r       *rand.Rand
	objects map[string][]byte
	in      []Ref
	want    map[string]string // values by key; "" for a delete
}

var (
	twoColumns = segment.Schema{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}
	oneColumn  = twoColumns[:1]
)

// hashOf gives two keys of 20 bits the same hash32.
func hashOf(k uint32) uint32 { return k >> 1 << 13 }

// add adds a segment over the given keys, newer than all before it, of which one in so many deletes.
func (m *merging) add(t *testing.T, schema segment.Schema, keys []uint32, deletes int, clip rowkey.Range, block int) {
	rows := segment.New(schema)
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		key := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, hashOf(k)), k)
		n := rows.Len()
		rows.KeyBytes = append(rows.KeyBytes, key...)
		rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
		value := ""
		if deletes > 0 && m.r.IntN(deletes) == 0 {
			rows.Ops = append(rows.Ops, segment.Delete)
			for i := range rows.Cols {
				rows.Cols[i].Null(n)
			}
		} else {
			v := m.r.Int64N(1 << 40)
			value = fmt.Sprint(v)
			rows.Ops = append(rows.Ops, segment.Put)
			c := &rows.Cols[0]
			if c.Ints = append(c.Ints, v); c.Valid != nil {
				c.Valid = append(c.Valid, true)
			}
			if len(schema) > 1 {
				c := &rows.Cols[1]
				if m.r.IntN(3) == 0 {
					c.Null(n)
					value += " null"
				} else {
					s := fmt.Sprint("text ", v%1000)
					value += " " + s
					c.Bytes = append(c.Bytes, s...)
					if c.Offsets = append(c.Offsets, uint32(len(c.Bytes))); c.Valid != nil {
						c.Valid = append(c.Valid, true)
					}
				}
			} else {
				value += " null"
			}
		}
		if clip.Contains(hashOf(k)) {
			m.want[string(key)] = value
		}
	}
	if rows.Len() == 0 {
		return
	}
	seg, info, err := segment.Encode(nil, schema, rows, nil, segment.Options{Codec: segment.LZ4, BlockBytes: block})
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint(len(m.objects))
	m.objects[name] = seg
	m.in = append(m.in, Ref{Object: name, Length: info.Length, CRC: info.CRC, Clip: clip, Rows: int64(info.Rows)})
}

func (m *merging) fetch(spans []Span) ([][]byte, error) {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		out[i] = m.objects[s.Object][s.Off : s.Off+s.N]
	}
	return out, nil
}

// keys returns n keys between two.
func (m *merging) keys(n int, lo, hi uint32) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = lo + m.r.Uint32N(hi-lo)
	}
	return out
}

// compare checks what a merge has written against a map, and returns how many outputs there are.
func (m *merging) compare(t *testing.T, bottom bool, target int64) (outputs int) {
	t.Helper()
	got := map[string]string{}
	at, last := m.in[0].Clip.Lo, []byte(nil)
	end := m.in[0].Clip.Hi
	for _, r := range m.in {
		at, end = min(at, r.Clip.Lo), max(end, r.Clip.Hi)
	}
	err := CompactTo(m.fetch, Merging{Inputs: m.in, Bottom: bottom, Target: target}, func(b []byte, o Output) error {
		outputs++
		if o.Clip.Lo != at || o.Clip.Hi <= at || int64(len(b)) != o.Info.Length || segment.Checksum(b) != o.Info.CRC {
			return fmt.Errorf("output %d shows %v, where the next is to begin at %d; %d bytes", outputs, o.Clip, at, len(b))
		}
		at = o.Clip.Hi
		seg, err := segment.OpenBytes(b)
		if err != nil {
			return err
		}
		f, err := seg.Filter()
		if err != nil {
			return err
		}
		rows := 0
		err = seg.Scan(0, 1<<32, func(x *segment.Rows) error {
			for i := range x.Len() {
				if bytes.Compare(x.Key(i), last) <= 0 {
					return fmt.Errorf("key %x comes after %x", x.Key(i), last)
				}
				h := binary.BigEndian.Uint32(x.Key(i))
				if !o.Clip.Contains(h) || !f.Has(h) {
					return fmt.Errorf("key %x is not in clip %v, or the filter does not know it", x.Key(i), o.Clip)
				}
				last = bytes.Clone(x.Key(i))
				rows++
				value := ""
				if x.Ops[i] == segment.Put {
					value = fmt.Sprint(x.Cols[0].Ints[i])
					switch c := &x.Cols[len(x.Cols)-1]; {
					case len(x.Cols) == 1, c.Valid != nil && !c.Valid[i]:
						value += " null"
					default:
						value += " " + string(c.Bytes[c.Offsets[i]:c.Offsets[i+1]])
					}
				}
				got[string(x.Key(i))] = value
			}
			return nil
		})
		if rows != o.Info.Rows || rows != seg.Rows() {
			err = errors.Join(err, fmt.Errorf("output %d has %d rows, and says %d", outputs, rows, o.Info.Rows))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if outputs > 0 && at != end {
		t.Errorf("the outputs end at %d, want %d", at, end)
	}
	if bottom {
		maps.DeleteFunc(m.want, func(_, v string) bool { return v == "" })
	}
	if !maps.Equal(got, m.want) {
		t.Errorf("%d rows, want %d", len(got), len(m.want))
		for k, v := range m.want {
			if got[k] != v {
				t.Fatalf("key %x has %q, want %q", k, got[k], v)
			}
		}
	}
	return outputs
}

// Merges of segments that share all keys, some, or none; with clips, deletes, columns that came later, blocks of any size; into one output and into several.
func TestCompactAgainstMap(t *testing.T) {
	several := 0
	for seed := range uint64(120) {
		m := &merging{r: rand.New(rand.NewPCG(seed, 9)), objects: map[string][]byte{}, want: map[string]string{}}
		for len(m.in) == 0 || m.r.IntN(4) > 0 && len(m.in) < 9 {
			lo := m.r.Uint32N(1 << 19)
			clip := rowkey.Even(1)[0]
			if m.r.IntN(3) == 0 {
				clip.Lo = uint64(m.r.Uint32N(1<<19)) << 12
				clip.Hi = clip.Lo + 1 + uint64(m.r.Uint32N(1<<19))<<12
			}
			schema := twoColumns
			if m.r.IntN(4) == 0 {
				schema = oneColumn
			}
			m.add(t, schema, m.keys(1+m.r.IntN(3000), lo, lo+1+m.r.Uint32N(1<<19)), []int{0, 0, 3, 100}[m.r.IntN(4)], clip, []int{0, 0, 500, 32 << 10}[m.r.IntN(4)])
		}
		if m.compare(t, m.r.IntN(2) == 0, []int64{0, 0, 20_000, 4000}[m.r.IntN(4)]) > 1 {
			several++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if several < 20 {
		t.Errorf("%d merges had several outputs", several)
	}
}

// Blocks that nothing overlaps are taken over as they are stored; others are not, and neither are those with deletes at the bottom.
func TestCompactTakesBlocksOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		deletes int
		bottom  bool
		over    bool // of the lower half, which the newer segment leaves alone
	}{
		{"puts", 0, true, true},
		{"deletes above the bottom", 3, false, true},
		{"deletes at the bottom", 3, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &merging{r: rand.New(rand.NewPCG(1, 9)), objects: map[string][]byte{}, want: map[string]string{}}
			m.add(t, twoColumns, m.keys(20_000, 0, 1<<20), c.deletes, rowkey.Even(1)[0], 0)
			m.add(t, twoColumns, m.keys(20_000, 1<<19, 1<<20), 0, rowkey.Even(1)[0], 0)
			m.compare(t, c.bottom, 0)
			old, err := segment.OpenBytes(m.objects["0"])
			if err != nil {
				t.Fatal(err)
			}
			seg, _, err := Compact(m.fetch, m.in, c.bottom)
			if err != nil {
				t.Fatal(err)
			}
			over, below := 0, 0
			for _, b := range old.Blocks() {
				found := bytes.Contains(seg, m.objects["0"][b.Offset:b.Offset+b.Length()])
				if binary.BigEndian.Uint32(b.Last) < 1<<31 {
					if below++; found {
						over++
					}
				} else if found {
					t.Errorf("a block that the newer segment overlaps was taken over")
				}
			}
			if want := below - 1; c.over && over < want || !c.over && over > 0 {
				t.Errorf("%d of %d blocks were taken over", over, below)
			}
		})
	}
}
