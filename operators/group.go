package operators

import (
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// groups divides the rows of a batch by their key's slot. Groups stand in the order of their first rows, and rows in their own.
type groups struct {
	of     []int32  // by slot: its group plus one; all 0 between batches
	slots  []uint32 // by group
	ends   []int32  // by group: where its rows end
	byRow  []int32  // the group of each row
	rows   []int32  // of all groups
	unread []unreadRow
}

// unreadRow is a row that could not be given to the handler.
type unreadRow struct {
	row    int32
	reason error
}

// begin forgets the last batch.
func (g *groups) begin() {
	g.slots, g.ends, g.byRow = g.slots[:0], g.ends[:0], g.byRow[:0]
}

// add adds the next row's slot.
func (g *groups) add(slot uint32) {
	if int(slot) >= len(g.of) {
		g.of = append(g.of, make([]int32, int(slot)+1-len(g.of))...)
	}
	k := g.of[slot]
	if k == 0 {
		g.slots, g.ends = append(g.slots, slot), append(g.ends, 0)
		k = int32(len(g.slots))
		g.of[slot] = k
	}
	g.ends[k-1]++
	g.byRow = append(g.byRow, k-1)
}

// end orders the rows that were added: sel, nil: all.
func (g *groups) end(sel []int32) {
	at := int32(0)
	for k, n := range g.ends {
		g.ends[k] = at // where its next row goes: in the end, where its rows end
		at += n
		g.of[g.slots[k]] = 0
	}
	g.rows = slices.Grow(g.rows[:0], len(g.byRow))[:len(g.byRow)]
	for i, k := range g.byRow {
		row := int32(i)
		if sel != nil {
			row = sel[i]
		}
		g.rows[g.ends[k]] = row
		g.ends[k]++
	}
}

// byKey calls the handler for all rows of each key.
func (p *process) byKey(b *batch.Batch, out Collector) error {
	g := &p.groups
	g.begin()
	for _, slot := range p.slotsOf(b) {
		g.add(slot)
	}
	g.end(b.Sel)
	unread := func(row int32, reason error) { g.unread = append(g.unread, unreadRow{row, reason}) }
	start := int32(0)
	for k, slot := range g.slots {
		rows := g.rows[start:g.ends[k]]
		start = g.ends[k]
		p.begin(slot)
		p.row, p.now = int(rows[0]), sabot.NoTime
		if b.Times != nil {
			for _, i := range rows {
				p.now = max(p.now, sabot.Micros(b.Times[i]))
			}
		}
		p.age = max(p.now, p.swept)
		g.unread = g.unread[:0]
		err := p.handler.Rows(rows, unread)
		if err != nil {
			p.rollback()
		}
		if err := g.giveUp(b, rows, err, out); err != nil {
			return err
		}
		if err := p.end(out); err != nil {
			return err
		}
		if err := p.overdue(out); err != nil {
			return err
		}
	}
	return nil
}

// giveUp makes dead letters of the rows that could not be read, and of the others too when their call has failed.
func (g *groups) giveUp(b *batch.Batch, rows []int32, failed error, out Collector) error {
	unread := g.unread
	if failed == nil && len(unread) == 0 {
		return nil
	}
	for _, i := range rows {
		reason := failed
		if len(unread) > 0 && unread[0].row == i {
			reason, unread = unread[0].reason, unread[1:]
		}
		if reason == nil {
			continue
		}
		if err := out.Dead(b, int(i), reason.Error()); err != nil {
			return err
		}
	}
	return nil
}
