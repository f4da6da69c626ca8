package coord

import (
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// opened brings a rig to where an output is open, with a row in it.
func opened(t *testing.T) *rig {
	r := newRig(t)
	r.register()
	r.progress(&pb.Progress{Rows: 10})
	r.wait(time.Second)
	x := r.fit(1, 10)
	x.Outputs = []*pb.ReportOutput{{Key: &pb.OutputKey{Sink: "s", Number: 1}, Schema: []byte("x")}}
	r.report(x)
	r.want("assign gen=1", "cut 1 gen=1 final=false", "commit epoch=1 floor=2 gen=1", "committed epoch=1")
	return r
}

// cutAsked returns the cut that was asked for last.
func (r *rig) cutAsked() *pb.Cut {
	r.t.Helper()
	for _, m := range r.m.Ready().Messages {
		if c := m.Body.GetCut(); c != nil {
			return c
		}
	}
	r.t.Fatal("no cut is asked for")
	return nil
}

// A drain closes what is open, though there is nothing new, waits until it is published, and ends.
func TestMachineDrains(t *testing.T) {
	r := opened(t)
	r.progress(&pb.Progress{Rows: 10})
	r.m.RequestDrain(r.now, r.now.Add(time.Minute))
	if c := r.cutAsked(); !c.Hold || !c.Close || c.Final || c.Cut != 2 {
		t.Fatalf("the cut that closes: %v", c)
	}
	x := r.fit(2, 10)
	x.Outputs = []*pb.ReportOutput{{Key: &pb.OutputKey{Sink: "s", Number: 1}, Close: true}}
	r.report(x)
	r.progress(&pb.Progress{Rows: 10})
	r.wait(10 * time.Second)
	r.want("commit epoch=2 floor=3 gen=1", "committed epoch=2")
	if at := r.m.Next(r.now); !at.After(r.now) {
		t.Errorf("while it waits for the publishing, a tick is due at %v, now is %v", at, r.now)
	}
	r.progress(&pb.Progress{Rows: 10, Pending: true})
	x = r.fit(3, 10)
	x.Published = []*pb.OutputKey{{Sink: "s", Number: 1}}
	r.report(x)
	r.want("cut 3 gen=1 final=false", "commit epoch=3 floor=4 gen=1", "committed epoch=3", "stop", "end finished=false")
	if r.end.Err != nil {
		t.Error(r.end.Err)
	}
}

// A plain stop leaves an open output open, and a drain that nothing comes of says so.
func TestMachineStopIsNoDrain(t *testing.T) {
	r := opened(t)
	r.m.RequestStop(r.now, r.now.Add(time.Minute))
	r.act(true)
	r.want("stop", "end finished=false")

	r = opened(t)
	r.m.RequestDrain(r.now, r.now.Add(time.Minute))
	r.act(true)
	r.wait(time.Minute)
	if r.end == nil || r.end.Err == nil || !strings.Contains(r.end.Err.Error(), "stopped before all was drained") {
		t.Errorf("the drain ends with %+v", r.end)
	}
}

// What is on its way between stages is read before a stop ends; with nobody to read it, it stays.
func TestMachineStopReadsExchanges(t *testing.T) {
	r := opened(t)
	r.m.root.Stages = []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(1)}}
	r.m.root.Objects = []*pb.Object{{Key: "job/packs/x", Size: 1}}
	r.m.root.Exchanges = []*pb.Exchange{{Stage: 1, Cut: 1, Blocks: []*pb.Block{{Hi: 1, Length: 1, Rows: 1}}}}
	r.m.RequestStop(r.now, r.now.Add(time.Minute))
	r.act(true)
	r.want()
	if at := r.m.Next(r.now); !at.After(r.now) {
		t.Errorf("while it waits for a reader, a tick is due at %v, now is %v", at, r.now)
	}
	r.progress(&pb.Progress{Rows: 11})
	r.want("cut 2 gen=1 final=false")
	x := r.fit(2, 11)
	x.Partitions = []*pb.ReportPartition{{Stage: 1, Hi: checkpoint.HashSpace}}
	r.report(x)
	r.want("commit epoch=2 floor=3 gen=1", "committed epoch=2")
	r.wait(time.Minute) // the exchange is never read
	r.want("stop", "end finished=false")
	if r.end.Err != nil {
		t.Errorf("a stop whose last checkpoint is committed ends with %v", r.end.Err)
	}

	r = newRig(t)
	r.m.root.Exchanges = []*pb.Exchange{{Stage: 1, Blocks: []*pb.Block{{Hi: 1, Length: 1, Rows: 1}}}}
	r.m.RequestStop(r.now, r.now.Add(time.Minute))
	r.act(true)
	r.want("end finished=false")
}
