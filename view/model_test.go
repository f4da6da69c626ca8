package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
)

// Brute force: what the tables of a job that has read some rows show, as lines of text.

// line is a row as text: its columns by name.
func line(schema *arrow.Schema, values []any) string {
	var b strings.Builder
	for i, v := range values {
		switch x := v.(type) {
		case time.Time:
			v = x.Format(time.RFC3339)
		case []byte:
			v = fmt.Sprintf("%x", x)
		}
		fmt.Fprintf(&b, "%s=%v ", schema.Field(i).Name, v)
	}
	return b.String()
}

// lowOf returns the watermark of the table's partitions, which all have one when a single group runs the job and is stopped; low of a view that was
// opened while it ran is the least.
func lowOf(v *View, table string) sabot.Micros {
	t, err := v.snap.table(table)
	if err != nil {
		panic(err)
	}
	low := sabot.MaxMicros
	for _, p := range v.snap.partitions(t) {
		low = min(low, v.snap.instant(p).low)
	}
	return low
}

// model is what a view is to show of each table.
func model(all []event, v *View) map[string][]string {
	rows := all[:checkpoint.RowsRead(v.snap.root)]
	out := map[string][]string{"all": nil, "all.words": nil, "all.floats": nil, "all.list": nil, "all.lately": nil, "all.timers": nil, "all.ticks": nil, "hops": nil}
	keys := map[string][]event{}
	for _, e := range rows {
		keys[keyText(e)] = append(keys[keyText(e)], e)
	}
	for key, of := range keys {
		processModel(key, of, lowOf(v, "all"), out)
	}
	windowModel(rows, lowOf(v, "hops"), out)
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out
}

func keyText(e event) string {
	if e.Region == nil {
		return fmt.Sprintf("user=%s region=<nil> ", e.User)
	}
	return fmt.Sprintf("user=%s region=%d ", e.User, *e.Region)
}

func expired(used time.Time, low sabot.Micros) bool {
	return low != sabot.NoTime && low != sabot.MaxMicros && low-sabot.MicrosOf(used) >= sabot.Micros(shortLife.Microseconds())
}

func processModel(key string, rows []event, low sabot.Micros, out map[string][]string) {
	say := func(table, format string, args ...any) {
		out[table] = append(out[table], key+fmt.Sprintf(format, args...))
	}
	var sum, hits int64
	var word, both any
	var largest float64
	words, floats, floatUsed := map[string]int64{}, map[float64]bool{}, map[float64]time.Time{}
	due, far, last := map[time.Time]bool{}, map[time.Time]bool{}, map[time.Time]bool{}
	used := time.Time{}
	for i, e := range rows {
		if e.V%2 == 0 {
			both = fmt.Sprintf("%x", encoded(pair{e.V, sum}))
		}
		if sum, hits, word, largest = sum+e.V, hits+1, e.Word, max(largest, e.X); e.At.After(used) {
			used = e.At
		}
		if words[e.Word]++; e.V%7 == 0 {
			delete(words, "w3")
		}
		if floats[e.X] = e.Up; e.At.After(floatUsed[e.X]) {
			floatUsed[e.X] = e.At
		}
		say("all.list", "number=%d value=%s ", i, e.Word)
		due[e.At.Add(2*time.Hour)], far[e.At.AddDate(200, 0, 0)], last[e.At.Add(24*time.Hour)] = e.V%3 != 0, true, true
	}
	for i, e := range latelyLeft(rows) {
		if !expired(e.At, low) {
			say("all.lately", "number=%d value=%d ", i, e.V)
		}
	}
	if expired(used, low) {
		word = nil
	}
	say("all", "sum=%d word=%v both=%v hits=%d largest=%v ", sum, word, both, hits, largest)
	for w, n := range words {
		say("all.words", "entry=%s value=%d ", w, n)
	}
	for x, up := range floats {
		if !expired(floatUsed[x], low) {
			say("all.floats", "entry=%v value=%v ", x, up)
		}
	}
	for name, set := range map[string]map[time.Time]bool{"due": due, "last": last} {
		for at, is := range set {
			if is && sabot.MicrosOf(at) >= low {
				say("all.timers", "at=%s timer=%s ", at.Format(time.RFC3339), name)
			}
		}
	}
	for at := range far {
		if low != sabot.MaxMicros {
			say("all.ticks", "at=%s timer=far ", at.Format(time.RFC3339))
		}
	}
}

// latelyLeft are the elements of a list with a TTL, by number. It begins anew when all before have expired by the time of the row, though the watermark
// may not say so yet.
func latelyLeft(rows []event) []event {
	from, newest := 0, rows[0].At
	for i, e := range rows {
		if e.At.Sub(newest) >= shortLife {
			from = i
		}
		if e.At.After(newest) {
			newest = e.At
		}
	}
	return rows[from:]
}

func windowModel(rows []event, low sabot.Micros, out map[string][]string) {
	type window struct {
		user string
		end  time.Time
	}
	of := map[window][]event{}
	for _, e := range rows {
		for end := e.At.Truncate(hop).Add(hop); !end.After(e.At.Truncate(hop).Add(hopSize)); end = end.Add(hop) {
			of[window{e.User, end}] = append(of[window{e.User, end}], e)
		}
	}
	for w, in := range of {
		if low == sabot.MaxMicros || low != sabot.NoTime && sabot.MicrosOf(w.end.Add(lateness)) <= low {
			continue
		}
		sum, xs, up, least, latest := int64(0), 0.0, false, in[0].Word, in[0].At
		for _, e := range in {
			sum, xs, up, least = sum+e.V, xs+e.X, up || e.Up, min(least, e.Word)
			if e.At.After(latest) {
				latest = e.At
			}
		}
		pane := 0
		if low != sabot.NoTime && sabot.MicrosOf(w.end) <= low {
			pane = 1
		}
		out["hops"] = append(out["hops"], fmt.Sprintf("user=%s window_end=%s window_start=%s count=%d sum=%d avg=%v up=%v least=%s latest=%s pane=%d ", w.user, w.end.Format(time.RFC3339),
			w.end.Add(-hopSize).Format(time.RFC3339), len(in), sum, xs/float64(len(in)), up, least, latest.Format(time.RFC3339), pane))
	}
}
