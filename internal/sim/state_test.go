package sim

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// stateScenarios are the cases of compactions, and of splitting and merging partitions.
func stateScenarios() []scenario {
	task := func(k *worker) bool { return len(k.g.tasks) > 0 }
	all := []scenario{
		{"compaction ends after its inputs changed", 2, func(s *script) {
			s.slow()
			s.plan.compact = func(k *worker, t *pb.CompactionTask) bool { // of a bucket: when its end has come, and the root does not know yet
				in := t.Compaction.Inputs[0]
				return in.Table != "open" || slices.ContainsFunc(k.g.parts[2], func(p *part) bool { return p.lo == t.Compaction.Lo && p.mark >= in.BucketHi })
			}
			s.sees("compactions too late")
		}},
		{"compaction ends after its clips changed", 3, func(s *script) {
			s.slow()
			s.shared()
			s.plan.compact = func(*worker, *pb.CompactionTask) bool { return false }
			k := s.worker("a compaction is to be done", task)
			before := k.g
			s.after(func() { s.rescale(6, nil) }, "compactions over a change of partitions")
			s.plan.compact = nil
			before.compact() // all the same, by who has not heard of it
		}},
		{"compaction runs twice", 2, func(s *script) {
			s.slow()
			first := true
			s.plan.compact = func(k *worker, t *pb.CompactionTask) bool {
				if first {
					k.g.tasks = append(k.g.tasks, t)
				}
				first = false
				return true
			}
			s.until("it is folded once, and comes once too late", func() bool { return s.stats["compactions folded"] > 0 && s.stats["compactions too late"] > 0 })
		}},
		{"compaction spans a commit", 2, func(s *script) {
			s.slow()
			var done *pb.Compaction
			s.plan.compact = func(_ *worker, t *pb.CompactionTask) bool {
				if s.current.Epoch <= t.Compaction.Cut {
					return false
				}
				done = t.Compaction
				return true
			}
			s.until("one that was given out before the last commit is done", func() bool { return done != nil })
			s.sees("compactions folded")
		}},
		{"a tombstone's segment is split, compacted on one side, merged", 2, func(s *script) {
			s.slow()
			s.untilCommit("rows that delete lie in a segment", func() bool { return s.current != nil && len(s.tombstones(0, checkpoint.HashSpace)) > 0 })
			s.plan.compact = func(_ *worker, t *pb.CompactionTask) bool { // the lower halves only
				return slices.ContainsFunc(checkpoint.Partitions(3), func(p *pb.Partition) bool { return p.Lo == t.Compaction.Lo })
			}
			s.rescale(6, nil)
			s.untilCommit("one side is compacted", func() bool { return s.oneSided() != nil })
			seg := s.oneSided()
			s.rescale(3, nil)
			s.must("the united partition shows half of the segment", slices.ContainsFunc(stageParts(s.current, 1), func(p *pb.Partition) bool {
				return slices.ContainsFunc(p.Refs, func(r *pb.Reference) bool {
					return s.current.Objects[r.Object].Key == seg.key && r.Offset == seg.offset && r.Lo > p.Lo
				})
			}))
			s.plan.compact = nil
			s.sees("compactions folded")
		}},
		{"compaction of tombstones above older rows", 2, func(s *script) {
			s.slow()
			var only *pb.CompactionTask
			s.plan.compact = func(_ *worker, t *pb.CompactionTask) bool { return t == only }
			s.untilCommit("rows that delete are compacted above those of their keys", func() bool {
				if t := s.aboveOlder(); t != nil {
					only = t
				}
				return s.stats["compactions folded"] > 0
			})
		}},
		{"compaction ends after it was given up, and its output is deleted", 2, func(s *script) {
			s.plan.rows = func(*worker) bool { return s.intn(30) == 0 }
			var given *pb.CompactionTask
			s.plan.compact = func(_ *worker, t *pb.CompactionTask) bool {
				if given == nil && t.Compaction.Inputs[0].Table == "all" {
					given = t
				}
				return t == given && s.current.Floor > t.Compaction.Cut
			}
			s.worker("it is done, with a number below the floor", func(k *worker) bool { return len(k.g.results) > 0 })
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			c.sweep()
			for _, key := range c.deletes {
				s.del(key)
			}
			c.deletes = nil
			s.sees("compactions too late")
		}},
		{"partitions of different watermarks come to one worker", 3, func(s *script) {
			s.slow()
			s.shared()
			mark := func(k *worker) int64 { return least(k.g.own(s.current, 2)) }
			k := s.worker("a worker has rows to read before its watermark rises", func(k *worker) bool {
				return mark(k) < least(stageParts(s.current, 1)) && slices.ContainsFunc(s.current.Exchanges, func(e *pb.Exchange) bool {
					return e.Stage == 2 && slices.ContainsFunc(k.g.own(s.current, 2), func(p *pb.Partition) bool { return !checkpoint.HasRead(p, e) })
				})
			})
			k.frozen = forGood
			s.until("all others are ahead", func() bool {
				return !slices.ContainsFunc(stageParts(s.current, 2), func(p *pb.Partition) bool { return p.Group != k.g.id && p.WatermarkUs <= mark(k) })
			})
			k.crash()
			s.worker("it has partitions of two watermarks", func(k *worker) bool {
				return slices.ContainsFunc(k.g.parts[2], func(p *part) bool { return p.mark != k.g.parts[2][0].mark })
			})
			k.frozen = 0
		}},
	}
	for _, x := range []struct {
		name string
		n    int
	}{{"split", 6}, {"merge", 2}} {
		all = append(all,
			scenario{x.name + " against a flush", 3, func(s *script) {
				s.slow()
				s.shared()
				s.rescale(x.n, func() bool {
					k := s.workers[0]
					if k.g != nil && k.conn != nil && !k.claims {
						k.g.flushEarly()
					}
					return k.g != nil && len(k.g.early) > 0
				})
			}},
			scenario{x.name + " against an unread section", 3, func(s *script) {
				s.slow()
				s.shared()
				s.rescale(x.n, func() bool { return len(s.current.Exchanges) > 1 })
			}},
			scenario{x.name + " of partitions with different watermarks", 3, func(s *script) {
				s.slow()
				s.shared()
				s.rescale(x.n, func() bool {
					parts := stageParts(s.current, 2)
					return slices.ContainsFunc(parts, func(p *pb.Partition) bool { return p.WatermarkUs != parts[0].WatermarkUs })
				})
			}},
			scenario{x.name + " while the coordinator dies", 3, func(s *script) {
				s.slow()
				s.shared()
				c := s.leads("a coordinator", func(*coordinator) bool { return true })
				s.until("partitions are to change", func() bool { return !c.busy && c.m.Rescale(x.n, c.now()) == nil })
				c.act()
				s.until("all is quiet, and they are about to", func() bool { return c.want != nil && len(stageParts(c.want, 1)) == x.n })
				c.die()
				s.sees("goes on")
			}})
	}
	return all
}

// rescale asks for n partitions when something holds, and lets the job run until it has them.
func (s *script) rescale(n int, when func() bool) {
	s.until("partitions are to change", func() bool {
		c := s.leader()
		if c == nil || when != nil && !when() || c.m.Rescale(n, c.now()) != nil {
			return false
		}
		c.act()
		return true
	})
	s.until("partitions have changed", func() bool { return len(stageParts(s.current, 1)) == n })
}

// segmentAt is where a segment lies.
type segmentAt struct {
	key    string
	offset int64
}

// tombstones returns the segments of the table "last" that partitions within a range show, and that have rows which delete.
func (s *script) tombstones(lo, hi uint64) map[segmentAt]bool {
	found := map[segmentAt]bool{}
	for _, p := range stageParts(s.current, 1) {
		for _, r := range p.Refs {
			if p.Lo < lo || p.Hi > hi || r.Table != "last" {
				continue
			}
			key := s.current.Objects[r.Object].Key
			b, err := s.bucket.GetRange(s.ctx(), key, r.Offset, r.Length)
			if err == nil && slices.ContainsFunc(decode(b), row.deletes) {
				found[segmentAt{key, r.Offset}] = true
			}
		}
	}
	return found
}

// aboveOlder returns the compaction of the two newest references of some partition's table "last", of which one has a row that deletes and an older one the
// row that it deletes; nil when there is none. It is given to the worker.
func (s *script) aboveOlder() *pb.CompactionTask {
	for _, k := range s.workers {
		if k.g == nil || k.conn == nil || k.claims {
			continue
		}
		for _, p := range k.g.own(s.current, 1) {
			refs := slices.DeleteFunc(slices.Clone(p.Refs), func(r *pb.Reference) bool { return r.Table != "last" })
			n := len(refs) - 2
			if n < 1 {
				continue
			}
			var older, newer []row
			for i, r := range refs {
				rows := auditor{s.job, s.current}.rows(r.Object, r.Offset, r.Length)
				if i < n {
					older = append(older, rows...)
				} else {
					newer = append(newer, rows...)
				}
			}
			if !slices.ContainsFunc(newer, func(r row) bool { return r.deletes() && slices.Contains(older, r-2) && !slices.Contains(newer, r+2) }) {
				continue
			}
			t := &pb.CompactionTask{Compaction: &pb.Compaction{Term: s.current.Term, Cut: s.current.Epoch + 50, Stage: 1, Lo: p.Lo, Hi: p.Hi}}
			for i, r := range refs[n:] {
				in := proto.Clone(r).(*pb.Reference)
				in.Object = uint32(i)
				t.Compaction.Inputs = append(t.Compaction.Inputs, in)
				t.Objects = append(t.Objects, s.current.Objects[r.Object])
			}
			k.g.tasks = append([]*pb.CompactionTask{t}, k.g.tasks...)
			return t
		}
	}
	return nil
}

// oneSided returns a segment of tombstones that the upper half of a former partition shows, and the lower half has compacted, nil when there is none.
func (s *script) oneSided() *segmentAt {
	for _, p := range checkpoint.Partitions(3) {
		mid := (p.Lo + p.Hi) / 2
		for _, half := range stageParts(s.current, 1) {
			if half.Lo > p.Lo && half.Lo < p.Hi {
				mid = half.Lo
			}
		}
		lower := s.tombstones(p.Lo, mid)
		for at := range s.tombstones(mid, p.Hi) {
			if !lower[at] && len(lower) > 0 {
				return &at
			}
		}
	}
	return nil
}
