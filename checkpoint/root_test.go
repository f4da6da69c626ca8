package checkpoint

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// sampleRoot is a root with something of everything: epoch 4, two partitions of one stage, two splits, an open and a closed output.
func sampleRoot() *pb.Root {
	p := NewPaths("job")
	ref := func(table string, object uint32, off int64, blo, bhi int64, lo, hi uint64) *pb.Reference {
		return &pb.Reference{Table: table, Object: object, Offset: off, Length: 10, Crc: 7, BucketLo: blo, BucketHi: bhi, Lo: lo, Hi: hi, Rows: 3, Cut: 1}
	}
	const mid = HashSpace / 2
	return &pb.Root{Format: Format, Job: "job", Run: "run1", Term: 2, Epoch: 4, Floor: 3, Nonce: "n0", StartedUs: 1, CommittedUs: 2,
		Fingerprint: "fp", Late: 1, Dead: 2,
		Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{
			{Id: "a", Version: "v", Bounded: true, Position: "10", Rows: 10, WatermarkUs: 100, HasWatermark: true},
			{Id: "b", Version: "v", Bounded: true}}}},
		Stages: []*pb.Stage{{Id: 1, Partitions: []*pb.Partition{
			{Lo: 0, Hi: mid, WatermarkUs: 90, HasWatermark: true, Refs: []*pb.Reference{
				ref("t", 0, 0, 0, 0, 0, mid), ref("w", 0, 10, 0, 100, 0, mid), ref("t", 1, 0, 0, 0, 0, mid),
				ref("w", 1, 10, 100, 200, 0, mid), ref("t", 2, 0, 0, 0, 0, mid)}},
			{Lo: mid, Hi: HashSpace, Refs: []*pb.Reference{ref("t", 0, 0, 0, 0, mid, HashSpace)}},
		}}},
		Groups: []*pb.Group{{Id: 0, Generation: 5, Previous: -1, Cut: 4, CutId: "c4", Since: 2}},
		Outputs: []*pb.Output{
			{Sink: "out", Range: "r0", Number: 3, Schema: []byte("s"), Sections: []*pb.Section{{Object: 2, Offset: 10, Length: 5, Rows: 1}}},
			{Sink: "out", Range: "r1", Number: 2, Schema: []byte("s"), Sections: []*pb.Section{{Object: 3, Offset: 0, Length: 20, Rows: 1}}, Closed: true}},
		Objects: []*pb.Object{{Key: p.Pack(1, 1, "a"), Size: 20}, {Key: p.Pack(2, 3, "b"), Size: 20}, {Key: p.Pack(2, 4, "c"), Size: 25},
			{Key: p.Pack(2, 4, "d"), Size: 20}},
		DeadSections: []*pb.DeadSection{{Section: &pb.Section{Object: 2, Offset: 15, Length: 10, Rows: 1}, Cut: 4, Index: 0}},
		Operators:    []*pb.OperatorCounts{{Name: "op", RowsIn: 10, RowsOut: 5}},
	}
}

func encoded(t testing.TB, root *pb.Root) []byte {
	t.Helper()
	b, err := EncodeRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRootRoundTrip(t *testing.T) {
	b := encoded(t, sampleRoot())
	if !bytes.Equal(b, encoded(t, sampleRoot())) {
		t.Fatal("equal roots give different bytes")
	}
	got, err := DecodeRoot(b)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, sampleRoot()) {
		t.Errorf("got %v", got)
	}
}

func TestDecodeRootRefusesDamage(t *testing.T) {
	b := encoded(t, sampleRoot())
	for n := range b {
		if _, err := DecodeRoot(b[:n]); sabot.KindOf(err) != sabot.Corrupt {
			t.Fatalf("%d of %d bytes: error %v, want a Corrupt one", n, len(b), err)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1 << (i % 8)
		if _, err := DecodeRoot(bad); sabot.KindOf(err) != sabot.Corrupt {
			t.Fatalf("bit %d of byte %d flipped: error %v, want a Corrupt one", i%8, i, err)
		}
	}
	if _, err := DecodeRoot(append(bytes.Clone(b), 0)); sabot.KindOf(err) != sabot.Corrupt {
		t.Errorf("a byte more: error %v, want a Corrupt one", err)
	}
}

func TestDecodeRootOfNewerFormat(t *testing.T) {
	b := reseal(append(bytes.Clone(encoded(t, sampleRoot())[:headerSize]), "anything"...), 7)
	_, err := DecodeRoot(b)
	if sabot.KindOf(err) != sabot.Invalid || err == nil || !strings.Contains(err.Error(), "format 7; this one knows 1") {
		t.Errorf("error %v", err)
	}
}

// reseal makes length, format and checksum of an encoded root fit its body.
func reseal(b []byte, format uint32) []byte {
	binary.LittleEndian.PutUint32(b[8:], format)
	binary.LittleEndian.PutUint64(b[12:], uint64(len(b)-headerSize))
	binary.LittleEndian.PutUint32(b[20:], rootChecksum(b))
	return b
}

func TestValidate(t *testing.T) {
	part := func(r *pb.Root) *pb.Partition { return r.Stages[0].Partitions[0] }
	for _, c := range []struct {
		want  string
		spoil func(*pb.Root)
	}{
		{"format 2", func(r *pb.Root) { r.Format = 2 }},
		{"no term", func(r *pb.Root) { r.Term = 0 }},
		{"no run", func(r *pb.Root) { r.Run = "" }},
		{"job name", func(r *pb.Root) { r.Job = "../x" }},
		{"is listed twice", func(r *pb.Root) { r.Objects[1].Key = r.Objects[0].Key }},
		{"group 0 is listed twice", func(r *pb.Root) { r.Groups = append(r.Groups, &pb.Group{}) }},
		{"cut 9 above epoch", func(r *pb.Root) { r.Groups[0].Cut = 9 }},
		{"since 9", func(r *pb.Root) { r.Groups[0].Since = 9 }},
		{"split \"a\"", func(r *pb.Root) { r.Sources[0].Splits[1].Id = "a" }},
		{"group 3, which is not listed", func(r *pb.Root) { r.Sources[0].Splits[1].Group = 3 }},
		{"source \"src\"", func(r *pb.Root) { r.Sources = append(r.Sources, &pb.Source{Name: "src"}) }},
		{"stage 1 is listed twice", func(r *pb.Root) { r.Stages = append(r.Stages, &pb.Stage{Id: 1}) }},
		{"does not follow on", func(r *pb.Root) { r.Stages[0].Partitions[1].Lo++ }},
		{"partitions end at", func(r *pb.Root) { r.Stages[0].Partitions = r.Stages[0].Partitions[:1] }},
		{"group 8, which is not listed", func(r *pb.Root) { part(r).Group = 8 }},
		{"names no table", func(r *pb.Root) { part(r).Refs[0].Table = "" }},
		{"clip", func(r *pb.Root) { part(r).Refs[0].Hi++ }},
		{"clip", func(r *pb.Root) { part(r).Refs[0].Hi = 0 }},
		{"bucket", func(r *pb.Root) { part(r).Refs[1].BucketHi = -5 }},
		{"object 4 of 4", func(r *pb.Root) { part(r).Refs[0].Object = 4 }},
		{"bytes 15+10", func(r *pb.Root) { part(r).Refs[0].Offset = 15 }},
		{"bytes -1+10", func(r *pb.Root) { part(r).Refs[0].Offset = -1 }},
		{"bytes 0+0", func(r *pb.Root) { part(r).Refs[0].Length = 0 }},
		{"has 20", func(r *pb.Root) { part(r).Refs[0].Length = 1<<63 - 1 }},
		{"rows", func(r *pb.Root) { part(r).Refs[0].Rows = -1 }},
		{"output out/r0/3 is listed twice", func(r *pb.Root) { r.Outputs = append(r.Outputs, r.Outputs[0]) }},
		{"output out/r0/3: section 0", func(r *pb.Root) { r.Outputs[0].Sections[0].Object = 99 }},
		{"no section", func(r *pb.Root) { r.DeadSections[0].Section = nil }},
		{"dead letters 4/0 are listed twice", func(r *pb.Root) { r.DeadSections = append(r.DeadSections, r.DeadSections[0]) }},
	} {
		r := sampleRoot()
		c.spoil(r)
		if err := Validate(r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
	if err := Validate(sampleRoot()); err != nil {
		t.Errorf("the sample: %v", err)
	}
}

// FuzzDecodeRoot: a body with a right checksum either is refused or gives a root whose indexes can be followed.
func FuzzDecodeRoot(f *testing.F) {
	f.Add(encoded(f, sampleRoot())[headerSize:], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, body []byte, seal bool) {
		b := body
		if seal {
			b = reseal(append([]byte(magic+strings.Repeat("\x00", headerSize-len(magic))), body...), Format)
		}
		root, err := DecodeRoot(b)
		if err != nil {
			if k := sabot.KindOf(err); k != sabot.Corrupt && k != sabot.Invalid {
				t.Fatalf("error of kind %v: %v", k, err)
			}
			return
		}
		Summarize(root)
		dropUnnamed(root)
		TakeOver(root)
		if _, err := EncodeRoot(root); err != nil {
			t.Fatalf("decodes, but: %v", err)
		}
	})
}
