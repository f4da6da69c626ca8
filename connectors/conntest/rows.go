package conntest

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// rowsOf returns each row as text that two rows share only if they are equal: the cells, quoted, or null. The records must have the columns of
// the schema, in its order.
func rowsOf(t *testing.T, schema *arrow.Schema, recs ...arrow.RecordBatch) []string {
	t.Helper()
	var out []string
	for _, rec := range recs {
		if !sameColumns(rec.Schema(), schema) {
			t.Fatalf("columns are %v, want %v", rec.Schema(), schema)
		}
		for r := range int(rec.NumRows()) {
			cells := make([]string, rec.NumCols())
			for i, c := range rec.Columns() {
				cells[i] = "null"
				if c.IsValid(r) {
					cells[i] = strconv.Quote(c.ValueStr(r))
				}
			}
			out = append(out, strings.Join(cells, "\t"))
		}
	}
	return out
}

func sameColumns(a, b *arrow.Schema) bool {
	return slices.EqualFunc(a.Fields(), b.Fields(), func(f, g arrow.Field) bool { return f.Name == g.Name && arrow.TypeEqual(f.Type, g.Type) })
}

// pick returns the rows of rowsOf with just the columns of the schema to.
func pick(from, to *arrow.Schema, rows []string) []string {
	out := make([]string, len(rows))
	for r, row := range rows {
		cells := strings.Split(row, "\t") // quoted text holds no tab
		picked := make([]string, to.NumFields())
		for i, f := range to.Fields() {
			picked[i] = cells[from.FieldIndices(f.Name)[0]]
		}
		out[r] = strings.Join(picked, "\t")
	}
	return out
}

// projections are choices of columns: all, reversed, every other one, and the last alone.
func projections(schema *arrow.Schema) iter.Seq2[string, *arrow.Schema] {
	return func(yield func(string, *arrow.Schema) bool) {
		all := schema.Fields()
		var odd []arrow.Field
		for i := 1; i < len(all); i += 2 {
			odd = append(odd, all[i])
		}
		reversed := slices.Clone(all)
		slices.Reverse(reversed)
		choices := []struct {
			name   string
			fields []arrow.Field
		}{{"all columns", all}, {"columns reversed", reversed}, {"every other column", odd}, {"last column", all[len(all)-1:]}}
		for i, c := range choices {
			if i > 0 && (len(all) < 2 || len(c.fields) == 0) {
				continue
			}
			if !yield(c.name, arrow.NewSchema(c.fields, nil)) {
				return
			}
		}
	}
}
