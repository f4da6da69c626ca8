package sim

import (
	"context"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// worker is a process that works for whoever leads, or seems to.
type worker struct {
	j       *job
	name    string
	conn    *conn
	g       *group // nil: it has none
	busy    bool   // inside a call
	frozen  int    // until this step
	leaving bool
	claims  bool // it has offered its group to a coordinator that has not answered yet
	gone    bool // it was told to stop, and starts again some time
}

// turn does one thing.
func (k *worker) turn() {
	j := k.j
	if k.busy || k.frozen > j.step {
		return
	}
	k.busy = true
	defer func() { k.busy = false }()
	switch {
	case j.fault(500):
		k.crash()
		return
	case j.fault(400):
		k.frozen = j.step + j.intn(24000/j.pace)
		j.note("%s freezes", k.name)
		return
	case k.gone:
		if j.intn(20) == 0 || j.quiet {
			k.gone, k.leaving = false, false
		}
		return
	case k.conn == nil:
		if j.intn(2) == 0 {
			k.connect()
		} else if k.g != nil {
			k.g.alone()
		}
		return
	case k.conn.broken, j.fault(300):
		k.lost()
		return
	case len(k.conn.toWork) > 0 && j.intn(3) > 0:
		m := k.conn.toWork[0]
		k.conn.toWork = k.conn.toWork[1:]
		k.handle(m)
		return
	case !j.quiet && !j.calm && !k.leaving && j.oneIn(600):
		k.leaving = true
		j.stats["drains"]++
		k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Leave{Leave: &pb.Leave{}}})
	}
	if k.g != nil && k.claims {
		k.g.alone()
	} else if k.g != nil {
		k.g.turn()
	} else if j.intn(4) == 0 {
		k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{}}}) // a sign of life
	}
}

func (k *worker) crash() {
	if k.g != nil {
		k.j.stats["workers killed"]++
		k.j.note("%s dies", k.name)
	}
	k.drop()
	k.lost()
}

// lost: the connection is gone.
func (k *worker) lost() {
	if k.conn != nil {
		k.conn.broken = true
	}
	k.conn = nil
}

func (k *worker) drop() { k.g = nil }

// connect looks for a coordinator, and claims the group that the worker still holds.
func (k *worker) connect() {
	j := k.j
	if k.g != nil && k.g.cutting() && j.intn(4) > 0 {
		k.g.alone() // it finishes its cut first, for a while
		return
	}
	var up []*coordinator
	for _, c := range j.coords {
		if !c.over() && !c.busy && c.frozen <= j.step {
			up = append(up, c)
		}
	}
	if len(up) == 0 {
		return
	}
	b, _, err := j.bucket.Get(context.Background(), j.paths.Current())
	if err != nil {
		return
	}
	root, err := checkpoint.DecodeRoot(b)
	if err != nil {
		j.fail("committed root: %v", err)
		return
	}
	if k.g != nil && k.g.root.Run != root.Run && !j.rules[NoRun] {
		k.drop()
	}
	c := up[j.intn(len(up))]
	k.conn = &conn{id: coord.WorkerID(j.name()), to: c}
	c.conns = append(c.conns, k.conn)
	k.leaving = false
	k.register()
}

func (k *worker) register() {
	r := &pb.Register{Worker: k.name}
	k.claims = false
	if k.g != nil && !k.g.cutting() && len(k.g.early) == 0 { // packs of an earlier term cannot be brought in any more
		r.Claim, k.claims = k.g.ledger.Claim(k.g.start), true
	}
	k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: r}})
}

// handle takes a message of the coordinator.
func (k *worker) handle(m *pb.ToWorker) {
	j, g := k.j, k.g
	switch m := m.Message.(type) {
	case *pb.ToWorker_Assignment:
		a := m.Assignment
		k.claims = false
		if !a.GoOn {
			if j.rules[GoesOn] && g != nil && g.id == a.Group && g.owns(a.Root) {
				g.ledger = checkpoint.NewLedger(a.Root, g.id)
				g.committed(a.Root)
				return
			}
			k.begin(a.Root, a.Group)
			return
		}
		if g == nil || g.id != a.Group || !g.ledger.GoOn(a.Root, g.start) && !j.rules[AnyClaim] {
			k.register()
			return
		}
		if j.rules[AnyClaim] && g.owns(a.Root) {
			g.ledger = checkpoint.NewLedger(a.Root, g.id)
		}
		j.stats["goes on"]++
		j.note("%s goes on with group %d", k.name, g.id)
		g.hold = g.hold && j.rules[HoldsOn]
		g.committed(a.Root)
	case *pb.ToWorker_Refused:
		if g == nil || !g.ledger.Last(m.Refused.CutId) {
			return
		}
		if j.rules[GoesOn] {
			g.ledger = checkpoint.NewLedger(m.Refused.Root, g.id)
			g.committed(m.Refused.Root)
			return
		}
		k.begin(m.Refused.Root, g.id)
	case *pb.ToWorker_Cut:
		if g != nil {
			g.cut(m.Cut)
		}
	case *pb.ToWorker_Committed:
		if g != nil {
			g.ledger.Committed(m.Committed.Root)
			g.committed(m.Committed.Root)
		}
	case *pb.ToWorker_Compaction:
		if g != nil {
			g.tasks = append(g.tasks, m.Compaction)
		}
	case *pb.ToWorker_Stop:
		again := m.Stop.Again
		k.lost()
		if !again {
			k.drop()
			k.gone = true
		}
	}
}

// begin starts a group from a root.
func (k *worker) begin(root *pb.Root, id uint32) {
	if checkpoint.GroupOf(root, id) == nil {
		k.j.fail("an assignment of a group that the root does not list")
		return
	}
	if k.g != nil && len(k.g.tasks)+len(k.g.results) > 0 && len(stageParts(root, 1)) != len(stageParts(k.g.root, 1)) {
		k.j.stats["compactions over a change of partitions"]++
	}
	k.g = newGroup(k, root, id)
	k.j.stats["groups started"]++
}
