package checkpoint

import (
	"errors"
	"fmt"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// HashSpace is the number of 32-bit key hashes: where the last partition of a stage ends.
const HashSpace = 1 << 32

// Validate tells what is wrong with the structure of a root: indexes out of range, partitions that leave gaps, clips outside of their
// partition. Whoever holds a valid root may follow its indexes unchecked.
func Validate(root *pb.Root) error {
	switch {
	case root.Format != Format:
		return fmt.Errorf("format %d", root.Format)
	case root.Term == 0:
		return errors.New("it has no term")
	case root.Run == "":
		return errors.New("it has no run")
	}
	if err := CheckName(root.Job); err != nil {
		return err
	}
	v := validator{root: root, groups: map[uint32]bool{}}
	for _, check := range []func() error{v.checkObjects, v.checkGroups, v.sources, v.stages, v.outputs, v.deadSections, v.exchanges, v.pins} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

type validator struct {
	root   *pb.Root
	groups map[uint32]bool
}

func (v *validator) checkObjects() error {
	seen := make(map[string]bool, len(v.root.Objects))
	for _, o := range v.root.Objects {
		switch {
		case o.Key == "" || o.Size < 0:
			return fmt.Errorf("object %q of %d bytes", o.Key, o.Size)
		case seen[o.Key]:
			return fmt.Errorf("object %q is listed twice", o.Key)
		}
		seen[o.Key] = true
	}
	return nil
}

func (v *validator) checkGroups() error {
	for _, g := range v.root.Groups {
		switch {
		case v.groups[g.Id]:
			return fmt.Errorf("group %d is listed twice", g.Id)
		case g.Cut > v.root.Epoch:
			return fmt.Errorf("group %d has cut %d above epoch %d", g.Id, g.Cut, v.root.Epoch)
		case g.Since > v.root.Epoch:
			return fmt.Errorf("group %d has its generation since %d, above epoch %d", g.Id, g.Since, v.root.Epoch)
		}
		v.groups[g.Id] = true
	}
	return nil
}

func (v *validator) sources() error {
	names := map[string]bool{}
	for _, s := range v.root.Sources {
		if names[s.Name] {
			return fmt.Errorf("source %q is listed twice", s.Name)
		}
		names[s.Name] = true
		ids := map[string]bool{}
		for _, sp := range s.Splits {
			switch {
			case ids[sp.Id]:
				return fmt.Errorf("split %q of source %q is listed twice", sp.Id, s.Name)
			case !v.groups[sp.Group]:
				return fmt.Errorf("split %q of source %q is of group %d, which is not listed", sp.Id, s.Name, sp.Group)
			}
			ids[sp.Id] = true
		}
	}
	return nil
}

func (v *validator) stages() error {
	ids := map[uint32]bool{}
	for _, st := range v.root.Stages {
		if ids[st.Id] {
			return fmt.Errorf("stage %d is listed twice", st.Id)
		}
		ids[st.Id] = true
		if err := v.partitions(st); err != nil {
			return fmt.Errorf("stage %d: %w", st.Id, err)
		}
	}
	return nil
}

func (v *validator) partitions(st *pb.Stage) error {
	at := uint64(0)
	for _, p := range st.Partitions {
		switch {
		case p.Lo != at || p.Hi <= p.Lo || p.Hi > HashSpace:
			return fmt.Errorf("partition [%d,%d) does not follow on %d", p.Lo, p.Hi, at)
		case !v.groups[p.Group]:
			return fmt.Errorf("partition [%d,%d) is of group %d, which is not listed", p.Lo, p.Hi, p.Group)
		}
		at = p.Hi
		for i, r := range p.Refs {
			if err := checkReference(v.root.Objects, p.Lo, p.Hi, r); err != nil {
				return fmt.Errorf("partition [%d,%d): reference %d: %w", p.Lo, p.Hi, i, err)
			}
		}
	}
	if len(st.Partitions) > 0 && at != HashSpace {
		return fmt.Errorf("partitions end at %d", at)
	}
	return nil
}

func (v *validator) outputs() error {
	seen := map[outputID]bool{}
	for _, o := range v.root.Outputs {
		id := outputID{o.Sink, o.Range, o.Number}
		if seen[id] {
			return fmt.Errorf("output %v is listed twice", id)
		}
		seen[id] = true
		for i, s := range o.Sections {
			if err := checkSection(v.root.Objects, s); err != nil {
				return fmt.Errorf("output %v: section %d: %w", id, i, err)
			}
		}
	}
	return nil
}

func (v *validator) deadSections() error {
	seen := map[deadID]bool{}
	for _, d := range v.root.DeadSections {
		id := deadID{d.Cut, d.Index}
		if seen[id] {
			return fmt.Errorf("dead letters %v are listed twice", id)
		}
		seen[id] = true
		if err := checkSection(v.root.Objects, d.Section); err != nil {
			return fmt.Errorf("dead letters %v: %w", id, err)
		}
	}
	return nil
}

// outputID and deadID are the identities of an output and of a run of dead letters.
type (
	outputID struct {
		sink, rng string
		number    uint64
	}
	deadID struct {
		cut   uint64
		index uint32
	}
)

func (o outputID) String() string { return fmt.Sprintf("%s/%s/%d", o.sink, o.rng, o.number) }
func (d deadID) String() string   { return fmt.Sprintf("%d/%d", d.cut, d.index) }

// checkReference checks a reference of partition [lo,hi) whose object is one of objects.
func checkReference(objects []*pb.Object, lo, hi uint64, r *pb.Reference) error {
	switch {
	case r.Table == "":
		return errors.New("names no table")
	case r.Lo < lo || r.Hi > hi || r.Lo >= r.Hi:
		return fmt.Errorf("table %q: clip [%d,%d) is not within the partition", r.Table, r.Lo, r.Hi)
	case bucketed(r) && r.BucketLo >= r.BucketHi:
		return fmt.Errorf("table %q: bucket [%d,%d) is empty", r.Table, r.BucketLo, r.BucketHi)
	case r.Rows < 0:
		return fmt.Errorf("table %q: %d rows", r.Table, r.Rows)
	case r.Tail < 0 || r.Tail > r.Length:
		return fmt.Errorf("table %q: the end of a segment of %d bytes has %d", r.Table, r.Length, r.Tail)
	}
	if err := checkBytes(objects, r.Object, r.Offset, r.Length); err != nil {
		return fmt.Errorf("table %q: %w", r.Table, err)
	}
	return nil
}

// bucketed tells whether a reference's table is divided by time.
func bucketed(r *pb.Reference) bool { return r.BucketLo != 0 || r.BucketHi != 0 }

func checkSection(objects []*pb.Object, s *pb.Section) error {
	switch {
	case s == nil:
		return errors.New("has no section")
	case s.Rows < 0:
		return fmt.Errorf("%d rows", s.Rows)
	}
	return checkBytes(objects, s.Object, s.Offset, s.Length)
}

func checkBytes(objects []*pb.Object, object uint32, off, n int64) error {
	if uint64(object) >= uint64(len(objects)) {
		return fmt.Errorf("object %d of %d", object, len(objects))
	}
	if o := objects[object]; off < 0 || n <= 0 || off > o.Size || n > o.Size-off {
		return fmt.Errorf("bytes %d+%d of %s, which has %d", off, n, o.Key, o.Size)
	}
	return nil
}
