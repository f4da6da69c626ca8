package sim

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// script directs one history: it lets the job run until something holds, does then what chance would hardly do, and goes on. What it does not direct is
// drawn from a seed, without any fault. Whoever changes the simulation may find that a script does not come to its situation any more: it then fails as
// "not reached".
type script struct{ *job }

// scenario is a history by name. When play returns, everything comes to its end without faults, and the usual invariants are checked.
type scenario struct {
	name    string
	workers int
	play    func(s *script)
}

// halted ends a script whose history has gone wrong.
type halted struct{}

const (
	notReached = "not reached: "
	forGood    = 1 << 40 // steps
)

// run plays the scenario, and returns what has gone wrong.
func (sc scenario) run(seed int64, rules Rules) Outcome {
	w := newWorld(&choices{fair: rand.New(rand.NewSource(seed))}, rules, sc.workers)
	w.calm, w.pace, w.trace = true, 12, []string{}
	s := &script{w.jobs[0]}
	func() {
		defer func() {
			if r := recover(); r != nil && r != (halted{}) {
				panic(r)
			}
		}()
		sc.play(s)
		if w.bad == "" {
			w.end()
		}
	}()
	return Outcome{Bad: w.bad, Step: w.step, Stats: w.stats, Trace: w.trace}
}

// until lets the job run until something holds.
func (s *script) until(what string, holds func() bool) {
	for range 20000 {
		if s.bad != "" {
			panic(halted{})
		}
		if holds() {
			return
		}
		s.step++
		s.world.turn()
	}
	s.must(what, false)
}

// untilCommit is until for what only a commit changes.
func (s *script) untilCommit(what string, holds func() bool) {
	was := -1
	s.until(what, func() bool {
		if s.stats["commits"] == was {
			return false
		}
		was = s.stats["commits"]
		return holds()
	})
}

// must ends the script when it is not where it should be.
func (s *script) must(what string, holds bool) {
	if !holds {
		s.fail(notReached+"%s; %s", what, s.where())
	}
	if s.bad != "" {
		panic(halted{})
	}
}

// never says that something has gone wrong when it has.
func (s *script) never(what string, happened bool) {
	if happened {
		s.fail("%s", what)
	}
	if s.bad != "" {
		panic(halted{})
	}
}

// worker lets the job run until something holds of one of its workers, and returns that.
func (s *script) worker(what string, holds func(k *worker) bool) (found *worker) {
	s.until(what, func() bool {
		for _, k := range s.workers {
			if k.g != nil && k.frozen == 0 && holds(k) {
				found = k
				return true
			}
		}
		return false
	})
	return found
}

// leads lets the job run until a coordinator leads of which something holds, and returns it.
func (s *script) leads(what string, holds func(c *coordinator) bool) (found *coordinator) {
	s.until(what, func() bool {
		found = s.leader()
		return found != nil && found.root.Term == s.current.Term && holds(found)
	})
	return found
}

// shared lets the job run until all workers have a share of it, and have committed something.
func (s *script) shared() {
	s.until("all workers share the job", func() bool {
		ready := s.current != nil && s.current.Epoch > 0 && len(checkpoint.Owners(s.current)) == len(s.workers)
		for _, k := range s.workers {
			ready = ready && k.g != nil && k.g.shared
		}
		return ready
	})
}

// commits lets the job run for some more commits.
func (s *script) commits(n int) {
	to := s.stats["commits"] + n
	s.until(fmt.Sprint(n, " more commits"), func() bool { return s.stats["commits"] >= to })
}

// sees lets the job run until something is counted once more.
func (s *script) sees(stat string) {
	was := s.stats[stat]
	s.until(stat, func() bool { return s.stats[stat] > was })
}

// after lets the job run until something is counted once more that doing something brings about, at once or later.
func (s *script) after(do func(), stat string) {
	was := s.stats[stat]
	do()
	s.until(stat, func() bool { return s.stats[stat] > was })
}

// slow makes the job read a row now and then only, so that it is not over before the script is.
func (s *script) slow() { s.plan.rows = func(*worker) bool { return s.intn(6) == 0 } }

// still makes the job read nothing more.
func (s *script) still() { s.plan.rows = func(*worker) bool { return false } }

// reports gives the next report of which something holds a fate.
func (s *script) reports(f fate, holds func(r *pb.Report) bool) {
	done := false
	s.plan.report = func(_ *coordinator, r *pb.Report) fate {
		if done || !holds(r) {
			return passes
		}
		done = true
		return f
	}
}

// commitsOf gives the next commits of a coordinator fates, one after the other.
func (s *script) commitsOf(c *coordinator, fates ...fate) {
	s.plan.commit = func(j *job, body []byte) fate {
		root, err := checkpoint.DecodeRoot(body)
		if err != nil || root.Term != c.root.Term || len(fates) == 0 {
			return passes
		}
		f := fates[0]
		fates = fates[1:]
		return f
	}
}

// replace freezes the leader, and lets the job run until another leads.
func (s *script) replace(c *coordinator) *coordinator {
	c.frozen = forGood
	for _, k := range s.workers {
		if k.conn != nil && k.conn.to == c {
			k.lost() // they hear nothing of it
		}
	}
	return s.leads("another leads", func(x *coordinator) bool { return x != c })
}

// gone lets the job run until a worker's share is with others, and they have committed something since.
func (s *script) gone(k *worker) {
	id := k.g.id
	s.until("the share is with others", func() bool {
		for _, owner := range checkpoint.Owners(s.current) {
			if owner == id {
				return false
			}
		}
		return true
	})
	s.commits(3)
}

// TestScenarios plays each case by several seeds.
func TestScenarios(t *testing.T) {
	n := int64(8)
	if testing.Short() {
		n = 2
	}
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			for seed := range n {
				if o := sc.run(seed, nil); o.Bad != "" {
					t.Fatalf("seed %d, step %d: %s\n%s", seed, o.Step, o.Bad, strings.Join(o.Trace[max(0, len(o.Trace)-60):], "\n"))
				}
			}
		})
	}
}

func scenarios() (all []scenario) {
	all = append(all, workerScenarios()...)
	all = append(all, commitScenarios()...)

	all = append(all, stateScenarios()...)
	return append(all, pinScenarios()...)
}
