package view

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/objstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func encoded(p pair) []byte {
	c, err := row.NewCodec(reflect.TypeFor[pair]())
	if err != nil {
		panic(err)
	}
	return c.Append(nil, reflect.ValueOf(&p).Elem())
}

// scanned returns all rows of a table as text, sorted, after a look at their order.
func scanned(t *testing.T, v *View, name string) (lines []string, err error) {
	t.Helper()
	meta, err := v.Table(name)
	if err != nil {
		return nil, err
	}
	last := uint32(0)
	for r, err := range v.Scan(t.Context(), name) {
		if err != nil {
			return nil, err
		}
		wants, err := (&table{Table: meta}).wantsOf([][]any{r.Values()[:len(meta.Key)]})
		if err != nil {
			t.Fatal(err)
		}
		h := rowkey.Hash32(wants[0].Hash)
		if h < last {
			t.Fatalf("table %s: a row of hash %08x comes after one of %08x", name, h, last)
		}
		last = h
		lines = append(lines, line(r.Schema(), r.Values()))
	}
	slices.Sort(lines)
	return lines, nil
}

// got returns the rows of the keys of rows, by GetAll, as text, sorted.
func got(t *testing.T, v *View, table string, rows []event) (lines []string, err error) {
	t.Helper()
	seen := map[string]bool{}
	var keys [][]any
	for _, e := range rows {
		key := []any{e.User}
		if table != "hops" {
			key = append(key, any(nil))
			if e.Region != nil {
				key[1] = *e.Region
			}
		}
		if id := keyText(e); !seen[id] && (table != "hops" || !seen[e.User]) {
			seen[id], seen[e.User] = true, true
			keys = append(keys, key)
		}
	}
	of, err := v.GetAll(t.Context(), table, keys...)
	for _, rows := range of {
		for _, r := range rows {
			lines = append(lines, line(r.Schema(), r.Values()))
		}
	}
	slices.Sort(lines)
	return lines, err
}

// agrees compares a view with brute force; a view that is stale is none that disagrees.
func agrees(t *testing.T, all []event, v *View) (stale bool) {
	t.Helper()
	for table, want := range model(all, v) {
		lines, err := scanned(t, v, table)
		if errors.Is(err, ErrStale) {
			return true
		}
		if lowOf(v, "all") == sabot.MaxMicros && ttls[table] {
			within(t, table, lines, err, want)
			continue
		}
		if diff := cmp.Diff(want, lines); err != nil || diff != "" {
			t.Fatalf("scan of %s at checkpoint %d, %d rows read: %v (-want +got):\n%s", table, v.Epoch(), checkpoint.RowsRead(v.snap.root), err, diff)
		}
		lines, err = got(t, v, table, all)
		if errors.Is(err, ErrStale) {
			return true
		}
		if diff := cmp.Diff(want, lines); err != nil || diff != "" {
			t.Fatalf("keys of %s at checkpoint %d, %d rows read: %v (-want +got):\n%s", table, v.Epoch(), checkpoint.RowsRead(v.snap.root), err, diff)
		}
	}
	return false
}

// ttls are the tables that have a TTL of event time.
var ttls = map[string]bool{"all": true, "all.floats": true, "all.lately": true}

var wordColumn = regexp.MustCompile(`word=\S+ `)

// within compares a table with a TTL after the end of input. Then nothing expires any more, and what had expired before may have been removed by then.
func within(t *testing.T, table string, lines []string, err error, all []string) {
	t.Helper()
	if table == "all" {
		for i, l := range lines {
			lines[i] = wordColumn.ReplaceAllString(l, "")
		}
		for i, l := range all {
			all[i] = wordColumn.ReplaceAllString(l, "")
		}
		slices.Sort(lines)
		slices.Sort(all)
		if diff := cmp.Diff(all, lines); err != nil || diff != "" {
			t.Fatalf("scan of %s after the end: %v (-want +got):\n%s", table, err, diff)
		}
	}
	there := map[string]bool{}
	for _, l := range all {
		there[l] = true
	}
	for _, l := range lines {
		if !there[l] {
			t.Fatalf("scan of %s after the end, %v: nothing ever was %s", table, err, l)
		}
	}
	if err != nil || len(lines) == 0 {
		t.Fatalf("scan of %s after the end: %d rows, %v", table, len(lines), err)
	}
}

// Views that are opened, refreshed and gone back to while a job runs, stops, goes on with other partitions and ends show what it has read by then.
func TestAgainstBruteForce(t *testing.T) {
	r := newRig(t, 3000)
	r.opt.Rate = 2000 // so that there are checkpoints enough to compact
	r.until(400, nil)
	r.savepoint("early")
	r.until(450, nil)
	held := r.view()
	if agrees(t, r.rows, held) {
		t.Fatal("a view of the newest checkpoint of a job that does not run is stale")
	}

	looked, stale := 0, 0
	r.until(1500, func() {
		if agrees(t, r.rows, r.view()) {
			stale++
		}
		looked++
	})
	t.Logf("%d looks at a job that ran, %d of them stale", looked, stale)
	t.Logf("a view that was held while the job compacted misses %d objects, and is stale: %v", gone(r, held), agrees(t, r.rows, held))
	if err := held.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := checkpoint.RowsRead(held.snap.root); n != 1500 {
		t.Fatalf("a view that was refreshed has %d rows read, want 1500", n)
	}
	agrees(t, r.rows, held)

	early, err := held.AtSavepoint(t.Context(), "early")
	if err != nil {
		t.Fatal(err)
	}
	if n := checkpoint.RowsRead(early.snap.root); n != 400 || agrees(t, r.rows, early) {
		t.Fatalf("the savepoint has %d rows read, want 400, or is stale", n)
	}
	retained := 0
	for _, p := range r.root().Pins {
		if p.Kind == pb.PinKind_RETAINED && p.Written {
			old, err := held.At(t.Context(), p.Epoch)
			if err != nil {
				t.Fatal(err)
			}
			if old.Epoch() != p.Epoch || agrees(t, r.rows, old) {
				t.Fatalf("the retained checkpoint %d is read as %d, or is stale", p.Epoch, old.Epoch())
			}
			retained++
		}
	}
	if retained == 0 {
		t.Error("the job has retained nothing")
	}

	for _, n := range []int{3, 16} {
		r.repartition(n)
		if agrees(t, r.rows, r.view()) {
			t.Fatalf("stale with %d partitions", n)
		}
		r.until(int(checkpoint.RowsRead(r.root()))+500, nil)
		if agrees(t, r.rows, r.view()) {
			t.Fatalf("stale after it went on with %d partitions", n)
		}
	}
	r.end()
	v := r.view()
	if agrees(t, r.rows, v) {
		t.Fatal("stale at the end")
	}
	if lines, _ := scanned(t, v, "all"); len(lines) == 0 {
		t.Error("the job that has ended shows no values: a comparison with nothing shows nothing")
	}
	if agrees(t, r.rows, early) {
		t.Error("the savepoint is stale")
	}
}

// gone returns how many objects that a view needs are not there any more.
func gone(r *rig, v *View) (n int) {
	for _, o := range v.snap.root.Objects {
		if _, _, err := r.bucket.Get(r.t.Context(), o.Key); err != nil {
			n++
		}
	}
	return n
}

// A view whose checkpoint is not kept fails once it needs what is gone, says how to go on, and does so by itself when it is told to.
func TestStale(t *testing.T) {
	r := newRig(t, 2000)
	r.opt.Retain = -1
	r.until(300, nil)
	v, following := r.view(), r.view(Follow())
	r.opt.Fresh = true // so that all of it is garbage at once
	r.until(500, nil)
	if gone(r, v) == 0 {
		t.Fatal("the job has deleted nothing that the view needs")
	}
	if !agrees(t, r.rows, v) {
		t.Fatal("a view reads what is gone")
	}
	_, err := got(t, v, "all", r.rows)
	if !errors.Is(err, ErrStale) || sabot.KindOf(err) != sabot.Retry {
		t.Errorf("Get says %v, of kind %s", err, sabot.KindOf(err))
	}
	lines, err := got(t, following, "all", r.rows)
	if want := model(r.rows, r.view())["all"]; err != nil || !slices.Equal(lines, want) {
		t.Errorf("a view that follows gets %d rows, %v; want %d", len(lines), err, len(want))
	}
	if err := v.Refresh(t.Context()); err != nil || agrees(t, r.rows, v) {
		t.Errorf("refreshed: %v, or still stale", err)
	}
}

// readOnly is a bucket that nobody may write to.
type readOnly struct {
	objstore.Bucket
	t *testing.T
}

func (b readOnly) Put(_ context.Context, key string, _ []byte) error {
	b.t.Errorf("%s is written", key)
	return nil
}

func (b readOnly) PutIf(_ context.Context, key string, _ []byte, _ objstore.Version) (objstore.Version, error) {
	b.t.Errorf("%s is written", key)
	return "", nil
}

func (b readOnly) Delete(_ context.Context, key string) error {
	b.t.Errorf("%s is deleted", key)
	return nil
}

// A view writes nothing, and says what is wrong: with the job, with a table, with the bucket.
func TestErrors(t *testing.T) {
	r := newRig(t, 300)
	bucket := readOnly{r.bucket, t}
	if _, err := Open(t.Context(), bucket, "seen"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a job that is not there: %v", err)
	}
	if _, err := Open(t.Context(), bucket, "../seen"); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a name that no job has: %v", err)
	}
	r.until(200, nil)
	v, err := Open(t.Context(), bucket, "seen")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	agrees(t, r.rows, v)
	names := []string{}
	for _, x := range v.Tables() {
		names = append(names, x.Name+" "+x.Kind+" "+x.Operator)
	}
	want := []string{"all.words entries all", "all.floats entries all", "all.list entries all", "all.lately entries all", "all.timers timers all", "all.ticks timers all", "all values all", "hops window hops"}
	if diff := cmp.Diff(want, names, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	for what, c := range map[string]struct {
		table string
		key   []any
		want  string
	}{
		"table": {"al.words", []any{"user 1", nil}, `job seen has no table "al.words" among ["`},
		"near":  {"al.words", []any{"user 1", nil}, `(did you mean "all.words"?)`},
		"short": {"all.words", []any{"user 1"}, `key of table "all.words": has 1 values, want user utf8, region int64, and if wanted entry utf8`},
		"type":  {"all.words", []any{"user 1", "x"}, `key of table "all.words": column "region": x (string) is not of type int64`},
	} {
		if _, err := v.Get(t.Context(), c.table, c.key...); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	for _, err := range v.Scan(t.Context(), "none") {
		if sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("a scan of a table that is not there: %v", err)
		}
	}
	if _, err := v.At(t.Context(), 1<<40); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "does not keep checkpoint 1099511627776; it keeps ") {
		t.Errorf("a checkpoint that is not kept: %v", err)
	}
	if now, err := v.At(t.Context(), v.Epoch()); err != nil || agrees(t, r.rows, now) {
		t.Errorf("the newest checkpoint by its number: %v", err)
	}
	for _, o := range v.snap.root.Objects {
		if err := r.bucket.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	lost, err := Open(t.Context(), bucket, "seen")
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	if _, err := got(t, lost, "all", r.rows); sabot.KindOf(err) != sabot.Corrupt || errors.Is(err, ErrStale) || errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("an object that the newest checkpoint names is gone: %v", err)
	}
}

// A part of the rows of a key is what stands behind it in Get; keys that have nothing, and those that come twice, have what they have.
func TestPartOfKey(t *testing.T) {
	r := newRig(t, 300)
	r.until(200, nil)
	v := r.view()
	for table, of := range map[string]string{"all.words": "entry", "all.floats": "entry", "all.list": "number", "all.timers": "at", "all.ticks": "at", "hops": "window_end"} {
		parts := 0
		for row, err := range v.Scan(t.Context(), table) {
			if err != nil {
				t.Fatal(err)
			}
			meta, _ := v.Table(table)
			key := row.Values()[:len(meta.Key)]
			rows, err := v.GetAll(t.Context(), table, append(slices.Clone(key), row.Value(of)), key, append(slices.Clone(key), row.Value(of)), append([]any{"nobody"}, key[1:]...))
			if err != nil {
				t.Fatal(err)
			}
			text := func(rows []Row) (lines []string) {
				for _, r := range rows {
					lines = append(lines, line(r.Schema(), r.Values()))
				}
				return lines
			}
			one := text(rows[0])
			if !slices.Contains(one, line(row.Schema(), row.Values())) || !slices.Equal(one, text(rows[2])) || len(rows[3]) != 0 {
				t.Fatalf("%s: %v has %v, then %v, and nobody has %d rows", table, row.Values(), one, text(rows[2]), len(rows[3]))
			}
			for _, x := range rows[1] {
				same := fmt.Sprint(x.Value(of)) == fmt.Sprint(row.Value(of))
				if same != slices.Contains(one, line(x.Schema(), x.Values())) {
					t.Fatalf("%s: of %v, %v has %v", table, text(rows[1]), row.Value(of), one)
				}
			}
			if rec := RecordOf(rows[1]); int(rec.NumRows()) != len(rows[1]) || !slices.Equal(text([]Row{{rec, 0}}), text(rows[1][:1])) {
				t.Fatalf("%s: the record of %v has %d rows", table, text(rows[1]), rec.NumRows())
			}
			parts++
		}
		if parts == 0 {
			t.Errorf("%s is empty: a comparison with nothing shows nothing", table)
		}
	}
}
