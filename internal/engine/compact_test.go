package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Tasks that write under one name run together, in their order; those of another cut or term do not join them.
func TestGather(t *testing.T) {
	c := newCompactor(nil)
	task := func(term, cut, lo uint64) *pb.CompactionTask {
		return &pb.CompactionTask{Compaction: &pb.Compaction{Term: term, Cut: cut, Lo: lo}}
	}
	for _, x := range []*pb.CompactionTask{task(1, 5, 2), task(1, 5, 3), task(1, 6, 1), task(1, 6, 2), task(2, 6, 1)} {
		c.offer(x)
	}
	var got []string
	for _, batch := range gather(task(1, 5, 1), c.quick) {
		s := ""
		for _, x := range batch {
			s += fmt.Sprintf("%d/%d/%d ", x.Compaction.Term, x.Compaction.Cut, x.Compaction.Lo)
		}
		got = append(got, s)
	}
	if want := []string{"1/5/1 1/5/2 1/5/3 ", "1/6/1 1/6/2 ", "2/6/1 "}; !slices.Equal(got, want) {
		t.Errorf("batches %q, want %q", got, want)
	}
	if again := gather(task(1, 7, 1), c.quick); len(again) != 1 || len(again[0]) != 1 {
		t.Errorf("%d batches are left", len(again))
	}
}
