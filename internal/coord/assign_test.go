package coord

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

func clusterRoot(splits, partitions int) *pb.Root {
	src := &pb.Source{Name: "src"}
	for i := range splits {
		src.Splits = append(src.Splits, &pb.Split{Id: fmt.Sprint(i), Bounded: true})
	}
	return checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: time.Unix(1, 0), Sources: []*pb.Source{src},
		Stages: []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(partitions)}}})
}

// owners returns who owns what, as text, and how many of each kind each group has.
func ownersOf(root *pb.Root) (who []string, splits, parts map[uint32]int) {
	splits, parts = map[uint32]int{}, map[uint32]int{}
	for _, sp := range root.Sources[0].Splits {
		who = append(who, fmt.Sprint("s", sp.Id, " ", sp.Group))
		splits[sp.Group]++
	}
	for _, p := range root.Stages[0].Partitions {
		who = append(who, fmt.Sprint("p", p.Lo, " ", p.Group))
		parts[p.Group]++
	}
	return who, splits, parts
}

// Workers come and go: what is dealt out is even, complete, and moves no more than it must; every group that gains or loses something starts anew.
func TestAssign(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		root := clusterRoot(1+r.IntN(10), 1+r.IntN(20))
		live := []uint32{0}
		for range 12 {
			if r.IntN(2) == 0 && len(live) > 1 {
				live = slices.Delete(live, 0, 1)
			} else if id := newGroup(root); len(live) < 6 {
				live = append(live, id)
			}
			was, _, _ := ownersOf(root)
			generations := map[uint32]uint64{}
			for _, g := range root.Groups {
				generations[g.Id] = g.Generation
			}
			changed := assign(root, slices.Clone(live), nil)
			if err := checkpoint.Validate(root); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			now, splits, parts := ownersOf(root)
			for what, n := range map[string]map[uint32]int{"splits": splits, "partitions": parts} {
				least, most, total := 1<<30, 0, 0
				for _, g := range live {
					least, most, total = min(least, n[g]), max(most, n[g]), total+n[g]
				}
				if most-least > 1 {
					t.Fatalf("seed %d: %s are dealt out as %v", seed, what, n)
				}
				all := len(root.Sources[0].Splits)
				if what == "partitions" {
					all = len(root.Stages[0].Partitions)
				}
				if total != all {
					t.Fatalf("seed %d: %d of %d %s are with live groups", seed, total, all, what)
				}
			}
			if again := assign(root, slices.Clone(live), nil); len(again) > 0 {
				t.Fatalf("seed %d: dealt out twice, groups %v change", seed, again)
			}
			if slices.Equal(was, now) && len(changed) > 0 && checkpoint.Shared(root) {
				t.Fatalf("seed %d: nothing moves, groups %v start again", seed, changed)
			}
			for _, g := range root.Groups {
				if raised := g.Generation > generations[g.Id]; raised != slices.Contains(changed, g.Id) {
					t.Fatalf("seed %d: group %d: raised %v, among %v", seed, g.Id, raised, changed)
				}
			}
		}
	}
}

func TestAssignKeepsWhatItCan(t *testing.T) {
	root := clusterRoot(6, 12)
	for range 2 {
		newGroup(root)
	}
	assign(root, []uint32{0, 1, 2}, nil)
	was, _, _ := ownersOf(root)
	newGroup(root)
	assign(root, []uint32{0, 1, 2, 3}, nil)
	now, _, _ := ownersOf(root)
	moved := 0
	for i := range was {
		if was[i] != now[i] {
			moved++
		}
	}
	if moved != 4 { // one split and three partitions go to the fourth
		t.Errorf("a fourth worker moves %d of 18 things, want 4:\n%v\n%v", moved, was, now)
	}
}

// A group that is given an output need not start again: it is told nothing of one that is open.
func TestOpenOutputsOfALostGroupAreClosed(t *testing.T) {
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Sources: []*pb.Source{{Name: "src", Splits: []*pb.Split{{Id: "a"}}}}})
	root.Groups = append(root.Groups, &pb.Group{Id: 1})
	root.Outputs = []*pb.Output{{Sink: "s", Range: "mine", Number: 1}, {Sink: "s", Range: "lost", Number: 2, Group: 1}}
	if changed := assign(root, []uint32{0}, nil); len(changed) != 0 {
		t.Fatalf("groups %v start again, want none", changed)
	}
	if o := root.Outputs[0]; o.Closed {
		t.Error("the output of a group that goes on is closed")
	}
	if o := root.Outputs[1]; !o.Closed || o.Group != 0 {
		t.Errorf("the lost group's output is %v, want it closed, and group 0's", o)
	}
}
