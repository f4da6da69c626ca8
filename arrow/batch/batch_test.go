package batch

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot/arrow/rowkey"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}, {Name: "i8", Type: arrow.PrimitiveTypes.Int8, Nullable: true},
	{Name: "i64", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "f32", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
	{Name: "f64", Type: arrow.PrimitiveTypes.Float64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "d", Type: &arrow.Decimal128Type{Precision: 20}, Nullable: true}, {Name: "t", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32}}, nil)

// random returns a batch of n rows of every type, keyed by the text.
func random(t testing.TB, n int, seed uint64) *Batch {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	b := NewBuilder(schema)
	for i := range n {
		for c, f := range schema.Fields() {
			if f.Nullable && r.IntN(5) == 0 {
				b.AppendNull(c)
				continue
			}
			switch f.Type.ID() {
			case arrow.BOOL:
				b.AppendBool(c, r.IntN(2) == 0)
			case arrow.FLOAT32, arrow.FLOAT64:
				b.AppendFloat(c, float64(r.IntN(1000))/8)
			case arrow.STRING:
				b.AppendString(c, fmt.Sprintf("%0*d", r.IntN(12), r.IntN(50)))
			case arrow.DECIMAL128:
				b.AppendDecimal(c, decimal(int64(i)))
			default:
				b.AppendInt(c, int64(r.IntN(200)-100))
			}
		}
	}
	x := New(schema, b.Build(), n, nil)
	e, err := rowkey.NewEncoder(schema.Fields()[5:6])
	if err != nil {
		t.Fatal(err)
	}
	e.Encode(x.Cols[5:6], n, &x.Keys)
	x.Hashes = rowkey.Hash(x.Keys, nil)
	x.Times = make([]int64, n)
	for i := range x.Times {
		x.Times[i] = int64(i)
	}
	return x
}

// line renders row i, its time and key.
func line(b *Batch, i int) string {
	s := ""
	for _, c := range b.Cols {
		s += c.ValueStr(i) + " "
	}
	return s + fmt.Sprint(b.Times[i], b.Hashes[i], string(b.Keys.At(i)))
}

func TestCompactKeepsTheSelection(t *testing.T) {
	b := random(t, 300, 1)
	var want []string
	b.Sel = []int32{}
	for i := int32(0); i < 300; i += 7 {
		b.Sel = append(b.Sel, i)
		want = append(want, line(b, int(i)))
	}
	c := Compact(b)
	defer c.Release()
	if c.N != len(want) || c.Sel != nil {
		t.Fatalf("%d rows, want %d", c.N, len(want))
	}
	for i := range want {
		if got := line(c, i); got != want[i] {
			t.Fatalf("row %d: %s, want %s", i, got, want[i])
		}
	}
}

// Every row goes to the lane of its hash, once, in order, whatever the number of lanes; recycled memory never shows through.
func TestScatter(t *testing.T) {
	for _, lanes := range []int{1, 2, 3, 8} {
		var bounds []uint32
		for _, r := range rowkey.Even(lanes)[1:] {
			bounds = append(bounds, uint32(r.Lo))
		}
		s := NewScatter(bounds)
		var held []*Batch
		var expected [][]string
		for round := range 20 {
			b := random(t, 100+round, uint64(round))
			want := make([][]string, lanes)
			for i := range b.N {
				l := 0
				for l < lanes-1 && rowkey.Hash32(b.Hashes[i]) >= bounds[l] {
					l++
				}
				want[l] = append(want[l], line(b, i))
			}
			for l, part := range s.Split(b) {
				if part == nil {
					if len(want[l]) > 0 {
						t.Fatalf("%d lanes: lane %d got nothing, want %d rows", lanes, l, len(want[l]))
					}
					continue
				}
				held, expected = append(held, part), append(expected, want[l])
			}
			if round%3 == 2 { // give some memory back while other batches live
				for k := range len(held) / 2 {
					check(t, held[k], expected[k])
					held[k].Release()
				}
				held, expected = held[len(held)/2:], expected[len(expected)/2:]
			}
		}
		for k := range held {
			check(t, held[k], expected[k])
			held[k].Release()
		}
	}
}

func check(t *testing.T, b *Batch, want []string) {
	t.Helper()
	if b.N != len(want) {
		t.Fatalf("%d rows, want %d", b.N, len(want))
	}
	for i := range want {
		if got := line(b, i); got != want[i] {
			t.Fatalf("row %d: %s, want %s", i, got, want[i])
		}
	}
}

func TestBuilderTruncates(t *testing.T) {
	a, b := NewBuilder(schema), NewBuilder(schema)
	row := func(x *Builder, n int64) {
		x.AppendBool(0, n%2 == 0)
		x.AppendInt(1, n)
		x.AppendNull(2)
		x.AppendFloat(3, float64(n))
		x.AppendFloat(4, float64(n))
		x.AppendString(5, fmt.Sprint(n))
		x.AppendDecimal(6, decimal(n))
		x.AppendInt(7, n)
		x.AppendInt(8, n)
	}
	row(a, 1)
	row(a, 2)
	row(a, 3)
	a.Truncate(1)
	row(a, 4)
	row(b, 1)
	row(b, 4)
	x, y := a.Build(), b.Build()
	for c := range x {
		if !array.Equal(x[c], y[c]) {
			t.Errorf("column %d: %v, want %v", c, x[c], y[c])
		}
	}
}

func TestNormalize(t *testing.T) {
	mem := memory.NewGoAllocator()
	in := arrow.NewSchema([]arrow.Field{{Name: "l", Type: arrow.BinaryTypes.LargeString, Nullable: true},
		{Name: "ms", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"}}, {Name: "ns", Type: &arrow.TimestampType{Unit: arrow.Nanosecond}},
		{Name: "dict", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true}}, nil)
	b := array.NewRecordBuilder(mem, in)
	defer b.Release()
	b.Field(0).(*array.LargeStringBuilder).AppendValues([]string{"a", "", "ccc"}, []bool{true, false, true})
	b.Field(1).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1, -1, 5}, nil)
	b.Field(2).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{1999, -1, -1000}, nil)
	d := b.Field(3).(*array.BinaryDictionaryBuilder)
	for _, s := range []string{"x", "", "y"} {
		if s == "" {
			d.AppendNull()
		} else if err := d.AppendString(s); err != nil {
			t.Fatal(err)
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	cut := rec.NewSlice(1, 3) // offsets of slices matter
	defer cut.Release()
	for _, c := range []struct {
		rec  arrow.RecordBatch
		want [4]string
	}{{rec, [4]string{`["a" (null) "ccc"]`, "[1000 -1000 5000]", "[1 -1 -1]", `["x" (null) "y"]`}},
		{cut, [4]string{`[(null) "ccc"]`, "[-1000 5000]", "[-1 -1]", `[(null) "y"]`}}} {
		got, err := Normalize(c.rec)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.want {
			text := fmt.Sprint(got.Column(i))
			if ts, ok := got.Column(i).(*array.Timestamp); ok {
				text = fmt.Sprint(Int64s(ts))
			}
			if text != c.want[i] {
				t.Errorf("column %s: %s, want %s", in.Field(i).Name, text, c.want[i])
			}
		}
		got.Release()
	}
	if _, err := NormalizeSchema(arrow.NewSchema([]arrow.Field{{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64)}}, nil)); err == nil {
		t.Error("a list passed as a canonical type")
	}
}

// BenchmarkScatter cuts a batch of seven int64 columns, as rows of numbers go through an exchange, into two and 16 lanes. The plain loop does the
// same work, histogram, permutation and gather, on slices.
func BenchmarkScatter(b *testing.B) {
	const n, columns = 8192, 7
	schema := arrow.NewSchema(slices.Repeat([]arrow.Field{{Name: "c", Type: arrow.PrimitiveTypes.Int64}}, columns), nil)
	x := &Batch{N: n, Schema: schema, Hashes: make([]uint64, n), Times: make([]int64, n)}
	plain := make([][]int64, columns)
	for c := range plain {
		bld := array.NewInt64Builder(memory.DefaultAllocator)
		for i := range n {
			bld.Append(int64(i * c))
		}
		a := bld.NewInt64Array()
		plain[c] = a.Int64Values()
		x.Cols = append(x.Cols, a)
	}
	r := rand.New(rand.NewPCG(1, 0))
	for i := range n {
		x.Hashes[i] = r.Uint64()
	}
	x.Keys.Offsets = make([]int32, n+1)
	for i := range n {
		x.Keys.Offsets[i+1] = int32(8 * (i + 1))
	}
	x.Keys.Bytes = make([]byte, 8*n)
	for _, lanes := range []int{2, 16} {
		b.Run(fmt.Sprintf("scatter/%d", lanes), func(b *testing.B) {
			bounds := make([]uint32, lanes-1)
			for i := range bounds {
				bounds[i] = uint32((i + 1) << 32 / lanes)
			}
			s := NewScatter(bounds)
			for range b.N {
				k := New(schema, x.Cols, n, nil)
				for _, c := range k.Cols {
					c.Retain()
				}
				k.Hashes, k.Times, k.Keys = x.Hashes, x.Times, x.Keys
				for _, p := range s.Split(k) {
					p.Release()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
		b.Run(fmt.Sprintf("loop/%d", lanes), func(b *testing.B) {
			cols := append([][]int64{x.Times, cast[int64](bytesOf(x.Hashes)), cast[int64](x.Keys.Bytes)}, plain...)
			out := make([][]int64, len(cols))
			for c := range out {
				out[c] = make([]int64, n)
			}
			perm := make([]int32, n)
			shift := 64 - bits.Len(uint(lanes-1))
			for range b.N {
				var at [17]int32
				for _, h := range x.Hashes {
					at[h>>shift+1]++
				}
				for l := range lanes {
					at[l+1] += at[l]
				}
				for i, h := range x.Hashes {
					perm[at[h>>shift]] = int32(i)
					at[h>>shift]++
				}
				for c, in := range cols {
					o := out[c]
					for k, i := range perm {
						o[k] = in[i]
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}

func decimal(n int64) decimal128.Num { return decimal128.FromI64(n) }
