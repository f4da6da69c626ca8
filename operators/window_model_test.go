package operators

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// windowModel is the window operator by brute force: each window keeps its rows and computes every result anew. Column 0 is the key.
type windowModel struct {
	in   *arrow.Schema
	spec sabot.WindowSpec
	low  sabot.Micros
	wins map[modelWindow]*modelRows
}

type modelWindow struct {
	key any
	end int64
}

type modelRows struct {
	rows []plainRow
	pane int64
}

// answer is what one batch or watermark leads to.
type answer struct{ rows, late, dead []plainRow }

func newWindowModel(in *arrow.Schema, spec sabot.WindowSpec) *windowModel {
	return &windowModel{in: in, spec: spec, low: sabot.NoTime, wins: map[modelWindow]*modelRows{}}
}

// ends returns the ends of the windows that a time lies in, by trying every multiple of the slide around it.
func (m *windowModel) ends(t int64) (ends []int64) {
	size, slide := m.spec.Size.Microseconds(), m.spec.Slide.Microseconds()
	for start := (t/slide - size/slide - 2) * slide; start <= t; start += slide {
		if start <= t && t < start+size {
			ends = append(ends, start+size)
		}
	}
	return ends
}

func (m *windowModel) passed(end int64) bool {
	return m.low != sabot.NoTime && end+m.spec.Lateness.Microseconds() <= int64(m.low)
}

func (m *windowModel) batch(rows []plainRow) (a answer) {
	changed := map[modelWindow]bool{}
	for _, r := range rows {
		var live []modelWindow
		for _, end := range m.ends(r.time) {
			if !m.passed(end) {
				live = append(live, modelWindow{r.vals[0], end})
			}
		}
		if len(live) == 0 {
			a.late = append(a.late, r)
			continue
		}
		if m.overflows(live, r) {
			a.dead = append(a.dead, r)
			continue
		}
		for _, w := range live {
			if m.wins[w] == nil {
				m.wins[w] = &modelRows{}
			}
			m.wins[w].rows = append(m.wins[w].rows, r)
			if m.low != sabot.NoTime && w.end <= int64(m.low) {
				changed[w] = true
			}
		}
	}
	for w := range changed {
		a.rows = append(a.rows, m.result(w))
	}
	return a
}

func (m *windowModel) watermark(low sabot.Micros) (a answer) {
	was := m.low
	m.low = low
	for w := range m.wins {
		if w.end <= int64(low) && (was == sabot.NoTime || w.end > int64(was)) {
			a.rows = append(a.rows, m.result(w))
		}
		if m.passed(w.end) {
			delete(m.wins, w)
		}
	}
	return a
}

func (m *windowModel) overflows(live []modelWindow, r plainRow) bool {
	for _, w := range live {
		rows := []plainRow{r}
		if x := m.wins[w]; x != nil {
			rows = append(rows, x.rows...)
		}
		for _, a := range m.spec.Aggs {
			if a.Func == sabot.SumAgg || a.Func == sabot.AvgAgg {
				if sum, _ := m.intSum(a.Column, rows); !sum.IsInt64() {
					return true
				}
			}
		}
	}
	return false
}

// intSum returns the sum and number of the integers in a column.
func (m *windowModel) intSum(column string, rows []plainRow) (*big.Int, int) {
	sum, n := new(big.Int), 0
	for _, r := range rows {
		switch v := r.vals[m.in.FieldIndices(column)[0]].(type) {
		case int64:
			sum.Add(sum, big.NewInt(v))
			n++
		case uint64:
			sum.Add(sum, new(big.Int).SetUint64(v))
			n++
		}
	}
	return sum, n
}

// result returns the output row of a window, and counts its pane.
func (m *windowModel) result(w modelWindow) plainRow {
	x := m.wins[w]
	out := plainRow{time: w.end - 1, vals: []any{w.key, w.end - m.spec.Size.Microseconds(), w.end}}
	for _, a := range m.spec.Aggs {
		out.vals = append(out.vals, m.aggregate(a, x.rows))
	}
	if m.spec.Lateness > 0 {
		out.vals = append(out.vals, x.pane)
		x.pane++
	}
	return out
}

func (m *windowModel) aggregate(a sabot.Agg, rows []plainRow) any {
	if a.Column == "" {
		return int64(len(rows))
	}
	col := m.in.FieldIndices(a.Column)[0]
	floats := m.in.Field(col).Type.ID() == arrow.FLOAT64
	n, sum := int64(0), 0.0
	var best any
	var bestAt int64
	for _, r := range rows {
		v := r.vals[col]
		if v == nil {
			continue
		}
		n++
		if f, ok := v.(float64); ok {
			sum += f
		}
		better := n == 1
		if !better {
			order := comparePlain(v, best)
			byTime := cmp.Compare(r.time, bestAt)
			if byTime == 0 {
				byTime = order
			}
			better = a.Func == sabot.MinAgg && order < 0 || a.Func == sabot.MaxAgg && order > 0 ||
				a.Func == sabot.FirstAgg && byTime < 0 || a.Func == sabot.LastAgg && byTime > 0
		}
		if better {
			best, bestAt = v, r.time
		}
	}
	exact, _ := new(big.Int), 0
	if !floats {
		exact, _ = m.intSum(a.Column, rows)
	}
	switch {
	case a.Func == sabot.CountAgg:
		return n
	case n == 0:
		return nil
	case a.Func == sabot.SumAgg && floats:
		return sum
	case a.Func == sabot.SumAgg:
		return exact.Int64()
	case a.Func == sabot.AvgAgg && floats:
		return sum / float64(n)
	case a.Func == sabot.AvgAgg:
		return float64(exact.Int64()) / float64(n)
	}
	return best
}

// comparePlain orders two values of one type; NaN is the greatest float, true is greater than false.
func comparePlain(a, b any) int {
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case uint64:
		return cmp.Compare(a, b.(uint64))
	case float64:
		b := b.(float64)
		if math.IsNaN(a) || math.IsNaN(b) {
			return -cmp.Compare(b2i(!math.IsNaN(a)), b2i(!math.IsNaN(b)))
		}
		return cmp.Compare(a, b)
	case string:
		return strings.Compare(a, b.(string))
	case bool:
		return cmp.Compare(b2i(a), b2i(b.(bool)))
	}
	panic(fmt.Sprintf("no order of %T", a))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
