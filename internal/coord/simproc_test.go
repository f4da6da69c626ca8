package coord

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// proc is a process: coordinator and worker.
type proc struct {
	w       *world
	store   checkpoint.Store
	m       *Machine
	version objstore.Version
	want    *pb.Root // to commit
	busy    bool     // inside a call
	frozen  int      // until this step
	ended   bool
	toCoord []*pb.FromWorker
	toWork  []*pb.ToWorker
	deletes []string
	worker  *simWorker
}

func (p *proc) over() bool { return p.ended }

// start lets a new process take the job over.
func (w *world) start() {
	if w.depth > 1 {
		return
	}
	p := &proc{w: w}
	p.store = checkpoint.Store{Bucket: faulty{w.bucket, w}, Paths: checkpoint.NewPaths("job"), Clock: simClock{clock.Real(), p}, Patience: time.Minute}
	p.busy = true
	w.depth++
	defer func() { p.busy = false; w.depth-- }()
	old, version, err := p.store.Read(context.Background())
	var body *pb.Root
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		body = checkpoint.FreshRoot(nil, simStart(w))
	case err != nil:
		return
	case old.FinishedUs != 0:
		return
	default:
		body = checkpoint.TakeOver(old)
		w.stats["takeovers"]++
	}
	if p.version, err = p.commit(body, version); err != nil {
		return
	}
	p.m = newMachine(body, settings{interval: 300 * time.Millisecond, cutTimeout: 8 * time.Second, compactionTimeout: 8 * time.Second,
		policy: Policy{Level0: 3, FanIn: 8}}, w.now)
	p.m.fold = p.fold
	p.worker = &simWorker{p: p}
	p.toCoord = append(p.toCoord, &pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: "w"}}})
	w.procs = append(w.procs, p)
	if body.Term > 1 {
		p.sweep(body)
	}
	p.act()
}

func simStart(w *world) checkpoint.Start {
	src := &pb.Source{Name: "src"}
	for s := range simSplits {
		src.Splits = append(src.Splits, &pb.Split{Id: splitName(s), Bounded: true})
	}
	return checkpoint.Start{Job: "job", Run: "run", Now: w.now, Sources: []*pb.Source{src},
		Stages: []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(simParts)}}}
}

// fold is checkpoint.Fold without the rules that the mutation removes.
func (p *proc) fold(root *pb.Root, r *pb.Report) checkpoint.FoldOutcome {
	mut, g := p.w.mut, root.Groups[0]
	x := proto.Clone(r).(*pb.Report)
	if mut.base && !(x.Cut == g.Cut && x.CutId == g.CutId) {
		x.Base, x.BaseId = g.Cut, g.CutId
	}
	if mut.generation {
		x.Generation, g.Since = g.Generation, 0
	}
	term, floor := root.Term, root.Floor
	if mut.term {
		root.Term = x.Term
	}
	if mut.floor {
		root.Floor = 0
	}
	before := len(root.Stages[0].Partitions[0].Refs)
	out := checkpoint.Fold(root, x)
	root.Term, root.Floor = term, floor
	if out.Reason != checkpoint.Folded {
		p.w.stats["refused"]++
	} else if len(r.Compactions) > 0 && len(root.Stages[0].Partitions[0].Refs) < before {
		p.w.stats["compactions folded"]++
	}
	return out
}

// commit is Store.Commit without the rules that the mutation removes.
func (p *proc) commit(body *pb.Root, expected objstore.Version) (objstore.Version, error) {
	ctx := context.Background()
	if !p.w.mut.ambiguousIsSuccess && !p.w.mut.rebase {
		return p.store.Commit(ctx, body, expected)
	}
	body.Nonce = p.w.name()
	b, err := checkpoint.EncodeRoot(body)
	if err != nil {
		return "", err
	}
	for {
		v, err := p.store.Bucket.PutIf(ctx, "job/CURRENT", b, expected)
		switch {
		case err == nil:
			return v, nil
		case p.w.mut.ambiguousIsSuccess && errors.Is(err, objstore.ErrAmbiguous):
			_, at, err := p.w.bucket.Get(ctx, "job/CURRENT")
			return at, err
		case p.w.mut.ambiguousIsSuccess && errors.Is(err, objstore.ErrPrecondition):
			return "", err
		case errors.Is(err, objstore.ErrPrecondition):
			if _, expected, err = p.w.bucket.Get(ctx, "job/CURRENT"); err != nil {
				return "", err
			}
		}
	}
}

// act does what the machine says.
func (p *proc) act() {
	r := p.m.Ready()
	for _, msg := range r.Messages {
		p.toWork = append(p.toWork, msg.Body)
	}
	p.deletes = append(p.deletes, r.Garbage...)
	for _, l := range r.Logs {
		if l.Text == "cut open for too long, starting the group again" {
			p.w.stats["cut timeouts"]++
		}
	}
	if r.Commit != nil {
		p.want = r.Commit
	}
	p.ended = p.ended || r.End != nil
}

// sweep looks for orphans; they are deleted at some later time.
func (p *proc) sweep(root *pb.Root) {
	var keys []string
	for o := range p.w.bucket.List(context.Background(), p.store.Paths.Packs()) {
		keys = append(keys, o.Key)
	}
	if p.w.mut.sweepAll {
		keys = checkpoint.Garbage(&pb.Root{Objects: objectsOf(keys)}, root)
	} else {
		keys = checkpoint.Collectable(root, keys)
	}
	p.w.stats["swept"] += len(keys)
	p.deletes = append(p.deletes, keys...)
}

func objectsOf(keys []string) (objs []*pb.Object) {
	for _, k := range keys {
		objs = append(objs, &pb.Object{Key: k})
	}
	return objs
}

// turn does one thing.
func (p *proc) turn() {
	w := p.w
	if len(p.deletes) > 0 && w.r.Intn(3) == 0 { // goes on after the end
		k := p.deletes[0]
		p.deletes = p.deletes[1:]
		w.del(k)
		return
	}
	if p.ended {
		if !w.quiet {
			p.worker.turn() // a zombie's worker may go on
		}
		return
	}
	switch x := w.r.Intn(10); {
	case x < 3:
		p.deliver()
	case x == 3:
		p.m.Tick(w.now)
		p.act()
	case x == 4 && w.one(4):
		p.sweep(p.m.root)
	case x < 6:
		p.doCommit()
	default:
		p.worker.turn()
	}
}

// deliver gives the coordinator a message, sometimes twice, late, or another process's too.
func (p *proc) deliver() {
	w := p.w
	if len(p.toCoord) == 0 {
		return
	}
	m := p.toCoord[0]
	if m.GetReport() != nil {
		switch {
		case w.one(12):
			p.toCoord = p.toCoord[1:] // lost
			return
		case w.one(12):
			p.toCoord = append(p.toCoord, m) // once more, later
		case w.one(12):
			p.toCoord = append(p.toCoord[1:], m) // late
			return
		}
		if q := w.pick(len(w.procs)); q != p && !q.busy && !q.ended && w.one(3) {
			w.stats["strays"]++
			q.m.Step("w", m, w.now)
			q.act()
		}
	}
	p.toCoord = p.toCoord[1:]
	p.m.Step("w", m, w.now)
	p.act()
}

func (p *proc) doCommit() {
	if p.want == nil {
		return
	}
	body := p.want
	p.want, p.busy = nil, true
	v, err := p.commit(body, p.version)
	p.busy = false
	if err != nil {
		p.m.CommitFailed(err)
	} else {
		p.version = v
		p.m.CommitDone(p.w.now)
	}
	p.act()
}
