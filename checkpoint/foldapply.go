package checkpoint

import (
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// apply changes the root. Everything has been checked: it cannot fail.
func (f *folder) apply() {
	f.index = make(map[string]uint32, len(f.root.Objects))
	for i, o := range f.root.Objects {
		f.index[o.Key] = uint32(i)
	}
	f.applySplits()
	f.applyPartitions()
	for _, k := range f.r.Compactions {
		f.applyCompaction(k)
	}
	f.applyExchanges()
	f.applyOutputs()
	f.applyDead()
	f.applyCounts()
	f.group.Ended = f.r.Ended
	f.root.Ended = f.root.Ended || allEnded(f.root)
	if f.r.Swept {
		f.root.OldRuns = nil
	}
	f.group.Cut, f.group.CutId = f.r.Cut, f.r.CutId
	f.root.Epoch = max(f.root.Epoch, f.r.Cut)
	dropUnnamed(f.root)
}

// intern returns the root's index of an object of the report.
func (f *folder) intern(object uint32) uint32 {
	o := f.r.Objects[object]
	i, ok := f.index[o.Key]
	if !ok {
		i = uint32(len(f.root.Objects))
		f.root.Objects = append(f.root.Objects, &pb.Object{Key: o.Key, Size: o.Size})
		f.index[o.Key] = i
	}
	return i
}

func (f *folder) section(s *pb.Section) *pb.Section {
	return &pb.Section{Object: f.intern(s.Object), Offset: s.Offset, Length: s.Length, Crc: s.Crc, Rows: s.Rows}
}

func (f *folder) reference(r *pb.Reference) *pb.Reference {
	c := copyReference(r)
	c.Object = f.intern(r.Object)
	return c
}

func copyReference(r *pb.Reference) *pb.Reference {
	return &pb.Reference{Table: r.Table, Object: r.Object, Offset: r.Offset, Length: r.Length, Crc: r.Crc, Tail: r.Tail, BucketLo: r.BucketLo,
		BucketHi: r.BucketHi, Lo: r.Lo, Hi: r.Hi, Rows: r.Rows, Cut: r.Cut}
}

func (f *folder) applySplits() {
	for _, s := range f.r.Splits {
		sp := f.splits[splitID{s.Source, s.Id}]
		sp.Position, sp.Rows, sp.Ended, sp.Done, sp.Dead = s.Position, s.Rows, s.Ended, s.Done, s.Dead
		sp.WatermarkUs, sp.HasWatermark, sp.Idle = s.WatermarkUs, s.HasWatermark, s.Idle
	}
}

func (f *folder) applyPartitions() {
	for _, rp := range f.r.Partitions {
		p := f.parts[partitionID{rp.Stage, rp.Lo, rp.Hi}]
		p.WatermarkUs, p.HasWatermark = rp.WatermarkUs, rp.HasWatermark
		p.Inputs = nil
		for _, in := range rp.Inputs {
			p.Inputs = append(p.Inputs, &pb.Input{Group: in.Group, Cut: in.Cut})
		}
		for _, ref := range rp.Refs {
			p.Refs = append(p.Refs, f.reference(ref))
		}
		for _, x := range rp.Expired {
			p.Refs = slices.DeleteFunc(p.Refs, func(r *pb.Reference) bool {
				return r.Table == x.Table && bucketed(r) && r.BucketHi <= x.BeforeUs
			})
		}
	}
}

func (f *folder) applyOutputs() {
	published := map[outputID]bool{}
	for _, k := range f.r.Published {
		published[outputID{k.Sink, k.Range, k.Number}] = true
	}
	open := map[outputID]*pb.Output{}
	f.root.Outputs = slices.DeleteFunc(f.root.Outputs, func(o *pb.Output) bool {
		id := outputID{o.Sink, o.Range, o.Number}
		open[id] = o
		return published[id]
	})
	for _, ro := range f.r.Outputs {
		o := open[outputID{ro.Key.Sink, ro.Key.Range, ro.Key.Number}]
		if o == nil {
			o = &pb.Output{Sink: ro.Key.Sink, Range: ro.Key.Range, Number: ro.Key.Number, Schema: slices.Clone(ro.Schema), OpenedUs: ro.OpenedUs}
			f.root.Outputs = append(f.root.Outputs, o)
		}
		for _, s := range ro.Sections {
			o.Sections = append(o.Sections, f.section(s))
		}
		o.Closed, o.Group = ro.Close, f.group.Id
	}
}

func (f *folder) applyDead() {
	written := map[deadID]bool{}
	for _, k := range f.r.DeadWritten {
		written[deadID{k.Cut, k.Index}] = true
	}
	f.root.DeadSections = slices.DeleteFunc(f.root.DeadSections, func(d *pb.DeadSection) bool { return written[deadID{d.Cut, d.Index}] })
	for _, d := range f.r.DeadSections {
		f.root.DeadSections = append(f.root.DeadSections, &pb.DeadSection{Section: f.section(d.Section), Cut: d.Cut, Index: d.Index, Group: f.group.Id})
	}
}

func (f *folder) applyCounts() {
	f.root.Late += f.r.Late
	f.root.Dead += f.r.Dead
	f.root.TimersDropped += f.r.TimersDropped
	for _, o := range f.r.Operators {
		i := slices.IndexFunc(f.root.Operators, func(c *pb.OperatorCounts) bool { return c.Name == o.Name })
		if i < 0 {
			i = len(f.root.Operators)
			f.root.Operators = append(f.root.Operators, &pb.OperatorCounts{Name: o.Name})
		}
		c := f.root.Operators[i]
		c.RowsIn += o.RowsIn
		c.RowsOut += o.RowsOut
		c.Late += o.Late
		c.Dead += o.Dead
	}
}

// dropped returns the objects that the report wrote, and that the root does not name. Those that a compaction has read are not the report's.
func (f *folder) dropped() []string {
	read := map[uint32]bool{}
	for _, k := range f.r.Compactions {
		for _, in := range k.Inputs {
			read[in.Object] = true
		}
	}
	named := objectSet(f.root)
	var keys []string
	for i, o := range f.r.Objects {
		if !read[uint32(i)] && !named[o.Key] {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// dropUnnamed removes the objects that nothing in the root names any more.
func dropUnnamed(root *pb.Root) {
	to := make([]uint32, len(root.Objects)) // new index + 1
	eachObject(root, func(i *uint32) { to[*i] = 1 })
	kept := make([]*pb.Object, 0, len(root.Objects))
	for i, o := range root.Objects {
		if to[i] != 0 {
			kept = append(kept, o)
			to[i] = uint32(len(kept))
		}
	}
	root.Objects = kept
	eachObject(root, func(i *uint32) { *i = to[*i] - 1 })
}

// eachObject calls f with every index into the root's objects.
func eachObject(root *pb.Root, f func(*uint32)) {
	eachLive(root, f)
	for _, p := range root.Pins {
		for i := range p.Objects {
			f(&p.Objects[i])
		}
	}
}

// eachLive calls f with every index into the root's objects but those of pins.
func eachLive(root *pb.Root, f func(*uint32)) {
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				f(&r.Object)
			}
		}
	}
	for _, o := range root.Outputs {
		for _, s := range o.Sections {
			f(&s.Object)
		}
	}
	for _, d := range root.DeadSections {
		f(&d.Section.Object)
	}
	for _, e := range root.Exchanges {
		f(&e.Object)
	}
}
