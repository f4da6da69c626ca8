package view

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Every type that a job carries is found by its name.
func TestTypeNames(t *testing.T) {
	for _, want := range append(plainTypes[:len(plainTypes):len(plainTypes)], &arrow.Decimal128Type{Precision: 12, Scale: 3}) {
		if got, err := typeNamed(want.String()); err != nil || !arrow.TypeEqual(got, want) {
			t.Errorf("%s is read as %v, %v", want, got, err)
		}
	}
	for _, name := range []string{"", "int128", "decimal(1, 2) ", "decimal(x, 2)"} {
		if got, err := typeNamed(name); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("%q is read as %v, %v", name, got, err)
		}
	}
}

// Keys of Go values, and keys as text, are the bytes that the engine makes of columns of those types.
func TestKeys(t *testing.T) {
	noon := time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)
	price, err := decimal128.FromString("12.50", 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typ    arrow.DataType
		values []any // that are one key
		texts  []string
		json   string // of the column
	}{
		{arrow.PrimitiveTypes.Int8, []any{int64(-5), int8(-5), -5}, []string{"-5"}, `[-5]`},
		{arrow.PrimitiveTypes.Int64, []any{int64(math.MaxInt64), uint64(math.MaxInt64)}, []string{"9223372036854775807"}, `[9223372036854775807]`},
		{arrow.PrimitiveTypes.Uint64, []any{uint64(math.MaxUint64)}, []string{"18446744073709551615"}, `[18446744073709551615]`},
		{arrow.PrimitiveTypes.Uint16, []any{7, uint(7)}, []string{"7"}, `[7]`},
		{arrow.PrimitiveTypes.Float64, []any{0.5, float32(0.5)}, []string{"0.5", "5e-1"}, `[0.5]`},
		{arrow.PrimitiveTypes.Float32, []any{2.0, 2}, []string{"2"}, `[2]`},
		{arrow.FixedWidthTypes.Boolean, []any{true}, []string{"true", "1"}, `[true]`},
		{arrow.BinaryTypes.String, []any{"a\x00b", []byte("a\x00b")}, []string{"a\x00b", `"a\u0000b"`}, `["a\u0000b"]`},
		{arrow.BinaryTypes.String, []any{"null"}, []string{`"null"`}, `["null"]`},
		{arrow.BinaryTypes.String, []any{nil}, []string{"null"}, `[null]`},
		{arrow.BinaryTypes.Binary, []any{[]byte{1, 255}, "\x01\xff"}, []string{"0x01ff"}, `["Af8="]`},
		{timestampUS, []any{noon, noon.UnixMicro()}, []string{"2024-05-06T12:00:00Z", "2024-05-06T14:00:00+02:00"}, `["2024-05-06 12:00:00"]`},
		{arrow.FixedWidthTypes.Date32, []any{noon, 19849}, []string{"2024-05-06"}, `["2024-05-06"]`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, []any{price}, []string{"12.50", "12.5"}, `["12.50"]`},
	} {
		table := &table{Table: Table{Name: "t", Key: []arrow.Field{{Name: "k", Type: c.typ, Nullable: true}}}}
		e, err := rowkey.NewEncoder(table.Key)
		if err != nil {
			t.Fatal(err)
		}
		col, _, err := array.FromJSON(memory.DefaultAllocator, c.typ, strings.NewReader(c.json))
		if err != nil {
			t.Fatal(err)
		}
		var want rowkey.Column
		e.Encode([]arrow.Array{col}, 1, &want)
		check := func(v any) {
			t.Helper()
			wants, err := table.wantsOf([][]any{{v}})
			if err != nil {
				t.Errorf("%s: %#v: %v", c.typ, v, err)
			} else if diff := cmp.Diff(want.At(0), wants[0].Key); diff != "" {
				t.Errorf("%s: %#v (-want +got):\n%s", c.typ, v, diff)
			}
		}
		for _, v := range c.values {
			check(v)
		}
		for _, text := range c.texts {
			key, err := table.ParseKey(text)
			if err != nil {
				t.Errorf("%s: %q: %v", c.typ, text, err)
				continue
			}
			check(key[0])
		}
	}
}

// What cannot be a key is refused, naming table and column.
func TestBadKeys(t *testing.T) {
	two := &table{Table: Table{Name: "t", Key: []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}, {Name: "b", Type: timestampUS}},
		More: []arrow.Field{{Name: "entry", Type: arrow.BinaryTypes.String}}}, kind: entryRows{}}
	for want, key := range map[string][]any{
		"has 1 values, want a int8, b timestamp[us], and if wanted entry utf8": {1},
		"has 4 values": {1, time.Time{}, "x", "y"},
		`column "a": 128 (int) is not of type int8`:         {128, time.Time{}},
		`column "a": x (string) is not of type int8`:        {"x", time.Time{}},
		`column "b": 1.5 (float64) is not of type`:          {1, 1.5},
		`column "entry": it is never null`:                  {1, time.Time{}, nil},
		`column "entry": 7 (int) is not of type utf8`:       {1, time.Time{}, 7},
		`column "a": -129 (int64) is not of type int8`:      {int64(-129), time.Time{}},
		`column "a": 18446744073709551615 (uint64) is not `: {uint64(math.MaxUint64), time.Time{}},
	} {
		if _, err := two.wantsOf([][]any{key}); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), `key of table "t": `+want) {
			t.Errorf("%v: %v, want %s", key, err, want)
		}
	}
	for want, key := range map[string][]string{
		"has 1 values": {"1"}, `column "a": "300" is not of type int8`: {"300", "2024-01-01"}, `column "b": "noon" is not of type timestamp[us]`: {"1", "noon"},
	} {
		if _, err := two.ParseKey(key...); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", key, err, want)
		}
	}
}
