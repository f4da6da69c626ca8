package checkpoint

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// overlapping are time buckets that have a time in common, as those of one table may where partitions were united.
var overlapping = [5][2]int64{{0, 40}, {5, 10}, {0, 10}, {0, 80}, {4, 6}}

// quietRoot has a stage of n partitions of three groups, with references to a few segments of the whole space each.
func quietRoot(r *rand.Rand, n int) *pb.Root {
	root := FreshRoot(nil, Start{Job: "job", Run: "run", Stages: []*pb.Stage{{Id: 1, Partitions: Partitions(n)}}})
	root.Groups = append(root.Groups, &pb.Group{Id: 1, Generation: 1}, &pb.Group{Id: 2, Generation: 1})
	for s := range 5 {
		root.Objects = append(root.Objects, &pb.Object{Key: NewPaths("job").Pack(1, uint64(s+1), "x"), Size: 100})
	}
	root.Epoch = 9
	for i, p := range root.Stages[0].Partitions {
		p.Group, p.HasWatermark, p.WatermarkUs = uint32(i%3), true, 77
		for s := range 5 {
			if r.IntN(4) > 0 {
				p.Refs = append(p.Refs, &pb.Reference{Table: fmt.Sprint("t", s%2), Object: uint32(s), Length: 100, Lo: p.Lo, Hi: p.Hi, Rows: 10, Cut: uint64(s + 1),
					BucketLo: overlapping[s][0], BucketHi: overlapping[s][1]})
			}
		}
	}
	dropUnnamed(root)
	return root
}

// shown returns which segments a hash sees in a table, oldest first.
func shown(root *pb.Root, hash uint64, table string) (objects []string) {
	for _, p := range root.Stages[0].Partitions {
		for _, r := range p.Refs {
			if r.Table == table && r.Lo <= hash && hash < r.Hi {
				objects = append(objects, root.Objects[r.Object].Key)
			}
		}
	}
	return objects
}

// However a stage is divided, every hash sees the same segments in the same order.
func TestRepartition(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		root := quietRoot(r, 1+r.IntN(12))
		was := proto.Clone(root).(*pb.Root)
		for range 4 {
			if err := Repartition(root, 1+r.IntN(20)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := Validate(root); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for range 50 {
				hash, table := r.Uint64N(HashSpace), fmt.Sprint("t", r.IntN(2))
				if a, b := fmt.Sprint(shown(was, hash, table)), fmt.Sprint(shown(root, hash, table)); a != b {
					t.Fatalf("seed %d: hash %d sees %s of table %s, want %s", seed, hash, b, table, a)
				}
			}
		}
		if err := Repartition(root, len(was.Stages[0].Partitions)); err != nil {
			t.Fatal(err)
		}
		for i, p := range root.Stages[0].Partitions {
			if len(p.Refs) != len(was.Stages[0].Partitions[i].Refs) {
				t.Errorf("seed %d: partition %d has %d references after there and back, want %d", seed, i, len(p.Refs), len(was.Stages[0].Partitions[i].Refs))
			}
		}
	}
}

func TestRepartitionNeedsQuiet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, spoil := range map[string]func(*pb.Root){
		"rows on their way":  func(root *pb.Root) { root.Exchanges = []*pb.Exchange{{Stage: 1}} },
		"another watermark":  func(root *pb.Root) { root.Stages[0].Partitions[1].WatermarkUs = 78 },
		"no watermark there": func(root *pb.Root) { root.Stages[0].Partitions[1].HasWatermark = false },
	} {
		root := quietRoot(r, 4)
		spoil(root)
		was := proto.Clone(root)
		if err := Repartition(root, 8); err == nil || !proto.Equal(was, root) {
			t.Errorf("%s: %v; the root is changed: %v", name, err, !proto.Equal(was, root))
		}
	}
	for _, n := range []int{0, -1, MaxPartitions + 1} {
		if err := Repartition(quietRoot(r, 4), n); err == nil {
			t.Errorf("%d partitions are taken", n)
		}
	}
}
