package benchcompact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Options say what is simulated.
type Options struct {
	Cuts       int   // a second apart
	Rows       int   // put in each second
	Keys       int64 // of workloads that update
	Partitions int
	Lanes      int
	Throughput int64 // bytes that a worker's compactions read and write in a second
	Seed       uint64
	Only       []string // workloads; none: all
	Figures    io.Writer
	JSON       bool
}

// Figure is one figure.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// Result is what compaction has come to under one workload. But where it says so it is of the time after the warm-up, which is the first quarter.
type Result struct {
	Space, SpaceMean float64 // bytes in the bucket for each byte of live rows that are encoded once: worst, and mean over time
	FanIn            int     // most references that show one place
	FanInMean        float64 // references that a lookup consults, mean over places and time
	Written          float64 // bytes written for each that cuts wrote
	ExpiredRead      int64   // bytes of segments read when their bucket had expired, of all the time
	Live             int64   // bytes of live rows, encoded once, at the end
	Cut              int64   // bytes that a cut writes
	Tasks            int     // done in all the time
}

// Bench simulates each workload and prints its figures.
func Bench(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	for _, w := range workloads(o) {
		if len(o.Only) > 0 && !slices.Contains(o.Only, w.name) {
			continue
		}
		r, err := simulate(ctx, o, w.make(rand.New(rand.NewPCG(o.Seed, 2))))
		if err != nil {
			return fmt.Errorf("workload %s: %w", w.name, err)
		}
		o.print(w.name, r)
	}
	return nil
}

// Run simulates one workload by name.
func Run(ctx context.Context, o Options, name string) (Result, error) {
	for _, w := range workloads(o) {
		if w.name == name {
			return simulate(ctx, o, w.make(rand.New(rand.NewPCG(o.Seed, 2))))
		}
	}
	return Result{}, fmt.Errorf("there is no workload %q", name)
}

func (o Options) validate() error {
	var errs []error
	if o.Cuts < 20 || o.Rows < 1 || o.Keys < 1 || o.Throughput < 1 {
		errs = append(errs, fmt.Errorf("%d cuts, %d rows, %d keys, %d bytes a second: at least 20 cuts, and all above 0", o.Cuts, o.Rows, o.Keys, o.Throughput))
	}
	if o.Lanes < 1 || o.Partitions < o.Lanes {
		errs = append(errs, fmt.Errorf("%d partitions in %d lanes: at least one in each", o.Partitions, o.Lanes))
	}
	var names []string
	for _, w := range workloads(o) {
		names = append(names, w.name)
	}
	for _, n := range o.Only {
		if !slices.Contains(names, n) {
			errs = append(errs, fmt.Errorf("there is no workload %q; there are %s", n, strings.Join(names, ", ")))
		}
	}
	return errors.Join(errs...)
}

func simulate(ctx context.Context, o Options, w workload) (Result, error) {
	j, err := newJob(o, w)
	if err != nil {
		return Result{}, err
	}
	if err := j.run(ctx); err != nil {
		return Result{}, err
	}
	if err := j.check(); err != nil {
		return Result{}, fmt.Errorf("what is stored is not what is live: %w", err)
	}
	t := j.tally
	return Result{Space: t.space, SpaceMean: t.spaceSum / float64(t.cuts), FanIn: t.fanIn, FanInMean: t.fanInSum / float64(t.cuts),
		Written: float64(j.bucket.written-t.warmedAll) / float64(t.first-t.warmed), ExpiredRead: t.expiredRead, Live: t.live,
		Cut: (t.first - t.warmed) / int64(t.cuts), Tasks: t.tasks}, nil
}

func (o Options) print(name string, r Result) {
	for _, f := range []Figure{
		{"space amplification, worst", "ratio", r.Space},
		{"space amplification, mean", "ratio", r.SpaceMean},
		{"read fan-in, most", "segments", float64(r.FanIn)},
		{"read fan-in, mean", "segments", r.FanInMean},
		{"write amplification", "ratio", r.Written},
		{"read of expired buckets", "bytes", float64(r.ExpiredRead)},
		{"live state", "bytes", float64(r.Live)},
		{"written by a cut", "bytes", float64(r.Cut)},
		{"compactions", "tasks", float64(r.Tasks)},
	} {
		f.Name = name + ": " + f.Name
		if o.JSON {
			b, _ := json.Marshal(f) // a struct of text and a number
			fmt.Fprintf(o.Figures, "%s\n", b)
			continue
		}
		fmt.Fprintf(o.Figures, "%-45s %14.6g %s\n", f.Name, f.Value, f.Unit)
	}
}
