package operators

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// WindowConfig describes a windowed aggregation in one lane.
type WindowConfig struct {
	Name      string
	Spec      sabot.WindowSpec
	In, Out   *arrow.Schema
	KeyFields []arrow.Field
}

// emitRows is how many results a window operator collects before it passes them on.
const emitRows = 8192

// window aggregates rows by key in windows of event time. There is a table for each window that is open, kept under the window's end.
type window struct {
	cfg      WindowConfig
	size     int64
	slide    int64
	lateness int64
	aggs     []aggregate
	bounded  []bounded // by aggregate; nil: it takes every row
	at       []int     // first accumulator of each aggregate
	paneCol  int       // counts how often a window fired again; -1 without lateness
	schema   segment.Schema
	state    objstate.Handle
	isReady  bool
	low      sabot.Micros

	open    map[int64]*objstate.Table // by end
	ends    []int64                   // of open windows, ascending
	spare   []*objstate.Table
	stored  []*storedBucket // that segments have had since the operator began, ascending
	partial bool            // there is a bound on memory: windows begin as partial ones
	manage  func()
	whole   int64
	wants   []objstate.Want
	scratch *objstate.Table // of a row that is not kept

	decoder *rowkey.Decoder
	out     *batch.Builder
	times   []int64
	hashes  []uint64
	keys    rowkey.Column

	rows   []int32 // collected
	takers []taker
	again  map[int64]map[uint32]bool // windows and slots that late rows have changed in this batch
}

// NewWindow returns a windowed aggregation. Windows are [start, end), aligned to the epoch. A window fires when the watermark reaches its end;
// with lateness once more for each batch of rows that come while the watermark is below end + lateness. A row none of whose windows is still
// kept is late. A row with which some integer sum would overflow goes to dead letters and counts in no window.
func NewWindow(cfg WindowConfig, store *objstate.Store) (Operator, error) {
	w := &window{cfg: cfg, size: cfg.Spec.Size.Microseconds(), slide: cfg.Spec.Slide.Microseconds(), lateness: cfg.Spec.Lateness.Microseconds(),
		paneCol: -1, low: store.Watermark(), open: map[int64]*objstate.Table{}, out: batch.NewBuilder(cfg.Out), keys: rowkey.Column{Offsets: []int32{0}}}
	for i, a := range cfg.Spec.Aggs {
		agg, err := newAggregate(a, cfg.In)
		if err != nil {
			return nil, fmt.Errorf("aggregate %q: %w", a.Name, err)
		}
		w.aggs = append(w.aggs, agg)
		sums, _ := agg.(bounded)
		w.bounded = append(w.bounded, sums)
		w.at = append(w.at, len(w.schema))
		for _, f := range agg.accumulators() {
			f.Name = fmt.Sprintf("%d.%s", i, f.Name)
			w.schema = append(w.schema, f)
		}
	}
	if w.lateness > 0 {
		w.paneCol = len(w.schema)
		w.schema = append(w.schema, arrow.Field{Name: "pane", Type: int64Type})
	}
	var err error
	if w.decoder, err = rowkey.NewDecoder(cfg.KeyFields); err != nil {
		return nil, err
	}
	w.scratch, w.whole, w.partial = objstate.NewTable(w.schema), store.Whole(), store.Bounded()
	w.manage = func() { store.Manage((*windowState)(w)) }
	stored := slices.Clone(w.schema)
	if w.paneCol >= 0 {
		stored[w.paneCol].Nullable = true // it is missing, and so 0, in what was written before the window had a lateness
	}
	w.state = store.Add(objstate.Spec{Name: cfg.Name, Schema: stored, Base: w.slide, Time: endOf,
		Before: func(low sabot.Micros) sabot.Micros { return w.kept(low) + 1 }}, (*windowState)(w))
	return w, nil
}

// kept returns the greatest end of a window that is no longer kept at a watermark.
func (w *window) kept(low sabot.Micros) sabot.Micros {
	if low == sabot.MaxMicros {
		return low - 1
	}
	return max(low, sabot.NoTime+sabot.Micros(w.lateness)) - sabot.Micros(w.lateness)
}

// endOf reads a window's end from its suffix.
func endOf(suffix []byte) sabot.Micros {
	return sabot.Micros(binary.BigEndian.Uint64(suffix) ^ 1<<63)
}

func (w *window) Batch(b *batch.Batch, out Collector) error {
	defer b.Release()
	w.ready()
	for _, a := range w.aggs {
		a.bind(b)
	}
	w.again = nil
	var late []int32
	cell, last := int64(0), int64(0) // the current run lies in [cell, last)
	w.rows = w.rows[:0]
	flush := func() error {
		if len(w.rows) == 0 {
			return nil
		}
		isLate, err := w.add(b, cell, out)
		if isLate {
			late = append(late, w.rows...)
		}
		w.rows = w.rows[:0]
		return err
	}
	err := each(b, func(i int32) error {
		t := b.Times[i]
		if t >= cell && t < last {
			w.rows = append(w.rows, i)
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		if t > math.MaxInt64-w.size-w.slide { // of the end of time: its window would end beyond that
			late = append(late, i)
			return nil
		}
		m := t % w.slide
		if m < 0 {
			m += w.slide
		}
		cell = t - m
		last = cell + w.slide
		w.rows = append(w.rows, i)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = w.fireAgain(out)
	}
	if err != nil || len(late) == 0 {
		return err
	}
	b.Retain()
	return out.Late(selected(b, late))
}

// add adds the collected rows, whose times lie in one slide from cell on, to each of their windows that is still kept.
func (w *window) add(b *batch.Batch, cell int64, out Collector) (late bool, err error) {
	kept := int64(w.kept(w.low))
	w.takers = w.takers[:0]
	for end := cell + w.slide; end <= cell+w.size; end += w.slide {
		if w.low == sabot.NoTime || end > kept {
			w.take(b, end)
		}
	}
	if len(w.takers) == 0 {
		return true, nil
	}
	rows, err := w.sum(b, out)
	if err != nil {
		return false, err
	}
	for i := range w.takers {
		x := &w.takers[i]
		for k, a := range w.aggs {
			if w.bounded[k] == nil {
				a.update(x.t, w.at[k], rows, x.slots)
			}
		}
		x.t.TouchAll(x.slots)
		for _, s := range x.refused {
			if x.t.InUse(s) && x.t.Untouched(s) {
				x.t.Delete(s) // only refused rows have its key
			}
		}
		if w.low != sabot.NoTime && x.end <= int64(w.low) {
			w.changed(x.end, x.slots)
		}
	}
	return false, nil
}

// taker is a window that takes the collected rows.
type taker struct {
	end     int64
	t       *objstate.Table
	slots   []uint32 // of the rows' keys
	refused []uint32 // of keys of refused rows
}

// take makes the window that ends at end a taker of the collected rows.
func (w *window) take(b *batch.Batch, end int64) {
	n := len(w.takers)
	w.takers = slices.Grow(w.takers, 1)[:n+1] // with the memory of a former taker
	x := &w.takers[n]
	x.end, x.t, x.refused = end, w.table(end), x.refused[:0]
	x.slots = slices.Grow(x.slots[:0], len(w.rows))[:len(w.rows)]
	x.t.UpsertBatch(b.Hashes, b.Keys, w.rows, x.slots)
	w.fill(x.t, end)
}

// sum updates the aggregates that cannot take every row. A row that does not fit somewhere is given up and counts nowhere: sum returns the
// rows that are left, and leaves their slots to the takers.
func (w *window) sum(b *batch.Batch, out Collector) (rows []int32, err error) {
	for i := range w.takers {
		for k, a := range w.bounded {
			if a == nil {
				continue
			}
			a.update(w.takers[i].t, w.at[k], w.rows, w.takers[i].slots)
			if !a.held() {
				w.revert(i, k)
				return w.sumEach(b, out)
			}
		}
	}
	return w.rows, nil
}

// revert takes back the updates of bounded aggregates up to aggregate last of taker n.
func (w *window) revert(n, last int) {
	for i := range w.takers[:n+1] {
		for k, a := range w.bounded {
			if a != nil && (i < n || k <= last) {
				a.revert(w.takers[i].t, w.at[k], w.rows, w.takers[i].slots)
			}
		}
	}
}

// sumEach does what sum does, row by row.
func (w *window) sumEach(b *batch.Batch, out Collector) (rows []int32, err error) {
	rows = make([]int32, 0, len(w.rows))
	for j, r := range w.rows {
		reason := w.tooLarge(j)
		if reason != "" {
			if err := out.Dead(b, int(r), reason); err != nil {
				return nil, err
			}
		}
		for i := range w.takers {
			x := &w.takers[i]
			s := x.slots[j]
			if reason != "" {
				x.refused = append(x.refused, s)
				continue
			}
			x.slots[len(rows)] = s
			for k, a := range w.bounded {
				if a != nil {
					a.update(x.t, w.at[k], w.rows[j:j+1], x.slots[len(rows):len(rows)+1])
				}
			}
		}
		if reason == "" {
			rows = append(rows, r)
		}
	}
	for i := range w.takers {
		w.takers[i].slots = w.takers[i].slots[:len(rows)]
	}
	return rows, nil
}

// tooLarge returns why collected row j does not fit; empty: it does.
func (w *window) tooLarge(j int) string {
	for _, x := range w.takers {
		for k, a := range w.bounded {
			if a != nil && !a.fits(x.t, w.at[k], w.rows[j], x.slots[j]) {
				return fmt.Sprintf("the sum of column %q overflows in the window that ends at %s", w.cfg.Spec.Aggs[k].Column, sabot.Micros(x.end).Time())
			}
		}
	}
	return ""
}

// changed notes slots of a window that has fired already.
func (w *window) changed(end int64, slots []uint32) {
	if w.again == nil {
		w.again = map[int64]map[uint32]bool{}
	}
	if w.again[end] == nil {
		w.again[end] = map[uint32]bool{}
	}
	for _, s := range slots {
		w.again[end][s] = true
	}
}

// fireAgain emits new panes of what late rows have changed. A key that was not there when its window fired begins with pane 0.
func (w *window) fireAgain(out Collector) error {
	if len(w.again) == 0 {
		return nil
	}
	for _, end := range w.ends {
		t := w.open[end]
		slots := make([]uint32, 0, len(w.again[end]))
		for s := range w.again[end] {
			slots = append(slots, s)
		}
		slices.Sort(slots)
		for _, s := range slots {
			if err := w.emit(t, s, end); err != nil {
				return err
			}
			t.Cols[w.paneCol].Ints[s]++
		}
	}
	return w.flush(out)
}

func (w *window) Watermark(low sabot.Micros, out Collector) error {
	w.ready()
	if (len(w.ends) == 0 || w.ends[0] > int64(low)) && (len(w.stored) == 0 || w.stored[0].Lo > low) { // nothing is due, as with most watermarks
		w.low = low
		return w.flush(out)
	}
	return w.advance(low, out)
}

// advance is Watermark where something may be due.
func (w *window) advance(low sabot.Micros, out Collector) error {
	was := w.low
	w.openDue(low)
	w.low = low
	kept := int64(w.kept(low))
	n := 0
	for ; n < len(w.ends) && w.ends[n] <= int64(low); n++ {
		end := w.ends[n]
		if was == sabot.NoTime || end > int64(was) {
			if err := w.fire(end, out); err != nil {
				return err
			}
		}
	}
	done := 0
	for done < n && w.ends[done] <= kept {
		w.close(w.ends[done])
		done++
	}
	w.ends = slices.Delete(w.ends, 0, done)
	return w.flush(out)
}

func (w *window) fire(end int64, out Collector) error {
	t := w.open[end]
	if t.Partial() {
		if err := w.fireStored(t, end, out); err != nil {
			return err
		}
	}
	for s := range uint32(t.Slots()) {
		if !t.InUse(s) || t.Untouched(s) { // of a key without a row in this window
			continue
		}
		if err := w.emit(t, s, end); err != nil {
			return err
		}
		if w.paneCol >= 0 {
			t.Cols[w.paneCol].Ints[s]++ // not a change to store: see windowState.Load
		}
		if len(w.times) >= emitRows {
			if err := w.flush(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// emit adds the result of a slot to the output.
func (w *window) emit(t *objstate.Table, slot uint32, end int64) error {
	key := t.Key(slot)
	if err := w.decoder.AppendTo(key, w.out); err != nil {
		return err
	}
	col := len(w.cfg.KeyFields)
	w.out.AppendInt(col, end-w.size)
	w.out.AppendInt(col+1, end)
	col += 2
	for i, a := range w.aggs {
		a.emit(t, w.at[i], slot, w.out, col+i)
	}
	if w.paneCol >= 0 {
		w.out.AppendInt(col+len(w.aggs), t.Cols[w.paneCol].Ints[slot])
	}
	w.times = append(w.times, end-1)
	w.hashes = append(w.hashes, t.Hash(slot))
	w.keys.Bytes = append(w.keys.Bytes, key...)
	w.keys.Offsets = append(w.keys.Offsets, int32(len(w.keys.Bytes)))
	return nil
}

func (w *window) flush(out Collector) error {
	n := len(w.times)
	if n == 0 {
		return nil
	}
	b := batch.New(w.cfg.Out, w.out.Build(), n, nil)
	b.Times, b.Hashes, b.Keys = w.times, w.hashes, w.keys
	w.times, w.hashes, w.keys = nil, nil, rowkey.Column{Offsets: []int32{0}}
	return out.Emit(b)
}
