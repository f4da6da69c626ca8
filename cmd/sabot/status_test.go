package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

// reply is what a coordinator says of a job of three workers, 12 splits and 64 partitions.
func reply() *controlpb.StatusReply {
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "flights", Run: "12ab34cd", Now: time.Unix(1000, 0),
		Sources: []*pb.Source{{Name: "flights"}}, Stages: []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(64)}}})
	root.Epoch, root.CommittedUs = 120, 2_000_000_000
	r := &controlpb.StatusReply{Root: root, NowUs: root.CommittedUs + 13_400_000, CommitUs: 13_000_000,
		Stuck: []string{"bucket, as the coordinator sees it: put_if of flights/CURRENT is not answered, and has failed before: write: timeout awaiting response headers, for 43s"},
		Slow:  []string{"the sources at worker-2 are held to --rate for 97 % of the time"}}
	for i := range uint32(12) {
		id := fmt.Sprintf("s3://a-bucket/a/folder/of/flights-%02d.parquet", i)
		root.Sources[0].Splits = append(root.Sources[0].Splits, &pb.Split{Id: id, Group: i % 4, Rows: 1000})
		x := &controlpb.SplitStatus{Source: "flights", Id: id, Group: i % 4, Rows: 1200, LagRows: 100_000_000 * int64(i), LagBytes: -1, LagUs: 1_500_000 * int64(i), WatermarkUs: 1_700_000_000_123_456, HasWatermark: true}
		switch i {
		case 0:
			x.Ended = true
		case 1:
			x.LagRows, x.LagUs, x.HasWatermark = -1, -1, false
		case 2:
			x.Idle = true
		}
		r.Splits = append(r.Splits, x)
	}
	root.Objects = []*pb.Object{{Key: "o"}}
	for i, p := range root.Stages[0].Partitions {
		p.Group = uint32(i % 4)
		p.Refs = []*pb.Reference{{Table: "t", Length: 150_000}}
	}
	for i, name := range []string{"worker-1", "worker-2", "a-host-with-a-very-long-name.example.com-123456"} {
		w := &controlpb.WorkerStatus{Id: fmt.Sprintf("%016x", i), Name: name, Group: uint32(i), HasGroup: true, SilentUs: 40_000, Progress: &pb.Progress{Rows: 10, Bytes: 1 << 20}}
		w.Load = &pb.Load{Lanes: []*pb.LaneLoad{{Busy: 1, Throttled: 0.97}, {Stage: 1, Busy: 0.25, Blocked: 0.5, Full: 0.125, Hi: 1 << 32, WatermarkUs: 1_700_000_000_000_000, HasWatermark: true}}}
		r.Workers = append(r.Workers, w)
	}
	r.Workers[0].OpenCut, r.Workers[0].OpenUs, r.Workers[0].Load.CutStage = 121, 12_000_000, "upload"
	r.Workers[1].Load.Trouble, r.Workers[1].Load.TroubleUs = "put of flights/packs/x is not answered", 12_000_000
	r.Workers[2].Leaving = true
	r.Workers = append(r.Workers, &controlpb.WorkerStatus{Id: "0000000000000007", Name: "worker-1", SilentUs: 4_000_000}, &controlpb.WorkerStatus{Id: "0000000000000008", Name: "new"})
	return r
}

func TestStatusText(t *testing.T) {
	var brief, full bytes.Buffer
	s := statusOf(reply())
	if err := (statusCmd{}).print(&brief, s); err != nil {
		t.Fatal(err)
	}
	if err := (statusCmd{Partitions: true}).print(&full, s); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(full.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > statusWidth {
			t.Errorf("a line of %d columns, want %d at most: %s", n, statusWidth, line)
		}
	}
	if n := strings.Count(brief.String(), "\n"); n > 20 {
		t.Errorf("%d lines for 64 partitions:\n%s", n, brief.String())
	}
	if !strings.HasPrefix(full.String(), brief.String()) || strings.Count(full.String(), "\n") < 64+12 {
		t.Errorf("with --partitions it does not show all of them:\n%s", full.String())
	}
	lines := slices.Collect(strings.Lines(full.String()))
	golden(t, "status", brief.String()+"\n--partitions:\n"+strings.Join(lines[strings.Count(brief.String(), "\n"):strings.Count(brief.String(), "\n")+26], ""))
}

func TestStatusJSON(t *testing.T) {
	var out bytes.Buffer
	if err := (statusCmd{JSON: true}).print(&out, statusOf(reply())); err != nil {
		t.Fatal(err)
	}
	var s struct {
		Job        string
		CommitAge  float64 `json:"commit_age_seconds"`
		Stuck      []string
		Workers    []map[string]any
		Splits     []map[string]any
		Partitions []map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Job != "flights" || s.CommitAge != 13.4 || len(s.Stuck) != 1 || len(s.Workers) != 5 || len(s.Splits) != 12 || len(s.Partitions) != 64 {
		t.Errorf("job %s, age %v, %d reasons, %d workers, %d splits, %d partitions", s.Job, s.CommitAge, len(s.Stuck), len(s.Workers), len(s.Splits), len(s.Partitions))
	}
	for what, c := range map[string]struct{ got, want any }{
		"a worker's lag":           {s.Workers[1]["lag_rows"], 1_400_000_000.0}, // of splits 5 and 9; that of split 1 is not known
		"for how long":             {s.Workers[1]["lag_seconds"], 13.5},
		"a worker's stage":         {s.Workers[0]["cut_stage"], "upload"},
		"a worker without a share": {s.Workers[4]["busy"], nil},
		"a worker's state":         {s.Workers[0]["state_bytes"], 16 * 150_000.0},
		"an unknown lag":           {s.Splits[1]["lag_rows"], nil},
		"a split's owner":          {s.Splits[1]["worker"], "worker-2"},
		"a split without an owner": {s.Splits[3]["worker"], ""},
		"a partition's owner":      {s.Partitions[5]["worker"], "worker-2"},
		"a partition's state":      {s.Partitions[5]["state_bytes"], 150_000.0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
}
