package coord

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// anythingNew tells whether a cut of a worker would commit anything.
func (m *Machine) anythingNew(w *member) bool {
	p := w.progress
	if p == nil {
		return false
	}
	committed := rowsOf(m.root)[w.group] - w.base // of the rows that the worker counts
	return p.Pending || p.Rows != w.marker && p.Rows != committed || p.Ended && !m.group(w.group).Ended
}

// wantsCut tells whether a worker has something for a cut, and may be asked for one: of a job that stops, for one last cut, and for more as long as
// something is left to do. Of one that is drained, also for one that closes what is open.
func (m *Machine) wantsCut(w *member) bool {
	if w.open != nil || w.progress == nil {
		return false
	}
	last := m.stopping && w.lastCut >= m.stopFrom
	return m.anythingNew(w) && (!last || m.unfinished()) || m.draining && !last && m.hasOpenOutput(w.group)
}

// unfinished tells whether a job that stops has something on its way: rows between stages, and when it is drained also outputs and dead letters.
func (m *Machine) unfinished() bool {
	r := m.root
	return len(r.Exchanges) > 0 || m.draining && (len(r.Outputs) > 0 || len(r.DeadSections) > 0 || len(r.OldRuns) > 0)
}

// leftToDo tells whether a stop waits for what is on its way: workers bring it on, and one that is drained waits for them to come.
func (m *Machine) leftToDo() bool {
	return m.unfinished() && (m.draining || slices.ContainsFunc(m.members, func(w *member) bool { return w.assigned }))
}

func (m *Machine) hasOpenOutput(group uint32) bool {
	return slices.ContainsFunc(m.root.Outputs, func(o *pb.Output) bool { return o.Group == group && !o.Closed })
}

// cutDue returns when the next cut may be asked for: at once at the end of input, at a stop, before the shares change, and when a worker's memory is
// full of what is not committed.
func (m *Machine) cutDue(w *member, now time.Time) time.Time {
	if m.stopping || w.progress.Urgent || m.deal != nil && m.deal.from != 0 && w.lastCut < m.deal.from || w.progress.Ended && (w.progress.Pending || w.finals == 0) {
		return now
	}
	return m.lastCut.Add(m.set.Interval)
}

// cuts asks for cuts: when one is due, of all who have something new, so that they are committed together. Without any a stop ends the run.
func (m *Machine) cuts(now time.Time) {
	due, fresh := false, false
	if d := m.deal; d != nil && d.planned && d.from == 0 && !now.Before(d.at) {
		d.from = m.next
		if m.settled() { // nobody has anything for a last cut
			m.advance(now)
			return
		}
	}
	for _, w := range m.members {
		if m.wantsCut(w) {
			fresh = true
			due = due || !now.Before(m.cutDue(w, now))
		}
	}
	switch {
	case due:
		for _, w := range m.members {
			if m.wantsCut(w) {
				m.cut(w, now)
			}
		}
	case m.stopping && !fresh && !m.anyOpen() && !m.leftToDo():
		m.stop(now)
	}
}

func (m *Machine) cut(w *member, now time.Time) {
	p := w.progress
	w.open, w.lastCut = &openCut{m.next, now}, m.next
	m.unfolded[m.next] = w.group
	m.next++
	m.lastCut, w.marker = now, p.Rows
	if w.again {
		w.again, w.marker = false, -1
	}
	if p.Ended {
		w.finals++
	}
	m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Cut{Cut: &pb.Cut{Term: m.root.Term, Generation: m.group(w.group).Generation, Cut: w.open.n, Final: p.Ended, Hold: m.rescale != 0 || m.stopping,
		Close: m.draining}}})
}

// stop ends the run as asked for: everything new is committed. What is unnamed but still above the floor costs one more commit, so that a
// clean stop leaves no garbage.
func (m *Machine) stop(now time.Time) {
	for i := range m.pins.wanted {
		m.pins.wanted[i].last = false
	}
	if m.pinsDue() {
		m.advance(now)
		return
	}
	if len(m.pins.copying) > 0 {
		return
	}
	if floor := checkpoint.Floor(m.root, m.next); len(m.garbage) > 0 && floor > m.root.Floor {
		if now.Before(m.lastCommit.Add(m.set.CommitGap)) {
			return
		}
		body := proto.Clone(m.root).(*pb.Root)
		body.Nonce, body.Floor = "", floor
		m.begin(body, commitInFlight{}, now)
		return
	}
	m.finish(&End{}, "stop")
}
