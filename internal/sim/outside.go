package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// publish makes an output visible; one that is there must be the same.
func (j *job) publish(run string, o *pb.OutputKey, rows []row) {
	name := j.outputName(run, o)
	if was, ok := j.outside[name]; ok {
		if !slices.Equal(was, rows) && !j.voided(run, o.Number, name) {
			j.fail("output %s is published again with other rows: %v, was %v", name, rows, was)
		}
		return
	}
	j.outside[name] = slices.Clone(rows)
	j.stats["published"]++
}

// valid returns what is published of a run, less what a restore said would come again.
func (j *job) valid(run string) map[string][]row {
	out := map[string][]row{}
	for name, rows := range j.outside {
		of, rest, _ := strings.Cut(name, "/")
		var number uint64
		if _, err := fmt.Sscanf(rest[strings.LastIndexByte(rest, '/')+1:], "%d", &number); err != nil {
			j.fail("output %q has no number", name)
		}
		if (of == run || of == "") && !j.voided(run, number, name) {
			out[name] = rows
		}
	}
	return out
}

func (j *job) voided(run string, number uint64, name string) bool {
	return slices.ContainsFunc(j.void, func(v voided) bool {
		return v.run == run && (number > v.above && number < v.upTo || slices.Contains(v.cuts, number) || v.listed[name])
	})
}

// history remembers the roots that bring pins in, and what a root that goes back to one of them makes void.
func (j *job) history(old, root *pb.Root) {
	for _, p := range root.Pins {
		if j.snaps[p.Id].root == nil && !p.Written {
			j.snaps[p.Id] = snap{root, j.published(root)}
		}
	}
	if old == nil || !begins(root) || root.Epoch != old.Epoch+1 || root.Term != old.Term+1 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(j.snaps)) {
		snap := j.snaps[id].root
		if pin := checkpoint.PinOf(old, id); pin == nil || pin.Abandoned {
			continue
		}
		if !slices.EqualFunc(snap.Sources, root.Sources, func(a, b *pb.Source) bool { return proto.Equal(a, b) }) ||
			!slices.EqualFunc(snap.Stages, root.Stages, func(a, b *pb.Stage) bool { return sameStage(snap, root, a, b) }) ||
			!slices.EqualFunc(snap.Outputs, root.Outputs, func(a, b *pb.Output) bool {
				return a.Range == b.Range && a.Closed == b.Closed && len(a.Sections) == len(b.Sections) && (!a.Closed || a.Number == b.Number)
			}) {
			continue
		}
		_, rep, err := checkpoint.Restored(old, snap, checkpoint.PinOf(snap, id))
		if err != nil {
			continue // an earlier run has been there too
		}
		j.wentBack(root, rep)
		j.stats["went back"]++
		j.note("went back to pin %s, of epoch %d", id, snap.Epoch)
		return
	}
	j.fail("a root of term %d begins with a state that no pin had", root.Term)
}

// published returns what is published as of root and waits in it no more.
func (j *job) published(root *pb.Root) (rows []row) {
	listed := map[string]bool{}
	for _, o := range root.Outputs {
		listed[j.outputName(root.Run, &pb.OutputKey{Range: o.Range, Number: o.Number})] = true
	}
	valid := j.valid(root.Run)
	for _, name := range slices.Sorted(maps.Keys(valid)) {
		if !listed[name] {
			rows = append(rows, valid[name]...)
		}
	}
	if j.origin != nil && root.Run == j.run {
		rows = append(rows, j.origin.out...)
	}
	return rows
}

func sameStage(ra, rb *pb.Root, a, b *pb.Stage) bool {
	return slices.EqualFunc(a.Partitions, b.Partitions, func(x, y *pb.Partition) bool {
		return x.Lo == y.Lo && x.WatermarkUs == y.WatermarkUs && slices.EqualFunc(x.Refs, y.Refs, func(p, q *pb.Reference) bool {
			return ra.Objects[p.Object].Key == rb.Objects[q.Object].Key && p.Offset == q.Offset && p.Length == q.Length
		})
	})
}

// wentBack notes the outputs that a restore has named.
func (j *job) wentBack(root *pb.Root, rep checkpoint.Repeated) {
	v := voided{run: rep.Run, above: rep.Above, cuts: rep.Cuts, upTo: root.Epoch, listed: map[string]bool{}}
	for _, o := range rep.Open {
		v.listed[j.outputName(rep.Run, o)] = true
	}
	j.void = append(j.void, v)
}

// where tells how far things are.
func (j *job) where() string {
	if j.current == nil {
		return "nothing was ever committed"
	}
	s := fmt.Sprintf("term %d, epoch %d, ended %v, %d outputs, %d exchanges, %d old runs;", j.current.Term, j.current.Epoch, j.current.Ended, len(j.current.Outputs),
		len(j.current.Exchanges), len(j.current.OldRuns))
	for _, sp := range j.current.Sources[0].Splits {
		s += fmt.Sprintf(" %d", sp.Rows)
	}
	for _, g := range j.current.Groups {
		s += fmt.Sprintf("; group %d gen %d cut %d ended %v", g.Id, g.Generation, g.Cut, g.Ended)
	}
	for _, k := range j.workers {
		s += fmt.Sprintf("; %s connected %v", k.name, k.conn != nil)
		if k.conn != nil {
			s += fmt.Sprintf(" as %s, %d messages to it and %d from it", k.conn.id, len(k.conn.toWork), len(k.conn.toCoord))
		}
		if k.g != nil {
			_, generation := k.g.ledger.Fence()
			s += fmt.Sprintf(" group %d gen %d %v cutting %v hold %v", k.g.id, generation, k.g.pos, k.g.cutting(), k.g.hold)
		}
	}
	for _, c := range j.coords {
		if !c.over() {
			s += fmt.Sprintf("; coordinator of term %d", c.m.Status(j.now).Root.Term)
			for _, x := range c.m.Status(j.now).Workers {
				s += fmt.Sprintf(" %s as %s has %v group %d open %d leaving %v progress %v", x.Name, x.ID, x.Has, x.Group, x.Open, x.Leaving, x.Progress)
			}
			s += fmt.Sprint(c.m.Status(j.now).Why())
		}
	}
	return s
}

// removeRuns takes away what earlier runs have published.
func (j *job) removeRuns(runs []string) {
	for name := range j.outside {
		if run, _, _ := strings.Cut(name, "/"); slices.Contains(runs, run) {
			delete(j.outside, name)
		}
	}
}
