package checkpoint

import (
	"slices"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

func TestFreshRoot(t *testing.T) {
	start := Start{Job: "job", Run: "run2", Plan: []byte("{}"), Fingerprint: "fp2", Now: time.UnixMicro(77),
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a"}}}}, Stages: []*pb.Stage{{Id: 1, Partitions: Partitions(3)}}}
	first := FreshRoot(nil, start)
	if err := Validate(first); err != nil {
		t.Fatal(err)
	}
	if first.Term != 1 || first.Epoch != 0 || first.Floor != 1 || first.Groups[0].Generation != 1 || first.StartedUs != 77 || len(first.OldRuns) != 0 {
		t.Errorf("first root %v", first)
	}
	old := sampleRoot()
	old.OldRuns = []string{"run0"}
	start.Sources = []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a"}}}}
	again := FreshRoot(old, start)
	if err := Validate(again); err != nil {
		t.Fatal(err)
	}
	g := again.Groups[0]
	switch {
	case again.Term != old.Term+1:
		t.Errorf("term %d", again.Term)
	case again.Epoch != old.Epoch || again.Floor != old.Floor || g.Cut != old.Epoch || g.CutId != "" || g.Since != old.Epoch:
		t.Errorf("cut numbers restart: epoch %d, floor %d, group %v", again.Epoch, again.Floor, g)
	case g.Generation <= old.Groups[0].Generation:
		t.Errorf("generation %d", g.Generation)
	case !slices.Equal(again.OldRuns, []string{"run0", "run1"}):
		t.Errorf("old runs %q", again.OldRuns)
	case len(again.Objects)+len(again.Outputs)+len(again.DeadSections) > 0 || RowsRead(again) != 0:
		t.Error("state is left")
	}
}

func TestTakeOverVoidsWhatWasReported(t *testing.T) {
	old := sampleRoot()
	root := TakeOver(old)
	if root.Term != old.Term+1 || root.Epoch != old.Epoch || root.Nonce != "" || old.Nonce == "" {
		t.Errorf("term %d, epoch %d, nonce %q", root.Term, root.Epoch, root.Nonce)
	}
	if g := root.Groups[0]; g.Generation != 6 || g.Previous != 5 || g.Since != 4 || g.Cut != 4 || g.CutId != "c4" {
		t.Errorf("group %v", g)
	}
	if out := Fold(root, sampleReport()); out.Reason != WrongTerm {
		t.Errorf("a report of the term before: %v", out)
	}
}

func TestFloor(t *testing.T) {
	root := sampleRoot() // epoch 4, floor 3, the group's cut 4
	for _, c := range []struct {
		next uint64
		open []uint64
		want uint64
	}{
		{5, nil, 5},
		{9, nil, 5},            // an early flush may carry 5
		{9, []uint64{4, 7}, 4}, // held by a compaction
		{9, []uint64{1}, 3},    // never falls
		{2, nil, 3},
	} {
		if got := Floor(root, c.next, c.open...); got != c.want {
			t.Errorf("next %d, open %d: floor %d, want %d", c.next, c.open, got, c.want)
		}
	}
	root.Groups = append(root.Groups, &pb.Group{Id: 1, Cut: 1})
	if got := Floor(root, 9); got != 5 {
		t.Errorf("a group that owns nothing holds the floor at %d", got)
	}
}

func TestFinish(t *testing.T) {
	now := time.UnixMicro(99)
	done := func() *pb.Root { return &pb.Root{Ended: true} }
	if r := done(); !Finish(r, now) || r.FinishedUs != 99 || !Finish(r, time.UnixMicro(100)) || r.FinishedUs != 99 {
		t.Errorf("finished at %d", r.FinishedUs)
	}
	for name, spoil := range map[string]func(*pb.Root){
		"input":        func(r *pb.Root) { r.Ended = false },
		"output":       func(r *pb.Root) { r.Outputs = []*pb.Output{{}} },
		"dead letters": func(r *pb.Root) { r.DeadSections = []*pb.DeadSection{{}} },
		"old run":      func(r *pb.Root) { r.OldRuns = []string{"x"} },
	} {
		r := done()
		if spoil(r); Finish(r, now) || r.FinishedUs != 0 {
			t.Errorf("finished with %s left", name)
		}
	}
}

func TestPartitionsCoverTheSpace(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 1000} {
		r := sampleRoot()
		r.Stages = []*pb.Stage{{Partitions: Partitions(n)}}
		if err := Validate(r); err != nil || len(r.Stages[0].Partitions) != n {
			t.Errorf("%d: %v", n, err)
		}
	}
}
