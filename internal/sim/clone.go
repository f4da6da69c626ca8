package sim

import (
	"context"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// cloning is the making of a job from a savepoint: a pin in that one's root first, then a root of its own.
type cloning struct {
	of   snap
	pin  string
	body *pb.Root
}

// clone begins to make a job of its own from a pin.
func (p *person) clone() {
	j := p.j
	if p.twin != nil {
		return
	}
	for _, pin := range j.current.Pins {
		c := j.leader()
		if c == nil || !pin.Written || pin.Kind == pb.PinKind_CLONE {
			continue
		}
		copied, err := newStore(j).ReadCopy(context.Background(), pin)
		if err != nil {
			return
		}
		body, err := checkpoint.Cloned(copied, "twin", j.name(), j.now)
		if err != nil {
			j.fail("clone: %v", err)
			return
		}
		p.cloning = &cloning{j.snaps[pin.Id], j.name(), body}
		if j.rules[NoClonePin] {
			return
		}
		if c.over() || c.m.PinClone(pin.Id, p.cloning.pin, "twin", c.now()) != nil {
			p.cloning = nil // about to end, or the pin is gone
			return
		}
		c.act()
		return
	}
}

// cloned goes on making the clone when its pin is committed, and gives up when nobody leads any more who could commit that.
func (p *person) cloned() {
	j, c := p.j, p.cloning
	if checkpoint.PinOf(j.current, c.pin) == nil && !j.rules[NoClonePin] {
		if j.oneIn(4) {
			p.cloning = nil
		}
		return
	}
	if p.twin == nil {
		p.twin = j.newJob("twin", 2)
		p.twin.origin, p.twin.run = &c.of, c.body.Run
	}
	p.cloning = nil
	if _, err := newStore(p.twin).Commit(context.Background(), c.body, objstore.Absent); err != nil {
		j.note("the clone's root may come late, or never: %v", err)
		return
	}
	j.stats["clones"]++
}
