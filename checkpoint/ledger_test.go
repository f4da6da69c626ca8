package checkpoint

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// filedReport is a ledger of sampleRoot's group that has filed sampleReport, and that root.
func filedReport() (*Ledger, *pb.Root, *pb.Report) {
	root, r := sampleRoot(), sampleReport()
	l := NewLedger(root, 0)
	l.Asked(&pb.Cut{Term: root.Term, Generation: 5, Cut: 5})
	head := l.Begin(5, "c5")
	r.Term, r.Generation, r.Run, r.Base, r.BaseId = head.Term, head.Generation, head.Run, head.Base, head.BaseId
	l.Filed(r, map[string][]byte{r.Objects[0].Key: make([]byte, 40)})
	return l, root, r
}

func counter() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("y%d", n) }
}

func TestLedgerFilesAgainWhatIsNotCommitted(t *testing.T) {
	l, root, was := filedReport()
	before := proto.Clone(was)
	root = TakeOver(root)
	if !MayGoOn(root, l.Claim(7)) || !l.GoOn(root, 7) {
		t.Fatalf("the group may not go on: %v", l.Claim(7))
	}
	if !l.Waits() {
		t.Error("nothing is to be filed again")
	}
	term, generation := l.Fence()
	take, again := l.Asked(&pb.Cut{Term: term, Generation: generation, Cut: 9})
	if !take || !again {
		t.Fatalf("cut 9: taken %v, of the cut before %v", take, again)
	}
	f := l.Again(9, "c9", counter())
	l.Filed(f.Report, f.Bodies)
	if out := Fold(root, f.Report); out.Reason != Folded {
		t.Fatalf("what is filed again is not folded: %v", out)
	}
	if !proto.Equal(was, before) {
		t.Error("the report before was changed")
	}
	if keys := f.Keys(); len(keys) != 1 || len(f.Bodies[keys[0]]) != 40 {
		t.Errorf("objects %v", keys)
	}
	l.Committed(root)
	if next := l.Begin(10, "c10"); next.Base != 9 || next.BaseId != "c9" || l.Waits() {
		t.Errorf("the next cut builds on %d %q, want 9; something waits: %v", next.Base, next.BaseId, l.Waits())
	}
	if root.DeadSections[len(root.DeadSections)-1].Cut != 9 {
		t.Errorf("dead letters %v", root.DeadSections)
	}
}

// The coordinator may change again before what is not committed has been filed, or folded.
func TestLedgerSurvivesSeveralCoordinators(t *testing.T) {
	l, root, _ := filedReport()
	for range 3 {
		if root = TakeOver(root); !l.GoOn(root, 0) || !l.Waits() {
			t.Fatal("the group may not go on with its cut")
		}
	}
	f := l.Again(9, "c9", counter())
	l.Filed(f.Report, f.Bodies)
	if root = TakeOver(root); !l.GoOn(root, 0) || !l.Waits() {
		t.Fatal("the group may not go on after filing again")
	}
	f = l.Again(11, "c11", counter())
	if out := Fold(root, f.Report); out.Reason != Folded {
		t.Fatalf("not folded: %v", out)
	}
}

func TestLedgerKnowsWhatIsCommitted(t *testing.T) {
	l, root, r := filedReport()
	if out := Fold(root, r); out.Reason != Folded {
		t.Fatal(out)
	}
	root = TakeOver(root) // the answer was lost with the coordinator
	if !l.GoOn(root, 0) || l.Waits() {
		t.Errorf("the group goes on with something to file: %v", l.Waits())
	}
	if next := l.Begin(10, "c10"); next.Base != 5 || next.BaseId != "c5" || next.Term != root.Term {
		t.Errorf("the next cut: %v", next)
	}
}

func TestWhoMayNotGoOn(t *testing.T) {
	for name, spoil := range map[string]func(*pb.Root, *pb.Claim){
		"another run":                     func(_ *pb.Root, c *pb.Claim) { c.Run = "run0" },
		"a group that is not there":       func(_ *pb.Root, c *pb.Claim) { c.Group = 3 },
		"an earlier generation":           func(_ *pb.Root, c *pb.Claim) { c.Generation-- },
		"a group that was raised since":   func(o *pb.Root, _ *pb.Claim) { Raise(o, 0) },
		"another cut is committed":        func(o *pb.Root, _ *pb.Claim) { o.Groups[0].CutId = "other" },
		"too much to file again":          func(_ *pb.Root, c *pb.Claim) { c.Again = false },
		"the committed cut is a stranger": func(o *pb.Root, _ *pb.Claim) { o.Groups[0].Cut, o.Groups[0].CutId = 6, "c6" },
	} {
		t.Run(name, func(t *testing.T) {
			l, root, _ := filedReport()
			root = TakeOver(root)
			c := l.Claim(0)
			if !MayGoOn(root, c) {
				t.Fatal("the claim is not good to begin with")
			}
			if spoil(root, c); MayGoOn(root, c) {
				t.Error("it may go on")
			}
		})
	}
}

func TestLedgerTakesCutsOfItsFenceOnly(t *testing.T) {
	root := sampleRoot()
	l := NewLedger(root, 0)
	for _, c := range []struct {
		cut  *pb.Cut
		take bool
	}{{&pb.Cut{Term: root.Term, Generation: 5, Cut: 5}, true}, {&pb.Cut{Term: root.Term, Generation: 5, Cut: 5}, false},
		{&pb.Cut{Term: root.Term - 1, Generation: 5, Cut: 6}, false}, {&pb.Cut{Term: root.Term, Generation: 4, Cut: 6}, false},
		{&pb.Cut{Term: root.Term, Generation: 5, Cut: 7}, true}} {
		if take, again := l.Asked(c.cut); take != c.take || again {
			t.Errorf("%v: taken %v, of the cut before %v", c.cut, take, again)
		}
	}
}
