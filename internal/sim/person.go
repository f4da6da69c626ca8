package sim

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// person makes savepoints, removes them, clones jobs, changes partitions, makes the job go back, and starts it afresh.
type person struct {
	j          *job
	busy       bool
	wantsFresh bool
	started    bool // afresh, once
	restores   int
	copied     *pb.Root // a copy that is written before its pin: that rule is off
	names      int
	cloning    *cloning // under way
	twin       *job     // the clone that was made; nil: none was
}

// turn does one thing, rarely.
func (p *person) turn() {
	j := p.j
	if j.quiet || j.calm || p.busy || j.current == nil || !j.oneIn(12) {
		return
	}
	p.busy = true
	defer func() { p.busy = false }()
	if p.cloning != nil {
		p.cloned()
		return
	}
	switch x := j.intn(9); {
	case x < 3:
		p.rescale(1 + j.intn(6))
	case x < 5:
		p.savepoint()
	case x == 5:
		p.remove()
	case x == 6 && p.j.origin == nil:
		p.clone()
	case x == 7 && p.restores < 2:
		p.goBack()
	case x == 8 && !p.started && j.intn(4) == 3:
		p.started, p.wantsFresh = true, true
		j.startCoordinator()
	}
}

func (p *person) rescale(n int) {
	if c := p.j.leader(); c != nil {
		if err := c.m.Rescale(n, c.now()); err == nil {
			p.j.stats["rescales asked for"]++
		}
		c.act()
	}
}

func (p *person) savepoint() {
	j := p.j
	if j.rules[PinAfterCopy] {
		p.pinAfterCopy()
		return
	}
	p.names++
	if c := p.j.leader(); c != nil {
		_ = c.m.Savepoint(j.name(), fmt.Sprint("s", p.names), c.now()) // about to end: then there is none
		c.act()
		j.stats["savepoints"]++
	}
}

// remove takes a pin away; that of a clone only when the clone names nothing of the job any more, as the tool does.
func (p *person) remove() {
	j := p.j
	if c := j.leader(); c != nil && len(j.current.Pins) > 0 {
		pin := j.current.Pins[j.intn(len(j.current.Pins))]
		if pin.Kind == pb.PinKind_CLONE {
			if p.cloning != nil || p.twin == nil || p.twin.current == nil || len(checkpoint.Foreign(p.twin.current)) > 0 {
				return
			}
			j.stats["clones let go"]++
		}
		_ = c.m.RemovePin(pin.Id, c.now()) // of another root, perhaps
		c.act()
		j.stats["pins removed"]++
	}
}

// goBack makes the job go on from a pin of the committed root, as the tool does: it leads for a moment.
func (p *person) goBack() {
	j, s := p.j, newStore(p.j)
	root, version, err := s.Read(context.Background())
	if err != nil || root.FinishedUs != 0 {
		return
	}
	for _, pin := range root.Pins {
		if !pin.Written || pin.Kind == pb.PinKind_CLONE {
			continue
		}
		p.restores++
		copied, err := s.ReadCopy(context.Background(), pin)
		if err != nil {
			return
		}
		body, _, err := checkpoint.Restored(root, copied, pin)
		if err != nil {
			continue // of an earlier run
		}
		j.unrestored(body, copied)
		_, _ = s.Commit(context.Background(), body, version) // it may come to nothing, or take effect later
		return
	}
}

// unrestored takes from a root that goes back what the history does without.
func (j *job) unrestored(body, copied *pb.Root) {
	if j.rules[KeepNumbers] {
		for i, o := range body.Outputs {
			o.Number = copied.Outputs[i].Number
		}
	}
	if j.rules[KeepGeneration] {
		for _, g := range body.Groups {
			if was := checkpoint.GroupOf(copied, g.Id); was != nil {
				g.Generation, g.Cut, g.CutId, g.Since = was.Generation, was.Cut, was.CutId, was.Since
			}
		}
		body.Term--
	}
}

// pinAfterCopy writes the copy of a root first, and pins it some time later, with what is still there of it.
func (p *person) pinAfterCopy() {
	j, s := p.j, newStore(p.j)
	if p.copied == nil {
		c := proto.Clone(j.current).(*pb.Root)
		if _, err := checkpoint.AddPin(c, pb.PinKind_SAVEPOINT, j.name(), "late", j.now); err != nil {
			return
		}
		b, err := checkpoint.EncodeRoot(c)
		if err == nil && j.bucket.Put(context.Background(), j.paths.Copy(c.Pins[len(c.Pins)-1]), b) == nil {
			p.copied = c
		}
		return
	}
	root, version, err := s.Read(context.Background())
	if err != nil {
		return
	}
	body := checkpoint.TakeOver(root)
	pin := proto.Clone(p.copied.Pins[len(p.copied.Pins)-1]).(*pb.Pin)
	held := map[string]bool{}
	for _, i := range pin.Objects {
		held[p.copied.Objects[i].Key] = true
	}
	pin.Objects, pin.Written = nil, true
	for i, o := range body.Objects {
		if held[o.Key] {
			pin.Objects = append(pin.Objects, uint32(i))
		}
	}
	body.Pins = append(body.Pins, pin)
	p.copied = nil
	if _, err := s.Commit(context.Background(), body, version); err != nil && err != objstore.ErrConflict {
		return
	}
}
