package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
)

// sizes are the values of Env.MaxRows that a source is read with.
var sizes = []int{1, 7, 8192}

// patience is how many answers of "nothing now" in a row an unbounded split may give before its rows count as missing.
const patience = 10_000

// Source checks a source. open returns a fresh value over the same data at each call. want are its rows, those of the first split first; without
// any the source is compared only with itself, and its splits must be bounded. The number of reads grows with the square of the number of rows:
// a hundred do.
func Source(t *testing.T, open func() sabot.Source, want ...arrow.RecordBatch) {
	t.Helper()
	ctx := t.Context()
	schema, splits, err := open().Describe(ctx, env(0))
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	checkDescription(t, open, schema, splits)
	if t.Failed() {
		return
	}

	s := &suite{open: open, schema: schema, splits: splits, whole: make([]content, len(splits))}
	if len(want) > 0 {
		s.total = new(int)
		for _, r := range want {
			*s.total += int(r.NumRows())
		}
	}
	s.readWhole(t)
	if len(want) > 0 {
		expect := rowsOf(t, schema, want...)
		var got []string
		for _, c := range s.whole {
			got = append(got, c.rows...)
		}
		if d := cmp.Diff(expect, got); d != "" {
			t.Fatalf("rows of all splits (-want +got):\n%s", d)
		}
	}
	for name, p := range projections(schema) {
		for _, n := range sizes {
			t.Run(fmt.Sprintf("%s/%d rows", name, n), func(t *testing.T) { s.resume(t, p, n) })
		}
	}
	t.Run("ended context", s.endedContext)
	t.Run("Close", s.closes)
	t.Run("changed version", s.changedVersion)
}

func env(maxRows int) sabot.Env { return sabot.Env{Job: "conntest", Run: "r1", MaxRows: maxRows} }

func checkDescription(t *testing.T, open func() sabot.Source, schema *arrow.Schema, splits []sabot.Split) {
	t.Helper()
	seen := map[sabot.SplitID]bool{}
	for _, s := range splits {
		if seen[s.ID] {
			t.Errorf("Describe: two splits are called %q", s.ID)
		}
		seen[s.ID] = true
	}
	again, splitsAgain, err := open().Describe(t.Context(), env(0))
	if err != nil {
		t.Fatalf("Describe, again: %v", err)
	}
	if !schema.Equal(again) {
		t.Errorf("Describe, again: schema is %v, want %v", again, schema)
	}
	if d := cmp.Diff(splits, splitsAgain); d != "" {
		t.Errorf("Describe, again: splits (-want +got):\n%s", d)
	}
}

// suite is a source and what is known of it.
type suite struct {
	open   func() sabot.Source
	schema *arrow.Schema
	splits []sabot.Split
	whole  []content // of each split, with all columns
	total  *int      // rows of all splits; nil: not known
}

// content is what reading a split has brought.
type content struct {
	rows  []string
	bad   []string
	marks []mark
}

// mark is a position and how much came before it.
type mark struct {
	at        sabot.Position
	rows, bad int
	lag       int64 // -1: not known
}

// after returns what of c comes behind a mark.
func (c content) after(m mark) content { return content{rows: c.rows[m.rows:], bad: c.bad[m.bad:]} }

// readWhole reads every split once. Unbounded splits are asked in turn until all rows are there, as nobody knows how they are dealt.
func (s *suite) readWhole(t *testing.T) {
	t.Helper()
	got, unbounded := 0, []int{}
	for i, sp := range s.splits {
		if !sp.Bounded {
			unbounded = append(unbounded, i)
			continue
		}
		s.whole[i] = s.read(t, s.schema, i, "", 8192, nil)
		got += len(s.whole[i].rows)
		checkLag(t, sp.ID, s.whole[i])
	}
	if len(unbounded) == 0 {
		return
	}
	if s.total == nil {
		t.Fatal("the source has unbounded splits: the test must say which rows they bring")
	}
	readers := make([]*reading, len(unbounded))
	for k, i := range unbounded {
		readers[k] = s.begin(t, s.schema, i, "", 8192)
		defer readers[k].close(t)
	}
	for idle := 0; got < *s.total; {
		idle++
		for _, r := range readers {
			n := len(r.content.rows)
			r.step(t, t.Context())
			if n < len(r.content.rows) {
				got, idle = got+len(r.content.rows)-n, 0
			}
		}
		if idle > patience {
			t.Fatalf("the source gave %d rows and then nothing, want %d", got, *s.total)
		}
	}
	for k, i := range unbounded {
		s.whole[i] = readers[k].content
	}
}

// checkLag checks what a bounded split's reader has said of what was left, where it has.
func checkLag(t *testing.T, id sabot.SplitID, c content) {
	t.Helper()
	for _, m := range c.marks {
		if left := len(c.rows) - m.rows + len(c.bad) - m.bad; m.lag >= 0 && m.lag != int64(left) {
			t.Errorf("Lag of split %q after position %q is %d, want %d", id, m.at, m.lag, left)
		}
	}
}

// resume reads every split in chunks of n rows, and then from each position that came up.
func (s *suite) resume(t *testing.T, schema *arrow.Schema, n int) {
	for i, sp := range s.splits {
		whole := s.read(t, schema, i, "", n, &s.whole[i])
		if len(s.whole[i].bad) == 0 { // a record that is bad by one column may be good without it
			want := content{rows: pick(s.schema, schema, s.whole[i].rows)}
			compare(t, fmt.Sprintf("split %q from the beginning", sp.ID), want, whole)
		}
		for k, m := range whole.marks {
			want := whole.after(m)
			rest := s.read(t, schema, i, m.at, sizes[k%len(sizes)], &want)
			compare(t, fmt.Sprintf("split %q after position %q, which follows %d rows and %d bad records", sp.ID, m.at, m.rows, m.bad), want, rest)
			if t.Failed() {
				return
			}
		}
	}
}

func compare(t *testing.T, what string, want, got content) {
	t.Helper()
	if d := cmp.Diff(want.rows, got.rows, emptyIsNil); d != "" {
		t.Errorf("%s: rows (-want +got):\n%s", what, d)
	}
	if d := cmp.Diff(want.bad, got.bad, emptyIsNil); d != "" {
		t.Errorf("%s: bad records (-want +got):\n%s", what, d)
	}
}

var emptyIsNil = cmp.Transformer("emptyIsNil", func(v []string) []string {
	if len(v) == 0 {
		return nil
	}
	return v
})

// read reads a split to its end. An unbounded one ends where there is as much as expect has.
func (s *suite) read(t *testing.T, schema *arrow.Schema, split int, at sabot.Position, n int, expect *content) content {
	t.Helper()
	r := s.begin(t, schema, split, at, n)
	defer r.close(t)
	if s.splits[split].Bounded {
		for r.step(t, t.Context()) {
		}
		if len(r.content.marks) > 0 && r.done != 1 {
			t.Errorf("split %q after position %q: Done is %v at the end, want 1", s.splits[split].ID, at, r.done)
		}
		return r.content
	}
	for idle := 0; len(r.content.rows) < len(expect.rows) && idle < patience; idle++ {
		if n := len(r.content.marks); r.step(t, t.Context()) && n < len(r.content.marks) {
			idle = 0
		}
	}
	r.step(t, t.Context()) // what is too much would show
	return r.content
}

// reading is a reader at work.
type reading struct {
	s       *suite
	split   sabot.Split
	schema  *arrow.Schema
	maxRows int
	reader  sabot.Reader
	content content
	at      sabot.Position
	done    float64
}

func (s *suite) begin(t *testing.T, schema *arrow.Schema, split int, at sabot.Position, n int) *reading {
	t.Helper()
	sp := s.splits[split]
	r, err := s.open().Open(t.Context(), env(n), schema, sp, at)
	if err != nil {
		t.Fatalf("Open split %q at position %q: %v", sp.ID, at, err)
	}
	return &reading{s: s, split: sp, schema: schema, maxRows: n, reader: r, at: at}
}

// lag returns how much the reader says is left, -1 when it does not know.
func (r *reading) lag() int64 {
	if l, ok := r.reader.(sabot.Lagger); ok {
		if n, ok := l.Lag(); ok {
			return n
		}
	}
	return -1
}

func (r *reading) close(t *testing.T) {
	t.Helper()
	if err := r.reader.Close(); err != nil {
		t.Errorf("Close of split %q: %v", r.split.ID, err)
	}
}

// step reads one chunk and checks what holds of every one. It tells whether the split goes on.
func (r *reading) step(t *testing.T, ctx context.Context) bool {
	t.Helper()
	c, err := r.reader.Read(ctx)
	if errors.Is(err, io.EOF) {
		if !r.split.Bounded {
			t.Errorf("Read of split %q: it ended, and Describe said that it does not", r.split.ID)
		}
		return false
	}
	if err != nil {
		t.Fatalf("Read of split %q behind %d rows: %v", r.split.ID, len(r.content.rows), err)
	}
	if c.Rows != nil {
		defer c.Rows.Release()
		if n := int(c.Rows.NumRows()); n > r.maxRows {
			t.Errorf("Read of split %q gave %d rows, more than Env.MaxRows, %d", r.split.ID, n, r.maxRows)
		}
		r.content.rows = append(r.content.rows, rowsOf(t, r.schema, c.Rows)...)
	}
	for _, b := range c.Bad {
		if b.Reason == "" || b.Position == "" {
			t.Errorf("Read of split %q: bad record %q has position %q and reason %q; a person needs both", r.split.ID, b.Raw, b.Position, b.Reason)
		}
		r.content.bad = append(r.content.bad, fmt.Sprintf("%s: %q: %s", b.Position, b.Raw, b.Reason))
	}
	if (c.Rows == nil || c.Rows.NumRows() == 0) && len(c.Bad) == 0 && (c.After == "" || c.After == r.at) {
		return true // nothing now
	}
	if c.After == "" {
		t.Fatalf("Read of split %q gave rows or bad records without a position after them", r.split.ID)
	}
	if c.Done < r.done || c.Done > 1 {
		t.Errorf("Read of split %q: Done went from %v to %v, want it to rise to 1 at most", r.split.ID, r.done, c.Done)
	}
	r.done, r.at = c.Done, c.After
	r.content.marks = append(r.content.marks, mark{c.After, len(r.content.rows), len(r.content.bad), r.lag()})
	return true
}
