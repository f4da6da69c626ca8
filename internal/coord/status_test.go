package coord

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// tells makes worker w tell of its progress with a load.
func (r *rig) tells(w WorkerID, l *pb.Load) {
	gen := r.m.root.Groups[0].Generation
	r.m.Step(w, &pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: gen, Rows: 1, Load: l}}}, r.now)
}

func TestStatusTellsLoads(t *testing.T) {
	r := newRig(t)
	r.m.Step("w", &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w", Fingerprint: "fp"}}}, r.now)
	r.m.Tick(r.now)
	if st := r.m.Status(r.now); len(st.Workers) != 1 || !st.Workers[0].Has || st.Workers[0].Load != nil || st.Splits[0].LagRows != -1 || st.Splits[0].Still != 0 {
		t.Fatalf("before the first load: %+v", st)
	}
	load := &pb.Load{Splits: []*pb.SplitLoad{{Source: "src", Id: "a", Rows: 7, LagRows: 3, LagBytes: -1, LagUs: 2e6, WatermarkUs: 5, HasWatermark: true}},
		Lanes: []*pb.LaneLoad{{Busy: 0.5}, {Stage: 1, Hi: 9, WatermarkUs: 4, HasWatermark: true}}}
	r.tells("w", load)
	r.now = r.now.Add(4 * time.Second)
	r.tells("w", proto.Clone(load).(*pb.Load)) // nothing has moved
	r.now = r.now.Add(time.Second)
	st := r.m.Status(r.now)
	want := SplitStatus{Source: "src", ID: "a", Group: st.Workers[0].Group, Rows: 7, LagRows: 3, LagBytes: -1, Lag: 2 * time.Second, WatermarkUs: 5, Started: true, Still: 5 * time.Second}
	if got := st.Splits[0]; got != want {
		t.Errorf("the split is told as %+v, want %+v", got, want)
	}
	if w := st.Workers[0]; w.LoadAge != time.Second || w.Progress.Load != nil || w.Progress.Rows != 1 || !reflect.DeepEqual(w.LaneStill, []time.Duration{0, 5 * time.Second}) {
		t.Errorf("the worker is told as %+v", w)
	}
	r.m.Step("w", &pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: r.m.root.Groups[0].Generation, Rows: 8}}}, r.now)
	if w := r.m.Status(r.now).Workers[0]; w.Load == nil || w.Progress.Rows != 8 {
		t.Errorf("after progress without a load, which comes more often: %+v, want the load still", w)
	}
	load.Splits[0].Rows = 8
	r.tells("w", load)
	if st := r.m.Status(r.now); st.Splits[0].Still != 0 || st.Workers[0].LaneStill[1] != 5*time.Second {
		t.Errorf("when the split has moved: it stands still for %v, and the lane for %v; want 0 and 5s", st.Splits[0].Still, st.Workers[0].LaneStill[1])
	}
	r.m.Step("w", &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w", Fingerprint: "fp"}}}, r.now)
	if st := r.m.Status(r.now); st.Workers[0].Load != nil || !st.Moving {
		t.Errorf("when the worker starts again: %+v, moving %v, want no load and moving", st.Workers[0], st.Moving)
	}
}

func TestLagOf(t *testing.T) {
	for name, c := range map[string]struct {
		splits []SplitStatus
		want   SourceLag
	}{
		"nothing is known":      {[]SplitStatus{{LagRows: -1, LagBytes: -1, Lag: -1}}, SourceLag{-1, -1, -1}},
		"rows":                  {[]SplitStatus{{LagRows: 3, LagBytes: -1, Lag: 2}, {LagRows: 4, LagBytes: -1, Lag: 9}}, SourceLag{7, -1, 9}},
		"some is not known":     {[]SplitStatus{{LagRows: 3, LagBytes: -1, Lag: 2}, {LagRows: -1, LagBytes: -1, Lag: -1}}, SourceLag{3, -1, 2}},
		"bytes":                 {[]SplitStatus{{Rows: 10, LagRows: -1, Bytes: 150, LagBytes: 50, Lag: -1}, {LagRows: -1, Bytes: 100, LagBytes: 100, Lag: -1}}, SourceLag{15, 150, -1}},
		"bytes before any rows": {[]SplitStatus{{LagRows: -1, Bytes: 100, LagBytes: 100, Lag: -1}}, SourceLag{-1, 100, -1}},
		"rows beside bytes":     {[]SplitStatus{{Rows: 10, LagRows: 6, Bytes: 150, LagBytes: 50, Lag: -1}, {LagRows: -1, Bytes: 100, LagBytes: 100, Lag: -1}}, SourceLag{16, 150, -1}},
		"all is read":           {[]SplitStatus{{Rows: 10, Bytes: 100, Ended: true}}, SourceLag{0, 0, 0}},
	} {
		for i := range c.splits {
			c.splits[i].Source = "src"
		}
		if got := LagOf(c.splits)["src"]; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
