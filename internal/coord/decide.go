package coord

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// maxRefusals is how many cuts that were asked for may be refused one after the other.
const maxRefusals = 5

// advance does the next thing that is due: a commit, the end, or a cut. While a commit is in flight everything waits.
func (m *Machine) advance(now time.Time) {
	if m.end != nil {
		return
	}
	if m.stopping && !now.Before(m.stopBy) {
		m.finish(&End{Err: sabot.WithKind(sabot.Retry, errors.New("stopped before the last checkpoint was committed: it took too long"))}, "stop")
		return
	}
	if m.commit != nil || (len(m.reports) > 0 || m.raise) && now.Before(m.lastCommit.Add(m.set.commitGap)) {
		return
	}
	if body, c := m.nextRoot(now); body != nil {
		m.begin(body, c)
		return
	}
	if m.open != nil || m.end != nil {
		return
	}
	switch {
	case m.assigned && m.anythingNew():
		if !now.Before(m.cutDue(now)) {
			m.cut(now)
		}
	case m.stopping:
		m.stop(now)
	}
}

// nextRoot returns the root to commit next, nil when nothing changes it.
func (m *Machine) nextRoot(now time.Time) (*pb.Root, commitInFlight) {
	var body *pb.Root
	var c commitInFlight
	for len(m.reports) > 0 && !c.folded && m.end == nil {
		r := m.reports[0]
		m.reports = m.reports[1:]
		if body == nil {
			body = proto.Clone(m.root).(*pb.Root)
			body.Nonce = ""
		}
		c.folded = m.take(body, r)
	}
	if m.raise && m.end == nil {
		if body == nil {
			body = proto.Clone(m.root).(*pb.Root)
			body.Nonce = ""
		}
		m.raise, c.assign = false, true
		checkpoint.Raise(body, group)
	}
	if !c.folded && !c.assign {
		return nil, c
	}
	body.Floor = checkpoint.Floor(body, m.next, m.openNumbers()...)
	checkpoint.Finish(body, now)
	return body, c
}

func (m *Machine) begin(body *pb.Root, c commitInFlight) {
	c.body = body
	m.commit = &c
	m.ready.Commit = body
}

func (m *Machine) openNumbers() (ns []uint64) {
	if m.open != nil {
		ns = append(ns, m.open.n)
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
	mine := m.open != nil && r.Cut == m.open.n && r.Generation == m.group().Generation
	switch out.Reason {
	case checkpoint.Folded:
		m.refusals = 0
		if m.open != nil && m.open.n <= r.Cut {
			m.open = nil
		}
		m.tasksDone(r)
		for _, k := range out.Dropped {
			m.garbage[k] = true
		}
		return true
	case checkpoint.Duplicate:
		m.send(&pb.ToWorker{Message: &pb.ToWorker_Committed{Committed: &pb.Committed{Root: m.root}}})
		return false
	}
	m.log(true, "report refused", "cut", r.Cut, "reason", out.String())
	for _, o := range r.Objects {
		m.garbage[o.Key] = true // once collectable, which no object is that the root names or that may still be folded
	}
	m.send(&pb.ToWorker{Message: &pb.ToWorker_Refused{Refused: &pb.Refused{Cut: r.Cut, CutId: r.CutId, Reason: out.String(), Root: m.root}}})
	if mine { // the worker starts again from the root that the answer carries
		m.workerStarts()
		if m.refusals++; m.refusals > maxRefusals {
			m.finish(&End{Err: sabot.WithKind(sabot.Internal, fmt.Errorf("the worker's reports cannot be committed: cut %d was refused, and so were the %d "+
				"before it: %s", r.Cut, maxRefusals, out))}, "reports are refused")
		}
	}
	return false
}

func (m *Machine) tasksDone(r *pb.Report) {
	for _, k := range r.Compactions {
		if len(k.Inputs) == 0 {
			continue
		}
		kept := m.tasks[:0]
		for _, t := range m.tasks {
			if t.n != k.Cut || t.at != placeOf(k) {
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
	if m.root.FinishedUs != 0 {
		m.finish(&End{Finished: true}, "the job has finished")
		return
	}
	switch {
	case c.assign:
		m.assign()
	case c.folded:
		m.send(&pb.ToWorker{Message: &pb.ToWorker_Committed{Committed: &pb.Committed{Root: m.root}}})
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
	if m.stopping || m.raise || m.root.Ended || m.progress != nil && m.progress.Ended {
		return
	}
	busy := map[place]bool{}
	for _, t := range m.tasks {
		busy[t.at] = true
	}
	for _, t := range m.set.policy.plan(m.root, group, m.next, busy, m.set.policy.Tasks-len(m.tasks)) {
		m.tasks = append(m.tasks, task{placeOf(t.Compaction), m.next, now})
		m.send(&pb.ToWorker{Message: &pb.ToWorker_Compaction{Compaction: t}})
	}
}

// anythingNew tells whether a cut would commit anything.
func (m *Machine) anythingNew() bool {
	p := m.progress
	if p == nil {
		return false
	}
	committed := checkpoint.RowsRead(m.root) - m.base // of the rows that the worker counts
	return p.Pending || p.Rows != m.marker && p.Rows != committed || p.Ended && !m.root.Ended
}

// cutDue returns when the next cut may be asked for: at once at the end of input and at a stop.
func (m *Machine) cutDue(now time.Time) time.Time {
	if m.stopping || m.progress.Ended && (m.progress.Pending || m.finals == 0) {
		return now
	}
	return m.lastCut.Add(m.set.interval)
}

func (m *Machine) cut(now time.Time) {
	p := m.progress
	m.open = &openCut{m.next, now}
	m.next++
	m.lastCut, m.marker = now, p.Rows
	if p.Ended {
		m.finals++
	}
	m.send(&pb.ToWorker{Message: &pb.ToWorker_Cut{Cut: &pb.Cut{Term: m.root.Term, Generation: m.group().Generation, Cut: m.open.n, Final: p.Ended}}})
}

// stop ends the run as asked for: everything new is committed. What is unnamed but still above the floor costs one more commit, so that a
// clean stop leaves no garbage.
func (m *Machine) stop(now time.Time) {
	if floor := checkpoint.Floor(m.root, m.next); len(m.garbage) > 0 && floor > m.root.Floor {
		if now.Before(m.lastCommit.Add(m.set.commitGap)) {
			return
		}
		body := proto.Clone(m.root).(*pb.Root)
		body.Nonce, body.Floor = "", floor
		m.begin(body, commitInFlight{})
		return
	}
	m.finish(&End{}, "stop")
}
