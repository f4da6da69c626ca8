package rowkey

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"
)

// The bytes of keys are a stored format.
func TestGoldenBytes(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendNull(nil), "00"},
		{AppendInt64(nil, 0), "018000000000000000"},
		{AppendInt64(nil, -1), "017fffffffffffffff"},
		{AppendUint64(nil, 1), "010000000000000001"},
		{AppendFloat64(nil, 1), "01bff0000000000000"},
		{AppendFloat64(nil, math.Copysign(0, -1)), "018000000000000000"},
		{AppendFloat64(nil, -1), "01400fffffffffffff"},
		{AppendFloat64(nil, math.NaN()), "01ffffffffffffffff"},
		{AppendBool(nil, true), "0101"},
		{AppendString(nil, "a\x00b"), "016100ff620001"},
		{AppendString(nil, ""), "010001"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if h := HashOf([]byte("sabot")); h != xxh3.HashString("sabot") {
		t.Errorf("the hash is not xxh3-64: %x", h)
	}
}

func compareFloat(a, b float64) int {
	switch an, bn := a != a, b != b; {
	case an && bn:
		return 0
	case an:
		return 1
	case bn:
		return -1
	}
	return cmp.Compare(a, b)
}

// Keys of (text, int, float) sort as their values do, field by field, and decode to them.
func FuzzOrder(f *testing.F) {
	f.Add("a", "ab", int64(1), int64(-1), 0.0, math.Inf(1), true)
	f.Add("a\x00", "a", int64(0), int64(0), math.NaN(), -1.5, false)
	f.Add("\xff", "\x00\xff", int64(math.MinInt64), int64(math.MaxInt64), math.Copysign(0, -1), 0.0, true)
	fields := []arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}, {Name: "i", Type: arrow.PrimitiveTypes.Int64}, {Name: "x", Type: arrow.PrimitiveTypes.Float64}}
	f.Fuzz(func(t *testing.T, s1, s2 string, i1, i2 int64, x1, x2 float64, null bool) {
		key := func(s string, i int64, x float64, null bool) []byte {
			k := AppendString(nil, s)
			if null {
				k = AppendNull(k)
			} else {
				k = AppendInt64(k, i)
			}
			return AppendFloat64(k, x)
		}
		a, b := key(s1, i1, x1, null), key(s2, i2, x2, false)
		want := cmp.Compare(s1, s2)
		if want == 0 && null {
			want = -1
		}
		want = cmp.Or(want, cmp.Compare(i1, i2), compareFloat(x1, x2))
		if got := bytes.Compare(a, b); got != want {
			t.Fatalf("(%q, %d, %v, null %v) and (%q, %d, %v) compare as %d, their keys as %d", s1, i1, x1, null, s2, i2, x2, want, got)
		}
		d, err := NewDecoder(fields)
		if err != nil {
			t.Fatal(err)
		}
		var got [3]any
		if err := d.Decode(b, got[:]); err != nil {
			t.Fatal(err)
		}
		if got[0] != s2 || got[1] != i2 || compareFloat(got[2].(float64), x2) != 0 {
			t.Fatalf("decoded %v, want (%q, %d, %v)", got, s2, i2, x2)
		}
		if n, err := d.Len(append(b, 7)); err != nil || n != len(b) {
			t.Fatalf("Len = %d, %v; want %d", n, err, len(b))
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add(AppendString(AppendInt64(nil, 5), "x"))
	fields := []arrow.Field{{Type: arrow.PrimitiveTypes.Int64}, {Type: arrow.BinaryTypes.Binary}, {Type: &arrow.Decimal128Type{Precision: 10}}, {Type: arrow.FixedWidthTypes.Boolean}}
	d, err := NewDecoder(fields)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _ = d.Decode(b, make([]any, 4)) }) // whatever the bytes: no panic
}

// Encode agrees with the scalar functions for every type, with nulls.
func TestEncodeAgreesWithScalars(t *testing.T) {
	mem := memory.NewGoAllocator()
	r := rand.New(rand.NewPCG(1, 2))
	schema := arrow.NewSchema([]arrow.Field{{Name: "b", Type: arrow.FixedWidthTypes.Boolean}, {Name: "i", Type: arrow.PrimitiveTypes.Int32},
		{Name: "u", Type: arrow.PrimitiveTypes.Uint16}, {Name: "f", Type: arrow.PrimitiveTypes.Float32}, {Name: "s", Type: arrow.BinaryTypes.String},
		{Name: "t", Type: &arrow.TimestampType{Unit: arrow.Microsecond}}}, nil)
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	const n = 200
	want := make([][]byte, n)
	for i := range n {
		k := want[i]
		for c := range schema.NumFields() {
			if r.IntN(4) == 0 {
				b.Field(c).AppendNull()
				k = AppendNull(k)
				continue
			}
			v := r.IntN(1000) - 500
			switch f := b.Field(c).(type) {
			case *array.BooleanBuilder:
				f.Append(v > 0)
				k = AppendBool(k, v > 0)
			case *array.Int32Builder:
				f.Append(int32(v))
				k = AppendInt64(k, int64(v))
			case *array.Uint16Builder:
				f.Append(uint16(v))
				k = AppendUint64(k, uint64(uint16(v)))
			case *array.Float32Builder:
				f.Append(float32(v) / 4)
				k = AppendFloat64(k, float64(v)/4)
			case *array.StringBuilder:
				s := string(make([]byte, r.IntN(4))) + "x"
				f.Append(s)
				k = AppendString(k, s)
			case *array.TimestampBuilder:
				f.Append(arrow.Timestamp(v))
				k = AppendInt64(k, int64(v))
			}
		}
		want[i] = k
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	e, err := NewEncoder(schema.Fields())
	if err != nil {
		t.Fatal(err)
	}
	var got Column
	e.Encode(rec.Columns(), n, &got)
	for i := range n {
		if !bytes.Equal(got.At(i), want[i]) {
			t.Fatalf("row %d: %x, want %x", i, got.At(i), want[i])
		}
	}
}

// The fast path of text keys writes what the scalar function writes, also with zero bytes inside.
func TestTextKeys(t *testing.T) {
	texts := []string{"", "a\x00", "\x00\x00b", "a\x00b\x00", "a", "", "long enough to be no short text"}
	b := array.NewStringBuilder(memory.NewGoAllocator())
	defer b.Release()
	b.AppendValues(texts, nil)
	col := b.NewArray()
	defer col.Release()
	e, err := NewEncoder([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}, {Name: "s", Type: arrow.BinaryTypes.String}})
	if err != nil {
		t.Fatal(err)
	}
	var got Column
	for _, from := range []int{0, 3, 4} { // from the fifth on there are no zero bytes
		part := array.NewSlice(col, int64(from), int64(len(texts)))
		e.Encode([]arrow.Array{part, part}, part.Len(), &got)
		for i, s := range texts[from:] {
			if want := AppendString(AppendString(nil, s), s); !bytes.Equal(got.At(i), want) {
				t.Errorf("%q: %x, want %x", s, got.At(i), want)
			}
		}
		part.Release()
	}
}

// The fast path of integer keys writes what the scalar function writes, for columns of each type, sliced, in memory that was used before.
func TestIntegerKeys(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "8", Type: arrow.PrimitiveTypes.Int8}, {Name: "16", Type: arrow.PrimitiveTypes.Int16},
		{Name: "32", Type: arrow.PrimitiveTypes.Int32}, {Name: "64", Type: arrow.PrimitiveTypes.Int64}, {Name: "d", Type: arrow.PrimitiveTypes.Date32},
		{Name: "t", Type: &arrow.TimestampType{Unit: arrow.Microsecond}}}, nil)
	b := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	defer b.Release()
	numbers := []int64{0, 1, -1, 127, -128, 5, 100, -100}
	for _, v := range numbers {
		b.Field(0).(*array.Int8Builder).Append(int8(v))
		b.Field(1).(*array.Int16Builder).Append(int16(v))
		b.Field(2).(*array.Int32Builder).Append(int32(v))
		b.Field(3).(*array.Int64Builder).Append(v)
		b.Field(4).(*array.Date32Builder).Append(arrow.Date32(v))
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(v))
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	e, err := NewEncoder(schema.Fields())
	if err != nil {
		t.Fatal(err)
	}
	var got Column
	for _, from := range []int64{0, 3, int64(len(numbers))} {
		part := rec.NewSlice(from, int64(len(numbers)))
		e.Encode(part.Columns(), int(part.NumRows()), &got)
		if got.Len() != int(part.NumRows()) {
			t.Errorf("%d keys of %d rows", got.Len(), part.NumRows())
		}
		for i, v := range numbers[from:] {
			var want []byte
			for range schema.NumFields() {
				want = AppendInt64(want, v)
			}
			if !bytes.Equal(got.At(i), want) {
				t.Errorf("%d: %x, want %x", v, got.At(i), want)
			}
		}
		part.Release()
	}
}

func TestEvenRangesCoverTheSpace(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 16, 1000} {
		at := uint64(0)
		for _, r := range Even(n) {
			if r.Lo != at || r.Empty() {
				t.Fatalf("%d ranges: %v does not follow %d", n, r, at)
			}
			at = r.Hi
		}
		if at != Space {
			t.Fatalf("%d ranges end at %d", n, at)
		}
	}
}

func BenchmarkEncodeAndHash(b *testing.B) {
	const n = 8192
	sb := array.NewStringBuilder(memory.NewGoAllocator())
	defer sb.Release()
	codes := make([]string, n)
	for i := range codes {
		codes[i] = string([]byte{byte('A' + i%26), byte('A' + i/26%26), byte('A' + i/676%26)})
	}
	sb.AppendValues(codes, nil)
	col := sb.NewArray()
	defer col.Release()
	e, err := NewEncoder([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encoder", func(b *testing.B) {
		var c Column
		var h []uint64
		for range b.N {
			e.Encode([]arrow.Array{col}, n, &c)
			h = Hash(c, h[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
	b.Run("loop", func(b *testing.B) {
		var buf []byte
		h := make([]uint64, n)
		for range b.N {
			buf = buf[:0]
			for i, s := range codes {
				at := len(buf)
				buf = append(append(append(buf, 1), s...), 0, 1)
				h[i] = xxh3.Hash(buf[at:])
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
}
