package sim

import (
	"slices"
	"strings"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// pinScenarios are the cases of savepoints, clones and --fresh.
func pinScenarios() []scenario {
	return []scenario{
		{"savepoint against garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			pin := s.savepoint()
			var only []string
			s.untilCommit("it alone keeps something", func() bool { only = s.keptBy(pin); return len(only) > 0 })
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			c.sweep()
			s.until("all garbage is deleted", func() bool { return len(c.deletes) == 0 })
			s.must("it is to be removed", c.m.RemovePin(pin, c.now()) == nil)
			c.act()
			s.until("what it alone kept is deleted", func() bool { return !slices.ContainsFunc(only, s.exists) })
		}},
		{"going back to a savepoint against garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			pin := s.savepoint()
			s.untilCommit("it alone keeps something", func() bool { return len(s.keptBy(pin)) > 0 })
			s.after(s.person.goBack, "went back")
			s.sees("published")
		}},
		{"going back to a savepoint against a frozen worker", 3, func(s *script) {
			s.slow()
			s.shared()
			s.savepoint()
			r := s.frozenReport()
			s.after(s.person.goBack, "went back")
			s.comesToNext(r, "report refused")
		}},
		{"clone against garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			pin := s.savepoint()
			twin := s.clone()
			for _, k := range twin.workers {
				k.frozen = forGood
			}
			held := s.current.Pins[len(s.current.Pins)-1].Id
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			s.must("the savepoint is to be removed", c.m.RemovePin(pin, c.now()) == nil)
			c.act()
			s.untilCommit("the clone names what only its pin keeps", func() bool {
				mine := s.keptBy(held)
				return slices.ContainsFunc(checkpoint.Foreign(twin.current), func(key string) bool { return slices.Contains(mine, key) })
			})
			s.must("the clone's pin stays", checkpoint.PinOf(s.current, held) != nil)
			for _, k := range twin.workers {
				k.frozen = 0
			}
			s.until("both run on", func() bool { return twin.current.Term > 1 && twin.current.Epoch > twin.origin.root.Epoch+2 })
		}},
		{"clone compacts, drops what is another's, and leaves it there", 3, func(s *script) {
			s.slow()
			s.shared()
			s.savepoint()
			twin := s.clone()
			foreign := checkpoint.Foreign(twin.current)
			s.untilCommit("the clone has dropped something", func() bool { return len(checkpoint.Foreign(twin.current)) < len(foreign) })
			s.commits(6)
			s.must("it is still there", !slices.ContainsFunc(foreign, func(key string) bool { return !s.exists(key) }))
		}},
		{"fresh against garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			var old []string
			for _, o := range s.current.Objects {
				old = append(old, o.Key)
			}
			s.fresh()
			s.must("packs of the earlier run", slices.ContainsFunc(old, s.exists))
			s.until("they are deleted", func() bool { return !slices.ContainsFunc(old, s.exists) })
		}},
		{"fresh against a frozen worker of an earlier run", 3, func(s *script) {
			s.slow()
			s.shared()
			r := s.frozenReport()
			s.fresh()
			s.comesToNext(r, "report refused")
		}},
	}
}

// savepoint makes one, lets the job run until it is there, and returns its pin.
func (s *script) savepoint() string {
	s.person.savepoint()
	pin := func() *pb.Pin {
		for _, p := range s.current.Pins {
			if p.Kind == pb.PinKind_SAVEPOINT && p.Written {
				return p
			}
		}
		return nil
	}
	s.until("a savepoint is there", func() bool { return pin() != nil })
	return pin().Id
}

// clone makes one of the savepoint that is there, and lets both run until it is.
func (s *script) clone() *job {
	s.person.clone()
	s.until("the clone's pin is committed", func() bool {
		return s.person.cloning != nil && checkpoint.PinOf(s.current, s.person.cloning.pin) != nil
	})
	s.person.cloned()
	s.must("the clone is there", s.person.twin != nil && s.person.twin.current != nil)
	return s.person.twin
}

// fresh starts the job from nothing.
func (s *script) fresh() {
	s.person.wantsFresh = true
	s.startCoordinator()
	s.must("a fresh start", s.stats["fresh"] == 1 && len(s.current.OldRuns) == 1)
}

// frozenReport lets the job run until a worker has written a cut, freezes it, and returns what it would report.
func (s *script) frozenReport() *pb.Report {
	k := s.worker("a cut is written", func(k *worker) bool { return k.g.file != nil && len(k.g.file.keys) == 0 })
	k.frozen = forGood
	return k.g.file.report
}

// comesToNext gives a report to the coordinator that leads next.
func (s *script) comesToNext(r *pb.Report, stat string) {
	c := s.leads("the next coordinator", func(*coordinator) bool { return true })
	c.astray = append(c.astray, parcel{coord.WorkerID("nobody"), &pb.FromWorker{Message: &pb.FromWorker_Report{Report: r}}})
	s.after(c.arrives, stat)
}

// keptBy returns the packs that only a pin names.
func (s *script) keptBy(pin string) []string {
	root, err := checkpoint.DecodeRoot(s.body())
	if err != nil || !checkpoint.DropPins(root, func(p *pb.Pin) bool { return p.Id == pin }) {
		return nil
	}
	return slices.DeleteFunc(checkpoint.Garbage(s.current, root), func(key string) bool { return !strings.HasPrefix(key, s.paths.Packs()) })
}

// body returns what CURRENT holds.
func (s *script) body() []byte {
	b, _, err := s.bucket.Get(s.ctx(), s.paths.Current())
	s.must("CURRENT is there", err == nil)
	return b
}

func (s *script) exists(key string) bool {
	_, _, err := s.bucket.Get(s.ctx(), key)
	return err == nil
}
