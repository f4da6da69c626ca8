package checkpoint

import (
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// maxPins bounds the pins of a root: each lists its objects.
const maxPins = 200

// CheckPinName returns an Invalid error unless name can be a savepoint's: as a job's, see CheckName.
func CheckPinName(name string) error {
	if err := CheckName(name); err != nil {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("savepoint name: %w", err))
	}
	return nil
}

// maxPinID is the greatest length of a pin's id.
const maxPinID = 64

// CheckPinID returns an Invalid error unless id can be a pin's: lower-case letters and digits.
func CheckPinID(id string) error {
	ok := id != "" && len(id) <= maxPinID
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("savepoint id %.80q: it must be 1 to %d lower-case letters and digits", id, maxPinID))
	}
	return nil
}

// PinOf returns the pin of an id, nil when root has none.
func PinOf(root *pb.Root, id string) *pb.Pin {
	for _, p := range root.Pins {
		if p.Id == id {
			return p
		}
	}
	return nil
}

// FindPin returns the savepoint of a name, or the retained or any other pin of an id. The error is Invalid.
func FindPin(root *pb.Root, nameOrID string) (*pb.Pin, error) {
	for _, p := range root.Pins {
		if p.Kind == pb.PinKind_SAVEPOINT && p.Name == nameOrID || p.Id == nameOrID {
			return p, nil
		}
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has no savepoint %q; sabot savepoint ls lists what there is", root.Job, nameOrID))
}

// AddPin pins everything that root, which is in the making, names. The id is new for each pin; a name is that of one savepoint, or clone, only. The copy
// of the root is to be written once it is committed, and MarkWritten then says so in a later one.
func AddPin(root *pb.Root, kind pb.PinKind, id, name string, now time.Time) (*pb.Pin, error) {
	if len(root.Pins) >= maxPins {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has %d savepoints, clones and retained checkpoints: remove some", root.Job, len(root.Pins)))
	}
	if kind != pb.PinKind_RETAINED {
		for _, p := range root.Pins {
			if p.Kind == kind && p.Name == name {
				return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has a %s %q already", root.Job, KindName(kind), name))
			}
		}
	}
	named := map[uint32]bool{}
	eachLive(root, func(i *uint32) { named[*i] = true })
	p := &pb.Pin{Id: id, Term: root.Term, Epoch: root.Epoch, Kind: kind, Name: name, CreatedUs: now.UnixMicro()}
	for i := range root.Objects {
		if named[uint32(i)] {
			p.Objects = append(p.Objects, uint32(i))
		}
	}
	root.Pins = append(root.Pins, p)
	return p, nil
}

// AddClone pins for another job, under a new id, what the pin of an id keeps. The other job's root may be written once this one is committed.
func AddClone(root *pb.Root, of, id, job string, now time.Time) (*pb.Pin, error) {
	from := PinOf(root, of)
	if from == nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s does not hold savepoint %s any more", root.Job, of))
	}
	p, err := AddPin(root, pb.PinKind_CLONE, id, job, now)
	if err != nil {
		return nil, err
	}
	p.Term, p.Epoch, p.Objects, p.Written, p.Unfolded = from.Term, from.Epoch, slices.Clone(from.Objects), true, slices.Clone(from.Unfolded)
	return p, nil
}

// KindName is what people call a kind of pin.
func KindName(k pb.PinKind) string {
	switch k {
	case pb.PinKind_SAVEPOINT:
		return "savepoint"
	case pb.PinKind_RETAINED:
		return "retained checkpoint"
	case pb.PinKind_CLONE:
		return "clone"
	}
	return k.String()
}

// MarkWritten notes in root, which is in the making, that the copy of a pin is there. It tells whether that changes anything.
func MarkWritten(root *pb.Root, id string) bool {
	p := PinOf(root, id)
	if p == nil || p.Written {
		return false
	}
	p.Written = true
	return true
}

// DropPins removes pins from root, which is in the making, and with them the objects that nothing else names. It tells whether there were any.
func DropPins(root *pb.Root, drop func(*pb.Pin) bool) bool {
	n := len(root.Pins)
	root.Pins = slices.DeleteFunc(root.Pins, drop)
	if len(root.Pins) == n {
		return false
	}
	dropUnnamed(root)
	return true
}

// Retain makes root, which is in the making, keep only the newest n retained roots whose copies are there, and those whose copies are on their way.
func Retain(root *pb.Root, n int) bool {
	written := 0
	for _, p := range root.Pins {
		if p.Kind == pb.PinKind_RETAINED && p.Written {
			written++
		}
	}
	return DropPins(root, func(p *pb.Pin) bool {
		if p.Kind != pb.PinKind_RETAINED || !p.Written || written <= n {
			return false
		}
		written--
		return true
	})
}

// takePins gives root, which has no pins, those of old that keep lets through, and their objects.
func takePins(root, old *pb.Root, keep func(*pb.Pin) bool) {
	at := map[string]uint32{}
	for i, o := range root.Objects {
		at[o.Key] = uint32(i)
	}
	for _, p := range old.Pins {
		if !keep(p) {
			continue
		}
		c := &pb.Pin{Id: p.Id, Term: p.Term, Epoch: p.Epoch, Kind: p.Kind, Name: p.Name, CreatedUs: p.CreatedUs, Written: p.Written,
			Unfolded: slices.Clone(p.Unfolded), Abandoned: p.Abandoned}
		for _, i := range p.Objects {
			o := old.Objects[i]
			n, ok := at[o.Key]
			if !ok {
				n = uint32(len(root.Objects))
				root.Objects = append(root.Objects, &pb.Object{Key: o.Key, Size: o.Size})
				at[o.Key] = n
			}
			c.Objects = append(c.Objects, n)
		}
		root.Pins = append(root.Pins, c)
	}
}

func (v *validator) pins() error {
	seen := map[string]bool{}
	for _, p := range v.root.Pins {
		switch {
		case CheckPinID(p.Id) != nil || seen[p.Id]:
			return fmt.Errorf("pin %q has no proper id, or comes twice", p.Id)
		case p.Term > v.root.Term || p.Epoch > v.root.Epoch:
			return fmt.Errorf("pin %q is of term %d and epoch %d, above the root's", p.Id, p.Term, p.Epoch)
		}
		seen[p.Id] = true
		for _, i := range p.Objects {
			if uint64(i) >= uint64(len(v.root.Objects)) {
				return fmt.Errorf("pin %q: object %d of %d", p.Id, i, len(v.root.Objects))
			}
		}
	}
	return nil
}
