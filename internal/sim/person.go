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
	w          *world
	busy       bool
	wantsFresh bool
	started    bool // afresh, once
	restores   int
	copied     *pb.Root // a copy that is written before its pin: that rule is off
	names      int
}

// leader returns a coordinator that listens, nil when there is none.
func (p *person) leader() *coordinator {
	for _, c := range p.w.coords {
		if !c.over() && !c.busy && c.frozen <= p.w.step {
			return c
		}
	}
	return nil
}

// turn does one thing, rarely.
func (p *person) turn() {
	w := p.w
	if w.quiet || w.calm || p.busy || w.current == nil || !w.oneIn(12) {
		return
	}
	p.busy = true
	defer func() { p.busy = false }()
	switch x := w.intn(9); {
	case x < 3:
		p.rescale(1 + w.intn(6))
	case x < 5:
		p.savepoint()
	case x == 5:
		p.remove()
	case x == 6:
		p.clone()
	case x == 7 && p.restores < 2:
		p.goBack()
	case x == 8 && !p.started && w.intn(4) == 3:
		p.started, p.wantsFresh = true, true
		w.startCoordinator()
	}
}

func (p *person) rescale(n int) {
	if c := p.leader(); c != nil {
		if err := c.m.Rescale(n, p.w.now); err == nil {
			p.w.stats["rescales asked for"]++
		}
		c.act()
	}
}

func (p *person) savepoint() {
	w := p.w
	if w.rules[PinAfterCopy] {
		p.pinAfterCopy()
		return
	}
	p.names++
	if c := p.leader(); c != nil {
		_ = c.m.Savepoint(w.name(), fmt.Sprint("s", p.names), w.now) // about to end: then there is none
		c.act()
		w.stats["savepoints"]++
	}
}

func (p *person) remove() {
	w := p.w
	if c := p.leader(); c != nil && len(w.current.Pins) > 0 {
		_ = c.m.RemovePin(w.current.Pins[w.intn(len(w.current.Pins))].Id, w.now) // of another root, perhaps
		c.act()
		w.stats["pins removed"]++
	}
}

func (p *person) clone() {
	w := p.w
	for _, pin := range w.current.Pins {
		if c := p.leader(); c != nil && pin.Written && pin.Kind != pb.PinKind_CLONE {
			p.names++
			_ = c.m.PinClone(pin.Id, w.name(), fmt.Sprint("clone", p.names), w.now)
			c.act()
			w.stats["clones"]++
			return
		}
	}
}

// goBack makes the job go on from a pin of the committed root, as the tool does: it leads for a moment.
func (p *person) goBack() {
	w, s := p.w, newStore(p.w)
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
		w.unrestored(body, copied)
		_, _ = s.Commit(context.Background(), body, version) // it may come to nothing, or take effect later
		return
	}
}

// unrestored takes from a root that goes back what the history does without.
func (w *world) unrestored(body, copied *pb.Root) {
	if w.rules[KeepNumbers] {
		for i, o := range body.Outputs {
			o.Number = copied.Outputs[i].Number
		}
	}
	if w.rules[KeepGeneration] {
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
	w, s := p.w, newStore(p.w)
	if p.copied == nil {
		c := proto.Clone(w.current).(*pb.Root)
		if _, err := checkpoint.AddPin(c, pb.PinKind_SAVEPOINT, w.name(), "late", w.now); err != nil {
			return
		}
		b, err := checkpoint.EncodeRoot(c)
		if err == nil && w.bucket.Put(context.Background(), paths.Copy(c.Pins[len(c.Pins)-1]), b) == nil {
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
