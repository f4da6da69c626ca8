package coord

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// From when on something is named.
const (
	slowCommit  = 5 * time.Second
	slowCut     = 10 * time.Second
	slowTrouble = 2 * time.Second
	slowAnswer  = 3 * time.Second
	stillFor    = 10 * time.Second // a watermark that has not risen
	fullQueue   = 0.9
	mostly      = 0.5 // of the time
	// alike is how many findings of a kind are told; the rest is counted.
	alike = 3
)

// Why is why a job does not go on, or not as fast as it might.
type Why struct {
	Stuck []string // as long as this lasts, part of the job does not go on
	Slow  []string // it goes on, and this is what it waits for
}

// Why explains a status. It is a pure function.
func (s Status) Why() Why {
	if s.Root.FinishedUs != 0 {
		return Why{}
	}
	e := explanation{Status: s, owner: map[uint32]string{}}
	for _, w := range s.Workers {
		if w.Has {
			e.owner[w.Group] = w.Name
		}
	}
	e.workers()
	e.bucket()
	e.cuts()
	if !s.Root.Ended {
		e.splits()
		if len(e.why.Stuck) == 0 { // otherwise that is why
			e.partitions()
		}
		e.flow()
	}
	return e.why
}

// BucketFails tells whether calls of the bucket are not answered, or fail, or a commit takes too long: then what workers do tells nothing of what they
// could do.
func (s Status) BucketFails() bool {
	return s.Trouble != "" && s.TroubleFor >= slowTrouble || s.CommitFor >= slowCommit || slices.ContainsFunc(s.Workers, WorkerStatus.bucketFails)
}

// troubleFor is for how long the worker has had trouble with the bucket.
func (w WorkerStatus) troubleFor() time.Duration {
	if w.Load.GetTrouble() == "" {
		return 0
	}
	return time.Duration(w.Load.TroubleUs)*time.Microsecond + w.LoadAge
}

func (w WorkerStatus) bucketFails() bool { return w.troubleFor() >= slowTrouble }

// explanation is a Why in the making.
type explanation struct {
	Status
	owner map[uint32]string // names of the workers that have a group
	why   Why
}

// tell adds the first few of some findings, and how many more there are.
func tell(to *[]string, found []string) {
	*to = append(*to, found[:min(len(found), alike)]...)
	if more := len(found) - alike; more > 0 {
		*to = append(*to, fmt.Sprintf("... and %d more like that", more))
	}
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// workers says for whom shares wait.
func (e *explanation) workers() {
	if len(e.Workers) == 0 {
		e.why.Stuck = append(e.why.Stuck, "there is no worker: start one")
		return
	}
	var waits, silent []string
	for _, id := range checkpoint.Owners(e.Root) {
		if _, ok := e.owner[id]; ok {
			continue
		}
		last := ""
		if g := checkpoint.GroupOf(e.Root, id); g != nil && g.Worker != "" {
			last = fmt.Sprintf(", which %s had", g.Worker)
		}
		waits = append(waits, fmt.Sprintf("the share of group %d%s, waits for a worker", id, last))
	}
	for _, w := range e.Workers {
		if w.Silent >= slowAnswer {
			silent = append(silent, fmt.Sprintf("worker %s has not been heard of for %s", w.Name, seconds(w.Silent)))
		}
	}
	tell(&e.why.Stuck, waits)
	tell(&e.why.Stuck, silent)
	if e.Deal != "" && e.DealFor > time.Second {
		e.why.Stuck = append(e.why.Stuck, fmt.Sprintf("%s waits for last checkpoints, for %s more at most", e.Deal, seconds(max(0, e.DealIn))))
	}
}

// bucket says which calls of the bucket fail.
func (e *explanation) bucket() {
	if e.Trouble != "" && e.TroubleFor >= slowTrouble {
		e.why.Stuck = append(e.why.Stuck, fmt.Sprintf("bucket, as the coordinator sees it: %s, for %s", e.Trouble, seconds(e.TroubleFor)))
	} else if e.CommitFor >= slowCommit {
		e.why.Stuck = append(e.why.Stuck, fmt.Sprintf("a commit has been under way for %s", seconds(e.CommitFor)))
	}
	var found []string
	for _, w := range e.Workers {
		if w.bucketFails() {
			found = append(found, fmt.Sprintf("bucket, as %s sees it: %s, for %s", w.Name, w.Load.Trouble, seconds(w.troubleFor())))
		}
	}
	tell(&e.why.Stuck, found)
}

// cutWaits says for what a cut waits in each of its stages, as engine names them.
var cutWaits = map[string]string{
	"align":  "the barrier has not come to every lane",
	"encode": "its state is being encoded",
	"upload": "it is being written to the bucket",
	"":       "the worker has not begun it, or waits for its commit",
}

// cuts says which checkpoints are open for too long. One that waits for a bucket that fails is explained by that.
func (e *explanation) cuts() {
	var found []string
	for _, w := range e.Workers {
		if w.Open == 0 || w.OpenFor < slowCut {
			continue
		}
		stage := w.Load.GetCutStage()
		if stage == "upload" && w.bucketFails() {
			continue
		}
		text := fmt.Sprintf("checkpoint %d has been open at %s for %s: %s", w.Open, w.Name, seconds(w.OpenFor), cutWaits[stage])
		if stage != "" {
			text += fmt.Sprintf(" (stage %s)", stage)
		}
		found = append(found, text)
	}
	tell(&e.why.Stuck, found)
}

// reading tells whether a split is one that a watermark waits for.
func (s SplitStatus) reading() bool { return !s.Ended && !s.Idle }

// splits says which split holds the watermark.
func (e *explanation) splits() {
	var unstarted []SplitStatus
	var low *SplitStatus
	started := false
	for i, s := range e.Splits {
		switch {
		case !s.reading():
		case !s.Started && s.Rows == 0 && s.Still >= stillFor:
			unstarted = append(unstarted, s)
		case s.Started:
			started = true
			if low == nil || s.WatermarkUs < low.WatermarkUs {
				low = &e.Splits[i]
			}
		}
	}
	if len(unstarted) > 0 {
		s := unstarted[0]
		text := fmt.Sprintf("split %q of source %q%s has given no row for %s", s.ID, s.Source, e.at(s.Group), seconds(s.Still))
		if n := len(unstarted); n > 1 {
			text = fmt.Sprintf("%d splits have given no row, like %q of source %q%s, for %s", n, s.ID, s.Source, e.at(s.Group), seconds(s.Still))
		}
		if started {
			text += ": the watermark waits for it"
		}
		e.why.Stuck = append(e.why.Stuck, text)
		return
	}
	if low == nil || low.Still < stillFor || !slices.ContainsFunc(e.Splits, func(s SplitStatus) bool {
		return s.reading() && s.Started && s.WatermarkUs > low.WatermarkUs && s.Still < low.Still
	}) {
		return // nobody waits for it
	}
	text := fmt.Sprintf("split %q of source %q%s holds the watermark at %s, for %s", low.ID, low.Source, e.at(low.Group), checkpoint.Instant(low.WatermarkUs), seconds(low.Still))
	switch {
	case low.LagRows == 0:
		text += ": nothing comes (an idle timeout of the source would let the others go on)"
	case low.LagRows > 0:
		text += fmt.Sprintf(": %d rows wait in it", low.LagRows)
	}
	e.why.Stuck = append(e.why.Stuck, text)
}

// at says who has a group.
func (e *explanation) at(group uint32) string {
	if name, ok := e.owner[group]; ok {
		return " at " + name
	}
	return ""
}

// partitions says which partitions hold the watermark, where that of the sources has gone on.
func (e *explanation) partitions() {
	low := int64(math.MaxInt64)
	for _, s := range e.Splits {
		if s.reading() {
			if !s.Started {
				return
			}
			low = min(low, s.WatermarkUs)
		}
	}
	var found []string
	for _, w := range e.Workers {
		for i, l := range w.Load.GetLanes() {
			if l.HasWatermark && l.WatermarkUs < low && w.LaneStill[i] >= stillFor {
				found = append(found, fmt.Sprintf("the watermark of %s of stage %d at %s stays at %s, for %s, behind that of the sources",
					e.partitionsOf(l), l.Stage, w.Name, checkpoint.Instant(l.WatermarkUs), seconds(w.LaneStill[i])))
			}
		}
	}
	tell(&e.why.Stuck, found)
}

// partitionsOf names the partitions of a lane by their numbers.
func (e *explanation) partitionsOf(l *pb.LaneLoad) string {
	for _, st := range e.Root.Stages {
		if st.Id != l.Stage {
			continue
		}
		first := slices.IndexFunc(st.Partitions, func(p *pb.Partition) bool { return p.Lo >= l.Lo })
		last := slices.IndexFunc(st.Partitions, func(p *pb.Partition) bool { return p.Hi >= l.Hi })
		switch {
		case first < 0 || last < 0: // the partitions are others by now
		case first == last:
			return fmt.Sprintf("partition %d", first)
		default:
			return fmt.Sprintf("partitions %d to %d", first, last)
		}
	}
	return fmt.Sprintf("partitions from hash %d", l.Lo)
}

// flow says what the workers' rows wait for.
func (e *explanation) flow() {
	var full, blocked, throttled []string
	for _, w := range e.Workers {
		var behind *pb.LaneLoad // the last stage with a full queue is the one that the others wait for
		var room, turn float64
		for _, l := range w.Load.GetLanes() {
			if l.Full >= fullQueue && (behind == nil || l.Stage > behind.Stage || l.Stage == behind.Stage && l.Full > behind.Full) {
				behind = l
			}
			if l.Hi == 0 {
				room, turn = max(room, l.Blocked), max(turn, l.Throttled)
			}
		}
		switch {
		case behind != nil:
			text := fmt.Sprintf("the queue of stage %d at %s is full: the lane of %s works for %s of the time", behind.Stage, w.Name, e.partitionsOf(behind), percent(behind.Busy))
			if behind.Blocked >= mostly {
				text += fmt.Sprintf(", and waits for room behind it for %s", percent(behind.Blocked))
			}
			full = append(full, text)
		case room >= mostly:
			blocked = append(blocked, fmt.Sprintf("the sources at %s wait for room behind them for %s of the time", w.Name, percent(room)))
		case turn >= mostly:
			throttled = append(throttled, fmt.Sprintf("the sources at %s are held to --rate for %s of the time", w.Name, percent(turn)))
		}
	}
	tell(&e.why.Slow, full)
	tell(&e.why.Slow, blocked)
	tell(&e.why.Slow, throttled)
}
