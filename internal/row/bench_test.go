package row

import (
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// benchRows is the size of a batch.
const benchRows = 8192

// numbers5 has no text; trip has some.
type numbers5 struct {
	ID    int64
	Small int32
	Price float64
	Paid  bool
	At    time.Time
}

type trip struct {
	ID    int64
	Small int32
	Price float64
	Name  string
	At    time.Time
}

func numberRows() []numbers5 {
	rows := make([]numbers5, benchRows)
	for i := range rows {
		rows[i] = numbers5{int64(i), int32(i), float64(i), i%3 == 0, time.UnixMicro(int64(i)).UTC()}
	}
	return rows
}

func tripRows() []trip {
	rows := make([]trip, benchRows)
	for i := range rows {
		rows[i] = trip{int64(i), int32(i), float64(i), "origin"[:i%6+1], time.UnixMicro(int64(i)).UTC()}
	}
	return rows
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

func benchEncode[T any](b *testing.B, rows []T) {
	e := encoderOf[T](b)
	b.ReportAllocs()
	for b.Loop() {
		for i := range rows {
			e.Append(&rows[i])
		}
		release(e.Flush())
	}
	perRow(b)
}

func benchDecode[T any](b *testing.B, rows []T) {
	e := encoderOf[T](b)
	for i := range rows {
		e.Append(&rows[i])
	}
	cols := e.Flush()
	defer release(cols)
	d := decoderOf[T](b, e.Schema())
	b.ReportAllocs()
	var row T
	for b.Loop() {
		if err := d.Reset(cols); err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			if err := d.Decode(i, &row); err != nil {
				b.Fatal(err)
			}
		}
	}
	perRow(b)
}

func BenchmarkEncode(b *testing.B) {
	b.Run("numbers", func(b *testing.B) { benchEncode(b, numberRows()) })
	b.Run("text", func(b *testing.B) { benchEncode(b, tripRows()) })
	b.Run("loop", func(b *testing.B) { // the numbers into slices
		rows := numberRows()
		ids, smalls, prices, paids, ats := make([]int64, 0, benchRows), make([]int32, 0, benchRows), make([]float64, 0, benchRows),
			make([]bool, 0, benchRows), make([]int64, 0, benchRows)
		for b.Loop() {
			ids, smalls, prices, paids, ats = ids[:0], smalls[:0], prices[:0], paids[:0], ats[:0]
			for i := range rows {
				r := &rows[i]
				ids, smalls, prices = append(ids, r.ID), append(smalls, r.Small), append(prices, r.Price)
				paids, ats = append(paids, r.Paid), append(ats, r.At.UnixMicro())
			}
		}
		perRow(b)
	})
}

func BenchmarkDecode(b *testing.B) {
	b.Run("numbers", func(b *testing.B) { benchDecode(b, numberRows()) })
	b.Run("text", func(b *testing.B) { benchDecode(b, tripRows()) })
	b.Run("loop", func(b *testing.B) { // the numbers out of slices
		rows := numberRows()
		ids, smalls, prices, paids, ats := make([]int64, benchRows), make([]int32, benchRows), make([]float64, benchRows), make([]bool, benchRows),
			make([]int64, benchRows)
		for i, r := range rows {
			ids[i], smalls[i], prices[i], paids[i], ats[i] = r.ID, r.Small, r.Price, r.Paid, r.At.UnixMicro()
		}
		var sink numbers5
		out := &sink
		for b.Loop() {
			for i := range ids {
				*out = numbers5{ids[i], smalls[i], prices[i], paids[i], time.UnixMicro(ats[i]).UTC()}
			}
		}
		perRow(b)
	})
}

// Rows without text or pointers allocate nothing, once the encoder has seen a batch of that size.
func TestNoAllocationPerRow(t *testing.T) {
	rows := numberRows()
	e := encoderOf[numbers5](t)
	var cols []arrow.Array
	batch := func(n int) float64 {
		return testing.AllocsPerRun(5, func() {
			for i := range rows[:n] {
				e.Append(&rows[i])
			}
			release(e.Flush())
		})
	}
	batch(benchRows)
	if few, many := batch(benchRows/8), batch(benchRows); many > few {
		t.Errorf("a batch of %d rows allocates %v times, one of %d rows %v times; want as often", benchRows, many, benchRows/8, few)
	}
	for i := range rows {
		e.Append(&rows[i])
	}
	cols = e.Flush()
	defer release(cols)
	d := decoderOf[numbers5](t, e.Schema())
	if err := d.Reset(cols); err != nil {
		t.Fatal(err)
	}
	row := new(numbers5)
	if got := testing.AllocsPerRun(5, func() {
		for i := range rows {
			if err := d.Decode(i, row); err != nil {
				t.Fatal(err)
			}
		}
	}); got != 0 {
		t.Errorf("%d rows allocate %v times while decoding, want never", benchRows, got)
	}
	if row.ID != benchRows-1 || cols[0].(*array.Int64).Value(benchRows-1) != row.ID {
		t.Errorf("the last row is %+v, want ID %d", *row, benchRows-1)
	}
}
