package operators

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// storedBucket is windows in segments. They come into memory when a row or the watermark wants them: all of them together, or, when that is too much,
// key by key.
type storedBucket struct {
	objstate.Cluster
	opened  bool
	partial bool
	ends    []int64 // of its windows that the watermark has not reached, ascending; of partial ones
}

func (w *window) ready() {
	if !w.isReady {
		w.begin()
	}
}

// begin has what is stored of the windows within reach.
func (w *window) begin() {
	w.isReady = true
	w.state.Touch()
	for _, c := range objstate.Clusters(w.state.Buckets()) {
		w.stored = append(w.stored, &storedBucket{Cluster: c})
	}
	w.manage()
}

// suffixOf is what stands behind the key of a window's rows in segments.
func suffixOf(end int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(end)^1<<63) }

// table returns the table of the window that ends at end.
func (w *window) table(end int64) *objstate.Table {
	if t := w.open[end]; t != nil {
		return t
	}
	partial := w.partial
	for _, b := range w.stored {
		if b.Contains(sabot.Micros(end)) {
			w.openBucket(b)
			partial = partial || b.partial
		}
	}
	return w.make(end, partial)
}

// make returns the table of a window, a new one if there is none.
func (w *window) make(end int64, partial bool) *objstate.Table {
	if t := w.open[end]; t != nil {
		return t
	}
	var t *objstate.Table
	if n := len(w.spare); n > 0 {
		t, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		t = objstate.NewTable(w.schema)
	}
	if partial {
		t.BePartial()
	}
	w.open[end] = t
	i, _ := slices.BinarySearch(w.ends, end)
	w.ends = slices.Insert(w.ends, i, end)
	return t
}

func (w *window) close(end int64) {
	t := w.open[end]
	t.Reset()
	if len(w.spare) < 64 && !w.partial {
		w.spare = append(w.spare, t)
	}
	delete(w.open, end)
}

// openBucket has the windows of a stored bucket in memory, or lets them be read key by key.
func (w *window) openBucket(b *storedBucket) {
	if b.opened {
		return
	}
	b.opened = true
	total := int64(0)
	for _, i := range b.Buckets {
		total += w.state.Stored(i)
	}
	if b.partial = total > w.whole || w.partial; b.partial {
		b.ends = w.endsOf(b)
		return
	}
	w.state.Load(b.Buckets...)
}

// fewWindows is up to how many windows of a bucket are taken to be there without looking.
const fewWindows = 64

// endsOf returns the ends of the windows of a bucket that are still kept, ascending.
func (w *window) endsOf(b *storedBucket) (ends []int64) {
	kept := int64(sabot.NoTime)
	if w.low != sabot.NoTime {
		kept = int64(w.kept(w.low))
	}
	if (int64(b.Hi)-int64(b.Lo))/w.slide <= fewWindows {
		for end := int64(b.Lo) - int64(b.Lo)%w.slide; end < int64(b.Hi); end += w.slide {
			if end >= int64(b.Lo) && end > kept {
				ends = append(ends, end)
			}
		}
		return ends
	}
	there := map[int64]bool{}
	for _, i := range b.Buckets {
		_ = w.state.Scan(i.Lo, func(_ uint64, _, suffix []byte, _ *segment.Rows, _ int) error { // it fails as the function does
			if end := int64(endOf(suffix)); end > kept {
				there[end] = true
			}
			return nil
		})
	}
	return slices.Sorted(maps.Keys(there))
}

// openDue opens the stored windows that a watermark reaches, so that they fire, or are closed.
func (w *window) openDue(low sabot.Micros) {
	for _, b := range w.stored {
		if b.Lo > low {
			break
		}
		w.openBucket(b)
		for len(b.ends) > 0 && b.ends[0] <= int64(low) {
			w.make(b.ends[0], true)
			b.ends = b.ends[1:]
		}
	}
	kept := w.kept(low)
	w.stored = slices.DeleteFunc(w.stored, func(b *storedBucket) bool { return b.Hi <= kept })
}

// fill reads what is stored of the keys that are missing in a window.
func (w *window) fill(t *objstate.Table, end int64) {
	if len(t.Missing()) == 0 {
		return
	}
	w.wants = t.Wants(w.wants, suffixOf(end))
	w.state.Lookup(w.wants, sabot.Micros(end))
	t.Filled()
}

// fireStored emits the results of the keys of a window that are not in memory.
func (w *window) fireStored(t *objstate.Table, end int64, out Collector) error {
	return w.state.Scan(sabot.Micros(end), func(hash uint64, key, suffix []byte, rows *segment.Rows, i int) error {
		if int64(endOf(suffix)) != end {
			return nil
		}
		if slot := t.Lookup(hash, key); slot != objstate.NoSlot {
			return nil // what is in memory is newer
		}
		w.scratch.Reset()
		w.scratch.LoadRow(hash, key, rows, i)
		if err := w.emit(w.scratch, 0, end); err != nil {
			return err
		}
		if len(w.times) >= emitRows {
			return w.flush(out)
		}
		return nil
	})
}

// windowState is the window operator as a part of the lane's state.
type windowState window

// Freeze implements objstate.Part.
func (s *windowState) Freeze(f *objstate.Frame) {
	for _, end := range s.ends {
		f.Table(s.open[end], suffixOf(end), end)
	}
}

// Load implements objstate.Part. That a window has fired is not written for each of its keys: a stored key of one that has fired was in its first pane.
func (s *windowState) Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int) {
	end := int64(endOf(suffix))
	t := (*window)(s).make(end, false)
	t.LoadRow(hash, key, rows, i)
	if s.paneCol < 0 || s.low == sabot.NoTime || end > int64(s.low) {
		return
	}
	if slot := t.Lookup(hash, key); slot != objstate.NoSlot && t.Cols[s.paneCol].Ints[slot] == 0 {
		t.Cols[s.paneCol].Ints[slot] = 1
	}
}

// Settle implements objstate.Managed.
func (s *windowState) Settle(committed uint64) {
	for _, t := range s.open {
		t.Settle(committed)
	}
}

// Memory implements objstate.Managed.
func (s *windowState) Memory() (u objstate.Usage) {
	for _, t := range s.open {
		u = u.Add(t.Usage())
	}
	for _, t := range s.spare {
		u.Held += t.Usage().Held
	}
	return u
}

// Shrink implements objstate.Managed. Every window gives up its part.
func (s *windowState) Shrink(bytes int64) (slots int) {
	s.spare = nil
	live := max(1, s.Memory().Live)
	for _, end := range s.ends {
		t := s.open[end]
		if n := t.Len(); n > 0 {
			slots += t.Evict(int(float64(n)*float64(bytes)/float64(live))+1, t.Drop)
		}
	}
	return slots
}
