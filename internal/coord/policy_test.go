package coord

import (
	"fmt"
	"math/rand"
	"slices"
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
	root := sized(repeat(14, 1<<10)...)
	refs := root.Stages[0].Partitions[0].Refs
	for _, r := range refs {
		r.BucketLo, r.BucketHi = 0, 10
	}
	refs[4].BucketHi = 40
	tasks := Policy{FanIn: 40}.withDefaults().plan(root, 0, 7, nil) // a lookup is far from too many
	if len(tasks) != 1 {
		t.Fatalf("%d tasks, want 1", len(tasks))
	}
	k := tasks[0].Compaction
	if n, first := len(k.Inputs), tasks[0].Objects[k.Inputs[0].Object].Key; n != 9 || first != "o5" || k.Bottom {
		t.Errorf("merges %d from %s on, at the bottom: %t; want 9 from o5 on, not at the bottom", n, first, k.Bottom)
	}
	refs[4].Table = "other"
	tasks = Policy{}.withDefaults().plan(root, 0, 7, nil)
	if len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 13 || !tasks[0].Compaction.Bottom {
		t.Errorf("plans %v, want a task of 13 at the bottom", tasks)
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
		{"a third above the bottom", []int64{99 * mb, 28 * mb, 5 * mb}, 0, 3, true},
		{"less than a third", []int64{99 * mb, 28 * mb, 4 * mb}, 0, 0, false},
		{"four of a tier", []int64{1000 * mb, 5 * mb, 5 * mb, 5 * mb, 5 * mb}, 1, 5, false},
		{"a tier with small ones between", []int64{1000 * mb, 5 * mb, kb, 5 * mb, 5 * mb, kb, 5 * mb}, 1, 7, false},
		{"bottom too large to rewrite", []int64{2400 * mb, 800 * mb}, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sized(c.sizes...)
			tasks := Policy{}.withDefaults().plan(root, 0, 7, nil)
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
	under := task{at: at, inputs: []refID{idOf(part.Refs[0], root.Objects), idOf(part.Refs[1], root.Objects)}}
	if tasks := p.plan(root, 0, 1, []task{under}); len(tasks) > 0 {
		t.Error("what is being compacted")
	}
	for i := range 3 { // now 9 are newer than what is
		root.Objects = append(root.Objects, &pb.Object{Key: fmt.Sprint("newer", i), Size: 100})
		part.Refs = append(part.Refs, &pb.Reference{Table: "t", Object: uint32(len(root.Objects) - 1), Length: 100, Hi: checkpoint.HashSpace})
	}
	if tasks := p.plan(root, 0, 1, []task{under}); len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 9 || tasks[0].Compaction.Bottom {
		t.Errorf("plans %v, want what is newer than what is being compacted", tasks)
	}
	if tasks := p.plan(root, 1, 1, nil); len(tasks) > 0 {
		t.Error("another group's partitions")
	}
	if tasks := p.plan(root, 0, 1, make([]task, p.Tasks)); len(tasks) > 0 {
		t.Error("without room")
	}
	for _, r := range part.Refs {
		r.BucketLo, r.BucketHi = 10, 20
	}
	part.HasWatermark, part.WatermarkUs = true, 20
	if tasks := p.plan(root, 0, 1, nil); len(tasks) > 0 {
		t.Error("a bucket that is about to expire")
	}
	part.WatermarkUs = 19
	if tasks := p.plan(root, 0, 1, nil); len(tasks) != 1 {
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

// Objects of which much is dead are emptied when all that is dead has become much: those first of which the least is live, small references together with the
// small ones next to them.
func TestPolicyEmptiesSparseObjects(t *testing.T) {
	const mb = int64(1 << 20)
	p := Policy{}.withDefaults()
	for _, c := range []struct {
		name  string
		sizes []int64 // of references
		dead  []int64 // besides, in their objects
		want  []string
	}{
		{"a tenth is dead", []int64{100 * mb, mb}, []int64{0, 9 * mb}, nil},
		{"more, and small", []int64{100 * mb, mb / 8, mb / 8, mb / 8}, []int64{0, 0, 20 * mb, 0}, []string{"o1", "o2", "o3"}},
		{"more, and large", []int64{100 * mb, 8 * mb, mb / 8}, []int64{0, 20 * mb, 0}, []string{"o1"}},
		{"the sparsest", []int64{100 * mb, 8 * mb, 9 * mb}, []int64{0, 4 * mb, 90 * mb}, []string{"o2"}},
		{"little in all", []int64{1000, 100}, []int64{0, 1000}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sized(c.sizes...)
			for i, d := range c.dead {
				root.Objects[i].Size += d
			}
			var got []string
			for _, x := range p.plan(root, 0, 1, nil) {
				for _, in := range x.Compaction.Inputs {
					got = append(got, x.Objects[in.Object].Key)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("merges %v, want %v", got, c.want)
			}
		})
	}
	root := sized(100*mb, mb)
	root.Objects[1].Size += 20 * mb
	root.Pins = []*pb.Pin{{Id: "p", Objects: []uint32{1}}}
	if len(p.plan(root, 0, 1, nil)) > 0 {
		t.Error("an object is emptied that a pin keeps")
	}
	root.Pins = nil
	root.Exchanges = []*pb.Exchange{{Object: 1, Offset: mb, Blocks: []*pb.Block{{Length: 10}}}}
	if len(p.plan(root, 0, 1, nil)) > 0 {
		t.Error("an object is emptied that has rows for a stage")
	}
}

// Outputs of one compaction, which show one range of hash behind the other, count as one.
func TestPolicyTakesTilesTogether(t *testing.T) {
	const mb = int64(1 << 20)
	root := sized(60*mb, 60*mb, 60*mb, 60*mb, 30*mb, 30*mb, 20*mb)
	refs := root.Stages[0].Partitions[0].Refs
	for i, r := range refs[:4] {
		r.Lo, r.Hi = uint64(i)<<30, uint64(i+1)<<30
	}
	p := Policy{}.withDefaults()
	if n := len(sortedRuns(refs, []int{0, 1, 2, 3, 4, 5, 6}, measure(root))); n != 4 {
		t.Errorf("%d sorted runs, want 4", n)
	}
	tasks := p.plan(root, 0, 1, nil)
	if len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 7 || !tasks[0].Compaction.Bottom {
		t.Errorf("plans %v, want all of it: a third of the bottom lies above it", tasks)
	}
}

// Not all is merged at a time: what is merged, and what comes of it, is stored meanwhile. Small tasks do not wait for large ones.
func TestPolicySharesTheState(t *testing.T) {
	const mb = int64(1 << 20)
	root := sized()
	root.Stages[0].Partitions = checkpoint.Partitions(8)
	for i, part := range root.Stages[0].Partitions {
		sizes := append([]int64{100 * mb, 40 * mb}, repeat(8, 1000)...) // all of it is due, or else the small ones
		if i < 2 {
			sizes = append([]int64{130 * mb}, repeat(8, 1000)...)
		}
		for j, n := range sizes {
			root.Objects = append(root.Objects, &pb.Object{Key: fmt.Sprintf("o%d.%d", i, j), Size: n})
			part.Refs = append(part.Refs, &pb.Reference{Table: "t", Object: uint32(len(root.Objects) - 1), Length: n, Lo: part.Lo, Hi: part.Hi})
		}
	}
	p := Policy{}.withDefaults()
	var long, short int
	var busy []task
	for _, x := range p.plan(root, 0, 1, nil) {
		busy = append(busy, task{at: x.at, bytes: x.bytes, inputs: inputsOf(x.Compaction, x.Objects)})
		if quick(x.bytes) {
			short++
		} else {
			long++
		}
	}
	if long != 1 || short != 2+5 {
		t.Errorf("%d long tasks and %d short ones, want 1, and 7: also where a long one has to wait for its turn", long, short)
	}
	if again := p.plan(root, 0, 1, busy); len(again) > 0 {
		t.Errorf("%d more, while the long one is under way", len(again))
	}
}

// Buckets that overlap, where partitions were united, are merged into the widest when a lookup has too many references to consult in all of them together.
func TestPolicyMergesOverlappingBuckets(t *testing.T) {
	root := sized(repeat(17, 1<<10)...)
	for i, r := range root.Stages[0].Partitions[0].Refs {
		if r.BucketLo, r.BucketHi = 0, 80; i > 2 {
			r.BucketLo = int64(i%2) * 40
			r.BucketHi = r.BucketLo + 40
		}
	}
	p := Policy{Level0: 20}.withDefaults() // nothing else is due
	if tasks := p.plan(root, 0, 1, nil); len(tasks) > 0 {
		t.Errorf("plans %v: a lookup consults 10 references", tasks)
	}
	p.FanIn = 14
	tasks := p.plan(root, 0, 1, nil)
	if len(tasks) != 1 || len(tasks[0].Compaction.Inputs) != 17 || !tasks[0].Compaction.Bottom {
		t.Errorf("plans %v, want one task of all", tasks)
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
			runs := make([]sortedRun, len(sizes))
			for i, n := range sizes {
				runs[i].size = n
			}
			from, to, _ := p.choose(runs, true)
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
		if len(p.plan(root, 0, 1, nil)) > 0 {
			b.Fatal("something was due")
		}
	}
}
