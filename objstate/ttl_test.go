package objstate

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// A merge at the bottom drops the rows of which nothing lives: each column is null, or has expired by its clock.
func TestCompactDropsWhatHasExpired(t *testing.T) {
	i64 := arrow.PrimitiveTypes.Int64
	schema := segment.Schema{{Name: "a", Type: i64, Nullable: true}, {Name: "a.used", Type: i64, Nullable: true}, {Name: "b", Type: i64, Nullable: true},
		{Name: "b.used.clock", Type: i64, Nullable: true}, {Name: "c", Type: i64, Nullable: true}}
	const null = int64(-1)
	rows := segment.New(schema)
	add := func(values ...int64) {
		n := rows.Len()
		rows.KeyBytes = binary.BigEndian.AppendUint32(rows.KeyBytes, uint32(n))
		rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
		rows.Ops = append(rows.Ops, segment.Put)
		for i, v := range values {
			c := &rows.Cols[i]
			if v == null {
				c.Null(n)
				continue
			}
			c.Ints = append(c.Ints, v)
			if c.Valid != nil {
				c.Valid = append(c.Valid, true)
			}
		}
	}
	add(1, 90, null, null, null)   // 0: used at 90
	add(1, 91, null, null, null)   // 1
	add(null, 50, 1, 980, null)    // 2
	add(null, null, 1, 981, null)  // 3
	add(1, 10, 1, 10, null)        // 4: both have expired by event time 100, or later, and clock 1000, or later
	add(1, 10, null, null, 7)      // 5: c never expires
	add(null, null, null, null, 7) // 6
	seg, info, err := segment.Encode(nil, schema, rows, nil, segment.Options{Codec: segment.LZ4})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(spans []Span) ([][]byte, error) {
		out := make([][]byte, len(spans))
		for i, s := range spans {
			out[i] = seg[s.Off : s.Off+s.N]
		}
		return out, nil
	}
	in := []Ref{{Object: "o", Length: int64(len(seg)), CRC: info.CRC, Clip: rowkey.Even(1)[0]}}
	ttls := []TTL{{"a", "a.used", 10, false}, {"b", "b.used.clock", 20, true}}
	for _, c := range []struct {
		name   string
		bottom bool
		ttls   []TTL
		passed Passed
		left   []uint32
	}{
		{"both clocks", true, ttls, Passed{100, 1000}, []uint32{1, 3, 5, 6}},
		{"not at the bottom", false, ttls, Passed{100, 1000}, []uint32{0, 1, 2, 3, 4, 5, 6}},
		{"one clock is not known", true, ttls, Passed{sabot.NoTime, 1000}, []uint32{0, 1, 3, 4, 5, 6}},
		{"at the end of time nothing expires", true, ttls, Passed{sabot.MaxMicros, 1000}, []uint32{0, 1, 3, 4, 5, 6}},
		{"of one column", true, ttls[:1], Passed{100, 1000}, []uint32{1, 2, 3, 4, 5, 6}},
		{"of a column that is not there", true, []TTL{{"a", "x", 10, false}, {"y", "a.used", 10, false}}, Passed{1000, 1000}, []uint32{0, 1, 2, 3, 4, 5, 6}},
		{"none", true, nil, Passed{1000, 1000}, []uint32{0, 1, 2, 3, 4, 5, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var left []uint32
			err := CompactTo(fetch, Merging{Inputs: in, Bottom: c.bottom, TTLs: c.ttls, Passed: c.passed}, func(b []byte, _ Output) error {
				r, err := segment.OpenBytes(b)
				if err != nil {
					return err
				}
				return r.Scan(0, 1<<32, func(rows *segment.Rows) error {
					for i := range rows.Len() {
						left = append(left, binary.BigEndian.Uint32(rows.Key(i)))
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("left are %v, want %v", left, c.left)
			}
		})
	}
}
