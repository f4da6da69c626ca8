package coord

import (
	"time"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// told is what a worker has told of its group last.
type told struct {
	load   *pb.Load // nil: nothing yet
	at     time.Time
	splits map[splitKey]*pb.SplitLoad
	marks  map[any]mark // by splitKey and laneKey
}

type splitKey struct{ source, id string }

// laneKey names a lane of a keyed stage by the first hash of its partitions.
type laneKey struct {
	stage uint32
	lo    uint64
}

// mark is how far a split or a lane was, and since when.
type mark struct {
	rows, watermark int64
	started         bool // it has a watermark
	since           time.Time
}

// next returns what is told with a load of a group, of which the root says what the load does not.
func (t told) next(l *pb.Load, root *pb.Root, group uint32, now time.Time) told {
	n := told{load: l, at: now, splits: map[splitKey]*pb.SplitLoad{}, marks: map[any]mark{}}
	for _, s := range l.Splits {
		n.splits[splitKey{s.Source, s.Id}] = s
	}
	put := func(k any, m mark) {
		m.since = now
		if was, ok := t.marks[k]; ok && was.rows == m.rows && was.watermark == m.watermark && was.started == m.started {
			m.since = was.since
		}
		n.marks[k] = m
	}
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			if s.Group != group || s.Ended {
				continue
			}
			k := splitKey{src.Name, s.Id}
			if x := n.splits[k]; x != nil {
				put(k, mark{rows: x.Rows, watermark: x.WatermarkUs, started: x.HasWatermark})
			} else {
				put(k, mark{rows: s.Rows, watermark: s.WatermarkUs, started: s.HasWatermark})
			}
		}
	}
	for _, x := range l.Lanes {
		if x.Hi > 0 {
			put(laneKey{x.Stage, x.Lo}, mark{watermark: x.WatermarkUs, started: x.HasWatermark})
		}
	}
	return n
}

// SplitStatus is what is known of a split: of its worker's load where there is one, and otherwise as committed.
type SplitStatus struct {
	Source, ID  string
	Group       uint32
	Bytes       int64         // of a bounded split; 0: not known
	Rows        int64         // read since the run began
	LagRows     int64         // that are there and not read; -1: not known
	LagBytes    int64         // of a bounded split; -1: not known
	Lag         time.Duration // for how long the first of them has waited; -1: not known
	WatermarkUs int64
	Started     bool // it has a watermark
	Ended, Idle bool
	Still       time.Duration // for how long neither its rows nor its watermark have changed; 0: not known
}

// splits returns what is known of every split.
func (m *Machine) splits(now time.Time) []SplitStatus {
	by := map[uint32]told{}
	for _, w := range m.members {
		if w.has {
			by[w.group] = w.told
		}
	}
	var all []SplitStatus
	for _, src := range m.root.Sources {
		for _, s := range src.Splits {
			all = append(all, splitStatus(src.Name, s, by[s.Group], now))
		}
	}
	return all
}

func splitStatus(source string, s *pb.Split, t told, now time.Time) SplitStatus {
	x := SplitStatus{Source: source, ID: s.Id, Group: s.Group, Rows: s.Rows, LagRows: -1, LagBytes: -1, Lag: -1, WatermarkUs: s.WatermarkUs,
		Started: s.HasWatermark, Ended: s.Ended, Idle: s.Idle}
	if s.Bounded && s.Bytes > 0 {
		x.Bytes, x.LagBytes = s.Bytes, int64(float64(s.Bytes)*max(0, 1-s.Done))
	}
	k := splitKey{source, s.Id}
	l := t.splits[k]
	switch {
	case s.Ended:
		x.LagRows, x.LagBytes, x.Lag = 0, 0, 0
		return x
	case l != nil:
		x.Rows, x.LagRows, x.WatermarkUs, x.Started, x.Idle = l.Rows, l.LagRows, l.WatermarkUs, l.HasWatermark, l.Idle
		if l.LagBytes >= 0 {
			x.LagBytes = l.LagBytes
		}
		if l.LagUs >= 0 {
			x.Lag = time.Duration(l.LagUs) * time.Microsecond
		}
	}
	if mk, ok := t.marks[k]; ok {
		x.Still = now.Sub(mk.since)
	}
	return x
}
