package coord

import (
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// pinning is what a machine has to do about pins.
type pinning struct {
	wanted   []pinRequest
	unwanted []string        // ids
	copying  map[string]bool // pins whose copies are being written
	written  []string        // pins whose copies are there, which no root says yet
	retained time.Time       // when a root was retained last
	epoch    uint64          // of the root that this machine has retained last
}

// pinRequest is a pin to come.
type pinRequest struct {
	kind     pb.PinKind
	id, name string
	of       string // what a clone begins with
	last     bool   // of the root that a stop ends with
}

// Copy is a copy of a committed root to write, for a pin that it has brought in.
type Copy struct {
	Root *pb.Root
	Pin  *pb.Pin
}

// Savepoint pins the root that is committed next, with what is reported by then, under a new id and a name. The root lists the pin as written when the
// savepoint can be used. Asking again under the same id changes nothing.
func (m *Machine) Savepoint(id, name string, now time.Time) error {
	return m.wantPin(pinRequest{kind: pb.PinKind_SAVEPOINT, id: id, name: name}, now)
}

// PinClone pins, for a job of another name, what the pin of an id keeps. Asking again under the same id changes nothing.
func (m *Machine) PinClone(of, id, job string, now time.Time) error {
	if checkpoint.PinOf(m.root, of) == nil {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s holds no savepoint of id %s", m.root.Job, of))
	}
	return m.wantPin(pinRequest{kind: pb.PinKind_CLONE, id: id, name: job, of: of}, now)
}

// StopWithSavepoint is RequestStop, or RequestDrain, and makes a savepoint of the root that it ends with.
func (m *Machine) StopWithSavepoint(id, name string, drain bool, now, deadline time.Time) error {
	if err := m.wantPin(pinRequest{kind: pb.PinKind_SAVEPOINT, id: id, name: name, last: true}, now); err != nil {
		return err
	}
	m.draining = drain
	m.RequestStop(now, deadline)
	return nil
}

func (m *Machine) wantPin(r pinRequest, now time.Time) error {
	if err := checkpoint.CheckPinID(r.id); err != nil {
		return err
	}
	if err := checkpoint.CheckPinName(r.name); err != nil {
		return err
	}
	if checkpoint.PinOf(m.root, r.id) != nil || slices.ContainsFunc(m.pins.wanted, func(x pinRequest) bool { return x.id == r.id }) {
		return nil
	}
	taken := slices.ContainsFunc(m.root.Pins, func(p *pb.Pin) bool { return p.Kind == r.kind && p.Name == r.name }) ||
		slices.ContainsFunc(m.pins.wanted, func(x pinRequest) bool { return x.kind == r.kind && x.name == r.name })
	switch {
	case taken:
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has a %s %q already", m.root.Job, checkpoint.KindName(r.kind), r.name))
	case m.end != nil || m.stopping:
		return sabot.WithKind(sabot.Retry, fmt.Errorf("job %s is about to end; ask for it in the bucket then", m.root.Job))
	}
	m.pins.wanted = append(m.pins.wanted, r)
	m.advance(now)
	return nil
}

// RemovePin removes a pin, and with it what only it keeps.
func (m *Machine) RemovePin(id string, now time.Time) error {
	switch {
	case checkpoint.PinOf(m.root, id) == nil:
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s holds no savepoint of id %s", m.root.Job, id))
	case m.end != nil:
		return sabot.WithKind(sabot.Retry, fmt.Errorf("job %s has ended; remove it in the bucket", m.root.Job))
	}
	m.pins.unwanted = append(m.pins.unwanted, id)
	m.advance(now)
	return nil
}

// CopyDone says that a copy that Ready has given out is there, or cannot be written.
func (m *Machine) CopyDone(id string, err error, now time.Time) {
	delete(m.pins.copying, id)
	if m.end != nil {
		return
	}
	if err != nil {
		m.log(true, "savepoint is given up", "id", id, "error", err)
		m.pins.unwanted = append(m.pins.unwanted, id)
	} else {
		m.pins.written = append(m.pins.written, id)
	}
	m.advance(now)
}

// pinsDue tells whether pins are a reason to commit a root. That a root is retained is noted along with something else.
func (m *Machine) pinsDue() bool {
	if len(m.pins.unwanted) > 0 || slices.ContainsFunc(m.pins.wanted, func(r pinRequest) bool { return !r.last }) {
		return true
	}
	return slices.ContainsFunc(m.pins.written, func(id string) bool {
		p := checkpoint.PinOf(m.root, id)
		return p != nil && (p.Kind == pb.PinKind_SAVEPOINT || m.stopping)
	})
}

// pin brings body up to date with what is wanted of pins, and tells whether it has changed for that.
func (m *Machine) pin(body *pb.Root, c *commitInFlight, now time.Time) (changed bool) {
	for _, id := range m.pins.written {
		changed = checkpoint.MarkWritten(body, id) || changed
	}
	m.pins.written = nil
	changed = checkpoint.DropPins(body, func(p *pb.Pin) bool { return slices.Contains(m.pins.unwanted, p.Id) }) || changed
	m.pins.unwanted = nil
	var later []pinRequest
	for _, r := range m.pins.wanted {
		if r.last {
			later = append(later, r)
			continue
		}
		p, err := m.addPin(body, r, now)
		if err != nil {
			m.log(true, "savepoint is given up", "id", r.id, "error", err)
			continue
		}
		changed = true
		if r.kind != pb.PinKind_CLONE {
			c.pins = append(c.pins, p.Id)
		}
	}
	m.pins.wanted = later
	if c.folded {
		changed = m.retain(body, c, now) || changed
	}
	return changed
}

func (m *Machine) addPin(body *pb.Root, r pinRequest, now time.Time) (*pb.Pin, error) {
	if r.kind == pb.PinKind_CLONE {
		return checkpoint.AddClone(body, r.of, r.id, r.name, now)
	}
	p, err := checkpoint.AddPin(body, r.kind, r.id, r.name, now)
	if err != nil {
		return nil, err
	}
	for n := range m.unfolded {
		switch {
		case n < body.Floor:
			delete(m.unfolded, n) // never
		case n <= body.Epoch:
			p.Unfolded = append(p.Unfolded, n)
		}
	}
	slices.Sort(p.Unfolded)
	return p, nil
}

// retain pins body from time to time, and removes what has been retained for longest. An epoch is retained once: a cut below it may be folded later,
// and then the name of its copy is taken.
func (m *Machine) retain(body *pb.Root, c *commitInFlight, now time.Time) (changed bool) {
	if m.set.Retain <= 0 || now.Sub(m.pins.retained) < m.set.RetainEvery || body.Epoch == m.pins.epoch {
		return false
	}
	m.pins.retained, m.pins.epoch = now, body.Epoch
	changed = checkpoint.Retain(body, m.set.Retain-1)
	p, err := m.addPin(body, pinRequest{kind: pb.PinKind_RETAINED, id: fmt.Sprintf("t%de%d", body.Term, body.Epoch)}, now)
	if err != nil {
		m.log(true, "no checkpoint is retained", "error", err)
		return changed
	}
	c.pins = append(c.pins, p.Id)
	return true
}

// lastRetained returns when a root was retained last, as far as the root tells; now when none was.
func lastRetained(root *pb.Root, now time.Time) time.Time {
	at := time.Time{}
	for _, p := range root.Pins {
		if t := time.UnixMicro(p.CreatedUs); p.Kind == pb.PinKind_RETAINED && t.After(at) && !t.After(now) {
			at = t
		}
	}
	if at.IsZero() {
		return now
	}
	return at
}

// pinsOpen tells whether body lacks a savepoint that has been asked for, or the word that one's copy is there: then it does not end the job.
func (m *Machine) pinsOpen(body *pb.Root) bool {
	return len(m.pins.wanted) > 0 || slices.ContainsFunc(body.Pins, func(p *pb.Pin) bool { return p.Kind == pb.PinKind_SAVEPOINT && !p.Written })
}

// copies gives out the copies of the committed root for the pins that it has brought in.
func (m *Machine) copies(ids []string) {
	for _, id := range ids {
		if p := checkpoint.PinOf(m.root, id); p != nil {
			m.pins.copying[id] = true
			m.ready.Copies = append(m.ready.Copies, Copy{m.root, p})
		}
	}
}
