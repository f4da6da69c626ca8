package operators

import (
	"encoding/binary"
	"slices"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/timers"
)

// timerState is one clock's timers as a part of the lane's state. Those that were stored come into memory when their time has come, or one of them is
// cancelled.
type timerState struct {
	p      *process
	handle objstate.Handle
	set    *timers.Set
	stored []objstate.Cluster    // that are not in memory, ascending
	loaded bool                  // of processing time: what is stored is known
	ahead  map[timers.Timer]bool // that were set before the cluster that is being loaded was, and whether they are in a cut
	gone   []frozenTimer
	log    []timerChange
}

func (s *timerState) ready() {
	if s.handle.Touch() {
		s.stored = objstate.Clusters(s.handle.Buckets())
	}
}

// reach has the stored timers in memory that may be set for a time before w, or for w.
func (s *timerState) reach(w sabot.Micros) {
	for len(s.stored) > 0 && s.stored[0].Lo <= w {
		s.open(0)
	}
}

// open brings a cluster of stored timers into memory. A timer that the call at hand has set may turn out to have been set before.
func (s *timerState) open(i int) {
	c := s.stored[i]
	s.stored = slices.Delete(s.stored, i, i+1)
	s.set.Within(c.Lo, c.Hi, func(t timers.Timer, inStore bool) {
		if !c.Contains(timerTime(t.At)) {
			return
		}
		if s.ahead == nil {
			s.ahead = map[timers.Timer]bool{}
		}
		s.ahead[t] = inStore
	})
	s.handle.Load(c.Buckets...)
	s.ahead = nil
	s.log = slices.DeleteFunc(s.log, func(l timerChange) bool { return l.added && c.Contains(timerTime(l.t.At)) && s.set.Stored(l.t) })
}

// next returns when something may be due; ok is false when there is nothing.
func (s *timerState) next() (at sabot.Micros, ok bool) {
	at, ok = s.set.Next()
	if len(s.stored) > 0 && (!ok || s.stored[0].Lo < at) {
		return s.stored[0].Lo, true
	}
	return at, ok
}

type timerChange struct {
	t     timers.Timer
	added bool
}

type frozenTimer struct {
	t    timers.Timer
	hash uint64
	key  []byte
}

func (s *timerState) frozen(t timers.Timer) frozenTimer {
	return frozenTimer{t, s.p.keys.Hash(t.Slot), append([]byte(nil), s.p.keys.Key(t.Slot)...)}
}

// timerTime is the time that chooses a timer's bucket: the end of time has one of its own.
func timerTime(at sabot.Micros) sabot.Micros { return min(at, sabot.MaxMicros-1) }

func timerSuffix(t timers.Timer) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(t.At)^1<<63), t.ID)
}

// Freeze implements objstate.Part.
func (s *timerState) Freeze(f *objstate.Frame) {
	for _, g := range s.gone {
		if slot := s.p.keys.Lookup(g.hash, g.key); slot != objstate.NoSlot && s.set.Has(timers.Timer{At: g.t.At, Slot: slot, ID: g.t.ID}) {
			continue // set again: its put follows
		}
		f.Row(g.hash, g.key, timerSuffix(g.t), int64(timerTime(g.t.At)), segment.Delete)
	}
	s.gone = s.gone[:0]
	s.set.Changes(func(t timers.Timer) {
		f.Row(s.p.keys.Hash(t.Slot), s.p.keys.Key(t.Slot), timerSuffix(t), int64(timerTime(t.At)), segment.Put)
	})
}

// Load implements objstate.Part.
func (s *timerState) Load(hash uint64, key, suffix []byte, rows *segment.Rows, i int) {
	t := timers.Timer{At: sabot.Micros(binary.BigEndian.Uint64(suffix) ^ 1<<63), ID: suffix[8]}
	deleted := rows.Ops[i] == segment.Delete
	if len(s.ahead) > 0 {
		t.Slot = s.p.keys.Lookup(hash, key)
		if cut, ok := s.ahead[t]; ok { // it is newer than what is stored, which says only whether it has to be written
			if !deleted {
				s.set.Load(t)
			} else if !cut {
				s.set.Renew(t)
			}
			return
		}
	}
	if deleted {
		if t.Slot = s.p.keys.Lookup(hash, key); t.Slot != objstate.NoSlot {
			if was, _ := s.set.Remove(t); was {
				if s.p.holds[t.Slot]--; s.p.holds[t.Slot] == 0 { // a call may be at work on the key, or one of its batch be to come
					s.p.emptied = append(s.p.emptied, t.Slot)
				}
			}
		}
		return
	}
	t.Slot = s.p.reserve(hash, key)
	if !s.set.Has(t) {
		s.p.holds[t.Slot]++
	}
	s.set.Load(t)
}

// timerCell is one of a process function's timers.
type timerCell struct {
	s  *timerState
	id uint8
}

// Set implements sabot.TimerCell.
func (c *timerCell) Set(at sabot.Micros) {
	p := c.s.p
	c.s.add(timers.Timer{At: at, Slot: p.slot, ID: c.id}, true)
	if c.s == p.event && (at < p.low || p.low == sabot.MaxMicros) {
		p.past = true
	}
}

// Cancel implements sabot.TimerCell.
func (c *timerCell) Cancel(at sabot.Micros) {
	if i := slices.IndexFunc(c.s.stored, func(x objstate.Cluster) bool { return x.Contains(timerTime(at)) }); i >= 0 {
		c.s.open(i)
	}
	c.s.remove(timers.Timer{At: at, Slot: c.s.p.slot, ID: c.id}, true)
}

func (s *timerState) add(t timers.Timer, log bool) {
	if s.set.Add(t) {
		s.p.holds[t.Slot]++
		if log {
			s.note(timerChange{t, true})
		}
	}
}

func (s *timerState) remove(t timers.Timer, log bool) {
	was, stored := s.set.Remove(t)
	if !was {
		return
	}
	if stored {
		s.gone = append(s.gone, s.frozen(t))
	}
	s.p.holds[t.Slot]--
	if log {
		s.note(timerChange{t, false})
	}
}

func (s *timerState) note(c timerChange) {
	if len(s.log) == 0 {
		s.p.logs = append(s.p.logs, s)
	}
	s.log = append(s.log, c)
}

func (s *timerState) undo() {
	for i := len(s.log) - 1; i >= 0; i-- {
		if c := s.log[i]; c.added {
			s.remove(c.t, false)
		} else {
			s.add(c.t, false)
		}
	}
}

func (s *timerState) forget() { s.log = s.log[:0] }
