package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sabot-stream/sabot/internal/benchcluster"
	"github.com/sabot-stream/sabot/internal/benchcompact"
	"github.com/sabot-stream/sabot/internal/benchmicro"
	"github.com/sabot-stream/sabot/internal/benchstate"
)

type benchCmd struct {
	Cluster    benchClusterCmd    `cmd:"" help:"Measure a job of several processes: rows per second, latency, requests and their price, recovery, pauses."`
	Compaction benchCompactionCmd `cmd:"" help:"Simulate an hour of cuts and compactions: what the bucket holds, what is written, what a lookup reads."`
	Micro      benchMicroCmd      `cmd:"" help:"Measure the parts that a job's speed is made of, each beside a plain loop or map."`
	Resume     benchResumeCmd     `cmd:"" help:"Measure how soon a job with much state has output after a start, and what its checkpoints take."`
	Setting    benchSettingCmd    `cmd:"" name:"settings" help:"Measure what the settings of a job do that concern its state."`
	Soak       benchSoakCmd       `cmd:"" help:"Run a job with many checkpoints for a long time; exit 1 if its output is wrong or its bucket not whole."`
	State      benchStateCmd      `cmd:"" help:"Measure a job whose state is larger than the memory that it may take."`
	Case       benchCaseCmd       `cmd:"" hidden:"" help:"One run of a job that is measured."`
	Job        benchJobCmd        `cmd:"" hidden:"" help:"The job that is measured, as a process of any role."`
}

// benchFlags say on what is measured.
type benchFlags struct {
	Bucket  string `help:"An empty bucket to measure on: a folder or URL (default: a temporary folder)." placeholder:"URL"`
	MinIO   string `name:"minio" help:"Start this MinIO program, and measure on it." placeholder:"PATH"`
	JSON    bool   `help:"Print JSON, one figure a line."`
	Verbose bool   `help:"Tell on standard error what is being done."`
	Keep    bool   `help:"Keep the logs of all processes, and say where."`
}

// options returns what the flags say.
func (f benchFlags) options(w io.Writer) (benchcluster.Options, error) {
	self, err := os.Executable()
	opt := benchcluster.Options{Program: []string{self, "bench", "job"}, Bucket: f.Bucket, MinIO: f.MinIO, Figures: w, JSON: f.JSON, Keep: f.Keep}
	if f.Verbose || f.Keep {
		opt.Progress = os.Stderr
	}
	return opt, err
}

// untilSignal returns a context that an interrupt ends: all processes that a bench has started end with it.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

type benchClusterCmd struct {
	benchFlags `embed:""`
	Quick      bool     `help:"Short times and little state: to see that it works, not how fast it is."`
	Only       []string `help:"Parts to measure: throughput, latency, requests, pauses (default: all)." placeholder:"PART"`
}

// Run measures.
func (c benchClusterCmd) Run(ctx context.Context, w io.Writer) error {
	opt, err := c.options(w)
	if err != nil {
		return err
	}
	opt.Quick, opt.Only = c.Quick, c.Only
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchcluster.Run(ctx, opt)
}

type benchCompactionCmd struct {
	Cuts       int      `help:"Cuts, a second of virtual time apart (default ${default})." default:"3600" placeholder:"N"`
	Rows       int      `help:"Rows put in each second (default ${default})." default:"2500" placeholder:"N"`
	Keys       int64    `help:"Keys that are updated (default ${default})." default:"500000" placeholder:"N"`
	Partitions int      `help:"Partitions of the state (default ${default})." default:"8" placeholder:"N"`
	Lanes      int      `help:"Lanes that have them (default ${default})." default:"2" placeholder:"N"`
	Throughput int64    `help:"MB that compactions read and write in a second, by which they lag (default ${default})." default:"16" placeholder:"N"`
	Seed       uint64   `help:"Of what is random; the same seed gives the same figures (default ${default})." default:"1" placeholder:"N"`
	Only       []string `help:"Workloads: uniform, zipf, expire, ttl (default: all)." placeholder:"NAME"`
	Quick      bool     `help:"300 cuts of 500 rows, 50000 keys: to see that it works."`
	JSON       bool     `help:"Print JSON, one figure a line."`
}

// Run simulates.
func (c benchCompactionCmd) Run(ctx context.Context, w io.Writer) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	o := benchcompact.Options{Cuts: c.Cuts, Rows: c.Rows, Keys: c.Keys, Partitions: c.Partitions, Lanes: c.Lanes, Throughput: c.Throughput * 1e6, Seed: c.Seed,
		Only: c.Only, Figures: w, JSON: c.JSON}
	if c.Quick {
		o.Cuts, o.Rows, o.Keys = 300, 500, 50_000
	}
	return benchcompact.Bench(ctx, o)
}

type benchMicroCmd struct {
	JSON  bool     `help:"Print JSON, one figure a line."`
	Quick bool     `help:"Fewer rounds, less state, short jobs: to see that it works, not how fast it is."`
	Only  []string `help:"Figures to measure, by how their names begin (default: all)." placeholder:"PREFIX"`
}

// Run measures.
func (c benchMicroCmd) Run(ctx context.Context, w io.Writer) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchmicro.Run(ctx, benchmicro.Options{Only: c.Only, Quick: c.Quick, JSON: c.JSON, Figures: w})
}

type benchSoakCmd struct {
	benchFlags `embed:""`
	Duration   time.Duration `help:"How long (default ${default})." default:"1h" placeholder:"DURATION"`
	Keys       int64         `help:"Keys, of about 120 bytes of state each; a multiple of 8 (default ${default})." default:"20000" placeholder:"N"`
}

// Run soaks.
func (c benchSoakCmd) Run(ctx context.Context, w io.Writer) error {
	opt, err := c.options(w)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchcluster.Soak(ctx, opt, c.Duration, c.Keys)
}

type benchResumeCmd struct {
	Sizes   []int64       `help:"MB of state, of which each is measured (default ${default})." default:"10,5000" placeholder:"N"`
	Value   int           `help:"Bytes of state for each key, which do not compress (default ${default})." default:"1000" placeholder:"N"`
	Rows    int           `help:"Rows that each of two splits gives in one read after a start; 0: as many as the engine takes (default ${default})." default:"100" placeholder:"N"`
	Starts  int           `help:"Starts of each size (default ${default})." default:"5" placeholder:"N"`
	Cuts    int           `help:"Checkpoints of the largest state to measure, of a hundredth of the keys each; 0: none (default ${default})." default:"5" placeholder:"N"`
	Every   time.Duration `name:"checkpoint" help:"Time between checkpoints (default ${default})." default:"1s" placeholder:"DURATION"`
	Memory  int           `help:"MiB that the job may take while its state is made and its checkpoints are measured (default ${default})." default:"2048" placeholder:"N"`
	MinIO   string        `name:"minio" help:"Start this MinIO program, and measure on it instead of on a folder." placeholder:"PATH"`
	Latency time.Duration `help:"By how much each request takes longer after a start (default ${default})." default:"0s" placeholder:"DURATION"`
	Folder  string        `help:"A folder for the state, which a later call with the same sizes goes on with (default: a temporary one, which is removed)." placeholder:"FOLDER"`
	Profile string        `name:"cpuprofile" help:"A folder for profiles of the processors, one of each start." placeholder:"FOLDER"`
	Quick   bool          `help:"Little state: to see that it works, not how fast it is."`
	JSON    bool          `help:"Print JSON, one figure a line."`
	Verbose bool          `help:"Tell on standard error what is being done."`
}

// Run measures.
func (c benchResumeCmd) Run(ctx context.Context, w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	opt := benchstate.LargeOptions{Program: []string{self, "bench", "case"}, Value: c.Value, Memory: int64(c.Memory) << 20, Starts: c.Starts, Rows: c.Rows, Every: c.Every, Cuts: c.Cuts, MinIO: c.MinIO,
		Latency: c.Latency, Folder: c.Folder, Profile: c.Profile, Figures: w, JSON: c.JSON, Told: func(string, ...any) {}}
	if c.Quick {
		c.Sizes, opt.Starts, opt.Cuts = []int64{1, 40}, 1, min(1, c.Cuts)
	}
	for _, mb := range c.Sizes {
		opt.Sizes = append(opt.Sizes, mb*1e6)
	}
	if c.Verbose {
		opt.Told = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchstate.BenchLarge(ctx, opt)
}

type benchStateCmd struct {
	Keys       int64         `help:"Keys, of about 100 bytes of state each in memory; an even number (default ${default})." default:"4194304" placeholder:"N"`
	Rows       int64         `help:"Rows of each run; an even number (default ${default})." default:"8000000" placeholder:"N"`
	Memory     int           `help:"MiB that the process may take that is short of memory (default ${default})." default:"128" placeholder:"N"`
	Checkpoint time.Duration `help:"Time between checkpoints (default ${default})." default:"1s" placeholder:"DURATION"`
	Profile    string        `name:"cpuprofile" help:"A folder for profiles of the processors, one of each run of the job." placeholder:"FOLDER"`
	JSON       bool          `help:"Print JSON, one figure a line."`
}

// Run measures.
func (c benchStateCmd) Run(ctx context.Context, w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchstate.Bench(ctx, benchstate.Options{Program: []string{self, "bench", "case"}, Keys: c.Keys, Rows: c.Rows, Memory: int64(c.Memory) << 20,
		Every: c.Checkpoint, Profile: c.Profile, Figures: w, JSON: c.JSON})
}

type benchSettingCmd struct {
	Keys int64 `help:"Keys, of about 100 bytes of state each in memory; an even number (default ${default})." default:"1000000" placeholder:"N"`
	Rows int64 `help:"Rows of each run; an even number (default ${default})." default:"10000000" placeholder:"N"`
	JSON bool  `help:"Print JSON, one figure a line."`
}

// Run measures.
func (c benchSettingCmd) Run(ctx context.Context, w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return benchstate.BenchSettings(ctx, benchstate.Options{Program: []string{self, "bench", "case"}, Keys: c.Keys, Rows: c.Rows, Figures: w, JSON: c.JSON})
}

type benchCaseCmd struct {
	Case string `arg:"" help:"As JSON."`
}

// Run runs the case.
func (c benchCaseCmd) Run(ctx context.Context, w io.Writer) error {
	return benchstate.RunCase(ctx, c.Case, w)
}

// benchJobCmd takes its flags as they are: they are those of any job's binary.
type benchJobCmd struct {
	Args []string `arg:"" optional:"" passthrough:"all"`
}

// Run runs the job in a role, and ends the process.
func (c benchJobCmd) Run() error {
	os.Args = append([]string{"sabot bench job"}, c.Args...)
	benchcluster.Main()
	return nil
}
