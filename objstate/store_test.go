package objstate

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// Through random changes, cuts, compactions, expiry and restarts with other numbers of lanes the state is that of a plain map: read whole, or key by
// key, with what is not needed dropped from memory, while cuts are on their way.
func TestStoreAgainstPlainMap(t *testing.T) {
	for seed := range uint64(200) {
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), objects: map[string][]byte{}, parts: rowkey.Even(1 + int(seed%6)), refs: map[rowkey.Range]map[string][]Ref{},
			model: map[string]string{}, now: map[string]string{}, partial: seed%2 == 1}
		for _, p := range w.parts {
			w.refs[p] = map[string][]Ref{}
		}
		lanes := w.lanes(1)
		for step := range 120 {
			switch x := w.r.IntN(20); {
			case x < 14:
				for range 5 {
					w.change(lanes)
				}
			case x < 17:
				if w.frozen == nil {
					w.freeze(lanes)
				} else {
					w.commit(lanes)
				}
			case x < 19:
				if w.frozen == nil { // names of references are those of the root that a cut is folded into
					w.compact(step)
				}
			default: // a restart loses what was not committed
				w.frozen, w.cuts = nil, w.cuts+1
				w.partial = w.r.IntN(2) == 0
				w.repartition(rowkey.Even(1 + w.r.IntN(6)))
				lanes = w.lanes(1 + w.r.IntN(len(w.parts)))
				w.now = maps.Clone(w.model)
				w.expire()
				w.model = maps.Clone(w.now)
				for name, got := range map[string]map[string]string{"read": w.content(lanes), "scanned": w.scanned(lanes)} {
					if diff := cmp.Diff(w.model, got); diff != "" {
						t.Fatalf("seed %d, step %d, partial %t: %s after a restart (-want +got):\n%s", seed, step, w.partial, name, diff)
					}
				}
			}
		}
	}
}

// A key born and dead between two barriers writes nothing.
func TestBornAndDeadWritesNothing(t *testing.T) {
	w := &world{t: t, objects: map[string][]byte{}, parts: rowkey.Even(1), refs: map[rowkey.Range]map[string][]Ref{rowkey.Even(1)[0]: {}}}
	l := w.lanes(1)[0]
	l.hv.Touch()
	tab := l.values.table(0)
	key := rowkey.AppendString(nil, "x")
	slot, _ := tab.Upsert(rowkey.HashOf(key), key)
	tab.Touch(slot)
	tab.Delete(slot)
	if err := l.store.Freeze(5, 1).Encode(func([]byte, Meta) error { return errors.New("a segment was written") }); err != nil {
		t.Fatal(err)
	}
}

// What is missing or damaged is a StorageError of kind Corrupt that names the object.
func TestDamagedSegments(t *testing.T) {
	for name, damage := range map[string]func(w *world, object string){
		"missing": func(w *world, o string) { delete(w.objects, o) },
		"flipped": func(w *world, o string) { w.objects[o][100] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, r: rand.New(rand.NewPCG(1, 1)), objects: map[string][]byte{}, parts: rowkey.Even(1), now: map[string]string{},
				refs: map[rowkey.Range]map[string][]Ref{rowkey.Even(1)[0]: {}}}
			lanes := w.lanes(1)
			for range 100 {
				w.change(lanes)
			}
			w.cut(lanes)
			ref := w.refs[w.parts[0]]["values"][0]
			damage(w, ref.Object)
			defer func() {
				err, ok := recover().(error)
				var se *StorageError
				if !ok || !errors.As(err, &se) || sabot.KindOf(err) != sabot.Corrupt || !bytes.Contains([]byte(err.Error()), []byte(ref.Object)) {
					t.Errorf("got %v, want a StorageError of kind Corrupt that names %s", err, ref.Object)
				}
			}()
			l := w.lanes(1)[0]
			l.ready(l.hv)
			t.Error("damaged state was read without an error")
		})
	}
}

func TestBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		base := int64(1 + r.IntN(100))
		var live []Interval
		low := sabot.Micros(r.Int64N(1e6) - 5e5)
		for range 300 {
			at := low + sabot.Micros(r.Int64N(1<<r.IntN(40)))
			if r.IntN(50) == 0 {
				at = []sabot.Micros{sabot.MaxMicros, sabot.MaxMicros - 5, low, -1 << 61}[r.IntN(4)]
			}
			i := bucketOf(min(at, sabot.MaxMicros-1), low, base, live)
			if !i.Contains(min(at, sabot.MaxMicros-1)) {
				t.Fatalf("base %d: %v does not contain %d", base, i, at)
			}
			if slices.Contains(live, i) {
				continue
			}
			for _, l := range live {
				if l.Lo < i.Hi && l.Hi > i.Lo {
					t.Fatalf("base %d: %v overlaps %v", base, i, l)
				}
			}
			live = append(live, i)
			if len(live) > 120 { // four per doubling of the distance
				t.Fatalf("base %d: %d live buckets", base, len(live))
			}
			if r.IntN(20) == 0 {
				low += sabot.Micros(r.Int64N(1000))
				live = slices.DeleteFunc(live, func(l Interval) bool { return l.Hi <= low })
			}
		}
	}
}
