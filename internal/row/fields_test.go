package row

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Each field's name is the column's in snake case, or what the tag says.
func TestNames(t *testing.T) {
	type names struct {
		QuietFrom  int
		ID         int
		UserID     int
		HTTPStatus int
		A1B        int
		X          int
		XY         int
		Aé         int
		Under_Bar  int
		Tagged     int `sabot:"Other Name"`
		Left       int `sabot:"-"`
		hidden     int
		JSON       int `json:"ignored"`
	}
	_ = names{}.hidden
	s, err := Schema(reflect.TypeFor[names]())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.Fields() {
		got = append(got, f.Name)
	}
	want := "quiet_from, id, user_id, http_status, a1_b, x, xy, aé, under__bar, Other Name, json"
	if strings.Join(got, ", ") != want {
		t.Errorf("the columns are %s, want %s", strings.Join(got, ", "), want)
	}
}

// Each type of field has one type of column; a pointer makes it nullable.
func TestTypes(t *testing.T) {
	s, err := Schema(reflect.TypeFor[every]())
	if err != nil {
		t.Fatal(err)
	}
	types := []string{"bool", "int64", "int8", "int16", "int32", "int64", "uint64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "utf8",
		"binary", "timestamp[us]", "int64", "utf8", "int8", "binary"}
	if s.NumFields() != 2*len(types) {
		t.Fatalf("%d columns, want %d: %s", s.NumFields(), 2*len(types), s)
	}
	for i, f := range s.Fields() {
		if want := types[i%len(types)]; f.Type.String() != want || f.Nullable != (i >= len(types)) {
			t.Errorf("column %q is %s (nullable: %t), want %s (%t)", f.Name, f.Type, f.Nullable, want, i >= len(types))
		}
	}
}

type inner struct{ A, B int64 }

// Inner is inner, to be embedded for all to see.
type Inner inner

type (
	withChan    struct{ C chan int }
	withMap     struct{ M map[string]int }
	withSlice   struct{ S []int64 }
	withArray   struct{ A [4]byte }
	withStruct  struct{ In inner }
	withTwice   struct{ P **int64 }
	withFunc    struct{ F func() }
	withAny     struct{ V any }
	withComplex struct{ C complex128 }
	empty       struct{}
	onlyHidden  struct{ a int }
	onlyLeft    struct {
		A int `sabot:"-"`
	}
	clash struct {
		UserID int
		User   int `sabot:"user_id"`
	}
	noName struct {
		A int `sabot:""`
	}
	embeds        struct{ Inner }
	embedsPointer struct{ *Inner }
	embedsHidden  struct {
		inner
		C int64
	}
	embedsTime struct{ time.Time }
)

// A type that is no row is refused, by encoders and decoders alike, with an error that names the field.
func TestUnsupported(t *testing.T) {
	_ = onlyHidden{}.a
	noColumn := func(field, typ, of string) string {
		return fmt.Sprintf("field %s of row.%s has type %s, which is no column type", field, of, typ)
	}
	for want, check := range map[string]func() (error, error){
		noColumn("C", "chan int", "withChan"):                              both[withChan],
		noColumn("M", "map[string]int", "withMap"):                         both[withMap],
		noColumn("S", "[]int64", "withSlice"):                              both[withSlice],
		noColumn("A", "[4]uint8", "withArray"):                             both[withArray],
		noColumn("In", "row.inner", "withStruct"):                          both[withStruct],
		noColumn("P", "**int64", "withTwice"):                              both[withTwice],
		noColumn("F", "func()", "withFunc"):                                both[withFunc],
		noColumn("V", "interface {}", "withAny"):                           both[withAny],
		noColumn("C", "complex128", "withComplex"):                         both[withComplex],
		noColumn("Inner", "row.Inner", "embeds"):                           both[embeds],
		noColumn("Inner", "*row.Inner", "embedsPointer"):                   both[embedsPointer],
		"row.empty has no exported fields: they would be the columns":      both[empty],
		"row.onlyHidden has no exported fields: they would be the columns": both[onlyHidden],
		"row.onlyLeft has no exported fields: they would be the columns":   both[onlyLeft],
		`fields UserID and User of row.clash are both column "user_id"`:    both[clash],
		"the tag of field A of row.noName names no column":                 both[noName],
		"int64 is no struct: its fields would be the columns":              both[int64],
		"*row.inner is no struct: its fields would be the columns":         both[*inner],
		"time.Time is no struct: its fields would be the columns":          both[time.Time],
		"interface {} is no struct: its fields would be the columns":       both[any],
	} {
		encode, decode := check()
		for what, err := range map[string]error{"NewEncoder": encode, "NewDecoder": decode} {
			if err == nil || err.Error() != want {
				t.Errorf("%s: error %v, want %q", what, err, want)
			}
		}
	}
}

func both[T any]() (encode, decode error) {
	_, encode = NewEncoder[T]()
	_, decode = NewDecoder[T](arrow.NewSchema(nil, nil))
	return encode, decode
}

// An embedded struct that is not exported counts as any field that is not; an embedded time is the column time.
func TestEmbedded(t *testing.T) {
	for want, typ := range map[string]reflect.Type{"c": reflect.TypeFor[embedsHidden](), "time": reflect.TypeFor[embedsTime]()} {
		s, err := Schema(typ)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		if s.NumFields() != 1 || s.Field(0).Name != want {
			t.Errorf("the columns of %s are %v, want %s alone", typ, s.Fields(), want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"origin", "destination", "delay", "date"}
	for wanted, want := range map[string]string{"orgin": "origin", "ORIGIN": "origin", "dat": "date", "dely": "delay", "destinatoin": "destination", "xxxxx": "",
		"": "", "originating": "", "d": ""} {
		if want != "" {
			want = fmt.Sprintf(" (did you mean %q?)", want)
		}
		if got := DidYouMean(wanted, names); got != want {
			t.Errorf("DidYouMean(%q) is %q, want %q", wanted, got, want)
		}
	}
	if got := DidYouMean("a", nil); got != "" {
		t.Errorf("among no names it means %q, want nothing", got)
	}
}

// numbersOf returns a column of the type with the numbers 1 and 2 and, with null, a null behind them.
func numbersOf(t arrow.DataType, null bool) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for _, s := range []string{"1", "2"} {
		if err := b.AppendValueFromString(s); err != nil {
			panic(err) // the tests' own types
		}
	}
	if null {
		b.AppendNull()
	}
	return b.NewArray()
}

// fieldTaking tells whether a field of type F takes a column of type t, and checks the values then.
func fieldTaking[F comparable](t *testing.T, col arrow.DataType, want [2]F) bool {
	t.Helper()
	type one struct{ N F }
	in := arrow.NewSchema([]arrow.Field{{Name: "n", Type: col, Nullable: true}}, nil)
	if _, err := NewDecoder[one](in); err != nil {
		return false
	}
	c := numbersOf(col, false)
	defer c.Release()
	for i, r := range decoded[one](t, in, []arrow.Array{c}) {
		if r.N != want[i] {
			t.Errorf("%s into %T is %v, want %v", col, r.N, r.N, want[i])
		}
	}
	return true
}

// A field takes columns of its own type and of those all of whose values fit.
func TestWidening(t *testing.T) {
	p := arrow.PrimitiveTypes
	cols := []arrow.DataType{p.Int8, p.Int16, p.Int32, p.Int64, p.Uint8, p.Uint16, p.Uint32, p.Uint64, p.Float32, p.Float64}
	takes := func(f func(arrow.DataType) bool) string {
		var out []string
		for _, c := range cols {
			if f(c) {
				out = append(out, c.Name())
			}
		}
		return strings.Join(out, " ")
	}
	for want, got := range map[string]string{
		"int: int8 int16 int32 int64 uint8 uint16 uint32": "int: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]int{1, 2}) }),
		"int64: int8 int16 int32 int64 uint8 uint16 uint32": "int64: " +
			takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]int64{1, 2}) }),
		"int32: int8 int16 int32 uint8 uint16": "int32: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]int32{1, 2}) }),
		"int16: int8 int16 uint8":              "int16: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]int16{1, 2}) }),
		"int8: int8":                           "int8: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]int8{1, 2}) }),
		"uint64: uint8 uint16 uint32 uint64":   "uint64: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]uint64{1, 2}) }),
		"uint16: uint8 uint16":                 "uint16: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]uint16{1, 2}) }),
		"uint8: uint8":                         "uint8: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]uint8{1, 2}) }),
		"float64: float32 float64":             "float64: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]float64{1, 2}) }),
		"float32: float32":                     "float32: " + takes(func(c arrow.DataType) bool { return fieldTaking(t, c, [2]float32{1, 2}) }),
		"duration: int64": "duration: " +
			takes(func(c arrow.DataType) bool {
				return fieldTaking(t, c, [2]time.Duration{time.Microsecond, 2 * time.Microsecond})
			}),
	} {
		if got != want {
			t.Errorf("a field takes other columns: %s, want %s", got, want)
		}
	}
}
