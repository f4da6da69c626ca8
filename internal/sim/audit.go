package sim

import (
	"context"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// audit compares what a root commits with the rows that it says were read, and with the root before.
func (j *job) audit(old, root *pb.Root) {
	j.linear(old, root)
	if j.bad != "" {
		return
	}
	a := auditor{j: j, root: root}
	read := map[row]bool{}
	for s, sp := range root.Sources[0].Splits {
		for i := range int(sp.Rows) {
			read[rowOf(s, i)] = true
		}
	}
	for _, stage := range []uint32{1, 2} {
		flying := a.flying(stage)
		for r := range flying {
			if !read[r] {
				j.fail("row %d is on its way to stage %d, and was not read", r, stage)
			}
			delete(read, r)
		}
		a.stage(stage, read, flying)
	}
	a.outputs(read)
	a.pins()
}

// linear checks that nothing goes back.
func (j *job) linear(old, root *pb.Root) {
	if old == nil {
		return
	}
	if root.Term < old.Term || root.Epoch < old.Epoch || root.Floor < old.Floor {
		j.fail("the root went back: term %d, epoch %d, floor %d after %d, %d, %d", root.Term, root.Epoch, root.Floor, old.Term, old.Epoch, old.Floor)
	}
	for _, g := range old.Groups {
		if now := checkpoint.GroupOf(root, g.Id); now != nil && now.Generation < g.Generation {
			j.fail("generation of group %d went back from %d to %d", g.Id, g.Generation, now.Generation)
		}
	}
	if root.Run != old.Run || begins(root) {
		return
	}
	for s, sp := range root.Sources[0].Splits {
		if was := old.Sources[0].Splits[s]; sp.Rows < was.Rows {
			j.fail("split %d went back from row %d to %d", s, was.Rows, sp.Rows)
		}
	}
	for _, stage := range []uint32{1, 2} {
		if least(stageParts(root, stage)) < least(stageParts(old, stage)) {
			j.fail("the watermark of stage %d falls", stage)
		}
	}
}

// begins tells whether every group of root starts from it: a new run, or one that went back.
func begins(root *pb.Root) bool {
	return !slices.ContainsFunc(root.Groups, func(g *pb.Group) bool { return g.CutId != "" || g.Since != root.Epoch || g.Cut != root.Epoch })
}

func least(parts []*pb.Partition) int64 {
	low := forever
	for _, p := range parts {
		low = min(low, p.WatermarkUs)
	}
	return low
}

type auditor struct {
	j    *job
	root *pb.Root
}

// rows reads a run of rows of an object that the root names.
func (a auditor) rows(object uint32, off, n int64) []row {
	key := a.root.Objects[object].Key
	b, err := a.j.bucket.GetRange(context.Background(), key, off, n)
	if err != nil {
		a.j.fail("dangling: CURRENT names %s: %v", key, err)
		return nil
	}
	return decode(b)
}

// flying returns the rows that the partitions of a stage have not read yet.
func (a auditor) flying(stage uint32) map[row]bool {
	out := map[row]bool{}
	for _, e := range a.root.Exchanges {
		if e.Stage != stage {
			continue
		}
		off := e.Offset
		for _, b := range e.Blocks {
			for _, r := range a.rows(e.Object, off, b.Length) {
				for _, p := range stageParts(a.root, stage) {
					if within(r.hash(stage), p.Lo, p.Hi) && !checkpoint.HasRead(p, e) {
						if out[r] {
							a.j.fail("row %d is on its way to stage %d twice", r, stage)
						}
						out[r] = true
					}
				}
			}
			off += b.Length
		}
	}
	return out
}

// stage compares the tables of a stage's partitions with the rows that have come to it.
func (a auditor) stage(stage uint32, came, flying map[row]bool) {
	for _, p := range stageParts(a.root, stage) {
		for r := range flying {
			if within(r.hash(stage), p.Lo, p.Hi) && r.time() <= p.WatermarkUs && !r.late() {
				a.j.fail("time runs backwards: row %d of time %d is on its way to stage %d, whose watermark is %d", r, r.time(), stage, p.WatermarkUs)
			}
		}
		var mine []row
		for r := range came {
			if within(r.hash(stage), p.Lo, p.Hi) {
				mine = append(mine, r)
			}
		}
		slices.Sort(mine)
		got := map[string][]row{}
		for _, ref := range p.Refs {
			for _, r := range a.rows(ref.Object, ref.Offset, ref.Length) {
				if !within(r.hash(stage), ref.Lo, ref.Hi) {
					continue // outside of the clip
				}
				got[ref.Table] = append(got[ref.Table], r)
				if ref.Table == "open" && (r.bucket() > ref.BucketHi || r.bucket() <= ref.BucketLo) {
					a.j.fail("row %d lies in bucket [%d,%d)", r, ref.BucketLo, ref.BucketHi)
				}
			}
			if ref.Table == "open" && ref.BucketHi <= p.WatermarkUs {
				a.j.fail("stage %d: bucket ending %d outlives watermark %d", stage, ref.BucketHi, p.WatermarkUs)
			}
		}
		a.compare(stage, "all", got["all"], mine)
		if stage == 1 {
			a.compare(stage, "last", newest(got["last"]), newest(mine))
		} else {
			open := slices.DeleteFunc(slices.Clone(mine), func(r row) bool { return r.bucket() <= p.WatermarkUs })
			a.compare(stage, "open", got["open"], open)
		}
	}
}

// newest returns the last row of each key, in the order in which they stand, unless that deletes.
func newest(rows []row) (out []row) {
	last := map[uint32]row{}
	for _, r := range rows {
		last[r.key()] = r
	}
	for _, r := range last {
		if !r.deletes() {
			out = append(out, r)
		}
	}
	return out
}

func (a auditor) compare(stage uint32, table string, got, want []row) {
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		a.j.fail("stage %d, table %s: rows %v, want %v", stage, table, got, want)
	}
}

// outputs compares what waits and what is published with the rows that have come through.
func (a auditor) outputs(came map[row]bool) {
	got := a.j.published(a.root)
	for _, o := range a.root.Outputs {
		for _, s := range o.Sections {
			got = append(got, a.rows(s.Object, s.Offset, s.Length)...)
		}
	}
	var want []row
	for r := range came {
		want = append(want, r)
	}
	a.compare(3, "outputs", a.windows(got, came), want)
}

// windows checks that each window has fired once if the watermark has come to its end and it had rows in time, and returns what else is put out.
func (a auditor) windows(out []row, came map[row]bool) (rows []row) {
	fired := map[row]int{}
	for _, r := range out {
		if r&fires == 0 {
			rows = append(rows, r)
		} else if fired[r]++; fired[r] > 1 {
			a.j.fail("window %x fires twice", r)
		}
	}
	for _, p := range stageParts(a.root, 2) {
		for r := range came {
			if w := r.window(); within(w.hash, p.Lo, p.Hi) {
				switch n := fired[w.fired()]; {
				case w.end > p.WatermarkUs && n > 0:
					a.j.fail("window %x has fired before its end", w.fired())
				case w.end <= p.WatermarkUs && n == 0 && !r.late():
					a.j.fail("window %x has not fired", w.fired())
				}
			}
		}
	}
	return rows
}

// pins checks that all that is pinned is there, and each copy readable.
func (a auditor) pins() {
	s := checkpoint.Store{Bucket: a.j.bucket, Paths: a.j.paths}
	for _, p := range a.root.Pins {
		for _, i := range p.Objects {
			if _, _, err := a.j.bucket.Get(context.Background(), a.root.Objects[i].Key); err != nil {
				a.j.fail("dangling: pin %s names %s: %v", p.Id, a.root.Objects[i].Key, err)
			}
		}
		if !p.Written || p.Kind == pb.PinKind_CLONE {
			continue
		}
		c, err := s.ReadCopy(context.Background(), p)
		if err != nil {
			a.j.fail("dangling: copy of pin %s: %v", p.Id, err)
			continue
		}
		held := map[string]bool{}
		for _, i := range p.Objects {
			held[a.root.Objects[i].Key] = true
		}
		used := map[uint32]bool{}
		for _, st := range c.Stages {
			for _, part := range st.Partitions {
				for _, r := range part.Refs {
					used[r.Object] = true
				}
			}
		}
		for i := range used {
			if !held[c.Objects[i].Key] {
				a.j.fail("dangling: pin %s does not hold %s, which its copy needs", p.Id, c.Objects[i].Key)
			}
		}
	}
}

// final checks what a job that has ended leaves.
func (j *job) final() {
	if j.current == nil || j.current.FinishedUs == 0 {
		j.fail("stuck: %s", j.where())
		return
	}
	if n := len(j.current.Outputs); n > 0 {
		j.fail("job %s has finished, and %d outputs are not published", j.id, n)
	}
	a := auditor{j: j, root: j.current}
	came := map[row]bool{}
	for i := range splits * splitRows {
		came[row(i)] = true
	}
	a.outputs(came)
	if _, err := checkpoint.Sweep(context.Background(), faulty{j.bucket, j}, j.current); err != nil {
		j.fail("sweep: %v", err)
	}
	s := checkpoint.Store{Bucket: faulty{j.bucket, j}, Paths: j.paths}
	if _, err := s.SweepCopies(context.Background(), func() *pb.Root { return j.current }); err != nil {
		j.fail("sweep: %v", err)
	}
	if left := j.orphans(); len(left) > 0 {
		j.fail("garbage is left: %q", left)
	}
}
