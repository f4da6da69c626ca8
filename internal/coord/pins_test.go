package coord

import (
	"errors"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// copies writes down the copies that the machine wants written since the last call.
func (r *rig) copied(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if !r.m.pins.copying[id] {
			r.t.Fatalf("no copy is wanted for %q", id)
		}
		r.m.CopyDone(id, nil, r.now)
		r.act(true)
	}
}

func (r *rig) wantPins(want ...string) {
	r.t.Helper()
	var got []string
	for _, p := range r.m.root.Pins {
		s := p.Id
		if !p.Written {
			s += " unwritten"
		}
		got = append(got, s)
	}
	if len(got) != len(want) {
		r.t.Fatalf("pins %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			r.t.Fatalf("pins %q, want %q", got, want)
		}
	}
}

func TestMachineSavepoint(t *testing.T) {
	r := newRig(t)
	r.register()
	r.log = nil
	if err := r.m.Savepoint("s1", "monday", r.now); err != nil {
		t.Fatal(err)
	}
	r.act(true)
	r.want("commit epoch=0 floor=1 gen=1", "committed epoch=0")
	r.wantPins("s1 unwritten")
	if err := r.m.Savepoint("s1", "monday", r.now); err != nil {
		t.Errorf("asked again: %v", err)
	}
	if err := r.m.Savepoint("s2", "monday", r.now); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("another one of that name: %v", err)
	}
	for _, bad := range [][2]string{{"S", "x"}, {"", "x"}, {"s3", "../x"}, {"s3", ""}} {
		if err := r.m.Savepoint(bad[0], bad[1], r.now); sabot.KindOf(err) != sabot.Invalid {
			t.Errorf("id %q, name %q: %v", bad[0], bad[1], err)
		}
	}
	r.want()
	r.copied("s1")
	r.want("commit epoch=0 floor=1 gen=1", "committed epoch=0")
	r.wantPins("s1")
	if err := r.m.PinClone("s1", "c1", "other", r.now); err != nil {
		t.Fatal(err)
	}
	r.act(true)
	r.wantPins("s1", "c1")
	if err := r.m.PinClone("s9", "c2", "third", r.now); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("a clone of nothing: %v", err)
	}
	r.log = nil
	if err := r.m.RemovePin("s1", r.now); err != nil {
		t.Fatal(err)
	}
	x := r.m.Ready()
	if x.Commit == nil {
		t.Fatal("nothing is committed")
	}
	r.m.CommitDone(r.now)
	x = r.m.Ready()
	r.wantPins("c1")
	if want := checkpoint.NewPaths("job").Copy(&pb.Pin{Term: 1, Id: "s1"}); len(x.Garbage) != 1 || x.Garbage[0] != want {
		t.Errorf("to delete: %q, want the copy %q", x.Garbage, want)
	}
	if err := r.m.RemovePin("s1", r.now); sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("removed twice: %v", err)
	}
}

func TestMachineSavepointThatCannotBeWritten(t *testing.T) {
	r := newRig(t)
	r.register()
	if err := r.m.Savepoint("s1", "monday", r.now); err != nil {
		t.Fatal(err)
	}
	r.act(true)
	r.m.CopyDone("s1", errors.New("no room"), r.now)
	r.act(true)
	r.wantPins()
}

func TestMachineStopsWithSavepoint(t *testing.T) {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.log = nil
	if err := r.m.StopWithSavepoint("s1", "last", false, r.now, r.now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.act(true)
	r.want("cut 1 gen=1 final=false")
	r.report(r.fit(1, 10))
	r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1", "commit epoch=1 floor=2 gen=1", "committed epoch=1")
	if p := checkpoint.PinOf(r.m.root, "s1"); p == nil || p.Epoch != 1 {
		t.Fatalf("pin %v, want one of the last checkpoint", p)
	}
	r.copied("s1")
	r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1", "stop", "end finished=false")
	r.wantPins("s1")
}

func TestMachineFinishesAfterItsSavepoint(t *testing.T) {
	r := newRig(t)
	r.register()
	if err := r.m.Savepoint("s1", "late", r.now); err != nil {
		t.Fatal(err)
	}
	r.act(true)
	r.progress(&pb.Progress{Rows: 10, Ended: true})
	x := r.fit(1, 10)
	x.Ended = true
	r.report(x)
	if r.end != nil || !r.m.root.Ended {
		t.Fatalf("end %v, root %v: want the input ended, and the job going on until the savepoint is there", r.end, r.m.root)
	}
	r.copied("s1")
	if r.end == nil || !r.end.Finished {
		t.Fatalf("end %v", r.end)
	}
	r.wantPins("s1")
}

func TestMachineRetainsRoots(t *testing.T) {
	r := newRig(t)
	r.m.set.Retain, r.m.set.RetainEvery = 2, time.Minute
	r.register()
	cut := func(n uint64, after time.Duration) {
		t.Helper()
		r.wait(after)
		r.progress(&pb.Progress{Rows: int64(n)})
		r.report(r.fit(n, int64(n)))
	}
	cut(1, 30*time.Second)
	r.wantPins()
	cut(2, 30*time.Second)
	r.wantPins("t1e2 unwritten")
	r.log = nil
	r.copied("t1e2")
	r.want() // that it is there is noted along with the next cut
	cut(3, 30*time.Second)
	r.wantPins("t1e2")
	cut(4, 30*time.Second)
	r.copied("t1e4")
	cut(5, time.Minute)
	r.wantPins("t1e4", "t1e5 unwritten") // of two, one is being written
	if at := lastRetained(r.m.root, r.now); !at.Equal(r.now) {
		t.Errorf("retained last at %v, want %v", at, r.now)
	}
}

// Groups commit on their own: a cut of a lower number may be folded later, and leaves the epoch as it is.
func TestMachineRetainsAnEpochOnce(t *testing.T) {
	r := newRig(t)
	r.m.set.Retain, r.m.set.RetainEvery = 2, time.Minute
	body := &pb.Root{Job: "job", Term: 1, Epoch: 4}
	var c commitInFlight
	at := r.now.Add(time.Hour)
	if !r.m.retain(body, &c, at) || len(body.Pins) != 1 {
		t.Fatalf("pins %v, want one", body.Pins)
	}
	if at = at.Add(time.Hour); r.m.retain(body, &c, at) {
		t.Errorf("pins %v: epoch 4 is retained twice", body.Pins)
	}
	if body.Epoch = 5; !r.m.retain(body, &c, at) || body.Pins[len(body.Pins)-1].Id != "t1e5" {
		t.Errorf("pins %v, want t1e5 behind t1e4", body.Pins)
	}
}
