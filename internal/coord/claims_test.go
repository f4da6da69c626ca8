package coord

import (
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// takenOver returns a machine that goes on with the job of two groups, of splits a and b, whose last cuts were 3 and 4.
func takenOver(t *testing.T) *rig {
	now := time.Unix(1000, 0)
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: now, Fingerprint: "fp",
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a"}, {Id: "b", Group: 1}}}}})
	root.Epoch = 4
	root.Groups = []*pb.Group{{Id: 0, Generation: 7, Previous: -1, Cut: 3, CutId: "c3"}, {Id: 1, Generation: 2, Previous: -1, Cut: 4, CutId: "c4"}}
	m := NewMachine(checkpoint.TakeOver(root), Settings{Interval: time.Second, CutTimeout: time.Minute, Settle: time.Second}, now)
	return &rig{t: t, m: m, now: now}
}

func (r *rig) come(id WorkerID, c *pb.Claim) (goesOn bool) {
	r.m.Step(id, &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: string(id), Fingerprint: "fp", Claim: c}}}, r.now)
	for _, msg := range r.m.Ready().Messages {
		goesOn = goesOn || msg.To == id && msg.Body.GetAssignment() != nil && msg.Body.GetAssignment().GoOn
	}
	return goesOn
}

func claimOf(group uint32, generation, cut uint64, id string) *pb.Claim {
	return &pb.Claim{Run: "run", Group: group, Generation: generation, Cut: cut, CutId: id, Asked: cut}
}

func TestMachineLetsGroupsGoOn(t *testing.T) {
	r := takenOver(t)
	if r.come("x", claimOf(0, 6, 3, "c3")) {
		t.Error("a claim of an earlier generation goes on")
	}
	if !r.come("w0", claimOf(0, 7, 3, "c3")) {
		t.Error("the holder of the committed cut does not go on")
	}
	if r.come("w0again", claimOf(0, 7, 3, "c3")) {
		t.Error("a second holder of one group goes on")
	}
	frozen := &pb.Claim{Run: "run", Group: 1, Generation: 2, Cut: 9, CutId: "c9", Base: 4, BaseId: "c4", Asked: 12, Again: true}
	if !r.come("w1", frozen) {
		t.Error("the holder of the committed cut's frozen successor does not go on")
	}
	if r.m.next != 13 {
		t.Errorf("the next cut is %d, want one above what was asked for", r.m.next)
	}
}

func TestMachineWaitsForThoseWhoGoOn(t *testing.T) {
	r := takenOver(t)
	r.come("new", nil)
	r.wait(backFor - time.Millisecond)
	if r.m.commit != nil || len(r.log) != 0 {
		t.Fatalf("the shares are dealt out before their holders could come back: %q", r.log)
	}
	if !r.come("w0", claimOf(0, 7, 3, "c3")) {
		t.Error("the holder that comes in time does not go on")
	}
	r.wait(time.Second) // until the shares are dealt out
	if g := r.m.group(1); g.Worker != "new" || g.Previous != -1 {
		t.Errorf("group 1 is %v, want it with the new worker, and its former holder shut out", g)
	}
	if r.come("w1", claimOf(1, 2, 4, "c4")) {
		t.Error("a holder goes on whose group is with another")
	}
}

// TestMachineAsksForWhatAnAgainCutLeavesOut: a cut that is filed again holds what its group had read when it was first taken. What was read since is for the
// next one, also when nothing more comes.
func TestMachineAsksForWhatAnAgainCutLeavesOut(t *testing.T) {
	r := takenOver(t)
	r.come("w1", claimOf(1, 2, 4, "c4"))
	if !r.come("w", &pb.Claim{Run: "run", Group: 0, Generation: 7, Cut: 5, CutId: "c5", Base: 3, BaseId: "c3", Asked: 5, Again: true}) {
		t.Fatal("the holder of the committed cut's frozen successor does not go on")
	}
	r.progress(&pb.Progress{Rows: 6, Pending: true})
	r.wait(time.Second)
	w := r.m.member("w")
	if w.open == nil {
		t.Fatalf("no cut is asked for: %q", r.log)
	}
	again := r.fit(w.open.n, 4)
	r.report(again)
	r.wait(time.Second)
	if g := r.m.group(0); g.CutId != again.CutId {
		t.Fatalf("group 0 is %v, want cut %d", g, again.Cut)
	}
	r.progress(&pb.Progress{Rows: 6})
	r.wait(time.Second)
	if w.open == nil {
		t.Errorf("nobody asks for the two rows that the cut has left out: %q", r.log)
	}
}
