package row

import (
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

// every has a field of every type that a column can have.
type every struct {
	B   bool
	I   int
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	S   string
	Raw []byte
	At  time.Time
	For time.Duration

	BP   *bool
	I64P *int64
	U8P  *uint8
	F64P *float64
	SP   *string
	AtP  *time.Time

	QuietFrom string
	Named     string `sabot:"other_name"`
	Skipped   string `sabot:"-"`
}

func random(r *rand.Rand) every {
	at := func() time.Time { return time.UnixMicro(int64(r.Uint64()) >> 8).UTC() }
	text := func() string { return strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(20)) }
	e := every{B: r.IntN(2) == 0, I: int(r.Uint64()), I8: int8(r.Uint64()), I16: int16(r.Uint64()), I32: int32(r.Uint64()), I64: int64(r.Uint64()),
		U: uint(r.Uint64()), U8: uint8(r.Uint64()), U16: uint16(r.Uint64()), U32: uint32(r.Uint64()), U64: r.Uint64(), F32: r.Float32(), F64: r.NormFloat64(),
		S: text(), Raw: []byte(text()), At: at(), For: time.Duration(r.IntN(1<<40)) * time.Microsecond, QuietFrom: text(), Named: text()}
	if r.IntN(2) == 0 {
		b, i, u, f, s, t := e.B, e.I64, e.U8, e.F64, e.S, at()
		e.BP, e.I64P, e.U8P, e.F64P, e.SP, e.AtP = &b, &i, &u, &f, &s, &t
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	enc, err := NewEncoder[every]()
	if err != nil {
		t.Fatal(err)
	}
	dec, err := NewDecoder[every](enc.Schema())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		rows := make([]every, r.IntN(200))
		for i := range rows {
			rows[i] = random(r)
			enc.Append(&rows[i])
		}
		if cut := r.IntN(3); cut == 0 && len(rows) > 1 {
			rows = rows[:len(rows)/2]
			enc.Truncate(len(rows))
		}
		if enc.Len() != len(rows) {
			t.Fatalf("round %d: %d rows are encoded, want %d", round, enc.Len(), len(rows))
		}
		cols := enc.Flush()
		if err := dec.Reset(cols); err != nil {
			t.Fatal(err)
		}
		var got every // one for all rows, as the engine does: what a row does not set must not stay
		for i := range rows {
			if err := dec.Decode(i, &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Raw) == 0 {
				got.Raw = rows[i].Raw // empty, or none
			}
			if !reflect.DeepEqual(got, rows[i]) {
				t.Fatalf("round %d, row %d: got %+v, want %+v", round, i, got, rows[i])
			}
		}
		for _, c := range cols {
			c.Release()
		}
	}
}

func TestNames(t *testing.T) {
	s, err := Schema(reflect.TypeFor[every]())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"quiet_from", "other_name", "i64_p", "f64"} {
		if len(s.FieldIndices(name)) != 1 {
			t.Errorf("there is no column %q among %v", name, s)
		}
	}
	for _, name := range []string{"skipped", "named", "-"} {
		if len(s.FieldIndices(name)) > 0 {
			t.Errorf("there is a column %q", name)
		}
	}
	for goName, want := range map[string]string{"A": "a", "ID": "id", "UserID": "user_id", "HTTPPort": "http_port", "At": "at", "QuietFrom": "quiet_from"} {
		if got := snake(goName); got != want {
			t.Errorf("field %s is column %q, want %q", goName, got, want)
		}
	}
}

func TestTypesThatAreNoRows(t *testing.T) {
	for _, c := range []struct {
		typ  reflect.Type
		says string
	}{
		{reflect.TypeFor[int](), "is no struct"}, {reflect.TypeFor[time.Time](), "is no struct"}, {reflect.TypeFor[struct{}](), "has no exported fields"},
		{reflect.TypeFor[struct{ M map[string]int }](), "has type map[string]int, which is no column type"},
		{reflect.TypeFor[struct{ P **int }](), "which is no column type"},
		{reflect.TypeFor[struct {
			A string
			B string `sabot:"a"`
		}](), `fields A and B of struct`},
	} {
		if _, err := Schema(c.typ); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.typ, err, c.says)
		}
	}
}

func TestDecoderChecksTypes(t *testing.T) {
	type small struct{ A int8 }
	type wide struct{ A int64 }
	type text struct{ A string }
	type other struct{ B int64 }
	ints := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int32}}, nil)
	if _, err := NewDecoder[wide](ints); err != nil {
		t.Errorf("an int32 does not fit into an int64: %v", err)
	}
	_, narrow := NewDecoder[small](ints)
	_, clash := NewDecoder[text](ints)
	_, missing := NewDecoder[other](ints)
	for what, err := range map[string]error{"a narrower integer": narrow, "a text": clash, "a column that is not there": missing} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestNullNeedsAPointer(t *testing.T) {
	type plain struct{ A int64 }
	s := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	d, err := NewDecoder[plain](s)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder(s)
	b.AppendNull(0)
	b.AppendInt(0, 7)
	cols := b.Build()
	defer cols[0].Release()
	if err := d.Reset([]arrow.Array{cols[0]}); err != nil {
		t.Fatal(err)
	}
	var p plain
	if err := d.Decode(0, &p); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a null for a field that is no pointer: %v, want the column named", err)
	}
	if err := d.Decode(1, &p); err != nil || p.A != 7 {
		t.Errorf("the row behind it: %+v, %v", p, err)
	}
}

func TestSlicesOfColumns(t *testing.T) {
	type pair struct {
		S string
		N *float64
	}
	e, err := NewEncoder[pair]()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		f := float64(i)
		p := pair{fmt.Sprint("text ", i), &f}
		if i%3 == 0 {
			p.N = nil
		}
		e.Append(&p)
	}
	cols := e.Flush()
	d, err := NewDecoder[pair](e.Schema())
	if err != nil {
		t.Fatal(err)
	}
	var cut []arrow.Array
	for _, c := range cols {
		cut = append(cut, array.NewSlice(c, 4, 8))
	}
	if err := d.Reset(cut); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		var p pair
		if err := d.Decode(i, &p); err != nil || p.S != fmt.Sprint("text ", i+4) || (p.N == nil) != ((i+4)%3 == 0) || p.N != nil && *p.N != float64(i+4) {
			t.Errorf("row %d of a slice: %+v, %v", i, p, err)
		}
	}
}

type quote struct {
	At     time.Time
	Symbol string
	Price  float64
	Size   int64
	Bid    bool
}

// BenchmarkDecode reads rows into structs; the plain loop copies the same values from slices.
func BenchmarkDecode(b *testing.B) {
	const n = 4096
	e, err := NewEncoder[quote]()
	if err != nil {
		b.Fatal(err)
	}
	times, symbols, prices, sizes, bids := make([]int64, n), make([]string, n), make([]float64, n), make([]int64, n), make([]bool, n)
	for i := range n {
		q := quote{time.UnixMicro(int64(i)), fmt.Sprint("s", i%100), math.Sqrt(float64(i)), int64(i), i%2 == 0}
		times[i], symbols[i], prices[i], sizes[i], bids[i] = int64(i), q.Symbol, q.Price, q.Size, q.Bid
		e.Append(&q)
	}
	cols := e.Flush()
	per := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row") }
	b.Run("decoder", func(b *testing.B) {
		d, err := NewDecoder[quote](e.Schema())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		var q quote
		for range b.N {
			if err := d.Reset(cols); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if err := d.Decode(i, &q); err != nil {
					b.Fatal(err)
				}
			}
		}
		per(b)
	})
	b.Run("loop", func(b *testing.B) {
		var q quote
		for range b.N {
			for i := range n {
				q = quote{time.UnixMicro(times[i]), symbols[i], prices[i], sizes[i], bids[i]}
			}
		}
		if q.Size != n-1 {
			b.Fatal(q)
		}
		per(b)
	})
}

// BenchmarkEncode writes structs into columns; the plain loop appends the same values to slices.
func BenchmarkEncode(b *testing.B) {
	const n = 4096
	rows := make([]quote, n)
	for i := range rows {
		rows[i] = quote{time.UnixMicro(int64(i)), fmt.Sprint("s", i%100), math.Sqrt(float64(i)), int64(i), i%2 == 0}
	}
	per := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row") }
	b.Run("encoder", func(b *testing.B) {
		e, err := NewEncoder[quote]()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for range b.N {
			for i := range rows {
				e.Append(&rows[i])
			}
			for _, c := range e.Flush() {
				c.Release()
			}
		}
		per(b)
	})
	b.Run("loop", func(b *testing.B) {
		for range b.N {
			var times, sizes []int64
			var text []byte
			var prices []float64
			var bids []bool
			for i := range rows {
				q := &rows[i]
				times, text, prices = append(times, q.At.UnixMicro()), append(text, q.Symbol...), append(prices, q.Price)
				sizes, bids = append(sizes, q.Size), append(bids, q.Bid)
			}
			if len(times)+len(sizes)+len(prices)+len(bids)+len(text) == 0 {
				b.Fatal("nothing was appended")
			}
		}
		per(b)
	})
}
