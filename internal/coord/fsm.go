package coord

import (
	"fmt"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// group is the only group that a machine runs.
const group = 0

// settings are the machine's part of Options.
type settings struct {
	interval          time.Duration // between starts of cuts
	commitGap         time.Duration // shortest time between commits
	cutTimeout        time.Duration
	compactionTimeout time.Duration
	policy            Policy
}

// Machine decides for one term of a job. It does no I/O, has no clock, and is used by one goroutine.
//
// Whoever drives it calls Ready after each input, and does what it says before the next: sends the messages in order, begins the commit, whose
// result comes back by CommitDone. Next says when Tick is due if nothing else happens.
type Machine struct {
	set  settings
	fold func(*pb.Root, *pb.Report) checkpoint.FoldOutcome

	root       *pb.Root // committed
	next       uint64   // lowest number given to no cut yet
	lastCut    time.Time
	lastCommit time.Time

	assigned bool // the worker has been given this generation's root
	raise    bool // the group needs a new generation, and its worker the root of it
	progress *pb.Progress
	base     int64 // rows read as of the root that the worker started from
	marker   int64 // progress.Rows when the last cut was asked for
	finals   int   // cuts asked for since the worker said that the input has ended

	open     *openCut
	refusals int          // of cuts that were asked for, since the last one that was folded
	reports  []*pb.Report // not looked at yet
	tasks    []task
	garbage  map[string]bool // unnamed, not collectable yet
	commit   *commitInFlight

	stopping bool
	stopBy   time.Time

	ready Ready
	end   *End
}

type openCut struct {
	n  uint64
	at time.Time
}

// task is a compaction under way.
type task struct {
	at    place
	n     uint64
	since time.Time
}

// commitInFlight is a root on its way, and what follows when it is committed.
type commitInFlight struct {
	body   *pb.Root
	assign bool // a new generation: the worker starts again from body
	folded bool // a report is in it
}

// Ready is what is to be done now.
type Ready struct {
	Messages []*pb.ToWorker // to send, in order
	Commit   *pb.Root       // to commit on top of the last one; nil: nothing
	Garbage  []string       // to delete
	Logs     []Log
	End      *End // the job has come to its end; nothing follows
}

// Log is something worth telling the operator.
type Log struct {
	Warn bool
	Text string
	Args []any // key, value, ...
}

// End is how a job's run ends.
type End struct {
	Finished bool  // the job is done and all is published
	Err      error // why it cannot go on; nil for a stop that was asked for
}

// newMachine returns a machine that goes on from a committed root.
func newMachine(root *pb.Root, set settings, now time.Time) *Machine {
	set.policy = set.policy.withDefaults()
	m := &Machine{set: set, fold: checkpoint.Fold, root: root, next: max(root.Epoch+1, root.Floor), garbage: map[string]bool{},
		lastCut: now, lastCommit: now}
	if root.FinishedUs != 0 {
		m.finish(&End{Finished: true}, "the job has finished")
	}
	return m
}

// Ready returns what is to be done, once.
func (m *Machine) Ready() Ready {
	r := m.ready
	m.ready = Ready{}
	return r
}

// Step takes a message of the worker.
func (m *Machine) Step(in *pb.FromWorker, now time.Time) {
	if m.end != nil {
		return
	}
	switch in := in.Message.(type) {
	case *pb.FromWorker_Register:
		m.register(in.Register)
	case *pb.FromWorker_Progress:
		if m.assigned && !m.raise && in.Progress.Generation == m.group().Generation {
			m.progress = in.Progress
		}
	case *pb.FromWorker_Report:
		m.reports = append(m.reports, in.Report)
		if m.progress != nil && m.progress.Pending { // perhaps of before the report, which brings what was pending
			m.progress = &pb.Progress{Generation: m.progress.Generation, Rows: m.progress.Rows, Bytes: m.progress.Bytes, Ended: m.progress.Ended}
		}
	case *pb.FromWorker_Failed:
		m.finish(&End{Err: sabot.WithKind(kindNamed(in.Failed.Kind), fmt.Errorf("worker: %s", in.Failed.Error))}, "the worker failed")
		return
	}
	m.advance(now)
}

// Tick lets time pass.
func (m *Machine) Tick(now time.Time) {
	if m.end != nil {
		return
	}
	if o := m.open; o != nil && now.Sub(o.at) >= m.set.cutTimeout {
		m.log(true, "cut open for too long, starting the group again", "cut", o.n, "after", now.Sub(o.at))
		m.restart()
	}
	kept := m.tasks[:0]
	for _, t := range m.tasks {
		if now.Sub(t.since) < m.set.compactionTimeout {
			kept = append(kept, t)
		} else {
			m.log(true, "compaction open for too long, given up", "table", t.at.table, "cut", t.n)
		}
	}
	m.tasks = kept
	m.advance(now)
}

// RequestStop asks for one last cut, if there is anything new, and then the end; at the deadline it ends as things are.
func (m *Machine) RequestStop(now, deadline time.Time) {
	if m.end != nil || m.stopping {
		return
	}
	m.stopping, m.stopBy = true, deadline
	m.tasks = nil // so that the last commit lifts the floor over them
	m.advance(now)
}

// Next returns when Tick is due; the zero Time: only after another input.
func (m *Machine) Next(now time.Time) time.Time {
	var at time.Time
	until := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if m.end != nil {
		return at
	}
	if m.open != nil {
		until(m.open.at.Add(m.set.cutTimeout))
	}
	for _, t := range m.tasks {
		until(t.since.Add(m.set.compactionTimeout))
	}
	if m.stopping {
		until(m.stopBy)
	}
	if m.commit == nil && (m.raise || len(m.reports) > 0 || m.stopping && m.open == nil) {
		until(m.lastCommit.Add(m.set.commitGap))
	}
	if m.commit == nil && m.open == nil && m.assigned && m.anythingNew() {
		until(m.cutDue(now))
	}
	return at
}

func (m *Machine) group() *pb.Group { return checkpoint.GroupOf(m.root, group) }

// register: a worker has come, or has come back without its group.
func (m *Machine) register(r *pb.Register) {
	if have := m.root.Fingerprint; have != "" && r.Fingerprint != "" && have != r.Fingerprint {
		m.finish(&End{Err: sabot.WithKind(sabot.Invalid, fmt.Errorf("worker %q runs another job than the one committed: fingerprint %s, want %s",
			r.Worker, r.Fingerprint, have))}, "another plan")
		return
	}
	if !m.assigned {
		m.assign()
		return
	}
	m.log(false, "worker starts its group again", "worker", r.Worker)
	m.restart()
}

// restart makes the next root raise the generation.
func (m *Machine) restart() {
	m.raise = true
	m.open, m.progress, m.tasks = nil, nil, nil
}

// assign sends the committed root to a worker that starts from it.
func (m *Machine) assign() {
	m.assigned = true
	m.workerStarts()
	m.send(&pb.ToWorker{Message: &pb.ToWorker_Assignment{Assignment: &pb.Assignment{Root: m.root, Group: group}}})
}

// workerStarts forgets what was known of the worker's running: it starts from the committed root.
func (m *Machine) workerStarts() {
	m.progress, m.open, m.tasks = nil, nil, nil
	m.base, m.marker, m.finals = checkpoint.RowsRead(m.root), 0, 0
}

func (m *Machine) finish(e *End, why string) {
	m.end = e
	m.send(&pb.ToWorker{Message: &pb.ToWorker_Stop{Stop: &pb.Stop{Reason: why}}})
	m.ready.End = e
}

func (m *Machine) send(msg *pb.ToWorker) { m.ready.Messages = append(m.ready.Messages, msg) }

func (m *Machine) log(warn bool, text string, args ...any) {
	m.ready.Logs = append(m.ready.Logs, Log{warn, text, args})
}

// kindNamed returns the kind of error that has a name.
func kindNamed(name string) sabot.Kind {
	for _, k := range []sabot.Kind{sabot.Retry, sabot.Fenced, sabot.Invalid, sabot.Corrupt} {
		if k.String() == name {
			return k
		}
	}
	return sabot.Internal
}
