package coord

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// maxRefusals is how many cuts that were asked for may be refused one after the other.
const maxRefusals = 5

// advance does the next thing that is due: a commit, the end, or cuts. While a commit is in flight everything waits.
func (m *Machine) advance(now time.Time) {
	if m.end != nil {
		return
	}
	if m.stopping && !now.Before(m.stopBy) {
		m.overdue()
		return
	}
	m.startAlone(now)
	if m.commit == nil {
		m.dismiss(now)
	}
	if m.commit != nil || !m.commitDue(now) {
		return
	}
	if body, c := m.nextRoot(now); body != nil {
		m.begin(body, c, now)
		return
	}
	if m.end == nil {
		m.cuts(now)
	}
}

// overdue ends a stop that has taken too long.
func (m *Machine) overdue() {
	late := slices.ContainsFunc(m.members, func(w *member) bool { return w.open != nil || w.lastCut < m.stopFrom && m.anythingNew(w) })
	switch {
	case m.draining:
		m.finish(&End{Err: sabot.WithKind(sabot.Retry, errors.New("stopped before all was drained: it took too long; --drain goes on with it"))}, "stop")
	case late || m.commit != nil || !m.unfinished():
		m.finish(&End{Err: sabot.WithKind(sabot.Retry, errors.New("stopped before the last checkpoint was committed: it took too long"))}, "stop")
	default:
		m.log(true, "stopped with rows on their way between stages; they are read when the job goes on")
		m.finish(&End{}, "stop")
	}
}

// commitDue tells whether it is time to make a root, if there is anything for one. A report waits a little for those of the other groups.
func (m *Machine) commitDue(now time.Time) bool {
	if len(m.reports) == 0 && len(m.raise) == 0 && !m.dealDue(now) && !m.pinsDue() {
		return true
	}
	if now.Before(m.lastCommit.Add(m.set.CommitGap)) {
		return false
	}
	return len(m.raise) > 0 || m.pinsDue() || m.dealDue(now) || !m.anyOthersOpen() || !now.Before(m.firstCame.Add(m.hold()))
}

// anyOthersOpen tells whether a cut is open of a group that has no report here.
func (m *Machine) anyOthersOpen() bool {
	return slices.ContainsFunc(m.members, func(w *member) bool {
		return w.open != nil && !slices.ContainsFunc(m.reports, func(r *pb.Report) bool { return r.Group == w.group })
	})
}

// nextRoot returns the root to commit next, nil when nothing changes it.
func (m *Machine) nextRoot(now time.Time) (*pb.Root, commitInFlight) {
	c := commitInFlight{assign: map[uint32]bool{}}
	var body *pb.Root
	begun := func() {
		if body == nil {
			body = proto.Clone(m.root).(*pb.Root)
			body.Nonce = ""
		}
	}
	for len(m.reports) > 0 && m.end == nil {
		r := m.reports[0]
		m.reports = m.reports[1:]
		begun()
		c.folded = m.take(body, r) || c.folded
	}
	for id := range m.raise {
		begun()
		checkpoint.Raise(body, id)
		c.assign[id] = true
	}
	clear(m.raise)
	if m.end == nil && m.dealDue(now) && !(c.folded && m.rescale != 0) { // what is folded may be on its way between stages
		begun()
		for id := range m.dealOut(body) {
			c.assign[id] = true
		}
	}
	pinned := false
	if m.end == nil && (body != nil || m.pinsDue()) {
		begun()
		pinned = m.pin(body, &c, now)
	}
	if !c.folded && len(c.assign) == 0 && !pinned {
		return nil, c
	}
	body.Floor = checkpoint.Floor(body, m.next, m.openNumbers()...)
	if !m.pinsOpen(body) {
		checkpoint.Finish(body, now)
	}
	return body, c
}

func (m *Machine) begin(body *pb.Root, c commitInFlight, now time.Time) {
	c.body, c.since = body, now
	m.commit = &c
	m.ready.Commit = body
}

func (m *Machine) openNumbers() (ns []uint64) {
	for _, w := range m.members {
		if w.open != nil {
			ns = append(ns, w.open.n)
		}
	}
	for _, t := range m.tasks {
		ns = append(ns, t.n)
	}
	return ns
}

// take folds a report into body, or answers it.
func (m *Machine) take(body *pb.Root, r *pb.Report) bool {
	out := checkpoint.FoldOutcome{Reason: checkpoint.BadContent, Detail: "nobody has asked for this cut"}
	if r.Cut < m.next {
		out = m.fold(body, r)
	}
	w := m.holder(r)
	switch out.Reason {
	case checkpoint.Folded:
		maps.DeleteFunc(m.unfolded, func(n uint64, group uint32) bool { return group == r.Group && n <= r.Cut })
		if w != nil {
			w.refusals = 0
			if w.open != nil && w.open.n <= r.Cut {
				w.open = nil
			}
		}
		m.tasksDone(r)
		for _, k := range out.Dropped {
			m.garbage[k] = true
		}
		return true
	case checkpoint.Duplicate:
		if w != nil {
			m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Committed{Committed: &pb.Committed{Root: m.root}}})
		}
		return false
	}
	m.log(true, "report refused", "group", r.Group, "cut", r.Cut, "reason", out.String())
	for _, o := range r.Objects {
		m.garbage[o.Key] = true // once collectable, which no object is that the root names or that may still be folded
	}
	if w == nil {
		return false
	}
	m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Refused{Refused: &pb.Refused{Cut: r.Cut, CutId: r.CutId, Reason: out.String(), Root: m.root}}})
	if w.open != nil && r.Cut == w.open.n && r.Generation == m.group(w.group).Generation { // the worker starts again from the root that the answer carries
		m.starts(w)
		if w.refusals++; w.refusals > maxRefusals {
			m.finish(&End{Err: sabot.WithKind(sabot.Internal, fmt.Errorf("the worker's reports cannot be committed: cut %d was refused, and so were the %d "+
				"before it: %s", r.Cut, maxRefusals, out))}, "reports are refused")
		}
	}
	return false
}

// holder returns the member that runs a report's group, nil when nobody does.
func (m *Machine) holder(r *pb.Report) *member {
	for _, w := range m.members {
		if w.has && w.group == r.Group {
			return w
		}
	}
	return nil
}

func (m *Machine) tasksDone(r *pb.Report) {
	for _, k := range r.Compactions {
		if len(k.Inputs) == 0 {
			continue
		}
		kept := m.tasks[:0]
		for _, t := range m.tasks {
			if t.n != k.Cut || !t.at.meets(placeOf(k)) {
				kept = append(kept, t)
			}
		}
		m.tasks = kept
	}
}

// CommitDone says that the root that Ready gave out is committed.
func (m *Machine) CommitDone(now time.Time) {
	c := m.commit
	if c == nil || m.end != nil {
		return
	}
	old := m.root
	m.root, m.commit, m.lastCommit = c.body, nil, now
	m.collect(old)
	m.copies(c.pins)
	if m.root.FinishedUs != 0 {
		m.finish(&End{Finished: true}, "the job has finished")
		return
	}
	for _, w := range m.members {
		switch {
		case !w.has:
		case c.assign[w.group] && !w.leaving:
			m.start(w)
		case w.assigned:
			m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Committed{Committed: &pb.Committed{Root: m.root}}})
		}
	}
	if c.folded {
		m.schedule(now)
	}
	m.advance(now)
}

// CommitFailed says that the commit that Ready gave out has failed or is of unknown effect: this term is over.
func (m *Machine) CommitFailed(err error) {
	if m.end == nil {
		m.finish(&End{Err: err}, "the coordinator cannot commit")
	}
}

// collect gives out what has become garbage and cannot come back.
func (m *Machine) collect(old *pb.Root) {
	for _, k := range checkpoint.Garbage(old, m.root) {
		m.garbage[k] = true
	}
	keys := make([]string, 0, len(m.garbage))
	for k := range m.garbage {
		keys = append(keys, k)
	}
	m.ready.Garbage = append(m.ready.Garbage, m.release(keys)...)
}

func (m *Machine) release(keys []string) []string {
	keys = checkpoint.Collectable(m.root, keys)
	slices.Sort(keys)
	for _, k := range keys {
		delete(m.garbage, k)
	}
	named := map[string]bool{}
	for _, o := range m.root.Objects {
		named[o.Key] = true
	}
	for k := range m.garbage { // named again by a report of the same objects that was taken after all
		if named[k] {
			delete(m.garbage, k)
		}
	}
	return keys
}

// schedule gives out compactions. They carry the next cut's number: the floor stays at it until they are done.
func (m *Machine) schedule(now time.Time) {
	if m.stopping || m.root.Ended || m.deal != nil {
		return
	}
	for _, w := range m.members {
		if !w.assigned || m.raise[w.group] || w.progress != nil && w.progress.Ended {
			continue
		}
		var busy []task
		for _, t := range m.tasks {
			if t.group == w.group {
				busy = append(busy, t)
			}
		}
		for _, t := range m.set.Policy.plan(m.root, w.group, m.next, busy) {
			m.tasks = append(m.tasks, task{t.at, w.group, m.next, now, t.bytes})
			m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Compaction{Compaction: t.CompactionTask}})
		}
	}
}
