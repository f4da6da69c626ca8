package objstate

import (
	"fmt"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
)

// managedTable is a plain part whose memory is managed.
type managedTable struct{ *plain }

func (m managedTable) Settle(uint64) {}

func (m managedTable) Memory() Usage { return m.table(0).Usage() }

func (m managedTable) Shrink(int64) int { return 0 }

// cutOf changes so many keys of a lane and encodes the cut.
func cutOf(t *testing.T, s *Store, p *plain, cut uint64, keys int) {
	t.Helper()
	tab := p.table(0)
	for k := range keys {
		key := rowkey.AppendString(nil, fmt.Sprintf("key-%06d", k))
		slot, _ := tab.Upsert(rowkey.HashOf(key), key)
		tab.Cols[0].Ints[slot], tab.Cols[1].Texts[slot], tab.Cols[1].Valid[slot] = int64(cut), "text", true
		tab.Touch(slot)
	}
	rows := 0
	err := s.Freeze(sabot.NoTime, cut).Encode(func(_ []byte, m Meta) error {
		rows += m.Info.Rows
		return nil
	})
	if err != nil || rows != keys {
		t.Fatalf("cut %d has %d rows, want %d: %v", cut, rows, keys, err)
	}
}

// What a store keeps of a cut's memory counts as its own, serves the next cut, and goes when memory is short or a cut needs little of it.
func TestSpareFrames(t *testing.T) {
	memory := NewMemory(64 << 20)
	s, err := NewStore(Options{Ranges: rowkey.Even(1), KeyFields: keyFields, Watermark: sabot.NoTime, Memory: memory,
		Refs: func() Snapshot { return Snapshot{Version: 0, Of: func(string) []Ref { return nil }} }})
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{tables: map[int64]*Table{}}
	s.Add(Spec{Name: "t", Schema: schema}, p).Touch()
	s.Manage(managedTable{p})
	used := func() int64 {
		s.Trim()
		return memory.Used()
	}

	cutOf(t, s, p, 1, 10_000)
	kept, tables := s.spare.bytes(), p.table(0).Usage().Held
	if kept < 10_000*30 {
		t.Errorf("%d bytes are kept of 10,000 rows of 30 and more", kept)
	}
	if got, want := used(), tables+kept; got != want {
		t.Errorf("%d bytes count, want %d of the table and %d that are kept", got, tables, kept)
	}
	cutOf(t, s, p, 2, 9_000)
	if got := s.spare.bytes(); got != kept {
		t.Errorf("%d bytes are kept after another cut, want the same %d", got, kept)
	}
	cutOf(t, s, p, 3, 100)
	if got := s.spare.bytes(); got != 0 {
		t.Errorf("%d bytes are kept of a frame of which a cut needed a hundredth", got)
	}
	cutOf(t, s, p, 4, 10_000)
	memory.limit = tables + kept/2
	if got := used(); got != tables || s.spare.bytes() != 0 {
		t.Errorf("%d bytes count and %d are kept where memory is short, want %d and none", got, s.spare.bytes(), tables)
	}
	cutOf(t, s, p, 5, 10_000)
	if f := s.Freeze(sabot.NoTime, 6); f.frames[0] != nil || s.spare.bytes() != 0 {
		t.Errorf("%d bytes are kept after a cut that needed none", s.spare.bytes())
	}
}
