package coord

import (
	"fmt"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Status is a machine's state for a person. Nobody changes what it points to.
type Status struct {
	Root    *pb.Root // committed
	Workers []WorkerStatus
	Stuck   []string // why the job does not go on, if it does not
}

// WorkerStatus is what is known of a worker.
type WorkerStatus struct {
	ID       WorkerID
	Name     string
	Group    uint32
	Has      bool // a group
	Leaving  bool
	Silent   time.Duration // since it was last heard of
	Progress *pb.Progress  // nil: it has told nothing since it started
	Open     uint64        // cut that is asked for; 0: none
	OpenFor  time.Duration
}

// slowCut is how long a cut may take before a status names it.
const slowCut = 10 * time.Second

// Status returns the state at a time.
func (m *Machine) Status(now time.Time) Status {
	s := Status{Root: m.root}
	for _, w := range m.members {
		ws := WorkerStatus{ID: w.id, Name: w.name, Group: w.group, Has: w.has, Leaving: w.leaving, Silent: now.Sub(w.seen), Progress: w.progress}
		if w.open != nil {
			ws.Open, ws.OpenFor = w.open.n, now.Sub(w.open.at)
			if ws.OpenFor > slowCut {
				s.Stuck = append(s.Stuck, fmt.Sprintf("worker %s has not finished checkpoint %d for %s", w.name, w.open.n, ws.OpenFor.Round(time.Second)))
			}
		}
		s.Workers = append(s.Workers, ws)
	}
	held := map[uint32]bool{}
	for _, w := range m.members {
		held[w.group] = held[w.group] || w.has
	}
	for _, id := range checkpoint.Owners(m.root) {
		if !held[id] {
			s.Stuck = append(s.Stuck, fmt.Sprintf("the share of group %d waits for a worker", id))
		}
	}
	if d := m.deal; d != nil && now.After(d.at.Add(time.Second)) {
		why := "a change of workers"
		if m.rescale != 0 {
			why = fmt.Sprintf("a change to %d partitions", m.rescale)
		}
		s.Stuck = append(s.Stuck, fmt.Sprintf("%s waits for last checkpoints, for %s more at most", why, d.until.Sub(now).Round(time.Second)))
	}
	if m.root.Ended {
		return s
	}
	for _, src := range m.root.Sources {
		for _, sp := range src.Splits {
			if !sp.Ended && !sp.HasWatermark && m.root.Epoch > 0 && sp.Rows == 0 {
				s.Stuck = append(s.Stuck, fmt.Sprintf("split %q of source %q has given no row yet, and holds the watermark", sp.Id, src.Name))
			}
		}
	}
	return s
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
