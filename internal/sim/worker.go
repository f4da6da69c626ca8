package sim

import (
	"context"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// worker is a process that works for whoever leads, or seems to.
type worker struct {
	w       *world
	name    string
	conn    *conn
	g       *group // nil: it has none
	busy    bool   // inside a call
	frozen  int    // until this step
	leaving bool
	gone    bool // it was told to stop, and starts again some time
}

// turn does one thing.
func (k *worker) turn() {
	w := k.w
	if k.busy || k.frozen > w.step {
		return
	}
	k.busy = true
	defer func() { k.busy = false }()
	switch {
	case w.fault(500):
		k.crash()
		return
	case w.fault(400):
		k.frozen = w.step + w.intn(600)
		w.note("%s freezes", k.name)
		return
	case k.gone:
		if w.intn(20) == 0 || w.quiet {
			k.gone, k.leaving = false, false
		}
		return
	case k.conn == nil:
		if w.intn(2) == 0 {
			k.connect()
		} else if k.g != nil {
			k.g.alone()
		}
		return
	case k.conn.broken, w.fault(300):
		k.lost()
		return
	case len(k.conn.toWork) > 0 && w.intn(3) > 0:
		m := k.conn.toWork[0]
		k.conn.toWork = k.conn.toWork[1:]
		k.handle(m)
		return
	case !w.quiet && !w.calm && !k.leaving && w.oneIn(600):
		k.leaving = true
		w.stats["drains"]++
		k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Leave{Leave: &pb.Leave{}}})
	}
	if k.g != nil {
		k.g.turn()
	} else if w.intn(4) == 0 {
		k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{}}}) // a sign of life
	}
}

func (k *worker) crash() {
	if k.g != nil {
		k.w.stats["workers killed"]++
		k.w.note("%s dies", k.name)
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
	w := k.w
	if k.g != nil && k.g.cutting() && w.intn(4) > 0 {
		k.g.alone() // it finishes its cut first, for a while
		return
	}
	var up []*coordinator
	for _, c := range w.coords {
		if !c.over() && !c.busy && c.frozen <= w.step {
			up = append(up, c)
		}
	}
	if len(up) == 0 {
		return
	}
	b, _, err := w.bucket.Get(context.Background(), current)
	if err != nil {
		return
	}
	root, err := checkpoint.DecodeRoot(b)
	if err != nil {
		w.fail("committed root: %v", err)
		return
	}
	if k.g != nil && k.g.root.Run != root.Run {
		k.drop()
	}
	c := up[w.intn(len(up))]
	k.conn = &conn{id: coord.WorkerID(w.name()), to: c}
	c.conns = append(c.conns, k.conn)
	k.leaving = false
	k.register()
}

func (k *worker) register() {
	r := &pb.Register{Worker: k.name}
	if k.g != nil && !k.g.cutting() && len(k.g.early) == 0 { // packs of an earlier term cannot be brought in any more
		r.Claim = k.g.ledger.Claim(k.g.start)
	}
	k.conn.send(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: r}})
}

// handle takes a message of the coordinator.
func (k *worker) handle(m *pb.ToWorker) {
	w, g := k.w, k.g
	switch m := m.Message.(type) {
	case *pb.ToWorker_Assignment:
		a := m.Assignment
		if !a.GoOn {
			if w.rules[GoesOn] && g != nil && g.id == a.Group && g.owns(a.Root) {
				g.ledger = checkpoint.NewLedger(a.Root, g.id)
				g.committed(a.Root)
				return
			}
			k.begin(a.Root, a.Group)
			return
		}
		if g == nil || g.id != a.Group || !g.ledger.GoOn(a.Root, g.start) && !w.rules[AnyClaim] {
			k.register()
			return
		}
		if w.rules[AnyClaim] && g.owns(a.Root) {
			g.ledger = checkpoint.NewLedger(a.Root, g.id)
		}
		w.stats["goes on"]++
		w.note("%s goes on with group %d", k.name, g.id)
		g.committed(a.Root)
	case *pb.ToWorker_Refused:
		if g == nil || !g.ledger.Last(m.Refused.CutId) {
			return
		}
		if w.rules[GoesOn] {
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
		k.w.fail("an assignment of a group that the root does not list")
		return
	}
	k.g = newGroup(k, root, id)
	k.w.stats["groups started"]++
}
