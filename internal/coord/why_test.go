package coord

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// wellStatus is that of a job of two workers, two splits and four partitions that lacks nothing.
func wellStatus() Status {
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1000, 0),
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a", Rows: 5}, {Id: "b", Rows: 5}}}},
		Stages:  []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(4)}}})
	root.Groups = []*pb.Group{{Id: 0, Worker: "w0"}, {Id: 1, Worker: "w1"}}
	root.Sources[0].Splits[1].Group = 1
	s := Status{Root: root}
	for i := range uint32(2) {
		parts := root.Stages[0].Partitions[2*i : 2*i+2]
		for _, p := range parts {
			p.Group = i
		}
		s.Workers = append(s.Workers, WorkerStatus{ID: WorkerID(fmt.Sprint("id", i)), Name: fmt.Sprint("w", i), Group: i, Has: true, Progress: &pb.Progress{},
			Load:      &pb.Load{Lanes: []*pb.LaneLoad{{Busy: 0.4}, {Stage: 1, Busy: 0.2, Lo: parts[0].Lo, Hi: parts[1].Hi, HasWatermark: true, WatermarkUs: 50e6}}},
			LaneStill: []time.Duration{0, time.Second}})
		s.Splits = append(s.Splits, SplitStatus{Source: "src", ID: string(rune('a' + i)), Group: i, Rows: 5, LagRows: -1, LagBytes: -1, Lag: -1,
			WatermarkUs: 60e6, Started: true, Still: time.Second})
	}
	return s
}

func TestWhy(t *testing.T) {
	const sec = time.Second
	for name, c := range map[string]struct {
		change func(*Status)
		stuck  []string
		slow   []string
	}{
		"all is well": {change: func(*Status) {}},
		"no worker":   {func(s *Status) { s.Workers = nil }, []string{"there is no worker: start one"}, nil},
		"a worker has gone": {func(s *Status) { s.Workers = s.Workers[:1] },
			[]string{"the share of group 1, which w1 had, waits for a worker"}, nil},
		"a worker is silent": {func(s *Status) { s.Workers[1].Silent = 4 * sec }, []string{"worker w1 has not been heard of for 4s"}, nil},
		"shares are dealt out": {func(s *Status) { s.Deal, s.DealFor, s.DealIn = "a change of workers", 2*sec, 8*sec },
			[]string{"a change of workers waits for last checkpoints, for 8s more at most"}, nil},
		"a deal has just begun":          {change: func(s *Status) { s.Deal, s.DealIn = "a change of workers", 8*sec }},
		"a commit takes long":            {func(s *Status) { s.CommitFor = 7 * sec }, []string{"a commit has been under way for 7s"}, nil},
		"a commit takes as long as ever": {change: func(s *Status) { s.CommitFor = sec }},
		"the coordinator's bucket fails": {func(s *Status) {
			s.CommitFor, s.Trouble, s.TroubleFor = 7*sec, "put_if of job/CURRENT is not answered", 7*sec
		},
			[]string{"bucket, as the coordinator sees it: put_if of job/CURRENT is not answered, for 7s"}, nil},
		"a worker's bucket fails": {func(s *Status) {
			s.Workers[0].Load.Trouble, s.Workers[0].Load.TroubleUs, s.Workers[0].LoadAge = "put of job/packs/x fails: refused", 8e6, sec
		}, []string{"bucket, as w0 sees it: put of job/packs/x fails: refused, for 9s"}, nil},
		"a failure that has just come": {change: func(s *Status) { s.Workers[0].Load.Trouble, s.Workers[0].Load.TroubleUs = "refused", 1e6 }},
		"a cut is open in a stage": {func(s *Status) {
			s.Workers[1].Open, s.Workers[1].OpenFor, s.Workers[1].Load.CutStage = 7, 12*sec, "upload"
		},
			[]string{"checkpoint 7 has been open at w1 for 12s: it is being written to the bucket (stage upload)"}, nil},
		"a cut waits for a bucket that fails, and all else for the cut": {func(s *Status) {
			w := &s.Workers[1]
			w.Open, w.OpenFor, w.Load.CutStage, w.Load.Trouble, w.Load.TroubleUs, w.LaneStill[1] = 7, 12*sec, "upload", "put of k is not answered", 12e6, 11*sec
		}, []string{"bucket, as w1 sees it: put of k is not answered, for 12s"}, nil},
		"a cut is not aligned": {func(s *Status) {
			s.Workers[1].Open, s.Workers[1].OpenFor, s.Workers[1].Load.CutStage = 7, 12*sec, "align"
		},
			[]string{"checkpoint 7 has been open at w1 for 12s: the barrier has not come to every lane (stage align)"}, nil},
		"a cut is in no stage": {func(s *Status) { s.Workers[1].Open, s.Workers[1].OpenFor = 7, 12*sec },
			[]string{"checkpoint 7 has been open at w1 for 12s: the worker has not begun it, or waits for its commit"}, nil},
		"a cut is young": {change: func(s *Status) { s.Workers[1].Open, s.Workers[1].OpenFor = 7, 2*sec }},
		"a split has given nothing": {func(s *Status) {
			s.Splits[1].Started, s.Splits[1].Rows, s.Splits[1].Still = false, 0, 15*sec
		}, []string{`split "b" of source "src" at w1 has given no row for 15s: the watermark waits for it`}, nil},
		"no split has given anything": {func(s *Status) {
			for i := range s.Splits {
				s.Splits[i].Started, s.Splits[i].Rows, s.Splits[i].Still = false, 0, 15*sec
			}
		}, []string{`2 splits have given no row, like "a" of source "src" at w0, for 15s`}, nil},
		"a split without event times": {change: func(s *Status) { s.Splits[1].Started, s.Splits[1].Still = false, 15*sec }},
		"a split holds the watermark": {func(s *Status) { s.Splits[1].WatermarkUs, s.Splits[1].Still = 50e6, 15*sec },
			[]string{`split "b" of source "src" at w1 holds the watermark at 1970-01-01T00:00:50Z, for 15s`}, nil},
		"a split that has nothing holds the watermark": {func(s *Status) { s.Splits[1].WatermarkUs, s.Splits[1].Still, s.Splits[1].LagRows = 50e6, 15*sec, 0 },
			[]string{`split "b" of source "src" at w1 holds the watermark at 1970-01-01T00:00:50Z, for 15s: nothing comes (an idle timeout of the source would let the others go on)`}, nil},
		"a split with rows holds the watermark": {func(s *Status) { s.Splits[1].WatermarkUs, s.Splits[1].Still, s.Splits[1].LagRows = 50e6, 15*sec, 9 },
			[]string{`split "b" of source "src" at w1 holds the watermark at 1970-01-01T00:00:50Z, for 15s: 9 rows wait in it`}, nil},
		"an idle split holds nothing": {change: func(s *Status) { s.Splits[1].WatermarkUs, s.Splits[1].Still, s.Splits[1].Idle = 50e6, 15*sec, true }},
		"nothing comes to any split": {change: func(s *Status) {
			s.Splits[0].Still, s.Splits[1].WatermarkUs, s.Splits[1].Still = 15*sec, 50e6, 15*sec
		}},
		"partitions hold the watermark": {func(s *Status) { s.Workers[1].LaneStill[1] = 11 * sec },
			[]string{"the watermark of partitions 2 to 3 of stage 1 at w1 stays at 1970-01-01T00:00:50Z, for 11s, behind that of the sources"}, nil},
		"partitions wait for their sources": {change: func(s *Status) {
			for i := range s.Splits {
				s.Splits[i].WatermarkUs = 50e6
			}
			s.Workers[1].LaneStill[1] = 11 * sec
		}},
		"a queue is full": {func(s *Status) { s.Workers[1].Load.Lanes[1].Full, s.Workers[1].Load.Lanes[1].Busy = 1, 0.99 }, nil,
			[]string{"the queue of stage 1 at w1 is full: the lane of partitions 2 to 3 works for 99 % of the time"}},
		"a queue before one that is full too": {func(s *Status) {
			w := s.Workers[0].Load
			w.Lanes[1].Full, w.Lanes[0].Blocked = 1, 0.9
			w.Lanes = append(w.Lanes, &pb.LaneLoad{Stage: 2, Full: 0.95, Busy: 0.1, Blocked: 0.9, Hi: 1 << 32})
			s.Workers[0].LaneStill = append(s.Workers[0].LaneStill, 0)
		}, nil, []string{"the queue of stage 2 at w0 is full: the lane of partitions from hash 0 works for 10 % of the time, and waits for room behind it for 90 %"}},
		"sources wait for room": {func(s *Status) { s.Workers[0].Load.Lanes[0].Blocked = 0.7 }, nil,
			[]string{"the sources at w0 wait for room behind them for 70 % of the time"}},
		"sources are throttled": {func(s *Status) { s.Workers[0].Load.Lanes[0].Busy, s.Workers[0].Load.Lanes[0].Throttled = 1, 0.97 }, nil,
			[]string{"the sources at w0 are held to --rate for 97 % of the time"}},
		"all input is read":    {change: func(s *Status) { s.Root.Ended, s.Splits[1].Still, s.Workers[0].Load.Lanes[0].Blocked = true, 15*sec, 1 }},
		"the job has finished": {change: func(s *Status) { s.Workers, s.Root.FinishedUs = nil, 1 }},
	} {
		s := wellStatus()
		c.change(&s)
		if got := s.Why(); !slices.Equal(got.Stuck, c.stuck) || !slices.Equal(got.Slow, c.slow) {
			t.Errorf("%s:\nstuck %q\n want %q\nslow  %q\n want %q", name, got.Stuck, c.stuck, got.Slow, c.slow)
		}
	}
}

// A hundred workers with one trouble are no wall.
func TestWhyIsShort(t *testing.T) {
	s := wellStatus()
	for i := range 100 {
		w := s.Workers[0]
		w.Name, w.Load = fmt.Sprint("x", i), &pb.Load{Trouble: "put of k is not answered", TroubleUs: 9e6}
		s.Workers = append(s.Workers, w)
	}
	if got := s.Why().Stuck; len(got) != 4 || got[3] != "... and 97 more like that" {
		t.Errorf("%d lines, want three and how many more:\n%s", len(got), strings.Join(got, "\n"))
	}
}
