package coord

import (
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// WorkerID names one life of a worker: a worker that comes again has another.
type WorkerID string

// member is a worker that is there, and the group that it runs.
type member struct {
	id       WorkerID
	name     string // for people
	group    uint32
	has      bool // a group
	assigned bool // the root of its group's generation has been sent to it
	leaving  bool // it takes a last cut and goes
	seen     time.Time

	progress *pb.Progress
	told     told
	base     int64 // rows that its splits had given as of the root that it started from
	marker   int64 // progress.Rows when the last cut was asked for; -1: that one holds fewer
	again    bool  // the next cut files once more what its last one held, and nothing that was read since
	finals   int   // cuts asked for since it said that its input has ended
	open     *openCut
	lastCut  uint64 // number of the last one asked for
	refusals int    // of cuts that were asked for, since the last one that was folded
}

// deal is a change of shares to come.
type deal struct {
	at      time.Time // not before
	planned bool      // nobody is lost: last cuts come first, so that little is done twice
	from    uint64    // number of the first of those; 0: they have not been asked for
	until   time.Time // of waiting for those
}

// lastCutsFor bounds how long a planned change of shares waits for the groups' last cuts.
const lastCutsFor = 10 * time.Second

// due returns when the deal may have to be looked at.
func (d *deal) due(now time.Time) time.Time {
	if now.Before(d.at) {
		return d.at
	}
	return d.until
}

func (m *Machine) member(id WorkerID) *member {
	for _, w := range m.members {
		if w.id == id {
			return w
		}
	}
	return nil
}

// register: a worker has come, or has come back without its group.
func (m *Machine) register(id WorkerID, w *member, r *pb.Register, now time.Time) {
	if have := m.root.Fingerprint; have != "" && r.Fingerprint != "" && have != r.Fingerprint {
		err := sabot.WithKind(sabot.Invalid, fmt.Errorf("worker %q runs another job than the one committed: fingerprint %s, want %s", r.Worker, r.Fingerprint, have))
		m.refuse(id, err, now)
		return
	}
	if w != nil {
		m.log(false, "worker starts its group again", "worker", r.Worker)
		if w.has {
			m.restart(w)
		}
		return
	}
	w = &member{id: id, name: r.Worker, seen: now}
	m.members = append(m.members, w)
	m.change(now, true)
	if c := r.Claim; c != nil && m.mayGoOn(c) {
		m.goOn(w, c)
	}
}

// mayGoOn tells whether a worker may keep the group that it has run for the coordinator before.
func (m *Machine) mayGoOn(c *pb.Claim) bool {
	taken := slices.ContainsFunc(m.members, func(w *member) bool { return w.has && w.group == c.Group })
	return !taken && !m.raise[c.Group] && checkpoint.MayGoOn(m.root, c) && c.Asked < m.next+maxAhead
}

// maxAhead bounds how far the cuts of an earlier coordinator can be above those that it has committed.
const maxAhead = 1 << 32

// goOn lets a worker keep its group. Its numbers go on above those that it has been asked for.
func (m *Machine) goOn(w *member, c *pb.Claim) {
	m.log(false, "worker goes on", "worker", w.name, "group", c.Group)
	w.has, w.group, w.assigned = true, c.Group, true
	m.next = max(m.next, c.Asked+1)
	g := m.group(c.Group)
	again := g.Cut != c.Cut || g.CutId != c.CutId
	if again && c.Opened != 0 { // the outputs of a cut that comes again keep their number
		m.unfolded[c.Opened] = c.Group
	}
	m.starts(w)
	w.base, w.again = c.Rows, again
	m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Assignment{Assignment: &pb.Assignment{Root: m.root, Group: w.group, GoOn: true}}})
}

// allBack tells whether everything that is owned is held by a worker that is there.
func (m *Machine) allBack() bool {
	for _, id := range checkpoint.Owners(m.root) {
		if !slices.ContainsFunc(m.members, func(w *member) bool { return w.has && w.group == id }) {
			return false
		}
	}
	return true
}

// backFor is how long the workers of the coordinator before have to come back with their groups, before the shares are dealt out.
const backFor = 2 * time.Second

// refuse sends away a worker that cannot take part. When it is alone, as in a local run, that is the end.
func (m *Machine) refuse(id WorkerID, err error, now time.Time) {
	if len(m.members) == 0 && m.set.Settle == 0 {
		m.finish(&End{Err: err}, "another plan")
		return
	}
	m.log(true, "worker refused", "error", err)
	m.ready.Messages = append(m.ready.Messages, Message{id, &pb.ToWorker{Message: &pb.ToWorker_Stop{Stop: &pb.Stop{Reason: err.Error(), Refused: true}}}})
}

// Leave says that a worker is gone: its connection has ended.
func (m *Machine) Leave(id WorkerID, now time.Time) {
	if w := m.member(id); w != nil && m.end == nil {
		m.log(false, "worker has gone", "worker", w.name)
		m.leave(w, now)
		m.advance(now)
	}
}

func (m *Machine) leave(w *member, now time.Time) {
	m.members = slices.DeleteFunc(m.members, func(x *member) bool { return x == w })
	if w.has {
		m.forgetTasks(w.group)
		m.change(now, false)
	}
}

// failed: a worker cannot go on. What another worker could do no better ends the job.
func (m *Machine) failed(id WorkerID, w *member, f *pb.Failed, now time.Time) {
	kind := kindNamed(f.Kind)
	if m.set.Settle > 0 && kind != sabot.Invalid && kind != sabot.Corrupt {
		m.log(true, "worker failed", "error", f.Error)
		if w != nil {
			m.leave(w, now)
		}
		return
	}
	m.finish(&End{Err: sabot.WithKind(kind, fmt.Errorf("worker: %s", f.Error))}, "the worker failed")
}

// change makes the next root deal out the shares anew.
func (m *Machine) change(now time.Time, planned bool) {
	at := now.Add(m.set.Settle)
	if m.deal != nil {
		planned = planned && m.deal.planned
	}
	if !planned && m.set.Settle > 0 {
		at = now
	}
	m.deal = &deal{at: at, planned: planned, until: at.Add(lastCutsFor)}
}

// dealDue tells whether the shares are dealt out in the root that is made now.
func (m *Machine) dealDue(now time.Time) bool {
	d := m.deal
	switch {
	case d == nil || !slices.ContainsFunc(m.members, func(w *member) bool { return !w.leaving }) || now.Before(d.at) || now.Before(m.backBy) && !m.allBack():
		return false
	case !d.planned || !now.Before(d.until):
		return true
	}
	return m.settled() && (m.rescale == 0 || m.drained(now))
}

// drained tells whether nothing is on its way between stages, as rescaling needs it. As long as something is, the groups are asked for more cuts;
// they read what is left, and the sources hold.
func (m *Machine) drained(now time.Time) bool {
	if len(m.reports) > 0 {
		return false // what they bring is seen when they are folded
	}
	if checkpoint.Quiet(m.root) {
		return true
	}
	m.deal.from = m.next
	return false
}

// Rescale makes the job have n keyed partitions, after a short pause of its sources. Progress is told by the log, and by the root.
func (m *Machine) Rescale(n int, now time.Time) error {
	switch {
	case n < 1 || n > checkpoint.MaxPartitions:
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("%d partitions: it must be 1 to %d", n, checkpoint.MaxPartitions))
	case len(m.root.Stages) == 0:
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has no keyed stage", m.root.Job))
	case m.root.Ended || m.end != nil || m.stopping:
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s is about to end", m.root.Job))
	case m.deal != nil && m.rescale == 0 || !slices.ContainsFunc(m.members, func(w *member) bool { return w.assigned }):
		return sabot.WithKind(sabot.Retry, fmt.Errorf("the shares of job %s are being dealt out; try again", m.root.Job))
	case m.rescale != 0:
		return sabot.WithKind(sabot.Retry, fmt.Errorf("job %s is being rescaled already, to %d partitions", m.root.Job, m.rescale))
	}
	if len(m.root.Stages[0].Partitions) == n {
		return nil
	}
	m.rescale = n
	m.deal = &deal{at: now, planned: true, until: now.Add(rescaleFor)}
	m.advance(now)
	return nil
}

// rescaleFor bounds how long the sources hold for a change of the number of partitions.
const rescaleFor = 20 * time.Second

// repartition divides the stages of body as Rescale has asked for, if it can be done now, and returns the groups that own anything: they all start
// from body. When it has taken too long it is given up, and they start again as well, because their sources hold.
func (m *Machine) repartition(body *pb.Root) (starts []uint32) {
	n := m.rescale
	if n == 0 {
		return nil
	}
	m.rescale = 0
	if err := checkpoint.Repartition(body, n); err != nil {
		m.log(true, "rescaling is given up", "partitions", n, "error", err)
	} else {
		m.log(false, "rescaled", "partitions", n)
	}
	starts = checkpoint.Owners(body)
	for _, g := range starts {
		checkpoint.Raise(body, g)
	}
	return starts
}

// settled tells whether the last cuts before a planned deal are folded, or on their way into the root that is being made.
func (m *Machine) settled() bool {
	d := m.deal
	if d.from == 0 {
		return false
	}
	for _, w := range m.members {
		open := w.open != nil && !slices.ContainsFunc(m.reports, func(r *pb.Report) bool { return r.Group == w.group && r.Cut == w.open.n })
		if open || m.wantsLastCut(w) {
			return false
		}
	}
	return true
}

// wantsLastCut tells whether a worker has not been asked yet for its last cut before a planned deal, and has something for it.
func (m *Machine) wantsLastCut(w *member) bool {
	return w.assigned && w.open == nil && w.lastCut < m.deal.from && m.anythingNew(w)
}

// dismiss tells the workers that wanted to go that they may, once their shares are with others or nobody is left to take them.
func (m *Machine) dismiss(now time.Time) {
	owners := checkpoint.Owners(m.root)
	alone := !slices.ContainsFunc(m.members, func(w *member) bool { return !w.leaving })
	for _, w := range slices.Clone(m.members) {
		last := alone && m.deal != nil && (m.settled() || !now.Before(m.deal.until))
		if w.leaving && (!w.has || last || !slices.Contains(owners, w.group)) {
			m.members = slices.DeleteFunc(m.members, func(x *member) bool { return x == w })
			m.log(false, "worker has gone", "worker", w.name)
			m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Stop{Stop: &pb.Stop{Reason: "drained"}}})
		}
	}
}

// startAlone starts a worker that is alone, as in a local run, from the committed root when one group owns all: there is nothing to deal out.
func (m *Machine) startAlone(now time.Time) {
	owners := checkpoint.Owners(m.root)
	if m.deal == nil || m.commit != nil || now.Before(m.deal.at) || now.Before(m.backBy) || len(m.members) != 1 || m.members[0].has || len(owners) > 1 || len(m.root.Groups) == 0 {
		return
	}
	w := m.members[0]
	w.has, w.group = true, m.root.Groups[0].Id
	if len(owners) == 1 {
		w.group = owners[0]
	}
	m.deal = nil
	m.start(w)
}

// dealOut gives every member a group and its share, in body, and returns the groups whose workers have to start from it.
func (m *Machine) dealOut(body *pb.Root) map[uint32]bool {
	held := map[uint32]bool{}
	var live []uint32
	for _, w := range m.members {
		if w.has {
			held[w.group] = true
		}
	}
	owners := checkpoint.Owners(body)
	for _, w := range m.members {
		if w.has || w.leaving {
			continue
		}
		w.has, w.group = true, m.freeGroup(body, held, owners)
		held[w.group] = true
	}
	starts := map[uint32]bool{}
	for _, g := range m.repartition(body) {
		starts[g] = true
	}
	for _, w := range m.members {
		if w.leaving {
			continue
		}
		live = append(live, w.group)
		checkpoint.GroupOf(body, w.group).Worker = w.name
		if !w.assigned {
			starts[w.group] = true
		}
	}
	for _, g := range assign(body, live, m.loads()) {
		starts[g] = true
	}
	for id := range starts {
		checkpoint.GroupOf(body, id).Previous = -1 // who had it before is too late
	}
	m.deal = nil
	return starts
}

// freeGroup returns a group that no member holds, one that owns something if there is any.
func (m *Machine) freeGroup(body *pb.Root, held map[uint32]bool, owners []uint32) uint32 {
	for _, id := range owners {
		if !held[id] {
			return id
		}
	}
	for _, g := range body.Groups {
		if !held[g.Id] {
			return g.Id
		}
	}
	return newGroup(body)
}

// restart makes the next root raise the generation of a worker's group.
func (m *Machine) restart(w *member) {
	m.raise[w.group] = true
	w.open, w.progress, w.told = nil, nil, told{}
	m.forgetTasks(w.group)
}

// start sends the committed root to a worker that starts from it.
func (m *Machine) start(w *member) {
	w.assigned = true
	m.starts(w)
	m.send(w, &pb.ToWorker{Message: &pb.ToWorker_Assignment{Assignment: &pb.Assignment{Root: m.root, Group: w.group}}})
}

// starts forgets what was known of the worker's running: it starts from the committed root.
func (m *Machine) starts(w *member) {
	w.progress, w.open, w.told = nil, nil, told{}
	w.base, w.marker, w.again, w.finals = rowsOf(m.root)[w.group], 0, false, 0
	m.forgetTasks(w.group)
}

func (m *Machine) forgetTasks(group uint32) {
	m.tasks = slices.DeleteFunc(m.tasks, func(t task) bool { return t.group == group })
}
