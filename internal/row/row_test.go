package row

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

type (
	label string
	level int8
	blob  []byte
)

// every has a field of each column type, and a pointer to each.
type every struct {
	Bool     bool
	Int      int
	Int8     int8
	Int16    int16
	Int32    int32
	Int64    int64
	Uint     uint
	Uint8    uint8
	Uint16   uint16
	Uint32   uint32
	Uint64   uint64
	Float32  float32
	Float64  float64
	String   string
	Bytes    []byte
	Time     time.Time
	Duration time.Duration
	Label    label
	Level    level
	Blob     blob
	//lint:ignore U1000 the field is there to be passed over
	skipped int
	Left    chan int `sabot:"-"`

	BoolP     *bool
	IntP      *int
	Int8P     *int8
	Int16P    *int16
	Int32P    *int32
	Int64P    *int64
	UintP     *uint
	Uint8P    *uint8
	Uint16P   *uint16
	Uint32P   *uint32
	Uint64P   *uint64
	Float32P  *float32
	Float64P  *float64
	StringP   *string
	BytesP    *[]byte
	TimeP     *time.Time
	DurationP *time.Duration
	LabelP    *label
	LevelP    *level
	BlobP     *blob
}

// fill sets v to a random value, of small ones and extremes above all.
func fill(r *rand.Rand, v reflect.Value) {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.UnixMicro(pick(r, 0, -1, math.MaxInt64/4000, math.MinInt64/4000, r.Int64()>>12)).UTC()))
		return
	case v.Type() == durationType:
		v.SetInt(pick(r, 0, -1, 1, r.Int64()>>12) * 1000)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		shift := 64 - v.Type().Bits()
		v.SetInt(pick(r, 0, -1, math.MaxInt64, math.MinInt64, int64(r.Uint64())) >> shift)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(pick(r, 0, 1, math.MaxUint64, 1<<63, r.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(pick(r, 0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.MaxFloat32, float64(r.Float32())))
	case reflect.Float64:
		v.SetFloat(pick(r, 0, math.Copysign(0, -1), math.NaN(), math.Inf(-1), math.SmallestNonzeroFloat64, r.NormFloat64()))
	case reflect.String:
		v.SetString(pick(r, "", "a", "zero\x00in", "größer", strings.Repeat("x", r.IntN(300))))
	case reflect.Slice:
		v.SetBytes(pick(r, nil, []byte{}, []byte{0, 255}, bytes.Repeat([]byte{7}, r.IntN(300))))
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && f.Kind() != reflect.Chan {
				fill(r, f)
			}
		}
	}
}

func pick[T any](r *rand.Rand, vs ...T) T { return vs[r.IntN(len(vs))] }

// same tells whether two values are one: floats by their bits but NaN, bytes by content (columns know no nil), the rest as Go compares it.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float()) || math.IsNaN(a.Float()) && math.IsNaN(b.Float())
	case reflect.Slice:
		return bytes.Equal(a.Bytes(), b.Bytes())
	case reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || same(a.Elem(), b.Elem()))
	}
	return a.Interface() == b.Interface()
}

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	for i := range w.NumField() {
		if f := w.Type().Field(i); f.IsExported() && !same(w.Field(i), g.Field(i)) {
			t.Errorf("%s: field %s is %#v, want %#v", what, f.Name, g.Field(i), w.Field(i))
		}
	}
}

// codecs of every, over all of its columns.
func encoderOf[T any](t testing.TB) *Encoder[T] {
	t.Helper()
	e, err := NewEncoder[T]()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decoderOf[T any](t testing.TB, in *arrow.Schema) *Decoder[T] {
	t.Helper()
	d, err := NewDecoder[T](in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// decoded returns the rows of columns.
func decoded[T any](t *testing.T, in *arrow.Schema, cols []arrow.Array) []T {
	t.Helper()
	d := decoderOf[T](t, in)
	if err := d.Reset(cols); err != nil {
		t.Fatal(err)
	}
	out := make([]T, cols[0].Len())
	for i := range out {
		if err := d.Decode(i, &out[i]); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	return out
}

func random(r *rand.Rand, n int) []every {
	rows := make([]every, n)
	for i := range rows {
		fill(r, reflect.ValueOf(&rows[i]).Elem())
	}
	return rows
}

// Structs that became columns come back as they were, also out of slices of columns, after Truncate, and with none at all.
func TestRoundTrip(t *testing.T) {
	e := encoderOf[every](t)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		rows := random(r, r.IntN(40))
		for i := range rows {
			e.Append(&rows[i])
		}
		if r.IntN(2) == 0 {
			rows = rows[:r.IntN(len(rows)+1)]
			e.Truncate(len(rows))
			more := random(r, r.IntN(5))
			for i := range more {
				e.Append(&more[i])
			}
			rows = append(rows, more...)
		}
		if e.Len() != len(rows) {
			t.Fatalf("seed %d: Len is %d, want %d", seed, e.Len(), len(rows))
		}
		cols := e.Flush()
		from := r.IntN(len(rows) + 1)
		parts := make([]arrow.Array, len(cols))
		for i, c := range cols {
			parts[i] = array.NewSlice(c, int64(from), int64(len(rows)))
		}
		for i, got := range decoded[every](t, e.Schema(), cols) {
			compare(t, fmt.Sprintf("seed %d, row %d of %d", seed, i, len(rows)), rows[i], got)
		}
		for i, got := range decoded[every](t, e.Schema(), parts) {
			compare(t, fmt.Sprintf("seed %d, row %d of the slice from %d", seed, i, from), rows[from+i], got)
		}
		for _, c := range append(cols, parts...) {
			c.Release()
		}
		if t.Failed() {
			return
		}
	}
}

// What a decoder has set stays when the columns' memory is used for something else, and pointers of two rows are two.
func TestDecodedRowsStandAlone(t *testing.T) {
	type text struct {
		S  string
		B  []byte
		P  *string
		BP *[]byte
	}
	e := encoderOf[text](t)
	s, b := "shared", []byte("shared")
	for range 2 {
		e.Append(&text{s, b, &s, &b})
	}
	cols := e.Flush()
	rows := decoded[text](t, e.Schema(), cols)
	for _, c := range cols {
		for _, buf := range c.Data().Buffers()[1:] {
			clear(buf.Bytes())
		}
	}
	*rows[0].P, (*rows[0].BP)[0], rows[0].B[0] = "mine", 'X', 'X'
	if got := rows[1]; got.S != s || string(got.B) != s || *got.P != s || string(*got.BP) != s {
		t.Errorf("row 1 is %s %s %s %s, want %q throughout", got.S, got.B, *got.P, *got.BP, s)
	}
	if rows[0].S != s {
		t.Errorf("row 0 has %q, want %q", rows[0].S, s)
	}
}
