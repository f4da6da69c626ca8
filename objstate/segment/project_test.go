package segment

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"
)

func TestProject(t *testing.T) {
	rows := sample(50, 1, true)
	column := func(name string) arrow.Field {
		for _, f := range allTypes {
			if f.Name == name {
				return f
			}
		}
		t.Fatalf("no column %s", name)
		return arrow.Field{}
	}
	some := Schema{column("raw"), column("x"), {Name: "new", Type: arrow.BinaryTypes.String, Nullable: true}, column("n"),
		{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}, {Name: "half", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "count", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}
	got, err := Project(rows, allTypes, some)
	if err != nil {
		t.Fatal(err)
	}
	wide := lines(rows, nil)
	for i, line := range lines(got, nil) {
		was := strings.Fields(wide[i])
		now := strings.Fields(line)
		want := []string{was[0], was[1], was[7], was[4], "null", was[2], "null", "null", "null"}
		if diff := cmp.Diff(want, now); diff != "" {
			t.Fatalf("row %d (-want +got):\n%s", i, diff)
		}
	}
	if again, err := Project(rows, allTypes, allTypes); err != nil || again != rows {
		t.Errorf("rows of the columns that are wanted were touched: %v", err)
	}
	for _, c := range []struct {
		want Schema
		says string
	}{
		{Schema{{Name: "n", Type: arrow.PrimitiveTypes.Float64}}, `column "n" is int64, where float64 is wanted`},
		{Schema{{Name: "sum", Type: arrow.PrimitiveTypes.Int64}}, `there is no column "sum" (int64), and it cannot be null`},
	} {
		if _, err := Project(rows, allTypes, c.want); err == nil || err.Error() != c.says {
			t.Errorf("%v: %v, want %q", c.want, err, c.says)
		}
	}
}

// mergeAll merges whole segments, oldest first.
func mergeAll(segs []*Reader) (schema Schema, rows *Rows, err error) {
	for _, s := range segs {
		schema = Union(schema, s.Schema())
	}
	var cursors []*Cursor
	for _, s := range segs {
		cursors = append(cursors, s.Cursor(schema, 0, 1<<32, 1000))
	}
	rows = New(schema)
	err = Merge(cursors, func(from *Rows, i int) error {
		rows.Append(from, i)
		return nil
	})
	return schema, rows, err
}

// Segments of several schemas are merged as a map of maps would be: the newest row of a key wins, and what it had no column for is null.
func TestMergeOfSeveralSchemas(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	names := []string{"a", "b", "c", "d"}
	var segs []*Reader
	model := map[string]map[string]int64{}
	columns := map[string]bool{}
	for range 20 {
		var schema Schema
		for _, k := range r.Perm(len(names))[:1+r.IntN(3)] {
			schema = append(schema, arrow.Field{Name: names[k], Type: arrow.PrimitiveTypes.Int64, Nullable: true})
			columns[names[k]] = true
		}
		rows := New(schema)
		for k := range 30 {
			if r.IntN(3) > 0 {
				continue
			}
			key := fmt.Sprintf("%04d", k)
			rows.KeyBytes = append(rows.KeyBytes, key...)
			rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
			rows.Ops = append(rows.Ops, Put)
			model[key] = map[string]int64{}
			for c, f := range schema {
				v := r.Int64N(1000)
				model[key][f.Name] = v
				rows.Cols[c].Ints = append(rows.Cols[c].Ints, v)
			}
		}
		b, _, err := Encode(nil, schema, rows, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		seg, err := OpenBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, seg)
	}
	schema, rows, err := mergeAll(segs)
	if err != nil {
		t.Fatal(err)
	}
	if len(schema) != len(columns) || rows.Len() != len(model) {
		t.Fatalf("%d columns and %d rows, want %d and %d", len(schema), rows.Len(), len(columns), len(model))
	}
	for i := range rows.Len() {
		want := model[string(rows.Key(i))]
		for c, f := range schema {
			v, has := want[f.Name]
			col := rows.Cols[c]
			if valid := col.Valid == nil || col.Valid[i]; valid != has || valid && col.Ints[i] != v {
				t.Fatalf("row %s column %s: %d (%v), want %d (%v)", rows.Key(i), f.Name, col.Ints[i], valid, v, has)
			}
		}
	}
}

// One name stands for one type.
func TestMergeOfTwoTypes(t *testing.T) {
	var segs []*Reader
	for _, typ := range []arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64} {
		rows := New(Schema{{Name: "v", Type: typ}})
		rows.KeyBytes, rows.KeyOffsets, rows.Ops = []byte("key1"), []uint32{0, 4}, []Op{Put}
		rows.Cols[0].Null(0)
		b, _, err := Encode(nil, Schema{{Name: "v", Type: typ}}, rows, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		seg, err := OpenBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, seg)
	}
	if _, _, err := mergeAll(segs[:1]); err != nil {
		t.Error(err)
	}
	if _, _, err := mergeAll(segs); err == nil || !strings.Contains(err.Error(), `column "v" is float64, where int64 is wanted`) {
		t.Errorf("segments of two types: %v", err)
	}
}
