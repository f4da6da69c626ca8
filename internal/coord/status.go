package coord

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Status is a machine's state for a person. Nobody changes what it points to.
type Status struct {
	Root      *pb.Root // committed
	Workers   []WorkerStatus
	Splits    []SplitStatus
	CommitFor time.Duration // for how long a commit has been under way; 0: none is
	// Moving says that shares are being dealt out, or wait for somebody to take them. Deal says why, and is empty while they only wait; DealFor is
	// since when it could have been done, and DealIn when it is done at the latest.
	Moving          bool
	Deal            string
	DealFor, DealIn time.Duration
	// Trouble is what is wrong with the coordinator's own calls of the bucket, and TroubleFor for how long; empty: nothing.
	Trouble    string
	TroubleFor time.Duration
}

// WorkerStatus is what is known of a worker.
type WorkerStatus struct {
	ID        WorkerID
	Name      string
	Group     uint32
	Has       bool // a group
	Leaving   bool
	Silent    time.Duration // since it was last heard of
	Progress  *pb.Progress  // nil: it has told nothing since it started
	Load      *pb.Load      // likewise
	LoadAge   time.Duration
	LaneStill []time.Duration // of each of the load's lanes: for how long its watermark has not risen; 0: not known
	Open      uint64          // cut that is asked for; 0: none
	OpenFor   time.Duration
}

// Status returns the state at a time.
func (m *Machine) Status(now time.Time) Status {
	s := Status{Root: m.root, Splits: m.splits(now)}
	held := map[uint32]bool{}
	for _, w := range m.members {
		s.Workers = append(s.Workers, w.status(now))
		held[w.group] = held[w.group] || w.has
		s.Moving = s.Moving || !w.assigned
	}
	s.Moving = s.Moving || m.deal != nil || len(m.raise) > 0 || m.commit != nil && len(m.commit.assign) > 0 ||
		slices.ContainsFunc(checkpoint.Owners(m.root), func(g uint32) bool { return !held[g] })
	if d := m.deal; d != nil {
		s.Deal, s.DealFor, s.DealIn = "a change of workers", now.Sub(d.at), d.until.Sub(now)
		if m.rescale != 0 {
			s.Deal = fmt.Sprintf("a change to %d partitions", m.rescale)
		}
	}
	if m.commit != nil {
		s.CommitFor = now.Sub(m.commit.since)
	}
	return s
}

func (w *member) status(now time.Time) WorkerStatus {
	s := WorkerStatus{ID: w.id, Name: w.name, Group: w.group, Has: w.has, Leaving: w.leaving, Silent: now.Sub(w.seen), Progress: w.progress}
	if w.open != nil {
		s.Open, s.OpenFor = w.open.n, now.Sub(w.open.at)
	}
	if w.told.load == nil {
		return s
	}
	s.Load, s.LoadAge = w.told.load, now.Sub(w.told.at)
	for _, l := range s.Load.Lanes {
		still := time.Duration(0)
		if mk, ok := w.told.marks[laneKey{l.Stage, l.Lo}]; ok && l.Hi > 0 {
			still = now.Sub(mk.since)
		}
		s.LaneStill = append(s.LaneStill, still)
	}
	return s
}

// Status returns the state of the job at this moment. The error says that Run has returned, or has not answered before ctx has ended. Any goroutine
// may call it.
func (d *Driver) Status(ctx context.Context) (s Status, err error) {
	err = d.Do(ctx, func(m *Machine, now time.Time) {
		s = m.Status(now)
		if d.opt.Trouble != nil {
			s.Trouble, s.TroubleFor = d.opt.Trouble(now)
		}
	})
	return s, err
}

// Drain sends the worker of an id, or of a name, away after its last cut. It returns how many workers that is; with several nobody is sent.
func (m *Machine) Drain(worker string, now time.Time) int {
	var found []*member
	for _, w := range m.members {
		if string(w.id) == worker || w.name == worker {
			found = append(found, w)
		}
	}
	if len(found) == 1 && !found[0].leaving && m.end == nil {
		found[0].leaving = true
		m.change(now, true)
		m.advance(now)
	}
	return len(found)
}
