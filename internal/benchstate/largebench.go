package benchstate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/internal/benchbucket"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// LargeOptions say what to measure of jobs with much state.
type LargeOptions struct {
	Program []string // as of Options
	Sizes   []int64  // of state, in bytes of values
	Value   int      // bytes of state for each key
	Starts  int      // of each size, of which the figures are medians
	Rows    int      // that a split gives in one read after a start; 0: as many as the engine takes
	Memory  int64    // bytes that the job may take while its state is made and its checkpoints are measured; 0: no bound
	Every   time.Duration
	Cuts    int           // checkpoints to measure of the largest state; 0: none
	MinIO   string        // path of a MinIO program, which is started for the bucket; empty: a folder
	Latency time.Duration // by which each request takes longer once the state is there
	Folder  string        // for buckets; a temporary one when empty
	Profile string        // folder for profiles of the starts; empty: there are none
	Figures io.Writer
	JSON    bool
	Told    func(format string, args ...any) // what is being done, for whoever waits
}

// dirty is the share of the keys that a checkpoint holds that is measured.
const dirty = 100 // one of so many

// betweenCuts is the time between the checkpoints that are measured: a burst has to be read in it.
const betweenCuts = 8 * time.Second

// BenchLarge measures: how soon a job has output that needs its state, after a start, by the size of its state; what it asks of its bucket before that; and
// how long its checkpoints take and hold it up when a hundredth of the keys has changed.
func BenchLarge(ctx context.Context, o LargeOptions) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	dir := o.Folder
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sabot-resume-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	bucket := dir
	if o.MinIO != "" {
		url, stop, err := benchbucket.StartMinIO(ctx, o.MinIO, dir)
		if err != nil {
			return err
		}
		defer stop()
		bucket = url
	}
	for i, size := range o.Sizes {
		keys := (size/int64(o.Value) + 1) / splits * splits
		c := LargeCase{Bucket: benchbucket.Within(bucket, fmt.Sprintf("keys-%d-value-%d", keys, o.Value)), Keys: keys, Value: o.Value, Memory: o.Memory, Checkpoint: o.Every}
		if err := o.size(ctx, c, dir, fmt.Sprintf("%d MB", size/1e6), i == len(o.Sizes)-1); err != nil {
			return err
		}
	}
	return nil
}

func (o LargeOptions) validate() error {
	if len(o.Sizes) == 0 || o.Value <= 0 || o.Starts <= 0 || o.Rows < 0 || o.Every <= 0 || o.Latency < 0 || o.Cuts < 0 {
		return sabot.WithKind(sabot.Invalid, errors.New("there must be sizes, values, starts and checkpoints, and nothing below 0"))
	}
	for _, s := range o.Sizes {
		if s < int64(2*o.Value) {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("a state of %d bytes with values of %d: it must hold two keys at least", s, o.Value))
		}
	}
	return nil
}

// size makes a state of one size and measures it.
func (o LargeOptions) size(ctx context.Context, c LargeCase, dir, name string, last bool) error {
	o.Told("making the state of %s: %d keys of %d bytes", name, c.Keys, c.Value)
	made, err := o.run(ctx, c)
	if err != nil {
		return err
	}
	say := func(what, unit string, v float64) { say(o.Figures, o.JSON, name+": "+what, unit, v) }
	say("most memory of who made it", "bytes", float64(made.RSS))
	has, err := stored(ctx, c.Bucket)
	if err != nil {
		return err
	}
	c.Rows = max(0, has.rows-c.Keys) // of an earlier bench in the same folder
	say("state in the bucket", "bytes", float64(has.bytes))
	say("segments", "segments", float64(has.segments))
	say("objects", "objects", float64(has.objects))
	var all []LargeResult
	for i := range o.Starts {
		o.Told("start %d of %d", i+1, o.Starts)
		start := c
		start.AtOnce, start.Latency, start.Memory, start.Cache = int64(o.Rows), o.Latency, 0, filepath.Join(dir, "cache")
		if o.Profile != "" {
			start.Profile = filepath.Join(o.Profile, fmt.Sprintf("start-%d-%d.pprof", c.Keys, i))
		}
		c.Rows += startRows
		start.Rows = c.Rows
		r, err := o.run(ctx, start)
		if err != nil {
			return err
		}
		all = append(all, r)
		if err := os.RemoveAll(start.Cache); err != nil { // the next start finds an empty disk
			return err
		}
	}
	for _, f := range []struct {
		what string
		of   func(LargeResult) float64
	}{{"first output after a start", func(r LargeResult) float64 { return r.Output }}, {"first committed output after a start", func(r LargeResult) float64 { return r.Committed }}} {
		values := values(all, f.of)
		say(f.what, "s", values[len(values)/2])
		say(f.what+", slowest", "s", values[len(values)-1])
	}
	o.requests(all, say)
	if last && o.Cuts > 0 {
		return o.cuts(ctx, c, say)
	}
	return nil
}

// startRows is how many rows a start reads.
const startRows = 20_000

// requests tells what was asked of the bucket before the first output.
func (o LargeOptions) requests(all []LargeResult, say func(what, unit string, v float64)) {
	middle := func(of func(LargeResult) float64) float64 { v := values(all, of); return v[len(v)/2] }
	for _, op := range metered.Ops {
		if n := middle(func(r LargeResult) float64 { return float64(r.Calls[op].N) }); n > 0 {
			say("before the first output, "+string(op), "requests", n)
			say("before the first output, "+string(op), "bytes", middle(func(r LargeResult) float64 { return float64(r.Calls[op].Bytes) }))
		}
	}
	say("before the first output, requests one after another", "requests", middle(func(r LargeResult) float64 { return float64(r.Chain) }))
	if n := middle(func(r LargeResult) float64 { return float64(r.Reads.N) }); n > 0 {
		say("before the first output, reads of open files", "reads", n)
		say("before the first output, reads of open files", "bytes", middle(func(r LargeResult) float64 { return float64(r.Reads.Bytes) }))
	}
}

func values(all []LargeResult, of func(LargeResult) float64) (v []float64) {
	for _, r := range all {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v
}

// cuts measures checkpoints of a hundredth of the keys.
func (o LargeOptions) cuts(ctx context.Context, c LargeCase, say func(what, unit string, v float64)) error {
	c.Burst = max(2, c.Keys/dirty/2*2)
	c.Rows = c.Rows + c.Burst - c.Rows%c.Burst + int64(o.Cuts)*c.Burst // the source counts bursts from the first row on
	c.Checkpoint, c.Latency = betweenCuts, o.Latency
	if o.Profile != "" {
		c.Profile = filepath.Join(o.Profile, fmt.Sprintf("cuts-%d.pprof", c.Keys))
	}
	o.Told("checkpoints of %d rows", c.Burst)
	r, err := o.run(ctx, c)
	if err != nil {
		return err
	}
	if len(r.Cuts) == 0 {
		return fmt.Errorf("no checkpoint held a whole burst of %d rows: they were not read within %s", c.Burst, betweenCuts)
	}
	for _, cut := range r.Cuts {
		o.Told("a checkpoint: %+v", cut)
	}
	worst := slices.MaxFunc(r.Cuts, func(a, b Cut) int { return cmp.Compare(a.Commit, b.Commit) })
	slices.SortFunc(r.Cuts, func(a, b Cut) int { return cmp.Compare(a.Commit, b.Commit) })
	middle := r.Cuts[len(r.Cuts)/2]
	say("checkpoints of a hundredth of the keys", "checkpoints", float64(len(r.Cuts)))
	say("from the barrier until it is committed", "s", middle.Commit)
	say("from the barrier until it is committed, slowest", "s", worst.Commit)
	for _, stage := range []string{"align", "encode", "upload"} {
		say("of that, "+stage, "s", middle.Stages[stage])
	}
	slices.SortFunc(r.Cuts, func(a, b Cut) int { return cmp.Compare(a.Stall, b.Stall) })
	say("of that, a lane stands still", "s", r.Cuts[len(r.Cuts)/2].Stall)
	say("of that, a lane stands still, longest", "s", r.Cuts[len(r.Cuts)-1].Stall)
	return nil
}

func (o LargeOptions) run(ctx context.Context, c LargeCase) (r LargeResult, err error) {
	_, err = spawn(ctx, o.Program, func() any {
		c.Began = time.Now().UnixNano()
		return argument{Large: &c}
	}, &r)
	return r, err
}

// holding is what a job's newest checkpoint names.
type holding struct {
	segments, objects int
	bytes             int64
	rows              int64 // that are read
}

func stored(ctx context.Context, url string) (h holding, err error) {
	bucket, err := bucketurl.Open(ctx, url)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	root, _, err := checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(largeJob)}.Read(ctx)
	if err != nil {
		return h, err
	}
	type place struct {
		object uint32
		offset int64
	}
	seen := map[place]bool{}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				if at := (place{r.Object, r.Offset}); !seen[at] {
					seen[at] = true
					h.bytes += r.Length
				}
			}
		}
	}
	h.segments, h.objects, h.rows = len(seen), len(root.Objects), checkpoint.RowsRead(root)
	return h, nil
}
