package row

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A null goes into a pointer; into a field that is none it is an error that names column and field, whatever its type.
func TestNullIntoNoPointer(t *testing.T) {
	e := encoderOf[every](t)
	e.Append(&every{}) // all pointers are nil
	cols := e.Flush()
	defer release(cols)
	half := len(cols) / 2 // the columns behind are the pointers'
	for i, c := range cols[half:] {
		fields, err := fieldsOf(reflect.TypeFor[every]())
		if err != nil {
			t.Fatal(err)
		}
		var schema []arrow.Field
		swapped := append([]arrow.Array(nil), cols[:half]...)
		swapped[i] = c
		for _, f := range fields[:half] {
			schema = append(schema, arrow.Field{Name: f.name, Type: f.arrow, Nullable: true})
		}
		d := decoderOf[plain](t, arrow.NewSchema(schema, nil))
		if err := d.Reset(swapped); err != nil {
			t.Fatal(err)
		}
		var p plain
		err = d.Decode(0, &p)
		want := "column \"" + fields[i].name + "\" is null, and field " + fields[i].goName + " of row.plain is no pointer"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// plain is the half of every without pointers.
type plain struct {
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
}

func release(cols []arrow.Array) {
	for _, c := range cols {
		c.Release()
	}
}

// A decoder that is used for row after row leaves nothing of the row before in a pointer.
func TestNullAfterValue(t *testing.T) {
	type row struct{ P *int64 }
	e := encoderOf[row](t)
	seven := int64(7)
	e.Append(&row{&seven})
	e.Append(&row{})
	cols := e.Flush()
	defer release(cols)
	d := decoderOf[row](t, e.Schema())
	if err := d.Reset(cols); err != nil {
		t.Fatal(err)
	}
	var r row
	for i, want := range []string{"7", "nil"} {
		if err := d.Decode(i, &r); err != nil {
			t.Fatal(err)
		}
		if (r.P == nil) != (want == "nil") || r.P != nil && *r.P != 7 {
			t.Errorf("row %d is %v, want %s", i, r.P, want)
		}
	}
}

// No rows: the columns have the schema's types, and decoders take them.
func TestNoRows(t *testing.T) {
	e := encoderOf[every](t)
	for range 2 {
		cols := e.Flush()
		if len(cols) != e.Schema().NumFields() {
			t.Fatalf("%d columns, want %d", len(cols), e.Schema().NumFields())
		}
		for i, c := range cols {
			if f := e.Schema().Field(i); c.Len() != 0 || !arrow.TypeEqual(c.DataType(), f.Type) {
				t.Errorf("column %q has %d rows of %s, want none of %s", f.Name, c.Len(), c.DataType(), f.Type)
			}
		}
		if rows := decoded[every](t, e.Schema(), cols); len(rows) != 0 {
			t.Errorf("%d rows, want none", len(rows))
		}
		release(cols)
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	none := b.NewStringArray() // of another maker: it may have no buffers at all
	defer none.Release()
	d := decoderOf[struct{ S string }](t, arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}}, nil))
	if err := d.Reset([]arrow.Array{none}); err != nil {
		t.Error(err)
	}
}

// Dates are read as midnight, text as bytes.
func TestOtherColumns(t *testing.T) {
	type row struct {
		Day  time.Time
		Text []byte
		Next *time.Time
	}
	in := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String}, {Name: "unread", Type: arrow.PrimitiveTypes.Int64},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32}, {Name: "next", Type: arrow.FixedWidthTypes.Date32, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, in)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues([]string{"", "ab"}, nil)
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	b.Field(2).(*array.Date32Builder).AppendValues([]arrow.Date32{-1, 11323}, nil)
	b.Field(3).(*array.Date32Builder).AppendValues([]arrow.Date32{0, 1}, []bool{false, true})
	rec := b.NewRecordBatch()
	defer rec.Release()
	rows := decoded[row](t, in, rec.Columns())
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	if r := rows[0]; !r.Day.Equal(day(1969, 12, 31)) || len(r.Text) != 0 || r.Next != nil {
		t.Errorf("row 0 is %+v, want the last day of 1969, no text, no next", r)
	}
	if r := rows[1]; r.Day != day(2001, 1, 1) || string(r.Text) != "ab" || r.Next == nil || *r.Next != day(1970, 1, 2) {
		t.Errorf("row 1 is %+v, want 2001-01-01, ab and the second day of 1970, in UTC", r)
	}
	if got := strings.Join(decoderOf[row](t, in).Columns(), " "); got != "day text next" {
		t.Errorf("the decoder reads %s, want day text next", got)
	}
}

// Times are cut to microseconds and read in UTC; durations likewise.
func TestTimesAreMicroseconds(t *testing.T) {
	type row struct {
		At  time.Time
		For time.Duration
	}
	e := encoderOf[row](t)
	at := time.Date(2001, 2, 3, 4, 5, 6, 7_999, time.FixedZone("", 3600))
	e.Append(&row{at, 7*time.Microsecond + 999})
	cols := e.Flush()
	defer release(cols)
	got := decoded[row](t, e.Schema(), cols)[0]
	if want := at.Truncate(time.Microsecond).UTC(); got.At != want || got.For != 7*time.Microsecond {
		t.Errorf("it is %v and %v, want %v and 7µs", got.At, got.For, want)
	}
}

// Columns of another type than the schema said are an error, not a wrong value.
func TestResetChecksTypes(t *testing.T) {
	d := decoderOf[struct{ N int64 }](t, arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil))
	b := array.NewFixedSizeListBuilder(memory.DefaultAllocator, 1, arrow.PrimitiveTypes.Int64)
	defer b.Release()
	c := b.NewArray()
	defer c.Release()
	want := `column "n" is fixed_size_list<item: int64, nullable>[1], field N is int64`
	if err := d.Reset([]arrow.Array{c}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
