package benchcompact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/compaction"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstate"
)

// job is a job of one worker, and its coordinator.
type job struct {
	o       Options
	w       workload
	spec    objstate.Spec
	now     time.Time
	rows    int64 // read so far
	machine *coord.Machine
	root    *pb.Root // committed
	ledger  *checkpoint.Ledger
	lanes   []*lane
	parts   []rowkey.Range
	bucket  bucket
	runner  compaction.Runner
	failed  error

	compactors [2]compactor // of quick tasks, and of those that take long
	done       []*compaction.Done

	tally tally
}

const (
	jobName = "compaction"
	stageID = 1
	worker  = coord.WorkerID("worker")
)

func newJob(o Options, w workload) (*job, error) {
	j := &job{o: o, w: w, spec: w.spec(), now: time.Unix(1_700_000_000, 0), bucket: bucket{objects: map[string][]byte{}}}
	parts := checkpoint.Partitions(o.Partitions)
	for _, p := range parts {
		j.parts = append(j.parts, rowkey.Range{Lo: p.Lo, Hi: p.Hi})
	}
	for i := range o.Lanes {
		l, err := newLane(j.spec, j.parts[len(j.parts)*i/o.Lanes:len(j.parts)*(i+1)/o.Lanes])
		if err != nil {
			return nil, err
		}
		j.lanes = append(j.lanes, l)
	}
	j.root = checkpoint.FreshRoot(nil, checkpoint.Start{Job: jobName, Run: "run", Now: j.now, Sources: []*pb.Source{{Name: "rows", Splits: []*pb.Split{{Id: "0"}}}},
		Stages: []*pb.Stage{{Id: stageID, Partitions: parts}}, Tables: []*pb.Table{{Name: j.spec.Name, Stage: stageID}}})
	j.ledger = checkpoint.NewLedger(j.root, 0)
	names := rand.New(rand.NewPCG(o.Seed, 1))
	j.runner = compaction.Runner{Paths: checkpoint.NewPaths(jobName), Random: func() string { return fmt.Sprintf("%016x", names.Uint64()) }, Fetch: j.bucket.fetch,
		Put:    func(_ context.Context, key string, body []byte) error { j.bucket.put(key, body); return nil },
		Delete: func(_ context.Context, key string) { j.bucket.delete(key) },
		TTLs:   func(string) []objstate.TTL { return j.spec.TTLs },
		Now:    j.micros,
		Failed: func(_ *pb.CompactionTask, err error) { j.failed = err }}
	j.machine = coord.NewMachine(j.root, coord.Settings{Interval: time.Second, CutTimeout: time.Minute, CompactionTimeout: 5 * time.Minute}, j.now)
	return j, nil
}

// run takes so many cuts, a second apart.
func (j *job) run(ctx context.Context) error {
	for n := range j.o.Cuts {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := j.step(ctx); err != nil {
			return fmt.Errorf("second %d: %w", n, err)
		}
		if err := j.measure(n); err != nil {
			return err
		}
	}
	return nil
}

// step lets a second pass.
func (j *job) step(ctx context.Context) error {
	if j.rows == 0 {
		j.send(&pb.FromWorker{Message: &pb.FromWorker_Register{Register: &pb.Register{Worker: string(worker)}}})
	}
	j.now = j.now.Add(time.Second)
	j.w.second(j.micros(), j.put)
	j.rows += int64(j.o.Rows)
	j.compact(ctx)
	epoch := j.root.Epoch
	j.send(&pb.FromWorker{Message: &pb.FromWorker_Progress{Progress: &pb.Progress{Generation: j.root.Groups[0].Generation, Rows: j.rows, Pending: len(j.done) > 0}}})
	if j.failed == nil && j.root.Epoch == epoch {
		return errors.New("it has no cut")
	}
	return j.failed
}

func (j *job) micros() sabot.Micros { return sabot.MicrosOf(j.now) }

func (j *job) put(x row) {
	h := rowkey.Hash32(rowkey.HashOf(rowkey.AppendInt64(nil, x.key)))
	for _, l := range j.lanes {
		if uint64(h) < l.ranges[len(l.ranges)-1].Hi {
			l.put(x)
			return
		}
	}
}

// send gives the machine a message, and does what it says until it says nothing more.
func (j *job) send(m *pb.FromWorker) {
	j.machine.Step(worker, m, j.now)
	for {
		r := j.machine.Ready()
		for _, k := range r.Garbage {
			j.bucket.delete(k)
		}
		for _, to := range r.Messages {
			j.heard(to.Body)
		}
		switch {
		case r.End != nil:
			j.failed = fmt.Errorf("the coordinator ends: %w", r.End.Err)
			return
		case r.Commit != nil:
			j.commit(r.Commit)
		case len(r.Messages) == 0:
			return
		}
	}
}

// commit makes a root the committed one, and deletes what that makes garbage.
func (j *job) commit(root *pb.Root) {
	b, err := checkpoint.EncodeRoot(root)
	if err != nil {
		j.failed = err
		return
	}
	j.bucket.put(checkpoint.NewPaths(jobName).Current(), b)
	j.root = root
	j.ledger.Committed(root)
	j.machine.CommitDone(j.now)
}

// heard takes a message of the coordinator.
func (j *job) heard(m *pb.ToWorker) {
	switch m := m.Message.(type) {
	case *pb.ToWorker_Cut:
		if take, _ := j.ledger.Asked(m.Cut); take {
			r, err := j.cut(m.Cut.Cut)
			if err != nil {
				j.failed = err
				return
			}
			j.machine.Step(worker, &pb.FromWorker{Message: &pb.FromWorker_Report{Report: r}}, j.now)
		}
	case *pb.ToWorker_Compaction:
		i := 0
		if compaction.IsLong(m.Compaction) {
			i = 1
		}
		j.compactors[i].waiting = append(j.compactors[i].waiting, m.Compaction)
	case *pb.ToWorker_Refused:
		j.failed = fmt.Errorf("cut %d was refused: %s", m.Refused.Cut, m.Refused.Reason)
	}
}

// cut writes what has changed, in one pack, and returns the report.
func (j *job) cut(n uint64) (*pb.Report, error) {
	r := j.ledger.Begin(n, fmt.Sprint("cut", n))
	watermark := j.micros()
	r.Splits = []*pb.ReportSplit{{Source: "rows", Id: "0", Rows: j.rows, WatermarkUs: int64(watermark), HasWatermark: true}}
	o := &pb.Object{Key: j.ledger.Pack(n, j.runner.Random())}
	var body []byte
	for _, l := range j.lanes {
		f := l.store.Freeze(watermark, n)
		var refs map[rowkey.Range][]*pb.Reference
		var err error
		if body, refs, err = l.pack(f, body, n); err != nil {
			return nil, err
		}
		var expired []*pb.Expiry
		for _, x := range f.Expired() {
			expired = append(expired, &pb.Expiry{Table: x.Table, BeforeUs: int64(x.Before)})
		}
		for _, rng := range l.ranges {
			r.Partitions = append(r.Partitions, &pb.ReportPartition{Stage: stageID, Lo: rng.Lo, Hi: rng.Hi, WatermarkUs: int64(watermark), HasWatermark: true,
				Refs: refs[rng], Expired: expired})
		}
	}
	o.Size = int64(len(body))
	r.Objects = []*pb.Object{o}
	j.bucket.put(o.Key, body)
	j.tally.first += o.Size
	compaction.AddTo(r, 0, j.done)
	j.done = nil
	j.ledger.Filed(r, nil)
	return r, nil
}

// compactor does the tasks of a kind, one batch after the other.
type compactor struct {
	waiting []*pb.CompactionTask
	running []*compaction.Done
	until   time.Time // they are done
}

// compact lets the compactors go on until now. Each has half of the throughput.
func (j *job) compact(ctx context.Context) {
	for i := range j.compactors {
		c := &j.compactors[i]
		for !j.now.Before(c.until) {
			j.done = append(j.done, c.running...)
			c.running = nil
			if len(c.waiting) == 0 {
				break
			}
			j.bucket.moved()
			c.running = j.runner.Run(ctx, j.root, j.batch(c))
			if begun := j.now.Add(-time.Second); c.until.Before(begun) {
				c.until = begun // it had nothing to do before the last second
			}
			c.until = c.until.Add(time.Duration(float64(j.bucket.moved()) / float64(j.o.Throughput) * 2 * float64(time.Second)))
		}
	}
}

// batch takes the tasks that are to be done together.
func (j *job) batch(c *compactor) (tasks []*pb.CompactionTask) {
	dead := int64(math.MinInt64)
	if j.spec.Before != nil {
		dead = int64(j.spec.Before(sabot.Micros(j.root.Stages[0].Partitions[0].WatermarkUs)))
	}
	for len(c.waiting) > 0 {
		t := c.waiting[0]
		if len(tasks) > 0 && t.Compaction.Cut != tasks[0].Compaction.Cut {
			break
		}
		tasks, c.waiting = append(tasks, t), c.waiting[1:]
		for _, r := range t.Compaction.Inputs {
			if r.BucketHi <= dead && compaction.Current(j.root, t) {
				j.tally.expiredRead += r.Length
			}
		}
	}
	j.tally.tasks += len(tasks)
	return tasks
}
