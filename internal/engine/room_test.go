package engine

import (
	"testing"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

// Sources wait while others have too much to read of what their own group wrote, and for nobody else's rows.
func TestRoomForUnreadRows(t *testing.T) {
	r := room{memory: (*objstate.Memory)(nil), most: 100}
	root := func(own, others int64) *pb.Root {
		return &pb.Root{Exchanges: []*pb.Exchange{{Group: 1, Blocks: []*pb.Block{{Length: own / 2}, {Length: own - own/2}}}, {Group: 2, Blocks: []*pb.Block{{Length: others}}}}}
	}
	for _, step := range []struct {
		own, others int64
		none, again bool
	}{{100, 1000, false, false}, {101, 0, true, false}, {500, 0, true, false}, {100, 500, false, true}, {0, 0, false, false}} {
		if again := r.read(root(step.own, step.others), 1); again != step.again || r.none() != step.none {
			t.Errorf("with %d unread bytes of its own: none %t, again %t", step.own, r.none(), again)
		}
	}
}
