// Command sabot looks into the buckets of jobs. A job itself is run by its own binary, see package run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/cmd/internal/jobs"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

type cli struct {
	Inspect inspectCmd `cmd:"" help:"Show how far a job is: as of its last checkpoint."`
	State   struct {
		Ls     stateLsCmd     `cmd:"" help:"List a job's tables of keyed state."`
		Get    stateGetCmd    `cmd:"" help:"Show what a table has of a key."`
		Scan   stateScanCmd   `cmd:"" help:"Show rows of a table."`
		Export stateExportCmd `cmd:"" help:"Write a table to a file: Parquet, Arrow IPC, CSV or JSON lines."`
	} `cmd:"" help:"Look at keyed state."`
	Fsck   fsckCmd `cmd:"" help:"Check that all that a job's last checkpoint names is there and whole; exit 1 if not."`
	Bucket struct {
		Create bucketCreateCmd `cmd:"" help:"Create a bucket, unless it is there."`
	} `cmd:"" help:"Set a bucket up."`
	Status  statusCmd  `cmd:"" help:"Show how a running job of several processes fares."`
	Drain   drainCmd   `cmd:"" help:"Send a worker away after its last checkpoint."`
	Rescale rescaleCmd `cmd:"" help:"Change the number of keyed partitions of a running job; no state is copied."`
	Stop    stopCmd    `cmd:"" help:"Take a last checkpoint of a running job and end it."`

	Savepoint savepointCmd `cmd:"" help:"Keep checkpoints, and go back to them."`
	Clone     cloneCmd     `cmd:"" help:"Begin a new job with the newest checkpoint of another; no state is copied."`

	Plan    planCmd    `cmd:"" help:"Show the graph of a job file (--job-file FILE), or with --diff what would become of its job if it were started."`
	Run     runCmd     `cmd:"" help:"Run a job file in this process; sabot run --help shows how."`
	Bench   benchCmd   `cmd:"" help:"Measure what a job of several processes takes, costs and withstands."`
	Version versionCmd `cmd:"" help:"Show the version."`
}

// target names a job in a bucket.
type target struct {
	Bucket string `help:"The bucket: a folder or URL." default:".sabot" placeholder:"URL"`
	Job    string `help:"The job; the only one of the bucket when there is just one." placeholder:"NAME"`
}

// open opens the bucket, and finds the job. A bucket that does not exist is an error: looking must not create one.
func (t target) open(ctx context.Context) (objstore.Bucket, string, error) {
	bucket, err := bucketurl.OpenExisting(ctx, t.Bucket, jobs.Buckets()...)
	if err != nil {
		return nil, "", err
	}
	job, err := t.find(ctx, bucket)
	if err != nil {
		bucket.Close()
		return nil, "", err
	}
	return bucket, job, nil
}

func (t target) find(ctx context.Context, bucket objstore.Bucket) (string, error) {
	if t.Job != "" {
		return t.Job, checkpoint.CheckName(t.Job)
	}
	jobs, err := checkpoint.ListJobs(ctx, bucket)
	switch {
	case err != nil:
		return "", err
	case len(jobs) == 0:
		return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("bucket %s holds no job", t.Bucket))
	case len(jobs) > 1:
		return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("bucket %s holds several jobs: choose one by --job: %v", t.Bucket, jobs))
	}
	return jobs[0], nil
}

// errFound ends the program with exit code 1: what was looked for has been found, and told.
var errFound = errors.New("problems were found")

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with everything of the process passed in; it returns the exit code: 0 done, 1 failed or problems found, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("sabot"), kong.Description("Looks into the buckets of Sabot jobs, and after jobs that run."), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }), kong.DefaultEnvars("SABOT"), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\nRun sabot --help for the commands.\n", err)
		return 2
	}
	switch err := k.Run(); {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	case errors.Is(err, objstore.ErrNotFound):
		fmt.Fprintf(stderr, "error: there is no such job: %v\n", err)
		return 1
	default:
		fmt.Fprintln(stderr, "error:", err)
		return 1
	}
}

// runCmd takes its flags as they are: they are those of any job's binary.
type runCmd struct {
	Args []string `arg:"" optional:"" passthrough:"all"`
}

// Run runs the job, and ends the process.
func (c runCmd) Run() error {
	os.Args = append([]string{"sabot run"}, c.Args...)
	jobs.Main()
	return nil
}

// planCmd is the command plan of any job's binary, for a job file.
type planCmd struct {
	Args []string `arg:"" optional:"" passthrough:"all"`
}

// Run shows the plan, and ends the process.
func (c planCmd) Run() error {
	os.Args = append([]string{"sabot", "plan"}, c.Args...)
	jobs.Main()
	return nil
}

type versionCmd struct{}

// Run prints the module's version, as the Go toolchain has recorded it.
func (versionCmd) Run(w io.Writer) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	_, err := fmt.Fprintln(w, "sabot", version)
	return err
}
