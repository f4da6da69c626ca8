package coord

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// The simulation runs processes, each a coordinator (the real Machine, Fold and Store) and a worker that keeps lists of row numbers as state,
// over a bucket whose conditional writes get lost, late, or answered wrongly. Processes freeze, crash and take the job over; reports get lost,
// doubled, delayed, and delivered to another process. After each commit the whole state is compared with the rows that it says were read.
const (
	simSplits = 2
	simRows   = 14 // of each split
	simParts  = 2
	simBucket = 4 // width of a time bucket; row i has time i+1
)

func splitName(s int) string { return "s" + strconv.Itoa(s) }

// rules that a mutation removes.
type mutation struct {
	base, generation, term, floor bool // of Fold
	ambiguousIsSuccess, rebase    bool // of Commit
	sweepAll                      bool // of Collectable
}

type world struct {
	r       *rand.Rand
	mut     mutation
	now     time.Time
	step    int
	quiet   bool
	depth   int
	bad     string
	bucket  *mem.Bucket
	late    []lateCAS
	current *pb.Root
	procs   []*proc
	names   int
	outside map[string][]uint16 // published outputs
	stats   map[string]int
}

type lateCAS struct {
	body     []byte
	expected objstore.Version
}

func (w *world) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
	}
}

// one is true once in n, never in the quiet phase.
func (w *world) one(n int) bool { return !w.quiet && w.r.Intn(n) == 0 }

// simClock, of one process: sleeping lets the others run.
type simClock struct {
	clock.Clock
	p *proc
}

func (c simClock) Now() time.Time { return c.p.w.now }
func (c simClock) Sleep(_ context.Context, d time.Duration) error {
	c.p.w.now = c.p.w.now.Add(d)
	c.p.w.others(3)
	return nil
}
func (c simClock) Random(int) string { return c.p.w.name() }

func (w *world) name() string { w.names++; return fmt.Sprintf("x%d", w.names) }

// faulty is the bucket as the store sees it.
type faulty struct {
	objstore.Bucket
	w *world
}

func (b faulty) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	w := b.w
	w.others(1)
	switch {
	case w.one(12):
		return "", objstore.ErrAmbiguous
	case w.one(12):
		w.late = append(w.late, lateCAS{slices.Clone(body), expected})
		return "", objstore.ErrAmbiguous
	case w.one(20):
		return "", objstore.ErrConflict
	}
	v, err := w.apply(body, expected)
	if err == nil && w.one(10) {
		return "", objstore.ErrAmbiguous
	}
	return v, err
}

func (b faulty) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	if b.w.one(20) {
		return nil, "", objstore.ErrAmbiguous
	}
	b.w.others(1)
	return b.Bucket.Get(ctx, key)
}

func (b faulty) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return b.Bucket.List(ctx, prefix)
}

func (w *world) apply(body []byte, expected objstore.Version) (objstore.Version, error) {
	v, err := w.bucket.PutIf(context.Background(), "job/CURRENT", body, expected)
	if err != nil {
		return "", err
	}
	root, err := checkpoint.DecodeRoot(body)
	if err != nil {
		w.fail("committed root: %v", err)
		return v, nil
	}
	old := w.current
	w.current = root
	w.stats["commits"]++
	if old != nil && (root.Term < old.Term || root.Epoch < old.Epoch || root.Floor < old.Floor || root.Groups[0].Generation < old.Groups[0].Generation) {
		w.fail("the root went back: term %d epoch %d floor %d after term %d epoch %d floor %d", root.Term, root.Epoch, root.Floor, old.Term, old.Epoch, old.Floor)
	}
	w.audit(root)
	return v, nil
}

// ids reads a run of row numbers of an object.
func (w *world) ids(root *pb.Root, object uint32, off, n int64) (ids []uint16) {
	b, err := w.bucket.GetRange(context.Background(), root.Objects[object].Key, off, n)
	if err != nil {
		w.fail("dangling: CURRENT names %s: %v", root.Objects[object].Key, err)
		return nil
	}
	for i := 0; i < len(b); i += 2 {
		ids = append(ids, binary.LittleEndian.Uint16(b[i:]))
	}
	return ids
}

// audit compares a root's state and outputs with the rows that it says were read.
func (w *world) audit(root *pb.Root) {
	var read [simParts][]uint16
	var all []uint16
	for s, sp := range root.Sources[0].Splits {
		for i := range int(sp.Rows) {
			id := uint16(s*simRows + i)
			read[id%simParts] = append(read[id%simParts], id)
			all = append(all, id)
		}
	}
	for n, p := range root.Stages[0].Partitions {
		var table, windows []uint16
		for _, r := range p.Refs {
			ids := w.ids(root, r.Object, r.Offset, r.Length)
			if r.Table == "t" {
				table = append(table, ids...)
			} else if windows = append(windows, ids...); r.BucketHi <= p.WatermarkUs {
				w.fail("partition %d: bucket ending %d outlives watermark %d", n, r.BucketHi, p.WatermarkUs)
			}
		}
		w.compare(table, read[n], "table of partition", n)
		open := slices.DeleteFunc(slices.Clone(read[n]), func(id uint16) bool { return bucketEnd(id) <= p.WatermarkUs })
		w.compare(windows, open, "windows of partition", n)
	}
	var out []uint16
	listed := map[string]bool{}
	for _, o := range root.Outputs {
		listed[outputName(o.Number)] = true
		for _, s := range o.Sections {
			out = append(out, w.ids(root, s.Object, s.Offset, s.Length)...)
		}
	}
	for name, ids := range w.outside {
		if !listed[name] {
			out = append(out, ids...)
		}
	}
	w.compare(out, all, "outputs", 0)
}

func (w *world) compare(got, want []uint16, what string, n int) {
	got = slices.Clone(got)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.fail("%s %d: rows %v, want %v", what, n, got, want)
	}
}

func bucketEnd(id uint16) int64   { return (int64(id%simRows+1)/simBucket + 1) * simBucket }
func outputName(n uint64) string  { return fmt.Sprintf("out-%d", n) }
func (w *world) pick(n int) *proc { return w.procs[w.r.Intn(n)] }
func (w *world) newest() *proc    { return w.procs[len(w.procs)-1] }
func (w *world) del(key string) {
	if w.current != nil && slices.ContainsFunc(w.current.Objects, func(o *pb.Object) bool { return o.Key == key }) {
		w.fail("deleted %s, which CURRENT names", key)
	}
	_ = w.bucket.Delete(context.Background(), key) // cannot fail
	w.stats["deletes"]++
}

// others lets other processes run while one is inside a call.
func (w *world) others(n int) {
	if w.depth > 2 || w.bad != "" {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	if len(w.late) > 0 && w.r.Intn(4) == 0 {
		l := w.late[0]
		w.late = w.late[1:]
		if _, err := w.apply(l.body, l.expected); err == nil {
			w.stats["applied late"]++
		}
	}
	for range w.r.Intn(n + 1) {
		w.turn()
	}
}

// turn lets one process do one thing.
func (w *world) turn() {
	w.now = w.now.Add(time.Duration(w.r.Intn(200)) * time.Millisecond)
	if len(w.procs) == 0 || w.newest().over() && w.r.Intn(3) == 0 || w.one(150) {
		w.start()
		return
	}
	p := w.pick(len(w.procs))
	if w.quiet {
		p = w.newest()
	}
	if p.busy || p.frozen > w.step {
		return
	}
	if w.one(60) {
		p.frozen = w.step + w.r.Intn(150)
		return
	}
	p.turn()
}

func (w *world) run(steps int) {
	for w.step = 0; w.step < steps+6000 && w.bad == ""; w.step++ {
		w.quiet = w.step >= steps
		if w.quiet && w.current != nil && w.current.FinishedUs != 0 && w.newest().over() {
			break
		}
		w.turn()
	}
	if w.bad != "" {
		return
	}
	if w.current == nil || w.current.FinishedUs == 0 {
		w.fail("stuck: %v", w.current)
		return
	}
	var out []uint16
	for _, ids := range w.outside {
		out = append(out, ids...)
	}
	want := make([]uint16, simSplits*simRows)
	for i := range want {
		want[i] = uint16(i)
	}
	w.compare(out, want, "published rows", 0)
}

func newWorld(seed int64, mut mutation) *world {
	return &world{r: rand.New(rand.NewSource(seed)), mut: mut, now: time.Unix(1_000_000, 0), bucket: mem.New(), outside: map[string][]uint16{}, stats: map[string]int{}}
}

func simSeeds(t *testing.T, short int) int {
	if n, err := strconv.Atoi(os.Getenv("SABOT_SIM_SEEDS")); err == nil {
		return n
	}
	if testing.Short() {
		return short / 5
	}
	return short
}

func TestSimulation(t *testing.T) {
	stats := map[string]int{}
	for seed := range simSeeds(t, 1500) {
		w := newWorld(int64(seed), mutation{})
		if w.run(500); w.bad != "" {
			t.Fatalf("seed %d, step %d: %s", seed, w.step, w.bad)
		}
		for k, v := range w.stats {
			stats[k] += v
		}
	}
	t.Log(stats)
	for _, k := range []string{"applied late", "compactions folded", "early", "crashes", "takeovers", "deletes", "refused", "cut timeouts", "strays", "swept"} {
		if stats[k] == 0 {
			t.Errorf("no history has any of: %s", k)
		}
	}
}

// TestSimulationNeedsTheRules removes rules: some history must then go wrong. With one group, base, generation and term each stand in for one
// another, so they fall in pairs.
func TestSimulationNeedsTheRules(t *testing.T) {
	for name, mut := range map[string]mutation{
		"base and generation": {base: true, generation: true},

		"term and generation":         {term: true, generation: true},
		"floor":                       {floor: true},
		"reading back, taken as done": {ambiguousIsSuccess: true},
		"nonce: 412 means rebase":     {rebase: true},
		"term and floor of garbage":   {sweepAll: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range 4000 {
				w := newWorld(int64(seed), mut)
				if w.run(500); w.bad != "" {
					t.Logf("seed %d, step %d: %s", seed, w.step, w.bad)
					return
				}
			}
			t.Error("no history has gone wrong without it")
		})
	}
}
