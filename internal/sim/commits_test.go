package sim

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// commitScenarios are the cases of coordinators, and of their conditional writes.
func commitScenarios() []scenario {
	toCommit := func(c *coordinator) bool { return c.want != nil }
	return []scenario{
		{"coordinator dies before the CAS", 3, func(s *script) {
			s.shared()
			c := s.leads("a root is to be committed", toCommit)
			c.die()
			s.leads("another leads", func(x *coordinator) bool { return x != c })
			s.sees("goes on")
		}},
		{"coordinator dies, and rows were read since the cut that is filed again", 3, func(s *script) {
			s.slow()
			s.shared()
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			var k *worker
			s.reports(lost, func(r *pb.Report) bool {
				for _, x := range s.workers {
					if x.g != nil && x.g.id == r.Group && len(r.Splits) > 0 && !r.Splits[0].Ended {
						k = x
						return true
					}
				}
				return false
			})
			s.sees("reports lost")
			s.plan.rows = nil
			s.until("its group has read all", func() bool {
				return k.g != nil && k.g.file == nil && !slices.ContainsFunc(slices.Collect(maps.Values(k.g.pos)), func(at int) bool { return at < splitRows })
			})
			c.die()
			s.sees("filed again")
		}},
		{"coordinator dies after the CAS and before the answer", 3, func(s *script) {
			s.shared()
			c := s.leads("a root with a report is to be committed", func(c *coordinator) bool { return c.want != nil && c.want.Epoch > s.current.Epoch })
			body := c.want
			c.busy, c.want = true, nil
			_, err := c.store.Commit(s.ctx(), body, c.version)
			s.must("it takes effect", err == nil)
			c.die()
			s.leads("another leads", func(x *coordinator) bool { return x != c })
			s.sees("goes on")
		}},
		{"CAS answer lost", 3, func(s *script) {
			s.shared()
			c := s.leads("a root is to be committed", toCommit)
			s.commitsOf(c, answerLost)
			s.sees("answers lost")
			s.commits(2)
			s.must("the coordinator still leads", !c.over() && s.current.Term == c.root.Term)
		}},
		{"CAS applied late, after a timeout", 3, func(s *script) {
			s.shared()
			c := s.leads("a root is to be committed", toCommit)
			s.plan.holdLate = true
			n := 0
			s.plan.commit = func(*job, []byte) fate {
				if n++; n == 1 {
					return late
				}
				if len(s.late) > 0 { // just before the second request
					s.comesLate()
				}
				return passes
			}
			s.until("it comes late, and the second one too late", func() bool { return s.stats["applied late"] == 1 && s.stats["412"] == 1 })
			s.commits(2)
			s.must("the coordinator still leads", !c.over() && s.current.Term == c.root.Term)
		}},
		{"CAS applied late, after a takeover", 3, func(s *script) {
			s.shared()
			c := s.leads("a root is to be committed", toCommit)
			s.plan.holdLate = true
			s.commitsOf(c, late, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost, lost)
			s.until("its request is on its way", func() bool { return len(s.late) > 0 })
			c.die()
			s.leads("another leads", func(x *coordinator) bool { return x != c })
			s.commits(2)
			s.comesLate()
			s.never("a request of an earlier leader takes effect", s.stats["applied late"] > 0)
		}},
		{"two take over together", 3, func(s *script) {
			s.shared()
			c := s.leads("a coordinator", toCommit)
			term, n := s.current.Term, 0
			s.plan.commit = func(j *job, _ []byte) fate {
				if n++; n == 1 { // another is faster
					j.startCoordinator()
				}
				return passes
			}
			c.die()
			s.leads("another leads", func(x *coordinator) bool { return x != c })
			leaders := 0
			for _, x := range s.coords {
				if x.root.Term > term {
					leaders++
				}
			}
			s.must("two have tried, and one leads", n >= 2 && leaders == 1 && s.current.Term == term+1)
		}},
		{"a paused coordinator resumes and commits", 3, func(s *script) {
			s.shared()
			c := s.leads("a root with a report is to be committed", func(c *coordinator) bool { return c.want != nil && c.want.Epoch > s.current.Epoch })
			s.replace(c)
			s.commits(2)
			term := s.current.Term
			c.frozen = 0
			c.doCommit()
			s.never("who was deposed commits", s.current.Term != term)
			s.must("it is deposed", c.ended)
		}},
		{"a paused coordinator resumes and deletes", 3, func(s *script) {
			s.shared()
			c := s.leads("garbage is to be deleted", func(c *coordinator) bool { return len(c.deletes) > 1 })
			s.replace(c)
			s.commits(2)
			was := s.stats["deletes"]
			for _, key := range c.deletes {
				s.del(key)
			}
			s.must("it deletes", s.stats["deletes"] > was+1)
			c.deletes, c.frozen = nil, 0
		}},
		{"storms of 409, 429, 503", 3, func(s *script) {
			s.shared()
			s.plan.put = func(*job, string) fate { return lost }
			s.until("objects are refused", func() bool { return s.stats["puts refused or lost"] > 2 })
			s.plan.put = nil
			c, n := s.leads("a root is to be committed", toCommit), 0
			s.plan.commit = func(*job, []byte) fate {
				if n++; n%3 == 0 {
					return conflict
				}
				return lost
			}
			s.until("the coordinator has lost patience", func() bool { return c.ended })
			s.must("all was refused", s.stats["409"] > 2 && s.stats["commits refused or lost"] > 2)
			s.plan.commit = nil
			s.leads("another leads", func(x *coordinator) bool { return x != c })
		}},
		{"identical bodies", 2, func(s *script) {
			c, request := s.savepointOfStillJob()
			before := proto.Clone(s.current).(*pb.Root)
			s.until("the savepoint is there", func() bool {
				return len(s.current.Pins) > len(before.Pins) && s.current.Pins[len(s.current.Pins)-1].Written
			})
			s.must("the savepoint is removed", c.m.RemovePin(s.current.Pins[len(s.current.Pins)-1].Id, c.now()) == nil)
			c.act()
			s.until("its removal is committed", func() bool { return len(s.current.Pins) == len(before.Pins) })
			s.must("the root is as it was, but for its nonce", sameBytes(before, s.current))
			s.must("the request of then is still on its way", len(s.late) == 1)
			request()
			s.never("a request takes effect after others", s.stats["applied late"] > 0)
			s.plan.rows = nil
			s.commits(2)
		}},
	}
}

// savepointOfStillJob lets the job run until it has nothing to commit, and asks for a savepoint, whose first request stays on its way; it returns what lets
// that take effect.
func (s *script) savepointOfStillJob() (*coordinator, func()) {
	s.slow()
	s.shared()
	s.commits(4)
	s.still()
	s.until("nothing is left to commit", func() bool {
		was := s.stats["commits"]
		for range 2000 {
			s.step++
			s.world.turn()
		}
		return s.stats["commits"] == was
	})
	c := s.leads("a coordinator", func(c *coordinator) bool { return c.want == nil })
	ask := func(name string) {
		s.must("a savepoint is asked for", c.m.Savepoint(s.name(), name, c.now()) == nil)
		c.act()
	}
	ask("first") // what is left to be noted is noted along with it
	s.removeSavepoint(c)
	s.plan.holdLate = true
	s.commitsOf(c, late)
	ask("second")
	return c, s.comesLate
}

// removeSavepoint lets the job run until its newest pin, a savepoint, is there, and removes it.
func (s *script) removeSavepoint(c *coordinator) {
	n := len(s.current.Pins)
	s.until("the savepoint is there", func() bool { return len(s.current.Pins) > n && s.current.Pins[n].Written })
	s.must("it is to be removed", c.m.RemovePin(s.current.Pins[n].Id, c.now()) == nil)
	c.act()
	s.until("it is removed", func() bool { return len(s.current.Pins) == n })
}

// sameBytes tells whether two roots differ in nonce and time at most.
func sameBytes(a, b *pb.Root) bool {
	a, b = proto.Clone(a).(*pb.Root), proto.Clone(b).(*pb.Root)
	a.Nonce, a.CommittedUs, b.Nonce, b.CommittedUs = "", 0, "", 0
	return proto.Equal(a, b)
}
