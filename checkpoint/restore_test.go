package checkpoint

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// wentOn returns the root that brought a savepoint in, and one some cuts later.
func wentOn(t *testing.T) (copied, current *pb.Root) {
	t.Helper()
	copied = sampleRoot()
	copied.Plan = []byte(`{"job":"job"}`)
	pinned(t, copied)
	current = proto.Clone(copied).(*pb.Root)
	MarkWritten(current, "p1")
	mustFold(t, current, sampleReport())
	dropFirstTable(current)
	return copied, current
}

func TestRestored(t *testing.T) {
	copied, current := wentOn(t)
	before := proto.Clone(current).(*pb.Root)
	root, rep, err := Restored(current, copied, PinOf(current, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(root); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(before, current) {
		t.Error("the current root was changed")
	}
	if root.Term != 3 || root.Epoch != 6 || root.Floor != 3 || root.Run != "run1" || root.Nonce != "" {
		t.Errorf("term %d, epoch %d, floor %d, run %s", root.Term, root.Epoch, root.Floor, root.Run)
	}
	if sp := root.Sources[0].Splits[0]; sp.Position != "10" || sp.Rows != 10 {
		t.Errorf("split %v, want the position of the savepoint", sp)
	}
	wantRefs(t, root, 0, "t@a+0", "w@a+10", "t@b+0", "w@b+10", "t@c+0")
	g := root.Groups[0]
	if g.Generation != 6 || g.Previous != -1 || g.Cut != 6 || g.CutId != "" || g.Since != 6 {
		t.Errorf("group %v", g)
	}
	if p := PinOf(root, "p1"); p == nil || !p.Written || len(p.Objects) != 4 {
		t.Errorf("pin %v, want it kept with its four objects", p)
	}
	if rep.Run != "run1" || rep.Above != 4 || len(rep.Open) != 1 || rep.Open[0].Number != 3 {
		t.Errorf("repeated %+v", rep)
	}
	if o := root.Outputs[0]; o.Number != 6 || len(o.Sections) != 1 {
		t.Errorf("the open output is %v, want it under a number that was never used", o)
	}
	if o := root.Outputs[1]; o.Number != 2 || !o.Closed {
		t.Errorf("the closed output is %v, want it as it was", o)
	}
}

func TestNothingReportedBeforeCountsAfterRestore(t *testing.T) {
	copied, current := wentOn(t)
	root, _, err := Restored(current, copied, PinOf(current, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	old := sampleReport()
	old.Cut, old.CutId, old.Base, old.BaseId = 7, "c7", 5, "c5"
	if out := Fold(proto.Clone(root).(*pb.Root), old); out.Reason == Folded {
		t.Error("a report of before was folded")
	}
	claim := &pb.Claim{Run: "run1", Generation: 5, Cut: 4, CutId: "c4", Again: true}
	if MayGoOn(root, claim) || MayGoOn(TakeOver(root), claim) {
		t.Error("who ran a group before may go on")
	}
	next := sampleReport()
	next.Term, next.Generation, next.Cut, next.CutId, next.Base, next.BaseId = 3, 6, 7, "c7", 6, ""
	next.Objects[0].Key = NewPaths("job").Pack(3, 7, "e")
	next.Outputs[0].Key.Number = 6
	next.DeadSections[0].Cut = 7
	mustFold(t, root, next)
}

func TestRestoredFromAnEarlierRun(t *testing.T) {
	copied, current := wentOn(t)
	MarkWritten(current, "p1")
	fresh := FreshRoot(current, Start{Job: "job", Run: "run2", Now: pinTime})
	if root, _, err := Restored(fresh, copied, PinOf(current, "p1")); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("root %v, %v; what that run published is removed", root, err)
	}
}

func TestCloned(t *testing.T) {
	copied, current := wentOn(t)
	if _, err := AddClone(current, "p1", "c1", "other", pinTime); err != nil {
		t.Fatal(err)
	}
	root, err := Cloned(copied, "other", "run9", pinTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(root); err != nil {
		t.Fatal(err)
	}
	var plan sabot.Plan
	if err := json.Unmarshal(root.Plan, &plan); err != nil || plan.Job != "other" {
		t.Errorf("plan of job %q, %v", plan.Job, err)
	}
	if root.Job != "other" || root.Run != "run9" || root.Term != 1 || len(root.Pins) != 0 || len(Foreign(root)) != 4 || len(Foreign(copied)) != 0 {
		t.Errorf("job %s, run %s, term %d, pins %v, foreign %q", root.Job, root.Run, root.Term, root.Pins, Foreign(root))
	}
	root.Floor = 99
	dropFirstTable(root)
	if c := Collectable(root, []string{copied.Objects[0].Key}); len(c) != 0 {
		t.Errorf("the clone would delete the other job's %q", c)
	}
	// The other job may drop the savepoint: its clone holds the objects.
	DropPins(current, func(p *pb.Pin) bool { return p.Id == "p1" })
	if !objectSet(current)[copied.Objects[0].Key] {
		t.Error("an object of the clone went with the savepoint")
	}
}

// What was published on the branch that a job left was said to come again: there is no way back to where it counted as published.
func TestNoWayBackToABranchThatWasLeft(t *testing.T) {
	copied, current := wentOn(t)
	for _, p := range []struct {
		id   string
		kind pb.PinKind
	}{{"p2", pb.PinKind_SAVEPOINT}, {"r2", pb.PinKind_RETAINED}} {
		x, err := AddPin(current, p.kind, p.id, p.id, pinTime)
		if err != nil {
			t.Fatal(err)
		}
		x.Written = true
	}
	later := proto.Clone(current).(*pb.Root)
	root, _, err := Restored(current, copied, PinOf(current, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	if PinOf(root, "r2") != nil || PinOf(root, "p1").Abandoned || !PinOf(root, "p2").Abandoned {
		t.Errorf("pins %v: want r2 gone, and p2 abandoned", root.Pins)
	}
	if back, _, err := Restored(root, later, PinOf(root, "p2")); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("went back to %v, %v", back, err)
	}
}
