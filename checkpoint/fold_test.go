package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

const mid = HashSpace / 2

// sampleReport is a report of cut 5 that fits sampleRoot.
func sampleReport() *pb.Report {
	p := NewPaths("job")
	return &pb.Report{Group: 0, Term: 2, Generation: 5, Run: "run1", Cut: 5, CutId: "c5", Base: 4, BaseId: "c4",
		Objects: []*pb.Object{{Key: p.Pack(2, 5, "e"), Size: 40}},
		Splits: []*pb.ReportSplit{{Source: "src", Id: "a", Position: "20", Rows: 20, WatermarkUs: 200, HasWatermark: true, Done: 0.5},
			{Source: "src", Id: "b", Position: "5", Rows: 5, Ended: true, Done: 1}},
		Partitions: []*pb.ReportPartition{
			{Stage: 1, Lo: 0, Hi: mid, WatermarkUs: 150, HasWatermark: true,
				Refs: []*pb.Reference{{Table: "t", Length: 10, Crc: 1, Lo: 0, Hi: mid, Rows: 2, Cut: 5}}},
			{Stage: 1, Lo: mid, Hi: HashSpace}},
		Outputs: []*pb.ReportOutput{{Key: &pb.OutputKey{Sink: "out", Range: "r0", Number: 3}, Sections: []*pb.Section{{Offset: 10, Length: 10, Rows: 2}}}},
		Late:    2, Dead: 1, TimersDropped: 3,
		Operators:    []*pb.OperatorCounts{{Name: "op", RowsIn: 15, RowsOut: 1, Late: 2}, {Name: "new", RowsIn: 1}},
		DeadSections: []*pb.DeadSection{{Section: &pb.Section{Offset: 20, Length: 20, Rows: 1}, Cut: 5, Index: 0}},
	}
}

func TestFoldRefusals(t *testing.T) {
	p := NewPaths("job")
	for _, c := range []struct {
		name  string
		want  Reason
		spoil func(*pb.Root, *pb.Report)
	}{
		{"unknown group", WrongGroup, func(_ *pb.Root, r *pb.Report) { r.Group = 1 }},
		{"earlier term", WrongTerm, func(_ *pb.Root, r *pb.Report) { r.Term = 1 }},
		{"later term", WrongTerm, func(_ *pb.Root, r *pb.Report) { r.Term = 3 }},
		{"another run", WrongRun, func(_ *pb.Root, r *pb.Report) { r.Run = "run0" }},
		{"earlier generation", WrongGeneration, func(_ *pb.Root, r *pb.Report) { r.Generation = 4 }},
		{"later generation", WrongGeneration, func(_ *pb.Root, r *pb.Report) { r.Generation = 6 }},
		{"earlier base", WrongBase, func(_ *pb.Root, r *pb.Report) { r.Base = 3 }},
		{"later base", WrongBase, func(_ *pb.Root, r *pb.Report) { r.Base, r.Cut = 6, 7 }},
		{"same base number of another life", WrongBase, func(_ *pb.Root, r *pb.Report) { r.BaseId = "c4'" }},
		{"cut not above its base", WrongBase, func(_ *pb.Root, r *pb.Report) { r.Cut = 4 }},
		{"cut without an id", WrongBase, func(_ *pb.Root, r *pb.Report) { r.CutId = "" }},
		{"duplicate", Duplicate, func(_ *pb.Root, r *pb.Report) { r.Cut, r.CutId, r.Base, r.BaseId = 4, "c4", 2, "c2" }},
		{"not above the generation's root", BeforeGeneration, func(o *pb.Root, _ *pb.Report) { o.Groups[0].Since = 5 }},
		{"below the floor", BelowFloor, func(o *pb.Root, _ *pb.Report) { o.Floor = 6 }},
		{"object of an earlier term", BadName, func(_ *pb.Root, r *pb.Report) { r.Objects[0].Key = p.Pack(1, 5, "e") }},
		{"object of a later term", BadName, func(_ *pb.Root, r *pb.Report) { r.Objects[0].Key = p.Pack(3, 5, "e") }},
		{"object below the floor", BadName, func(_ *pb.Root, r *pb.Report) { r.Objects[0].Key = p.Pack(2, 2, "e") }},
		{"object that is no pack", BadName, func(_ *pb.Root, r *pb.Report) { r.Objects[0].Key = "job/CURRENT" }},
		{"object of another job", BadName, func(_ *pb.Root, r *pb.Report) { r.Objects[0].Key = NewPaths("x").Pack(2, 5, "e") }},
		{"object out of range", BadName, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].Refs[0].Object = 1 }},
		{"split missing", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Splits = r.Splits[:1] }},
		{"split twice", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Splits = append(r.Splits, r.Splits[0]) }},
		{"split unknown", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Splits[0].Id = "c" }},
		{"split of another group", BadLayout, func(o *pb.Root, _ *pb.Report) {
			o.Groups = append(o.Groups, &pb.Group{Id: 1})
			o.Sources[0].Splits[0].Group = 1
		}},
		{"partition missing", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Partitions = r.Partitions[:1] }},
		{"partition twice", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Partitions[1] = r.Partitions[0] }},
		{"partition of other bounds", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].Hi-- }},
		{"partition of another stage", BadLayout, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].Stage = 2 }},
		{"split watermark falls", BadContent, func(_ *pb.Root, r *pb.Report) { r.Splits[0].WatermarkUs = 99 }},
		{"split watermark vanishes", BadContent, func(_ *pb.Root, r *pb.Report) { r.Splits[0].HasWatermark = false }},
		{"partition watermark falls", BadContent, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].WatermarkUs = 89 }},
		{"partition watermark vanishes", BadContent, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].HasWatermark = false }},
		{"rows fall", BadContent, func(_ *pb.Root, r *pb.Report) { r.Splits[0].Rows = 9 }},
		{"ended split goes on", BadContent, func(o *pb.Root, _ *pb.Report) { o.Sources[0].Splits[0].Ended = true }},
		{"clip outside of the partition", BadContent, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].Refs[0].Hi++ }},
		{"bytes beyond the object", BadContent, func(_ *pb.Root, r *pb.Report) { r.Partitions[0].Refs[0].Length = 41 }},
		{"output opens without schema", BadContent, func(_ *pb.Root, r *pb.Report) { r.Outputs[0].Key.Number = 5 }},
		{"output is closed", BadContent, func(_ *pb.Root, r *pb.Report) { r.Outputs[0].Key = &pb.OutputKey{Sink: "out", Range: "r1", Number: 2} }},
		{"output twice", BadContent, func(_ *pb.Root, r *pb.Report) { r.Outputs = append(r.Outputs, r.Outputs[0]) }},
		{"output without key", BadContent, func(_ *pb.Root, r *pb.Report) { r.Outputs[0].Key = nil }},
		{"published while open", BadContent, func(_ *pb.Root, r *pb.Report) { r.Published = []*pb.OutputKey{{Sink: "out", Range: "r0", Number: 3}} }},
		{"section beyond the object", BadContent, func(_ *pb.Root, r *pb.Report) { r.Outputs[0].Sections[0].Offset = 31 }},
		{"dead letters of another cut", BadContent, func(_ *pb.Root, r *pb.Report) { r.DeadSections[0].Cut = 4 }},
		{"dead letters without section", BadContent, func(_ *pb.Root, r *pb.Report) { r.DeadSections[0].Section = nil }},
		{"negative count", BadContent, func(_ *pb.Root, r *pb.Report) { r.Late = -1 }},
		{"object of another size", BadContent, func(o *pb.Root, r *pb.Report) {
			r.Objects = append(r.Objects, &pb.Object{Key: o.Objects[0].Key, Size: 1})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, r := sampleRoot(), sampleReport()
			c.spoil(root, r)
			before := proto.Clone(root)
			out := Fold(root, r)
			if out.Reason != c.want {
				t.Errorf("%v, want %v", out, c.want)
			}
			if d := cmp.Diff(before, root, protocmp.Transform()); d != "" {
				t.Errorf("a refused report changed the root: %s", d)
			}
		})
	}
}

// mustFold folds and checks that the root stays valid and the report as it was.
func mustFold(t *testing.T, root *pb.Root, r *pb.Report) FoldOutcome {
	t.Helper()
	before := proto.Clone(r)
	out := Fold(root, r)
	if out.Reason != Folded {
		t.Fatalf("refused: %v", out)
	}
	if err := Validate(root); err != nil {
		t.Fatalf("the root is broken: %v", err)
	}
	if d := cmp.Diff(before, r, protocmp.Transform()); d != "" {
		t.Fatalf("the report was changed: %s", d)
	}
	return out
}

// refNames lists a partition's references as table@object+offset.
func refNames(root *pb.Root, part int) (names []string) {
	for _, r := range root.Stages[0].Partitions[part].Refs {
		k := root.Objects[r.Object].Key
		names = append(names, fmt.Sprintf("%s@%s+%d", r.Table, k[strings.LastIndexByte(k, '-')+1:], r.Offset))
	}
	return names
}

func wantRefs(t *testing.T, root *pb.Root, part int, want ...string) {
	t.Helper()
	if got := refNames(root, part); !slices.Equal(got, want) {
		t.Errorf("references of partition %d: %q, want %q", part, got, want)
	}
}

func TestFoldAppliesEverything(t *testing.T) {
	root := sampleRoot()
	mustFold(t, root, sampleReport())
	a, b := root.Sources[0].Splits[0], root.Sources[0].Splits[1]
	if a.Position != "20" || a.Rows != 20 || a.WatermarkUs != 200 || a.Done != 0.5 || a.Version != "v" || !b.Ended || b.Rows != 5 {
		t.Errorf("splits %v, %v", a, b)
	}
	if w := root.Stages[0].Partitions[0].WatermarkUs; w != 150 {
		t.Errorf("partition watermark %d", w)
	}
	wantRefs(t, root, 0, "t@a+0", "w@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0")
	if g := root.Groups[0]; g.Cut != 5 || g.CutId != "c5" || g.Generation != 5 || root.Epoch != 5 {
		t.Errorf("group %v, epoch %d", g, root.Epoch)
	}
	if root.Late != 3 || root.Dead != 3 || root.TimersDropped != 3 {
		t.Errorf("counts %d %d %d", root.Late, root.Dead, root.TimersDropped)
	}
	if o := root.Operators; len(o) != 2 || o[0].RowsIn != 25 || o[0].RowsOut != 6 || o[0].Late != 2 || o[1].Name != "new" {
		t.Errorf("operators %v", o)
	}
	if o := root.Outputs[0]; len(o.Sections) != 2 || o.Closed || root.Objects[o.Sections[1].Object].Key != NewPaths("job").Pack(2, 5, "e") {
		t.Errorf("output %v", o)
	}
	if len(root.DeadSections) != 2 || root.Ended {
		t.Errorf("dead sections %v, ended %v", root.DeadSections, root.Ended)
	}
	if out := Fold(root, sampleReport()); out.Reason != Duplicate {
		t.Errorf("folded again: %v", out)
	}
}

func TestFoldOutputs(t *testing.T) {
	root, r := sampleRoot(), sampleReport()
	root.OldRuns = []string{"run0"}
	r.Outputs[0].Close = true
	r.Outputs = append(r.Outputs, &pb.ReportOutput{Key: &pb.OutputKey{Sink: "out", Range: "r1", Number: 5}, Schema: []byte("s"), OpenedUs: 9})
	r.Published = []*pb.OutputKey{{Sink: "out", Range: "r1", Number: 2}, {Sink: "out", Range: "r9", Number: 1}}
	r.DeadWritten = []*pb.DeadKey{{Cut: 4, Index: 0}}
	r.Swept, r.Ended = true, true
	mustFold(t, root, r)
	if o := root.Outputs; len(o) != 2 || o[0].Number != 3 || !o[0].Closed || o[1].Number != 5 || o[1].Closed || o[1].OpenedUs != 9 {
		t.Errorf("outputs %v", o)
	}
	if d := root.DeadSections; len(d) != 1 || d[0].Cut != 5 {
		t.Errorf("dead sections %v", d)
	}
	if len(root.OldRuns) != 0 || !root.Ended {
		t.Errorf("old runs %v, ended %v", root.OldRuns, root.Ended)
	}
	for _, o := range root.Objects {
		if strings.HasSuffix(o.Key, "-d") {
			t.Error("the published output's object is still listed")
		}
	}
}

func TestFoldExpiry(t *testing.T) {
	for _, c := range []struct {
		before int64
		want   []string
	}{
		{99, []string{"t@a+0", "w@a+10", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}},
		{100, []string{"t@a+0", "t@b+0", "w@b+10", "t@c+0", "t@e+0"}},
		{1 << 62, []string{"t@a+0", "t@b+0", "t@c+0", "t@e+0"}}, // tables without buckets never expire
	} {
		root, r := sampleRoot(), sampleReport()
		r.Partitions[0].Expired = []*pb.Expiry{{Table: "w", BeforeUs: c.before}, {Table: "t", BeforeUs: c.before}}
		mustFold(t, root, r)
		wantRefs(t, root, 0, c.want...)
	}
}
