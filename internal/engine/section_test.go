package engine

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// sectionSchema is what output rows are in the tests of sections.
var sectionSchema = arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String}}, nil)

func sectionBatch(rows int) *batch.Batch {
	b := batch.NewBuilder(sectionSchema)
	for i := range rows {
		if i%3 == 0 {
			b.AppendNull(0)
		} else {
			b.AppendInt(0, int64(i))
		}
		b.AppendString(1, "text"[:i%5])
	}
	out := batch.New(sectionSchema, b.Build(), rows, nil)
	out.Hashes, out.Times = make([]uint64, rows), make([]int64, rows)
	return out
}

func sectionOf(t testing.TB, rows ...int) []byte {
	t.Helper()
	var batches []*batch.Batch
	for _, n := range rows {
		batches = append(batches, sectionBatch(n))
	}
	b, recs, err := encodeSection(sectionSchema, batches)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		r.Release()
	}
	return b
}

func TestSectionRoundTrip(t *testing.T) {
	recs, err := decodeSection(sectionOf(t, 7, sectionRows, 3))
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, r := range recs {
		n += r.NumRows()
		r.Release()
	}
	if n != 7+sectionRows+3 {
		t.Errorf("%d rows, want %d", n, 7+sectionRows+3)
	}
}

// schemaEnd returns where the first message of a section ends, which holds its schema.
func schemaEnd(b []byte) int { return 8 + int(binary.LittleEndian.Uint32(b[4:])) }

// A record that says it holds terabytes is refused before they are allocated, and whatever else is wrong with what it says of itself is no panic.
func TestRecordThatSaysTooMuch(t *testing.T) {
	b := sectionOf(t, 100)
	from := schemaEnd(b)
	refused := 0
	for at := from + 8; at < from+schemaEnd(b[from:]); at++ {
		for _, bit := range []byte{1 << 7, 1 << 4} {
			b[at] ^= bit
			recs, err := decodeSection(b)
			if err != nil {
				refused++
				if sabot.KindOf(err) != sabot.Corrupt {
					t.Fatalf("byte %d: an error of kind %v: %v", at, sabot.KindOf(err), err)
				}
			}
			for _, r := range recs {
				r.Release()
			}
			b[at] ^= bit
		}
	}
	if refused == 0 {
		t.Error("no flipped bit was found")
	}
}

// Rows between groups whose columns are others than the stage's are refused.
func TestBlockOfOtherColumns(t *testing.T) {
	plain := sectionOf(t, 3)
	if _, err := decodeBlock(plain, sectionSchema, nil); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("rows without hashes: %v", err)
	}
	swapped := arrow.NewSchema([]arrow.Field{sectionSchema.Field(0)}, nil)
	if _, err := decodeBlock(plain, swapped, nil); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("rows whose hashes are text: %v", err)
	}
}

// FuzzSection: whatever follows the schema of a section, it is refused as corrupt, or it is records of that schema; and it takes little memory.
func FuzzSection(f *testing.F) {
	schema := sectionOf(f, 1)
	schema = schema[:schemaEnd(schema)]
	for _, rows := range [][]int{{5}, {}, {sectionRows, 1}} {
		b := sectionOf(f, rows...)
		f.Add(b[schemaEnd(b):])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := decodeSection(slices.Concat(schema, b))
		if err != nil && sabot.KindOf(err) != sabot.Corrupt {
			t.Fatalf("an error of kind %v: %v", sabot.KindOf(err), err)
		}
		for _, r := range recs {
			if !r.Schema().Equal(sectionSchema) {
				t.Fatalf("records of %v", r.Schema())
			}
			for i, c := range r.Columns() {
				if c.Len() != int(r.NumRows()) {
					t.Fatalf("column %d has %d rows of %d", i, c.Len(), r.NumRows())
				}
			}
			r.Release()
		}
	})
}
