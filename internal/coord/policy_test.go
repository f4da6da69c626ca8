package coord

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// sized returns a root of one partition whose references have the given sizes, oldest first, each in an object of its own.
func sized(sizes ...int64) *pb.Root {
	p := &pb.Partition{Hi: checkpoint.HashSpace}
	root := &pb.Root{Format: checkpoint.Format, Job: "job", Run: "r", Term: 1, Groups: []*pb.Group{{}}, Stages: []*pb.Stage{{Id: 1, Partitions: []*pb.Partition{p}}}}
	for i, s := range sizes {
		root.Objects = append(root.Objects, &pb.Object{Key: fmt.Sprint("o", i), Size: s})
		p.Refs = append(p.Refs, &pb.Reference{Table: "t", Object: uint32(i), Length: s, Hi: checkpoint.HashSpace})
	}
	return root
}

func repeat(n int, size int64) []int64 {
	a := make([]int64, n)
	for i := range a {
		a[i] = size
	}
	return a
}

// Where partitions were united, so that buckets overlap, nothing is merged across what is older than a part of it and may show the same keys.
func TestPolicyMergesNothingAcrossOverlaps(t *testing.T) {
	root := sized(repeat(20, 1<<10)...)
	refs := root.Stages[0].Partitions[0].Refs
	for _, r := range refs {
		r.BucketLo, r.BucketHi = 0, 10
	}
	refs[4].BucketHi = 40
	tasks := Policy{}.withDefaults().plan(root, 0, 7, nil, 4)
	if len(tasks) != 1 {
		t.Fatalf("%d tasks, want 1", len(tasks))
	}
	k := tasks[0].Compaction
	if n, first := len(k.Inputs), tasks[0].Objects[k.Inputs[0].Object].Key; n != 15 || first != "o5" || k.Bottom {
		t.Errorf("merges %d from %s on, at the bottom: %t; want 15 from o5 on, not at the bottom", n, first, k.Bottom)
	}
	refs[4].Table = "other"
	tasks = Policy{}.withDefaults().plan(root, 0, 7, nil, 4)
	if len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 19 || !tasks[0].Compaction.Bottom {
		t.Errorf("plans %v, want a task of 19 at the bottom", tasks)
	}
}

func TestPolicyChooses(t *testing.T) {
	const kb, mb = int64(1 << 10), int64(1 << 20)
	for _, c := range []struct {
		name     string
		sizes    []int64
		from, to int // from == to: nothing
		bottom   bool
	}{
		{"nothing", nil, 0, 0, false},
		{"one", []int64{mb}, 0, 0, false},
		{"seven small", repeat(7, kb), 0, 0, false},
		{"eight small", repeat(8, kb), 0, 8, true},
		{"eight small on a big one", append([]int64{100 * mb}, repeat(8, kb)...), 1, 9, false},
		{"a quarter above the bottom", []int64{100 * mb, 20 * mb, 5 * mb}, 0, 3, true},
		{"less than a quarter", []int64{100 * mb, 20 * mb, 4 * mb}, 0, 0, false},
		{"four of a tier", []int64{1000 * mb, 5 * mb, 5 * mb, 5 * mb, 5 * mb}, 1, 5, false},
		{"a tier with small ones between", []int64{1000 * mb, 5 * mb, kb, 5 * mb, 5 * mb, kb, 5 * mb}, 1, 7, false},
		{"bottom too large to rewrite", []int64{600 * mb, 200 * mb}, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sized(c.sizes...)
			tasks := Policy{}.withDefaults().plan(root, 0, 7, nil, 4)
			if c.from == c.to {
				if len(tasks) > 0 {
					t.Fatalf("compacts %v", tasks)
				}
				return
			}
			if len(tasks) != 1 {
				t.Fatalf("%d tasks", len(tasks))
			}
			k := tasks[0].Compaction
			var from, n = -1, 0
			for _, in := range k.Inputs {
				key := tasks[0].Objects[in.Object].Key
				if from < 0 {
					_, _ = fmt.Sscanf(key, "o%d", &from)
				}
				if want := fmt.Sprint("o", from+n); key != want {
					t.Errorf("input %d is %s, want %s", n, key, want)
				}
				n++
			}
			if from != c.from || from+n != c.to || k.Bottom != c.bottom || k.Term != 1 || k.Cut != 7 {
				t.Errorf("references %d-%d, bottom %v, term %d, cut %d; want %d-%d, bottom %v", from, from+n, k.Bottom, k.Term, k.Cut, c.from, c.to, c.bottom)
			}
		})
	}
}

func TestPolicyLeavesAlone(t *testing.T) {
	p := Policy{}.withDefaults()
	root := sized(repeat(8, 100)...)
	part := root.Stages[0].Partitions[0]
	at := place{stage: 1, hi: checkpoint.HashSpace, table: "t"}
	if tasks := p.plan(root, 0, 1, map[place]bool{at: true}, 4); len(tasks) > 0 {
		t.Error("what is being compacted")
	}
	if tasks := p.plan(root, 1, 1, nil, 4); len(tasks) > 0 {
		t.Error("another group's partitions")
	}
	if tasks := p.plan(root, 0, 1, nil, 0); len(tasks) > 0 {
		t.Error("without room")
	}
	for _, r := range part.Refs {
		r.BucketLo, r.BucketHi = 10, 20
	}
	part.HasWatermark, part.WatermarkUs = true, 20
	if tasks := p.plan(root, 0, 1, nil, 4); len(tasks) > 0 {
		t.Error("a bucket that is about to expire")
	}
	part.WatermarkUs = 19
	if tasks := p.plan(root, 0, 1, nil, 4); len(tasks) != 1 {
		t.Error("a live bucket was left")
	}
}

func TestPolicySharesSegments(t *testing.T) { // a segment of four partitions counts a quarter in each
	root := sized(1 << 20)
	part := root.Stages[0].Partitions[0]
	for range 3 {
		part.Refs = append(part.Refs, part.Refs[0])
	}
	if got := measure(root).share(part.Refs[0]); got != 1<<18 {
		t.Errorf("share %d, want %d", got, 1<<18)
	}
}

func TestPolicyEmptiesSparseObjects(t *testing.T) {
	root := sized(1<<20, 1<<10)
	root.Objects[0].Size = 64 << 20
	tasks := Policy{}.withDefaults().plan(root, 0, 1, nil, 4)
	if len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 1 || tasks[0].Objects[0].Key != "o0" || !tasks[0].Compaction.Bottom {
		t.Errorf("%v", tasks)
	}
}

// TestPolicyBoundsFanIn: whatever comes, a place's references stay few, and each byte is rewritten a few times only.
func TestPolicyBoundsFanIn(t *testing.T) {
	for seed := range int64(20) {
		r := rand.New(rand.NewSource(seed))
		p := Policy{}.withDefaults()
		var sizes []int64
		var wrote, rewrote int64
		most := 0
		for range 3000 {
			s := int64(1) << (8 + r.Intn(14))
			wrote += s
			sizes = append(sizes, s)
			most = max(most, len(sizes))
			root := sized(sizes...)
			from, to, _ := p.choose(root.Stages[0].Partitions[0].Refs, measure(root), root.Objects)
			if to-from == 1 || from == to {
				continue
			}
			n := sum(sizes[from:to])
			rewrote += n
			sizes = append(append(append([]int64(nil), sizes[:from]...), n), sizes[to:]...)
		}
		t.Logf("seed %d: %d MiB rewrote %.1f times, at most %d references", seed, wrote>>20, float64(rewrote)/float64(wrote), most)
		if most >= p.FanIn {
			t.Errorf("seed %d: %d references", seed, most)
		}
		if rewrote > 15*wrote {
			t.Errorf("seed %d: rewrote %.1f times", seed, float64(rewrote)/float64(wrote))
		}
	}
}

func TestLevelOfHugeSizes(t *testing.T) {
	p := Policy{}.withDefaults()
	if a, b := p.level(p.MaxBytes/p.Ratio), p.level(1<<63-1); a > 20 || b <= a {
		t.Errorf("%d, %d", a, b)
	}
}

func BenchmarkPlan(b *testing.B) { // nothing due: what each commit pays
	root := sized()
	root.Stages[0].Partitions = checkpoint.Partitions(256)
	for i, p := range root.Stages[0].Partitions {
		for j := range 6 {
			root.Objects = append(root.Objects, &pb.Object{Key: fmt.Sprint(i, j), Size: 100})
			p.Refs = append(p.Refs, &pb.Reference{Table: "t", Object: uint32(len(root.Objects) - 1), Length: 100, Lo: p.Lo, Hi: p.Hi})
		}
	}
	p := Policy{}.withDefaults()
	for b.Loop() {
		if len(p.plan(root, 0, 1, nil, 4)) > 0 {
			b.Fatal("something was due")
		}
	}
}
