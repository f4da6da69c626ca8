package change

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// watermark is a committed watermark; ok is false when there is none yet.
type watermark struct {
	us int64
	ok bool
}

// ended is the watermark behind the end of all input.
const ended = int64(sabot.MaxMicros)

func (w watermark) min(o watermark) watermark {
	if !w.ok || !o.ok {
		return watermark{}
	}
	return watermark{min(w.us, o.us), true}
}

// stages gives each keyed stage of the new graph its partitions. A stage with a table that is kept goes on with the partitions of the stage that the table
// was in, its watermark included, so that nothing fires twice. A stage without one begins at the watermark up to which what feeds it has committed its
// rows: a row that is late for that is late, whether or not the first watermark comes before it.
func (d *decider) stages() {
	low := map[uint32]watermark{} // of the new graph's stages
	for _, st := range d.now.Stages {
		out := &pb.Stage{Id: st.ID}
		from := d.stagesOf(st.ID)
		if len(from) == 0 {
			out.Partitions = d.emptyPartitions(d.inflow(st, low))
		} else {
			out.Partitions = d.keptPartitions(st, from)
		}
		w := watermark{ended, true}
		for _, p := range out.Partitions {
			w = w.min(watermark{p.WatermarkUs, p.HasWatermark})
		}
		low[st.ID] = w
		d.edit.Stages = append(d.edit.Stages, out)
	}
}

// stagesOf returns the stages of before in which the kept tables of a new stage were.
func (d *decider) stagesOf(stage uint32) (from []*pb.Stage) {
	for _, t := range d.tables {
		was := d.kept[t.Name]
		if was == nil || t.Stage != stage || slices.ContainsFunc(from, func(s *pb.Stage) bool { return s.Id == was.Stage }) {
			continue
		}
		for _, s := range d.root.Stages {
			if s.Id == was.Stage {
				from = append(from, s)
			}
		}
	}
	return from
}

// inflow returns the watermark of all that feeds a stage, as committed.
func (d *decider) inflow(st Stage, low map[uint32]watermark) watermark {
	w := watermark{ended, true}
	for _, name := range st.Sources {
		w = w.min(d.sourceLow(name))
	}
	for _, id := range st.From {
		w = w.min(low[id])
	}
	return w
}

// sourceLow returns the watermark of a source: that of its splits which are neither ended nor idle, as a stage that reads it takes it to be.
func (d *decider) sourceLow(name string) watermark {
	src := sourceOf(d.edit.Sources, name)
	if src == nil {
		return watermark{}
	}
	all, awake := watermark{ended, true}, watermark{ended, true}
	idle := true
	for _, s := range src.Splits {
		if s.Ended {
			continue
		}
		w := watermark{s.WatermarkUs, s.HasWatermark}
		all = all.min(w)
		if !s.Idle {
			awake, idle = awake.min(w), false
		}
	}
	if idle {
		return all
	}
	return awake
}

// emptyPartitions returns the partitions of a stage that begins: as many as the job's other stages have, each with the same owner.
func (d *decider) emptyPartitions(w watermark) []*pb.Partition {
	var out []*pb.Partition
	if len(d.root.Stages) > 0 {
		for _, p := range d.root.Stages[0].Partitions {
			out = append(out, &pb.Partition{Lo: p.Lo, Hi: p.Hi, Group: p.Group})
		}
	} else {
		out = checkpoint.Partitions(d.now.Partitions)
		for _, p := range out {
			p.Group = d.owner()
		}
	}
	for _, p := range out {
		p.WatermarkUs, p.HasWatermark = w.us, w.ok
	}
	return out
}

// keptPartitions returns the partitions of a stage that goes on, with what it keeps of the stages of before.
func (d *decider) keptPartitions(st Stage, from []*pb.Stage) []*pb.Partition {
	mine := func(table string) bool {
		t := tableOf(d.tables, table)
		return d.kept[table] != nil && t.Stage == st.ID
	}
	var out []*pb.Partition
	for _, p := range from[0].Partitions {
		out = append(out, &pb.Partition{Lo: p.Lo, Hi: p.Hi, Group: p.Group, WatermarkUs: p.WatermarkUs, HasWatermark: p.HasWatermark})
	}
	for _, s := range from {
		if !alike(s.Partitions, out) {
			d.say("", "", Refused, "stages %d and %d are one stage now, but have not come equally far: give the operators of one of them other names, and drop its state",
				from[0].Id, s.Id)
			return out
		}
		for i, p := range s.Partitions {
			for _, r := range p.Refs {
				if mine(r.Table) {
					out[i].Refs = append(out[i].Refs, proto.Clone(r).(*pb.Reference))
				}
			}
		}
	}
	d.checkEnd(st, out)
	return out
}

// alike tells whether partitions have the same ranges and watermarks.
func alike(a, b []*pb.Partition) bool {
	return slices.EqualFunc(a, b, func(x, y *pb.Partition) bool {
		return x.Lo == y.Lo && x.Hi == y.Hi && x.HasWatermark == y.HasWatermark && x.WatermarkUs == y.WatermarkUs
	})
}

// checkEnd refuses to give rows to a stage that has seen the end of its input: all of them would be late.
func (d *decider) checkEnd(st Stage, parts []*pb.Partition) {
	if !slices.ContainsFunc(parts, func(p *pb.Partition) bool { return p.HasWatermark && p.WatermarkUs == ended }) {
		return
	}
	for _, name := range st.Sources {
		if src := sourceOf(d.edit.Sources, name); src != nil && slices.ContainsFunc(src.Splits, func(s *pb.Split) bool { return !s.Ended }) {
			d.say(name, "", Refused, "its rows come to stage %d, which has seen the end of its input already", st.ID)
		}
	}
}
