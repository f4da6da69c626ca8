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
	w       *world
	store   checkpoint.Store
	m       *coord.Machine
	root    *pb.Root // that it has committed last
	version objstore.Version
	want    *pb.Root // to commit
	conns   []*conn
	copies  []coord.Copy
	deletes []string
	busy    bool // inside a call
	frozen  int  // until this step
	dead    bool
	ended   bool
}

func (c *coordinator) over() bool { return c.dead || c.ended }

func newStore(w *world) checkpoint.Store {
	return checkpoint.Store{Bucket: faulty{w.bucket, w}, Paths: paths, Clock: simClock{clock.Real(), w}, Patience: time.Minute}
}

// startCoordinator lets a new process take the job over, or start it, rarely afresh.
func (w *world) startCoordinator() {
	if w.depth > 1 {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	c := &coordinator{w: w, store: newStore(w), busy: true}
	defer func() { c.busy = false }()
	old, version, err := c.store.Read(context.Background())
	var body *pb.Root
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		body = checkpoint.FreshRoot(nil, freshStart(w, 3))
	case err != nil:
		return
	case w.person.wantsFresh:
		w.person.wantsFresh = false
		body = checkpoint.FreshRoot(old, freshStart(w, 2+w.intn(3)))
		w.stats["fresh"]++
	case old.FinishedUs != 0:
		return
	default:
		body = checkpoint.TakeOver(old)
		if w.rules[AnyClaim] {
			for _, g := range body.Groups {
				g.Previous = max(g.Previous, 0)
			}
		}
		w.stats["takeovers"]++
	}
	if c.version, err = c.commit(body, version); err != nil {
		return
	}
	c.root = body
	c.m = coord.NewMachine(body, coord.Settings{Interval: 300 * time.Millisecond, CutTimeout: 8 * time.Second, CompactionTimeout: 8 * time.Second,
		Settle: 300 * time.Millisecond, Silence: 20 * time.Second, Policy: coord.Policy{Level0: 3, FanIn: 8, SmallBytes: 10, Ratio: 3}, Retain: 2, RetainEvery: 4 * time.Second}, w.now)
	c.m.FoldWith(c.fold)
	w.coords = append(w.coords, c)
	w.note("a coordinator leads term %d", body.Term)
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
		c.w.stats[l.Text]++
		c.w.note("coordinator: %s %v", l.Text, l.Args)
	}
	c.deletes = append(c.deletes, r.Garbage...)
	c.copies = append(c.copies, r.Copies...)
	if r.Commit != nil && r.End == nil {
		c.want = r.Commit
	}
	if r.End != nil && !c.ended {
		c.ended = true
		c.w.note("the coordinator ends: finished %v, %v", r.End.Finished, r.End.Err)
		if k := sabot.KindOf(r.End.Err); r.End.Err != nil && k != sabot.Fenced && k != sabot.Retry {
			c.w.fail("the coordinator gives up: %v", r.End.Err)
		}
	}
}

// sweep looks for orphans; they are deleted at some later time.
func (c *coordinator) sweep() {
	var keys []string
	for _, prefix := range []string{paths.Packs(), paths.Copies()} {
		for o := range c.store.Bucket.List(context.Background(), prefix) {
			keys = append(keys, o.Key)
		}
	}
	if c.w.rules[SweepAll] {
		keys = checkpoint.Garbage(&pb.Root{Job: "job", Objects: objectsOf(keys)}, c.root)
	} else {
		keys = checkpoint.Collectable(c.root, keys)
	}
	c.w.stats["swept"] += len(keys)
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
	w := c.w
	if c.busy || c.dead || c.frozen > w.step {
		return
	}
	if len(c.deletes) > 0 && w.intn(3) == 2 { // goes on after the end
		k := c.deletes[0]
		c.deletes = c.deletes[1:]
		w.del(k)
		return
	}
	if c.ended {
		c.hangUp()
		return
	}
	switch {
	case w.fault(150):
		c.dead = true
		c.hangUp()
		w.stats["coordinators killed"]++
		w.note("the coordinator of term %d dies", c.root.Term)
		return
	case w.fault(120):
		c.frozen = w.step + w.intn(600)
		w.note("the coordinator of term %d freezes", c.root.Term)
		return
	}
	switch x := w.intn(12); {
	case x < 6:
		c.deliver()
	case x < 9:
		c.doCommit()
	case x == 9:
		c.m.Tick(w.now)
		c.act()
	case x == 10:
		c.writeCopy()
	case c.root.Term < w.current.Term && (w.quiet || w.intn(3) == 2): // its lease has told it
		c.dead = true
		c.hangUp()
		w.stats["stood down"]++
	case !w.quiet && w.intn(3) == 2:
		c.sweep()
	}
}

func (c *coordinator) hangUp() {
	for _, x := range c.conns {
		x.broken = x.broken || len(x.toWork) == 0 || c.dead
	}
}

// deliver gives the machine a message, a report sometimes twice.
func (c *coordinator) deliver() {
	w := c.w
	if len(c.conns) == 0 {
		return
	}
	at := w.intn(len(c.conns))
	x := c.conns[at]
	if len(x.toCoord) == 0 {
		if x.broken {
			c.conns = slices.Delete(c.conns, at, at+1)
			c.m.Leave(x.id, w.now)
			c.act()
		}
		return
	}
	m := x.toCoord[0]
	x.toCoord = x.toCoord[1:]
	if m.GetReport() != nil {
		switch {
		case w.fault(25):
			w.stats["reports lost"]++
			return
		case w.fault(25):
			x.toCoord = append(x.toCoord, m) // once more, later
			w.stats["reports doubled"]++
		}
	}
	c.m.Step(x.id, m, w.now)
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
	v, err := c.commit(body, c.version)
	c.busy = false
	if err != nil {
		c.m.CommitFailed(err)
	} else {
		if c.w.rules[NoPins] {
			c.deletes = append(c.deletes, pinnedOnly(body)...)
		}
		c.version, c.root = v, body
		c.m.CommitDone(c.w.now)
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
	c.m.CopyDone(x.Pin.Id, err, c.w.now)
	c.act()
	c.w.stats["copies"]++
}
