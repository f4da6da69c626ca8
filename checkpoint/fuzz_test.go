package checkpoint

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// FuzzFold: whatever a worker reports, it is refused, and the root stays as it is, or it leads to a valid root.
func FuzzFold(f *testing.F) {
	add := func(r *pb.Report) {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(sampleReport())
	r, k := compaction(sampleRoot(), 2, 4)
	add(r)
	k.Bottom = true
	add(r)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &pb.Report{}
		if proto.Unmarshal(b, r) != nil {
			return
		}
		fences := sampleReport() // a report that is of another time goes no further
		r.Term, r.Generation, r.Run, r.Cut, r.CutId, r.Base, r.BaseId = fences.Term, fences.Generation, fences.Run, fences.Cut, fences.CutId, fences.Base, fences.BaseId
		root := sampleRoot()
		out := Fold(root, r)
		if out.Reason != Folded {
			if !proto.Equal(root, sampleRoot()) {
				t.Fatalf("it is refused (%v), and the root has changed", out)
			}
			return
		}
		if err := Validate(root); err != nil {
			t.Fatalf("it is folded, and the root is broken: %v", err)
		}
		enc, err := EncodeRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRoot(enc); err != nil {
			t.Fatalf("the root cannot be read: %v", err)
		}
	})
}
