package row

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"
)

// field is an exported field of a struct as a column.
type field struct {
	name    string // of the column
	goName  string
	offset  uintptr
	typ     reflect.Type // without the pointer
	pointer bool
	arrow   arrow.DataType
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	timestampUS  = &arrow.TimestampType{Unit: arrow.Microsecond}
)

// fieldsOf returns the columns of a struct type.
func fieldsOf(t reflect.Type) ([]field, error) {
	if t.Kind() != reflect.Struct || t == timeType {
		return nil, fmt.Errorf("%s is no struct: its fields would be the columns", t)
	}
	var out []field
	seen := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, tagged := f.Tag.Lookup("sabot")
		if !f.IsExported() || name == "-" {
			continue
		}
		if !tagged {
			name = snake(f.Name)
		}
		if name == "" {
			return nil, fmt.Errorf("the tag of field %s of %s names no column", f.Name, t)
		}
		if other, ok := seen[name]; ok {
			return nil, fmt.Errorf("fields %s and %s of %s are both column %q", other, f.Name, t, name)
		}
		seen[name] = f.Name
		c := field{name: name, goName: f.Name, offset: f.Offset, typ: f.Type}
		if f.Type.Kind() == reflect.Pointer {
			c.typ, c.pointer = f.Type.Elem(), true
		}
		if c.arrow = TypeOf(c.typ); c.arrow == nil {
			return nil, fmt.Errorf("field %s of %s has type %s, which is no column type", f.Name, t, f.Type)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no exported fields: they would be the columns", t)
	}
	return out, nil
}

// TypeOf returns the Arrow type of a Go scalar type, or nil.
func TypeOf(t reflect.Type) arrow.DataType {
	switch t {
	case timeType:
		return timestampUS
	case durationType:
		return arrow.PrimitiveTypes.Int64
	}
	switch t.Kind() {
	case reflect.Bool:
		return arrow.FixedWidthTypes.Boolean
	case reflect.Int, reflect.Int64:
		return arrow.PrimitiveTypes.Int64
	case reflect.Int8:
		return arrow.PrimitiveTypes.Int8
	case reflect.Int16:
		return arrow.PrimitiveTypes.Int16
	case reflect.Int32:
		return arrow.PrimitiveTypes.Int32
	case reflect.Uint, reflect.Uint64:
		return arrow.PrimitiveTypes.Uint64
	case reflect.Uint8:
		return arrow.PrimitiveTypes.Uint8
	case reflect.Uint16:
		return arrow.PrimitiveTypes.Uint16
	case reflect.Uint32:
		return arrow.PrimitiveTypes.Uint32
	case reflect.Float32:
		return arrow.PrimitiveTypes.Float32
	case reflect.Float64:
		return arrow.PrimitiveTypes.Float64
	case reflect.String:
		return arrow.BinaryTypes.String
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return arrow.BinaryTypes.Binary
		}
	}
	return nil
}

// Schema returns the columns of a struct type.
func Schema(t reflect.Type) (*arrow.Schema, error) {
	fs, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	out := make([]arrow.Field, len(fs))
	for i, f := range fs {
		out[i] = arrow.Field{Name: f.name, Type: f.arrow, Nullable: f.pointer}
	}
	return arrow.NewSchema(out, nil), nil
}

// snake turns QuietFrom into quiet_from, and HTTPStatus into http_status.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// DidYouMean returns ` (did you mean "x"?)` for the name among names that is nearest to wanted, or nothing when none is near.
func DidYouMean(wanted string, names []string) string {
	best, at := 1+len(wanted)/3, ""
	for _, n := range names {
		if d := distance(strings.ToLower(wanted), strings.ToLower(n)); d <= best && (at == "" || d < best) {
			best, at = d, n
		}
	}
	if at == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", at)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
