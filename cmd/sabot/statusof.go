package main

import (
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

func inSeconds(us int64) float64 { return (time.Duration(us) * time.Microsecond).Seconds() }

// known returns n, nil when it is not known.
func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func knownSeconds(us int64) *float64 {
	if us < 0 {
		return nil
	}
	s := inSeconds(us)
	return &s
}

func instant(has bool, us int64) *string {
	if !has {
		return nil
	}
	s := checkpoint.Instant(us)
	return &s
}

// greater returns the greater of what is known and x.
func greater[N int64 | float64](known *N, x N) *N {
	if known != nil && *known >= x {
		return known
	}
	return &x
}

// statusOf turns a coordinator's answer into a status.
func statusOf(r *controlpb.StatusReply) *jobStatus {
	sum := checkpoint.Summarize(r.Root)
	s := &jobStatus{Job: r.Root.Job, Run: r.Root.Run, Term: r.Root.Term, Epoch: r.Root.Epoch, CommitAge: inSeconds(r.NowUs - r.Root.CommittedUs),
		CommitUnderWay: inSeconds(r.CommitUs), RowsRead: sum.RowsRead, RowsLate: sum.RowsLate, RowsDead: sum.RowsDead, Watermark: sum.Watermark,
		Ended: sum.Ended, Moving: r.Moving, Stuck: append([]string{}, r.Stuck...), Slow: append([]string{}, r.Slow...),
		Workers: []workerStatus{}, Splits: []splitStatus{}, Partitions: []partitionStatus{}}
	for _, e := range r.Root.Exchanges {
		for _, b := range e.Blocks {
			s.BetweenWorkers += b.Length
		}
	}
	of := map[uint32]int{} // by group
	for _, w := range r.Workers {
		if w.HasGroup {
			of[w.Group] = len(s.Workers)
		}
		s.Workers = append(s.Workers, workerOf(w))
	}
	for _, x := range r.Splits {
		y := splitStatus{Source: x.Source, ID: x.Id, Rows: x.Rows, LagRows: known(x.LagRows), LagBytes: known(x.LagBytes), Lag: knownSeconds(x.LagUs),
			Watermark: instant(x.HasWatermark, x.WatermarkUs), Ended: x.Ended, Idle: x.Idle, Still: inSeconds(x.StillUs)}
		if i, ok := of[x.Group]; ok {
			y.Worker = s.Workers[i].Name
			s.Workers[i].takesIn(y)
		}
		s.Splits = append(s.Splits, y)
	}
	for _, st := range r.Root.Stages {
		for i, p := range st.Partitions {
			y := partitionStatus{Stage: st.Id, Partition: i, Lo: p.Lo, Hi: p.Hi, Watermark: instant(p.HasWatermark, p.WatermarkUs), StateBytes: bytesOf(p), Segments: len(p.Refs)}
			if i, ok := of[p.Group]; ok {
				w := &s.Workers[i]
				y.Worker = w.Name
				w.Partitions++
				w.StateBytes += y.StateBytes
			}
			s.Partitions = append(s.Partitions, y)
		}
	}
	return s
}

// bytesOf returns how long the segments are that a partition refers to. It may share some with its neighbours.
func bytesOf(p *pb.Partition) (n int64) {
	for _, r := range p.Refs {
		n += r.Length
	}
	return n
}

func workerOf(w *controlpb.WorkerStatus) workerStatus {
	s := workerStatus{Name: w.Name, ID: w.Id, HasGroup: w.HasGroup, Group: w.Group, Leaving: w.Leaving, Unsent: w.Progress.GetBytes(),
		HeardOf: inSeconds(w.SilentUs), Cut: w.OpenCut, CutFor: inSeconds(w.OpenUs), Ended: w.Progress.GetEnded(), Lanes: []lane{}}
	l := w.Load
	if l == nil {
		return s
	}
	s.LoadAge, s.CutStage, s.Trouble, s.TroubleFor = knownSeconds(w.LoadUs), l.CutStage, l.Trouble, inSeconds(l.TroubleUs)
	for _, x := range l.Lanes {
		s.Lanes = append(s.Lanes, lane{x.Stage, x.Lane, x.Busy, x.Blocked, x.Throttled, x.Full, instant(x.HasWatermark, x.WatermarkUs)})
		s.Busy, s.Blocked = greater(s.Busy, x.Busy), greater(s.Blocked, x.Blocked)
		if x.Hi > 0 {
			s.Queue = greater(s.Queue, x.Full)
		}
	}
	return s
}

// takesIn adds a split to what its worker has.
func (w *workerStatus) takesIn(s splitStatus) {
	if s.Ended {
		return
	}
	w.Splits++
	if s.LagRows != nil {
		sum := *s.LagRows
		if w.LagRows != nil {
			sum += *w.LagRows
		}
		w.LagRows = &sum
	}
	if s.Lag != nil {
		w.Lag = greater(w.Lag, *s.Lag)
	}
}
