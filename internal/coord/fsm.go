package coord

import (
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Settings are the machine's part of Options.
type Settings struct {
	Interval          time.Duration // between starts of cuts
	CommitGap         time.Duration // shortest time between commits
	CutTimeout        time.Duration
	CompactionTimeout time.Duration
	Settle            time.Duration // how long after a worker's coming or going the shares are dealt out
	Silence           time.Duration // a worker unheard of for so long is gone; 0: its connection tells
	Policy            Policy
	Retain            int           // how many roots are kept, to fall back to
	RetainEvery       time.Duration // between two of them
}

// longestHold bounds how long a report waits for those of the other groups' cuts, to be committed with them.
const longestHold = 250 * time.Millisecond

// Machine decides for one term of a job. It does no I/O, has no clock, and is used by one goroutine.
//
// Whoever drives it calls Ready after each input, and does what it says before the next: sends the messages in order, begins the commit, whose
// result comes back by CommitDone. Next says when Tick is due if nothing else happens.
type Machine struct {
	set  Settings
	fold func(*pb.Root, *pb.Report) checkpoint.FoldOutcome

	root       *pb.Root          // committed
	next       uint64            // lowest number given to no cut yet
	unfolded   map[uint64]uint32 // cuts that no root holds, and numbers of outputs that they open, and their groups
	lastCut    time.Time
	lastCommit time.Time

	backBy  time.Time       // until then those who have run the groups under the coordinator before may claim them
	members []*member       // the workers that are there, in the order of their coming
	deal    *deal           // the shares are to be dealt out anew; nil: they are not
	rescale int             // keyed partitions that the next deal makes; 0: it leaves them
	raise   map[uint32]bool // groups that need a new generation, and their workers the root of it

	reports   []*pb.Report // not looked at yet
	firstCame time.Time    // of them
	tasks     []task
	garbage   map[string]bool // unnamed, not collectable yet
	pins      pinning
	commit    *commitInFlight

	stopping bool
	draining bool // and what is committed is brought to its end: another graph may follow
	stopBy   time.Time
	stopFrom uint64 // number of the first of the last cuts

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
	group uint32
	n     uint64
	since time.Time
	bytes int64 // that it merges
}

// commitInFlight is a root on its way, and what follows when it is committed.
type commitInFlight struct {
	body   *pb.Root
	assign map[uint32]bool // groups of a new generation: their workers start again from body
	folded bool            // a report is in it
	since  time.Time
	pins   []string // that it brings in, and whose copies are to be written then
}

// Ready is what is to be done now.
type Ready struct {
	Messages []Message // to send, in order
	Commit   *pb.Root  // to commit on top of the last one; nil: nothing
	Garbage  []string  // to delete
	Copies   []Copy    // to write; CopyDone tells of each
	Logs     []Log
	End      *End // the job has come to its end; nothing follows
}

// Message is a message to one worker.
type Message struct {
	To   WorkerID
	Body *pb.ToWorker
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

// NewMachine returns a machine that goes on from a committed root.
func NewMachine(root *pb.Root, set Settings, now time.Time) *Machine {
	set.Policy = set.Policy.withDefaults()
	m := &Machine{set: set, fold: checkpoint.Fold, root: root, next: max(root.Epoch+1, root.Floor), garbage: map[string]bool{},
		raise: map[uint32]bool{}, unfolded: map[uint64]uint32{}, lastCut: now, lastCommit: now,
		pins: pinning{copying: map[string]bool{}, retained: lastRetained(root, now)}}
	if set.Settle > 0 && slices.ContainsFunc(root.Groups, func(g *pb.Group) bool { return g.Previous >= 0 }) {
		m.backBy = now.Add(backFor)
	}
	if root.FinishedUs != 0 {
		m.finish(&End{Finished: true}, "the job has finished")
	}
	return m
}

// FoldWith makes the machine fold reports by another function than checkpoint.Fold: a simulation shows what becomes of a job without one of its rules.
func (m *Machine) FoldWith(fold func(*pb.Root, *pb.Report) checkpoint.FoldOutcome) { m.fold = fold }

// Ready returns what is to be done, once.
func (m *Machine) Ready() Ready {
	r := m.ready
	m.ready = Ready{}
	return r
}

// Step takes a message of a worker.
func (m *Machine) Step(from WorkerID, in *pb.FromWorker, now time.Time) {
	if m.end != nil {
		return
	}
	w := m.member(from)
	if w != nil {
		w.seen = now
	}
	switch in := in.Message.(type) {
	case *pb.FromWorker_Register:
		m.register(from, w, in.Register, now)
	case *pb.FromWorker_Progress:
		if w != nil && w.assigned && !m.raise[w.group] && in.Progress.Generation == m.group(w.group).Generation {
			m.progressed(w, in.Progress, now)
		}
	case *pb.FromWorker_Report:
		m.heard(in.Report, w, now)
	case *pb.FromWorker_Leave:
		if w != nil && !w.leaving {
			w.leaving = true
			m.change(now, true)
		}
	case *pb.FromWorker_Failed:
		m.failed(from, w, in.Failed, now)
	}
	if m.end == nil {
		m.advance(now)
	}
}

// progressed takes in what a worker tells of its progress. Its load, which comes with some of them, is kept apart: it decides nothing.
func (m *Machine) progressed(w *member, p *pb.Progress, now time.Time) {
	w.progress = p
	if p.Load != nil {
		w.progress = &pb.Progress{Generation: p.Generation, Rows: p.Rows, Bytes: p.Bytes, Pending: p.Pending, Ended: p.Ended}
		w.told = w.told.next(p.Load, m.root, w.group, now)
	}
}

// heard takes in a report, which is looked at when the next root is made.
func (m *Machine) heard(r *pb.Report, w *member, now time.Time) {
	if len(m.reports) == 0 {
		m.firstCame = now
	}
	m.reports = append(m.reports, r)
	if w != nil && w.progress != nil && w.progress.Pending { // perhaps of before the report, which brings what was pending
		p := w.progress
		w.progress = &pb.Progress{Generation: p.Generation, Rows: p.Rows, Bytes: p.Bytes, Ended: p.Ended}
	}
}

// Tick lets time pass.
func (m *Machine) Tick(now time.Time) {
	if m.end != nil {
		return
	}
	for _, w := range slices.Clone(m.members) {
		if m.set.Silence > 0 && now.Sub(w.seen) >= m.set.Silence {
			m.log(true, "worker has not been heard of, its share goes to others", "worker", w.name, "after", now.Sub(w.seen))
			m.leave(w, now)
			m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Stop{Stop: &pb.Stop{Reason: "not heard of", Again: true}}}) // it may come again
			continue
		}
		if o := w.open; o != nil && now.Sub(o.at) >= m.set.CutTimeout {
			m.log(true, "cut open for too long, starting the group again", "cut", o.n, "worker", w.name, "after", now.Sub(o.at))
			m.restart(w)
		}
	}
	m.tasks = slices.DeleteFunc(m.tasks, func(t task) bool {
		late := now.Sub(t.since) >= m.set.CompactionTimeout
		if late {
			m.log(true, "compaction open for too long, given up", "table", t.at.table, "cut", t.n)
		}
		return late
	})
	m.advance(now)
}

// RequestDrain is RequestStop, and has all outputs closed and published before the end, so that a job of another graph can go on.
func (m *Machine) RequestDrain(now, deadline time.Time) {
	m.draining = m.end == nil && !m.stopping
	m.RequestStop(now, deadline)
}

// RequestStop asks for one last cut, if there is anything new, for more until what the groups have sent each other is read, and then the end; at the
// deadline it ends as things are. The sources hold behind the last cut.
func (m *Machine) RequestStop(now, deadline time.Time) {
	if m.end != nil || m.stopping {
		return
	}
	m.stopping, m.stopBy, m.stopFrom = true, deadline, m.next
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
	for _, w := range m.members {
		if w.open != nil {
			until(w.open.at.Add(m.set.CutTimeout))
		}
		if m.set.Silence > 0 {
			until(w.seen.Add(m.set.Silence))
		}
	}
	for _, t := range m.tasks {
		until(t.since.Add(m.set.CompactionTimeout))
	}
	if m.stopping {
		until(m.stopBy)
	}
	if m.commit != nil {
		return at
	}
	if m.deal != nil {
		until(m.deal.due(now))
		if now.Before(m.backBy) {
			until(m.backBy)
		}
	}
	if len(m.reports) > 0 || len(m.raise) > 0 || m.pinsDue() || m.stopping && !m.anyOpen() && !m.leftToDo() && len(m.pins.copying) == 0 {
		t := m.lastCommit.Add(m.set.CommitGap)
		if len(m.reports) > 0 && len(m.raise) == 0 && !m.pinsDue() && m.anyOthersOpen() {
			t = later(t, m.firstCame.Add(m.hold()))
		}
		until(t)
	}
	for _, w := range m.members {
		if m.wantsCut(w) {
			until(m.cutDue(w, now))
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hold is how long a report waits for others.
func (m *Machine) hold() time.Duration { return min(m.set.Interval/4, longestHold) }

func (m *Machine) group(id uint32) *pb.Group { return checkpoint.GroupOf(m.root, id) }

func (m *Machine) anyOpen() bool {
	return slices.ContainsFunc(m.members, func(w *member) bool { return w.open != nil })
}

func (m *Machine) finish(e *End, why string) {
	m.end = e
	kind := sabot.KindOf(e.Err)
	again := e.Err != nil && (kind == sabot.Fenced || kind == sabot.Retry)
	if e.Err != nil && !again {
		why += ": " + e.Err.Error()
	}
	for _, w := range m.members {
		m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Stop{Stop: &pb.Stop{Reason: why, Again: again}}})
	}
	m.ready.End = e
}

func (m *Machine) send(w *member, msg *pb.ToWorker) {
	m.ready.Messages = append(m.ready.Messages, Message{w.id, msg})
}

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
