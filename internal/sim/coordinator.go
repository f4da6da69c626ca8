package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstore"
)

// coordinator is a process that leads the job, or thinks so.
type coordinator struct {
	j       *job
	store   checkpoint.Store
	m       *coord.Machine
	root    *pb.Root // that it has committed last
	version objstore.Version
	want    *pb.Root // to commit
	conns   []*conn
	copies  []coord.Copy
	deletes []string
	astray  []parcel      // reports that come some time later
	busy    bool          // inside a call
	frozen  int           // until this step
	ahead   time.Duration // of its clock
	dead    bool
	ended   bool
}

// parcel is a message on a slow way.
type parcel struct {
	from coord.WorkerID
	msg  *pb.FromWorker
}

func (c *coordinator) over() bool     { return c.dead || c.ended }
func (c *coordinator) now() time.Time { return c.j.now.Add(c.ahead) }

func newStore(j *job) checkpoint.Store {
	return checkpoint.Store{Bucket: faulty{j.bucket, j}, Paths: j.paths, Clock: simClock{clock.Real(), j.world}, Patience: time.Minute}
}

// startCoordinator lets a new process take the job over, or start it, rarely afresh.
func (j *job) startCoordinator() {
	if j.depth > 1 {
		return
	}
	j.depth++
	defer func() { j.depth-- }()
	c := &coordinator{j: j, store: newStore(j), busy: true}
	defer func() { c.busy = false }()
	old, version, err := c.store.Read(context.Background())
	var body *pb.Root
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		body = checkpoint.FreshRoot(nil, j.freshStart(3))
	case err != nil:
		return
	case j.person.wantsFresh:
		j.person.wantsFresh = false
		body = checkpoint.FreshRoot(old, j.freshStart(2+j.intn(3)))
		j.stats["fresh"]++
	case old.FinishedUs != 0:
		return
	default:
		body = checkpoint.TakeOver(old)
		if j.rules[AnyClaim] {
			for _, g := range body.Groups {
				g.Previous = max(g.Previous, 0)
			}
		}
		j.stats["takeovers"]++
	}
	checkpoint.Finish(body, j.now) // when the one before has died just then
	if c.version, err = c.commit(body, version); err != nil {
		return
	}
	c.root = body
	c.m = coord.NewMachine(body, coord.Settings{Interval: 300 * time.Millisecond, CutTimeout: 8 * time.Second, CompactionTimeout: 8 * time.Second,
		Settle: 300 * time.Millisecond, Silence: 20 * time.Second, Policy: coord.Policy{Level0: 3, FanIn: 8, SmallBytes: 10, Ratio: 3, Share: 1, Slack: 1}, Retain: 2, RetainEvery: 4 * time.Second}, j.now)
	c.m.FoldWith(c.fold)
	j.coords = append(j.coords, c)
	j.note("a coordinator leads term %d", body.Term)
	if body.Term > 1 {
		c.sweep()
	}
	c.act()
}

// act does what the machine says.
func (c *coordinator) act() {
	r := c.m.Ready()
	for _, msg := range r.Messages {
		for _, x := range c.conns {
			if x.id == msg.To && !x.broken {
				x.toWork = append(x.toWork, msg.Body)
			}
		}
	}
	for _, l := range r.Logs {
		c.j.stats[l.Text]++
		c.j.note("coordinator: %s %v", l.Text, l.Args)
	}
	c.deletes = append(c.deletes, r.Garbage...)
	c.copies = append(c.copies, r.Copies...)
	if r.Commit != nil && r.End == nil {
		c.want = r.Commit
	}
	if r.End != nil && !c.ended {
		c.ended = true
		c.j.note("the coordinator ends: finished %v, %v", r.End.Finished, r.End.Err)
		if k := sabot.KindOf(r.End.Err); r.End.Err != nil && k != sabot.Fenced && k != sabot.Retry {
			c.j.fail("the coordinator gives up: %v", r.End.Err)
		}
	}
}

// sweep looks for orphans; they are deleted at some later time.
func (c *coordinator) sweep() {
	var keys []string
	for _, prefix := range []string{c.j.paths.Packs(), c.j.paths.Copies()} {
		for o := range c.store.Bucket.List(context.Background(), prefix) {
			keys = append(keys, o.Key)
		}
	}
	if c.j.rules[SweepAll] {
		keys = checkpoint.Garbage(&pb.Root{Job: c.j.id, Objects: objectsOf(keys)}, c.root)
	} else {
		keys = checkpoint.Collectable(c.root, keys)
	}
	c.j.stats["swept"] += len(keys)
	c.deletes = append(c.deletes, keys...)
}

func objectsOf(keys []string) (objs []*pb.Object) {
	for _, k := range keys {
		objs = append(objs, &pb.Object{Key: k})
	}
	return objs
}

// turn does one thing.
func (c *coordinator) turn() {
	j := c.j
	if c.busy || c.dead || c.frozen > j.step {
		return
	}
	if len(c.deletes) > 0 && j.intn(3) == 2 { // goes on after the end
		k := c.deletes[0]
		c.deletes = c.deletes[1:]
		if j.storm > j.step || j.fault(40) {
			c.deletes = append(c.deletes, k) // refused, and tried again
			return
		}
		j.del(k)
		return
	}
	if c.ended {
		c.hangUp()
		return
	}
	switch {
	case j.fault(150):
		c.die()
		return
	case j.fault(1500):
		c.ahead += time.Hour
		j.stats["clocks that jump"]++
		j.note("the clock of the coordinator of term %d jumps", c.root.Term)
	case j.fault(120):
		c.frozen = j.step + j.intn(24000/j.pace)
		j.note("the coordinator of term %d freezes", c.root.Term)
		return
	}
	switch x := j.intn(12); {
	case x < 6:
		c.deliver()
	case x < 9:
		c.doCommit()
	case x == 9:
		c.m.Tick(c.now())
		c.act()
	case x == 10:
		c.writeCopy()
	case c.root.Term < j.current.Term && (j.quiet || j.intn(3) == 2): // its lease has told it
		c.dead = true
		c.hangUp()
		j.stats["stood down"]++
	case !j.quiet && j.intn(3) == 2:
		c.sweep()
	}
}

func (c *coordinator) die() {
	c.dead = true
	c.hangUp()
	c.j.stats["coordinators killed"]++
	c.j.note("the coordinator of term %d dies", c.root.Term)
}

func (c *coordinator) hangUp() {
	for _, x := range c.conns {
		x.broken = x.broken || len(x.toWork) == 0 || c.dead
	}
}

// deliver gives the machine a message, a report sometimes twice.
func (c *coordinator) deliver() {
	j := c.j
	if len(c.astray) > 0 && !j.plan.holdLate && j.intn(12) == 11 {
		c.arrives()
		return
	}
	if len(c.conns) == 0 {
		return
	}
	at := j.intn(len(c.conns))
	x := c.conns[at]
	if len(x.toCoord) == 0 {
		if x.broken {
			c.conns = slices.Delete(c.conns, at, at+1)
			c.m.Leave(x.id, c.now())
			c.act()
		}
		return
	}
	m := x.toCoord[0]
	x.toCoord = x.toCoord[1:]
	if r := m.GetReport(); r != nil {
		switch c.reportFate(r) {
		case lost:
			j.stats["reports lost"]++
			return
		case late:
			c.astray = append(c.astray, parcel{x.id, m})
			return
		case twice:
			x.toCoord = append(x.toCoord, m)
			j.stats["reports doubled"]++
		}
	}
	c.m.Step(x.id, m, c.now())
	c.act()
}

// arrives gives the machine a report that has been on its way for long.
func (c *coordinator) arrives() {
	p := c.astray[0]
	c.astray = c.astray[1:]
	if c.j.current.Epoch > p.msg.GetReport().Base {
		c.j.stats["reports late"]++
	}
	c.m.Step(p.from, p.msg, c.now())
	c.act()
}

// doCommit commits what the machine wants committed.
func (c *coordinator) doCommit() {
	if c.want == nil {
		return
	}
	body := c.want
	c.want, c.busy = nil, true
	c.finishEarly(body)
	c.widened(body)
	v, err := c.commit(body, c.version)
	c.busy = false
	if err != nil {
		if sabot.KindOf(err) == sabot.Fenced && c.j.current.Term == body.Term {
			c.j.fail("the coordinator of term %d is deposed by a commit of its own", body.Term)
		}
		c.m.CommitFailed(err)
	} else {
		if c.j.rules[ForeignDeletes] {
			c.deletes = append(c.deletes, c.foreign(c.root, body)...)
		}
		if c.j.rules[NoPins] {
			c.deletes = append(c.deletes, pinnedOnly(body)...)
		}
		c.version, c.root = v, body
		c.m.CommitDone(c.now())
	}
	c.act()
}

func (c *coordinator) writeCopy() {
	if len(c.copies) == 0 {
		return
	}
	x := c.copies[0]
	c.copies = c.copies[1:]
	c.busy = true
	err := c.store.WriteCopy(context.Background(), x.Root, x.Pin)
	c.busy = false
	c.m.CopyDone(x.Pin.Id, err, c.now())
	c.act()
	c.j.stats["copies"]++
}
