package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// workerScenarios are the cases of workers that die, freeze and come back, and of their reports.
func workerScenarios() []scenario {
	anyReport := func(*pb.Report) bool { return true }
	uploading := func(k *worker) bool {
		return k.g.file != nil && len(k.g.file.keys) > 0 && len(k.g.file.keys) < len(k.g.file.bodies)
	}
	uploaded := func(k *worker) bool { return k.g.file != nil && len(k.g.file.keys) == 0 && len(k.g.file.bodies) > 0 }
	return []scenario{
		{"worker dies mid-upload", 3, func(s *script) {
			s.shared()
			k := s.worker("some objects of a cut are written, and some are not", uploading)
			k.crash()
			s.must("objects that nobody names", len(s.orphans()) > 0)
		}},
		{"worker dies after upload, before report", 3, func(s *script) {
			s.shared()
			k := s.worker("all objects of a cut are written, and it is not reported", uploaded)
			k.crash()
			s.must("objects that nobody names", len(s.orphans()) > 0)
		}},
		{"report lost", 3, func(s *script) {
			s.shared()
			s.reports(lost, anyReport)
			s.sees("reports lost")
			s.sees("cut open for too long, starting the group again")
		}},
		{"report duplicated", 3, func(s *script) {
			s.shared()
			s.reports(twice, anyReport)
			s.sees("reports doubled")
			s.sees("refused: committed already")
		}},
		{"reports reordered", 3, func(s *script) {
			s.slow()
			s.shared()
			s.plan.holdLate = true
			s.reports(late, anyReport)
			c := s.leads("a report is on a slow way", func(c *coordinator) bool { return len(c.astray) > 0 })
			r := c.astray[0].msg.GetReport()
			s.until("a later cut is committed before it", func() bool { return s.current.Epoch > r.Cut })
			s.after(c.arrives, "folded below the epoch")
		}},
		{"report late by several roots", 3, func(s *script) {
			s.slow()
			s.shared()
			s.plan.holdLate = true
			s.reports(late, anyReport)
			c := s.leads("a report is on a slow way", func(c *coordinator) bool { return len(c.astray) > 0 })
			r := c.astray[0].msg.GetReport()
			for i := range 3 {
				s.must("a savepoint is asked for", c.m.Savepoint(s.name(), fmt.Sprint("late", i), c.now()) == nil)
				c.act()
				s.commits(1)
			}
			s.must("its group waits for it", checkpoint.GroupOf(s.current, r.Group).Cut == r.Base)
			c.arrives()
			s.until("it is committed", func() bool { return checkpoint.GroupOf(s.current, r.Group).CutId == r.CutId })
		}},
		{"a report whose base was refused", 3, func(s *script) {
			s.slow()
			s.shared()
			s.plan.holdLate = true
			s.reports(late, anyReport)
			c := s.leads("a report is on a slow way", func(c *coordinator) bool { return len(c.astray) > 0 })
			r := c.astray[0].msg.GetReport()
			s.sees("cut open for too long, starting the group again")
			s.until("the group has committed another cut on the same base", func() bool { return checkpoint.GroupOf(s.current, r.Group).Cut > r.Cut })
			s.after(c.arrives, "refused: another generation")
		}},
		{"a report comes again after the next one", 3, func(s *script) {
			s.slow()
			s.shared()
			var again parcel
			s.plan.report = func(c *coordinator, r *pb.Report) fate {
				if again.msg == nil {
					again = parcel{coord.WorkerID("nobody"), &pb.FromWorker{Message: &pb.FromWorker_Report{Report: r}}}
				}
				return passes
			}
			s.until("the next cut is committed", func() bool {
				return again.msg != nil && checkpoint.GroupOf(s.current, again.msg.GetReport().Group).Cut > again.msg.GetReport().Cut
			})
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			c.astray = append(c.astray, again)
			s.sees("refused: another base cut")
		}},
		{"half of an in-memory edge refused", 2, func(s *script) {
			s.slow()
			s.workers[1].frozen = forGood
			s.plan.holdLate = true
			s.reports(late, func(r *pb.Report) bool { return s.current.Epoch > 0 })
			c := s.leads("a report of all stages is on a slow way", func(c *coordinator) bool { return len(c.astray) > 0 })
			s.must("rows went in memory", len(s.current.Exchanges) == 0 && !checkpoint.Shared(s.current))
			s.workers[1].frozen = 0
			s.until("half of the partitions are with another", func() bool { return checkpoint.Shared(s.current) })
			s.after(c.arrives, "refused: another generation")
		}},
		{"zombie worker reports after reassignment", 3, func(s *script) {
			s.slow()
			s.shared()
			k := s.worker("a cut is written", uploaded)
			k.frozen = forGood
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			s.gone(k)
			s.must("the coordinator is the same", !c.over())
			k.g.upload()
			s.sees("refused: another generation")
			k.frozen = 0
		}},
		{"zombie worker uploads after garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			k := s.worker("some objects of a cut are written, and some are not", uploading)
			k.frozen = forGood
			first, last := k.g.file.report.Objects[0].Key, k.g.file.keys[0]
			s.gone(k)
			s.leads("a coordinator", func(*coordinator) bool { return true }).sweep()
			s.until("what it had written is deleted", func() bool { return !slices.Contains(s.orphans(), first) })
			k.g.upload()
			s.must("it writes once more", slices.Contains(s.orphans(), last))
			k.frozen = 0
		}},
		{"a partition goes A-B-A with a stale cache", 2, func(s *script) {
			s.slow()
			s.shared()
			a, b := s.workers[0], s.workers[1]
			stale, lo := a.g, a.g.parts[1][0].lo
			a.frozen = forGood
			s.until("B has all", func() bool { return b.g != nil && !b.g.shared && b.g.root.Epoch > stale.root.Epoch })
			s.commits(2)
			a.frozen, b.frozen = 0, forGood
			s.until("A has it again, from what B has committed", func() bool {
				return a.g != nil && a.g.root.Epoch > stale.root.Epoch && slices.ContainsFunc(a.g.parts[1], func(p *part) bool { return p.lo == lo })
			})
			b.frozen = 0
		}},
		{"a slow reader meets garbage collection", 3, func(s *script) {
			s.slow()
			s.shared()
			k := s.worker("something is to be read", func(k *worker) bool {
				e := k.g.read[1].Next(k.g.root)
				if e == nil {
					return false
				}
				from, to, _, _ := k.g.read[1].Span(e)
				return from < to
			})
			k.frozen = forGood
			g := k.g
			key := g.root.Objects[g.read[1].Next(g.root).Object].Key
			s.until("others have read it, and it is deleted", func() bool { _, _, err := s.bucket.Get(s.ctx(), key); return err != nil })
			was := s.stats["stale reads"]
			g.readExchange(1)
			s.must("it finds out", s.stats["stale reads"] > was && k.g == nil)
			k.frozen = 0
		}},
		{"crash between commit and publish, twice", 3, func(s *script) {
			s.shared()
			s.plan.publish = func(*worker) bool { return false }
			waits := func() *pb.Output {
				i := slices.IndexFunc(s.current.Outputs, func(o *pb.Output) bool { return o.Closed })
				if i < 0 {
					return nil
				}
				return s.current.Outputs[i]
			}
			s.until("an output is closed", func() bool { return waits() != nil })
			name := s.outputName(s.current.Run, &pb.OutputKey{Sink: "out", Range: waits().Range, Number: waits().Number})
			for range 2 {
				k := s.worker("its owner runs", func(k *worker) bool { return k.g.id == waits().Group && checkpoint.GroupOf(k.g.root, k.g.id) != nil })
				started := s.stats["groups started"]
				k.crash()
				s.until("groups start again", func() bool { return s.stats["groups started"] > started })
			}
			s.must("it is not published", s.outside[name] == nil)
			s.plan.publish = nil
			s.until("it is published", func() bool { return s.outside[name] != nil })
		}},
		{"clock jumps of an hour", 3, func(s *script) {
			s.shared()
			s.worker("a cut is under way", uploading)
			c := s.leads("a coordinator", func(*coordinator) bool { return true })
			c.ahead += time.Hour
			s.after(func() { c.m.Tick(c.now()); c.act() }, "worker has not been heard of, its share goes to others")
			s.now = s.now.Add(time.Hour)
			s.sees("published")
		}},
	}
}
