package checkpoint

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

var pinTime = time.Unix(2000, 0)

// pinned returns sampleRoot with a savepoint "before" of id p1.
func pinned(t *testing.T, root *pb.Root) *pb.Pin {
	t.Helper()
	p, err := AddPin(root, pb.PinKind_SAVEPOINT, "p1", "before", pinTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(root); err != nil {
		t.Fatal(err)
	}
	return p
}

// dropFirstTable removes the references to object a from root.
func dropFirstTable(root *pb.Root) {
	for _, p := range root.Stages[0].Partitions {
		p.Refs = slices.DeleteFunc(p.Refs, func(r *pb.Reference) bool { return r.Object == 0 })
	}
	dropUnnamed(root)
}

func TestPinKeepsWhatItsRootNamed(t *testing.T) {
	root := sampleRoot()
	key := root.Objects[0].Key
	copyKey := NewPaths("job").Copy(pinned(t, root))
	held := sampleRoot()
	pinned(t, held)
	dropFirstTable(held)
	if g := Garbage(root, held); len(g) != 0 {
		t.Errorf("garbage %q while the pin holds it", g)
	}
	if c := Collectable(held, []string{key, copyKey}); len(c) != 0 {
		t.Errorf("collectable %q while the pin holds it", c)
	}
	if err := Validate(held); err != nil {
		t.Fatal(err)
	}
	without := sampleRoot()
	pinned(t, without)
	dropFirstTable(without)
	if !DropPins(without, func(p *pb.Pin) bool { return p.Id == "p1" }) {
		t.Fatal("there was no pin")
	}
	if g := Garbage(held, without); !slices.Equal(g, []string{key, copyKey}) {
		t.Errorf("garbage after the pin is gone: %q, want its object and its copy", g)
	}
	if c := Collectable(without, []string{key, copyKey}); len(c) != 2 {
		t.Errorf("collectable after the pin is gone: %q", c)
	}
}

func TestPinsOfOneNameOrTooMany(t *testing.T) {
	root := sampleRoot()
	pinned(t, root)
	if _, err := AddPin(root, pb.PinKind_SAVEPOINT, "p2", "before", pinTime); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a second savepoint of that name: %v", err)
	}
	for i := range maxPins - 1 {
		if _, err := AddPin(root, pb.PinKind_RETAINED, "r"+strings.Repeat("x", i%60+1)+string(rune('a'+i/60)), "", pinTime); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AddPin(root, pb.PinKind_RETAINED, "last", "", pinTime); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a pin too many: %v", err)
	}
}

func TestRetainKeepsTheNewest(t *testing.T) {
	root := sampleRoot()
	pinned(t, root).Written = true
	for _, id := range []string{"r1", "r2", "r3", "r4"} {
		p, err := AddPin(root, pb.PinKind_RETAINED, id, "", pinTime)
		if err != nil {
			t.Fatal(err)
		}
		p.Written = id != "r4"
	}
	if !Retain(root, 2) || Retain(root, 2) {
		t.Error("the first call removes one, the second none")
	}
	var ids []string
	for _, p := range root.Pins {
		ids = append(ids, p.Id)
	}
	if want := []string{"p1", "r2", "r3", "r4"}; !slices.Equal(ids, want) {
		t.Errorf("pins %q, want %q: the oldest written one goes", ids, want)
	}
}

func TestWhoKeepsPins(t *testing.T) {
	root := sampleRoot()
	for _, p := range []struct {
		id      string
		kind    pb.PinKind
		written bool
	}{{"save", pb.PinKind_SAVEPOINT, true}, {"unwritten", pb.PinKind_SAVEPOINT, false}, {"kept", pb.PinKind_RETAINED, true}} {
		x, err := AddPin(root, p.kind, p.id, p.id, pinTime)
		if err != nil {
			t.Fatal(err)
		}
		x.Written = p.written
	}
	if _, err := AddClone(root, "save", "clone", "other", pinTime); err != nil {
		t.Fatal(err)
	}
	if _, err := AddClone(root, "gone", "clone2", "other2", pinTime); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("clone of what is not there: %v", err)
	}
	ids := func(r *pb.Root) (out []string) {
		if err := Validate(r); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Pins {
			out = append(out, p.Id)
		}
		return out
	}
	if got, want := ids(TakeOver(root)), []string{"save", "kept", "clone"}; !slices.Equal(got, want) {
		t.Errorf("after a takeover: %q, want %q", got, want)
	}
	fresh := FreshRoot(root, Start{Job: "job", Run: "run2", Now: pinTime})
	if got, want := ids(fresh), []string{"save", "clone"}; !slices.Equal(got, want) {
		t.Errorf("after a start from nothing: %q, want %q", got, want)
	}
	if len(fresh.Objects) != len(root.Objects) {
		t.Errorf("a start from nothing holds %d objects, want the %d of its pins", len(fresh.Objects), len(root.Objects))
	}
	root.Ended, root.Outputs, root.DeadSections = true, nil, nil
	if !Finish(root, pinTime) {
		t.Fatal("not finished")
	}
	if got, want := ids(root), []string{"save", "unwritten", "clone"}; !slices.Equal(got, want) {
		t.Errorf("when finished: %q, want %q", got, want)
	}
}

func TestCopies(t *testing.T) {
	ctx := context.Background()
	b, root := stored(t)
	s := Store{Bucket: b, Paths: NewPaths("job"), Clock: newStill()}
	p := pinned(t, root)
	if _, err := s.ReadCopy(ctx, p); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("a copy that is not there: %v", err)
	}
	if err := s.WriteCopy(ctx, root, p); err != nil {
		t.Fatal(err)
	}
	if c, err := s.ReadCopy(ctx, p); err != nil || c.Epoch != root.Epoch {
		t.Errorf("%v, %v", c, err)
	}
	other := sampleRoot() // without the pin
	if err := b.Put(ctx, s.Paths.Copy(p), encoded(t, other)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadCopy(ctx, p); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("another root in the copy's place: %v", err)
	}
	later := &pb.Pin{Id: "later", Term: root.Term + 1, Epoch: 9}
	if err := b.Put(ctx, s.Paths.Copy(later), encoded(t, root)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		root *pb.Root
		left int
	}{{"pinned, and of a later term", root, 2}, {"of a later term only", sampleRoot(), 1}} {
		if _, err := s.SweepCopies(ctx, func() *pb.Root { return c.root }); err != nil {
			t.Fatal(err)
		}
		if n := countKeys(t, b, s.Paths.Copies()); n != c.left {
			t.Errorf("%s: %d copies are left, want %d", c.what, n, c.left)
		}
	}
}

func countKeys(t *testing.T, b objstore.Bucket, prefix string) (n int) {
	t.Helper()
	for _, err := range b.List(context.Background(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestFsckOfPins(t *testing.T) {
	ctx := context.Background()
	b, root := stored(t)
	s := Store{Bucket: b, Paths: NewPaths("job"), Clock: newStill()}
	p := pinned(t, root)
	if err := s.WriteCopy(ctx, root, p); err != nil {
		t.Fatal(err)
	}
	p.Written = true
	dropFirstTable(root)
	if err := b.Put(ctx, "job/CURRENT", encoded(t, root)); err != nil {
		t.Fatal(err)
	}
	r, err := Fsck(ctx, b, "job")
	if err != nil || !r.OK() || r.RetainedBytes != 20 || r.LiveBytes != 65 || r.Pins != 1 || r.GarbageBytes != 0 {
		t.Errorf("%+v, %v; want 20 of 85 bytes retained", r, err)
	}
	if err := b.Delete(ctx, root.Objects[0].Key); err != nil {
		t.Fatal(err)
	}
	if r, err := Fsck(ctx, b, "job"); err != nil || len(r.Bad) != 1 {
		t.Errorf("without an object that only the savepoint names: %+v, %v", r, err)
	}
	if err := b.Delete(ctx, s.Paths.Copy(p)); err != nil {
		t.Fatal(err)
	}
	if r, err := Fsck(ctx, b, "job"); err != nil || len(r.Bad) != 1 || !strings.Contains(r.Bad[0].Reason, "is not there") {
		t.Errorf("without the copy: %+v, %v", r, err)
	}
}
