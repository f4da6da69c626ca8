package coord

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// rig drives a machine by hand and writes down what it wants done.
type rig struct {
	t   *testing.T
	m   *Machine
	now time.Time
	log []string
	end *End
}

func newRig(t *testing.T) *rig {
	now := time.Unix(1000, 0)
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: now, Fingerprint: "fp",
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a", Bounded: true}}}}})
	m := NewMachine(root, Settings{Interval: time.Second, CutTimeout: time.Minute, CompactionTimeout: time.Minute}, now)
	return &rig{t: t, m: m, now: now}
}

// act writes down what the machine wants done, and confirms a commit at once when told so.
func (r *rig) act(commit bool) {
	for {
		x := r.m.Ready()
		for _, m := range x.Messages {
			switch m := m.Body.Message.(type) {
			case *pb.ToWorker_Assignment:
				r.note("assign gen=%d", m.Assignment.Root.Groups[0].Generation)
			case *pb.ToWorker_Cut:
				r.note("cut %d gen=%d final=%v", m.Cut.Cut, m.Cut.Generation, m.Cut.Final)
			case *pb.ToWorker_Committed:
				r.note("committed epoch=%d", m.Committed.Root.Epoch)
			case *pb.ToWorker_Refused:
				r.note("refused %d", m.Refused.Cut)
			case *pb.ToWorker_Stop:
				r.note("stop")
			}
		}
		for _, k := range x.Garbage {
			r.note("delete %s", k[strings.LastIndexByte(k, '-')+1:])
		}
		if x.End != nil {
			r.end = x.End
			r.note("end finished=%v", x.End.Finished)
		}
		if x.Commit != nil {
			r.note("commit epoch=%d floor=%d gen=%d", x.Commit.Epoch, x.Commit.Floor, x.Commit.Groups[0].Generation)
			if commit {
				r.m.CommitDone(r.now)
				continue
			}
		}
		return
	}
}

func (r *rig) note(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }

func (r *rig) step(m *pb.FromWorker) { r.m.Step("w", m, r.now); r.act(true) }
func (r *rig) register() {
	r.step(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w", Fingerprint: "fp"}}})
}
func (r *rig) progress(p *pb.Progress) {
	p.Generation = max(p.Generation, r.m.group(0).Generation)
	r.step(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: p}})
}
func (r *rig) wait(d time.Duration) { r.now = r.now.Add(d); r.m.Tick(r.now); r.act(true) }

// fit returns a report of a cut that fits the committed root.
func (r *rig) fit(cut uint64, rows int64) *pb.Report {
	g := r.m.group(0)
	return &pb.Report{Term: r.m.root.Term, Generation: g.Generation, Run: "run", Cut: cut, CutId: fmt.Sprint("c", cut, g.Generation), Base: g.Cut, BaseId: g.CutId,
		Splits: []*pb.ReportSplit{{Source: "src", Id: "a", Rows: rows}}}
}
func (r *rig) report(x *pb.Report) { r.step(&pb.FromWorker{Message: &pb.FromWorker_Report{Report: x}}) }

func (r *rig) want(lines ...string) {
	r.t.Helper()
	if got := strings.Join(r.log, "\n"); got != strings.Join(lines, "\n") {
		r.t.Fatalf("got\n  %s\nwant\n  %s", strings.Join(r.log, "\n  "), strings.Join(lines, "\n  "))
	}
	r.log = nil
}

func TestMachineSteadyCuts(t *testing.T) {
	r := newRig(t)
	r.register()
	r.want("assign gen=1")
	r.progress(&pb.Progress{Rows: 10})
	r.want() // the interval has not passed
	if at := r.m.Next(r.now); !at.Equal(r.now.Add(time.Second)) {
		t.Errorf("next tick at %v", at)
	}
	r.wait(time.Second)
	r.want("cut 1 gen=1 final=false")
	r.progress(&pb.Progress{Rows: 12})
	r.wait(5 * time.Second)
	r.want() // one cut in flight
	r.report(r.fit(1, 11))
	r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1", "cut 2 gen=1 final=false")
	r.report(r.fit(2, 12))
	r.want("commit epoch=2 floor=3 gen=1", "committed epoch=2")
	r.wait(time.Hour)
	r.progress(&pb.Progress{Rows: 12})
	r.wait(time.Hour)
	r.want() // idle
	if at := r.m.Next(r.now); !at.IsZero() {
		t.Errorf("idle, but a tick is due at %v", at)
	}
	r.progress(&pb.Progress{Rows: 12, Pending: true})
	r.want("cut 3 gen=1 final=false")
}

func TestMachineEndOfInput(t *testing.T) {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10, Ended: true})
	r.want("assign gen=1", "cut 1 gen=1 final=true")
	x := r.fit(1, 10)
	x.Ended = true
	x.Outputs = []*pb.ReportOutput{{Key: &pb.OutputKey{Sink: "s", Number: 1}, Schema: []byte("x"), Close: true}}
	r.report(x)
	r.progress(&pb.Progress{Rows: 10, Ended: true})
	r.wait(time.Hour)
	r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1")
	r.progress(&pb.Progress{Rows: 10, Ended: true, Pending: true})
	r.want("cut 2 gen=1 final=true")
	x = r.fit(2, 10)
	x.Ended, x.Published = true, []*pb.OutputKey{{Sink: "s", Number: 1}}
	r.report(x)
	r.want("commit epoch=2 floor=3 gen=1", "stop", "end finished=true")
	r.report(r.fit(3, 10))
	r.want()
}

func TestMachineRestarts(t *testing.T) {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	old := r.fit(1, 10)
	r.log = nil
	r.register() // it has lost its group: nothing of its former life counts
	r.want("commit epoch=0 floor=1 gen=2", "assign gen=2")
	r.report(old)
	r.want("refused 1")
	r.progress(&pb.Progress{Rows: 3})
	r.wait(time.Second)
	r.want("cut 2 gen=2 final=false")
	r.wait(time.Minute) // it does not answer
	r.want("commit epoch=0 floor=1 gen=3", "assign gen=3")
}

func TestMachineRefusesAndGoesOn(t *testing.T) {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	r.log = nil
	bad := r.fit(1, 10)
	bad.BaseId = "another"
	r.report(bad)
	r.want("refused 1")
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	r.want("cut 2 gen=1 final=false")
	r.report(r.fit(7, 10))
	r.want("refused 7") // nobody has asked for it
	good := r.fit(2, 10)
	r.report(good)
	r.want("commit epoch=2 floor=3 gen=1", "committed epoch=2")
	r.report(good)
	r.want("committed epoch=2") // a duplicate is answered, not folded
}

func TestMachineGivesUpOnRefusals(t *testing.T) {
	r := newRig(t)
	r.register()
	for n := uint64(1); r.end == nil && n < 20; n++ {
		r.progress(&pb.Progress{Rows: 10, Ended: true}) // which asks for a cut at once
		bad := r.fit(n, 10)
		bad.Splits = nil
		r.report(bad)
	}
	if r.end == nil || sabot.KindOf(r.end.Err) != sabot.Internal || !strings.Contains(r.end.Err.Error(), "0 of 1 splits") {
		t.Errorf("end %+v", r.end)
	}
	if n := len(r.log); n != 1+2*(maxRefusals+1)+2 {
		t.Errorf("%d events: %q", n, r.log)
	}
}

func TestMachineWaitsForTheCommit(t *testing.T) {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	r.log = nil
	r.m.Step("w", &pb.FromWorker{Message: &pb.FromWorker_Report{Report: r.fit(1, 10)}}, r.now)
	r.act(false)
	r.want("commit epoch=1 floor=2 gen=1")
	r.m.Step("w", &pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: 1, Rows: 20}}}, r.now)
	r.m.Tick(r.now.Add(time.Hour))
	r.act(false)
	r.want() // nothing while it is in flight
	r.m.CommitFailed(sabot.WithKind(sabot.Fenced, errors.New("deposed")))
	r.act(false)
	r.want("stop", "end finished=false")
	if sabot.KindOf(r.end.Err) != sabot.Fenced {
		t.Errorf("error %v", r.end.Err)
	}
}

func TestMachineStops(t *testing.T) {
	stop := func(r *rig) { r.m.RequestStop(r.now, r.now.Add(time.Minute)); r.act(true) }
	t.Run("with something new", func(t *testing.T) {
		r := newRig(t)
		r.register()
		r.progress(&pb.Progress{Rows: 10})
		stop(r)
		r.want("assign gen=1", "cut 1 gen=1 final=false")
		r.report(r.fit(1, 10))
		r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1", "stop", "end finished=false")
	})
	t.Run("with nothing new", func(t *testing.T) {
		r := newRig(t)
		r.register()
		stop(r)
		r.want("assign gen=1", "stop", "end finished=false")
		if r.end.Err != nil {
			t.Error(r.end.Err)
		}
	})
	t.Run("before a worker has come", func(t *testing.T) {
		r := newRig(t)
		stop(r)
		r.want("end finished=false")
	})
	t.Run("at the deadline", func(t *testing.T) {
		r := newRig(t)
		r.register()
		r.progress(&pb.Progress{Rows: 10})
		stop(r)
		r.wait(time.Minute)
		r.want("assign gen=1", "cut 1 gen=1 final=false", "stop", "end finished=false")
		if r.end.Err == nil {
			t.Error("no error tells of the checkpoint that is missing")
		}
	})
}

func TestMachineFailures(t *testing.T) {
	r := newRig(t)
	r.step(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w", Fingerprint: "other"}}})
	if r.end == nil || sabot.KindOf(r.end.Err) != sabot.Invalid {
		t.Errorf("a worker of another plan: %v", r.end)
	}
	r = newRig(t)
	r.register()
	r.step(&pb.FromWorker{Message: &pb.FromWorker_Failed{Failed: &pb.Failed{Error: "boom", Kind: "corrupt"}}})
	if r.end == nil || sabot.KindOf(r.end.Err) != sabot.Corrupt || !strings.Contains(r.end.Err.Error(), "boom") {
		t.Errorf("a failed worker: %v", r.end)
	}
}

func TestMachinePacesCommits(t *testing.T) {
	r := newRig(t)
	r.m.set.CommitGap = 2 * time.Second
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	r.report(r.fit(1, 10))
	r.want("assign gen=1", "cut 1 gen=1 final=false")
	if at := r.m.Next(r.now); !at.Equal(r.now.Add(time.Second)) {
		t.Errorf("next tick at %v", at)
	}
	r.wait(time.Second)
	r.want("commit epoch=1 floor=2 gen=1", "committed epoch=1")
}
