package view

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// windowRows are the windows of an aggregation that are still kept.
type windowRows struct {
	size, lateness sabot.Micros
	aggs           []aggregate
	pane           int // column of the next pane's number; -1 without lateness
}

// aggregate is an aggregate function, and where its accumulators are.
type aggregate struct {
	fn            sabot.AggFunc
	typ           arrow.DataType // of the result
	first, second int            // columns
}

// windows makes it the table of a windowed aggregation.
func (t *table) windows(meta *pb.Table, w *sabot.WindowSpec) error {
	k := windowRows{size: sabot.Micros(w.Size.Microseconds()), lateness: sabot.Micros(w.Lateness.Microseconds()), pane: t.columnOf("pane")}
	t.More = []arrow.Field{{Name: "window_end", Type: timestampUS}}
	t.Values = []arrow.Field{{Name: "window_start", Type: timestampUS}}
	for i, spec := range w.Aggs {
		a, err := t.aggregate(meta, i, spec)
		if err != nil {
			return err
		}
		k.aggs = append(k.aggs, a)
		t.Values = append(t.Values, arrow.Field{Name: spec.Name, Type: a.typ, Nullable: spec.Func != sabot.CountAgg})
	}
	if k.pane >= 0 {
		t.Values = append(t.Values, arrow.Field{Name: "pane", Type: arrow.PrimitiveTypes.Int64})
	}
	t.kind = k
	return nil
}

func (t *table) aggregate(meta *pb.Table, i int, spec sabot.Agg) (a aggregate, err error) {
	at := func(name string) int {
		c := t.columnOf(fmt.Sprintf("%d.%s", i, name))
		if c < 0 && err == nil {
			err = sabot.WithKind(sabot.Corrupt, fmt.Errorf("there is no column %q of aggregate %q", fmt.Sprintf("%d.%s", i, name), spec.Name))
		}
		return c
	}
	a.fn = spec.Func
	switch spec.Func {
	case sabot.CountAgg:
		a.first, a.typ = at("n"), arrow.PrimitiveTypes.Int64
	case sabot.SumAgg, sabot.AvgAgg:
		a.first, a.second = at("sum"), at("n")
		if a.typ = arrow.PrimitiveTypes.Float64; err == nil && spec.Func == sabot.SumAgg {
			a.typ = t.stored[a.first].Type
		}
	default: // the type of its input stands behind the names
		if a.first = at("value"); err == nil {
			a.typ, err = typeNamed(strings.TrimPrefix(meta.Columns[a.first].Meaning, fmt.Sprintf("%s of %s ", spec.Func, spec.Column)))
		}
	}
	return a, err
}

// kept returns the greatest end of a window that is no longer kept.
func (k windowRows) kept(low sabot.Micros) sabot.Micros {
	switch low {
	case sabot.NoTime:
		return sabot.NoTime
	case sabot.MaxMicros:
		return low - 1
	}
	return max(low, sabot.NoTime+k.lateness) - k.lateness
}

func (k windowRows) dead(at instant) sabot.Micros {
	if at.low == sabot.NoTime {
		return sabot.NoTime
	}
	return k.kept(at.low) + 1
}

func (k windowRows) live(suffix []byte, _ *segment.Rows, _ int, at instant) bool {
	return len(suffix) == 8 && (at.low == sabot.NoTime || timeOf(suffix) > k.kept(at.low))
}

func (k windowRows) suffix(more any) []byte { return suffixOf(more.(int64)) }

func (k windowRows) show(b *batch.Builder, col int, suffix []byte, rows *segment.Rows, i int, at instant) error {
	end := timeOf(suffix)
	b.AppendInt(col, int64(end))
	b.AppendInt(col+1, int64(end-k.size))
	col += 2
	for j := range k.aggs {
		k.aggs[j].show(b, col+j, rows, i)
	}
	if k.pane >= 0 {
		b.AppendInt(col+len(k.aggs), k.nextPane(&rows.Cols[k.pane], i, end, at))
	}
	return nil
}

// nextPane returns the number of the window's next pane. That a window has fired is not written for each of its keys: a stored key of one that has
// fired was in its first pane.
func (k windowRows) nextPane(c *segment.Column, i int, end sabot.Micros, at instant) (n int64) {
	if !isNull(c, i) {
		n = c.Ints[i]
	}
	if n == 0 && at.low != sabot.NoTime && end <= at.low {
		n = 1
	}
	return n
}

// show appends the result as of now.
func (a *aggregate) show(b *batch.Builder, col int, rows *segment.Rows, i int) {
	first := &rows.Cols[a.first]
	switch a.fn {
	case sabot.CountAgg:
		b.AppendInt(col, first.Ints[i])
		return
	case sabot.SumAgg, sabot.AvgAgg:
		n := rows.Cols[a.second].Ints[i]
		switch {
		case n == 0:
			b.AppendNull(col)
		case a.fn == sabot.SumAgg:
			showValue(b, col, first, i)
		case first.Floats != nil:
			b.AppendFloat(col, first.Floats[i]/float64(n))
		default:
			b.AppendFloat(col, float64(first.Ints[i])/float64(n))
		}
		return
	}
	if a.typ.ID() == arrow.BOOL && !isNull(first, i) {
		b.AppendBool(col, first.Ints[i] != 0)
		return
	}
	showValue(b, col, first, i)
}
