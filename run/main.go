package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"golang.org/x/term"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/engine"
	"github.com/sabot-stream/sabot/objstore"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitSignals = 128 // plus the signal's number
)

// Option changes what Main does for parameters P.
type Option[P any] func(*mainOptions[P])

type mainOptions[P any] struct {
	afterEnd func(context.Context, P, io.Writer) error
	about    string
	buckets  []objstore.Scheme
}

// AfterEnd makes Main call f once the job has ended and all its output is published; also when it had ended before. What f writes follows the
// job's own closing lines.
func AfterEnd[P any](f func(context.Context, P, io.Writer) error) Option[P] {
	return func(o *mainOptions[P]) { o.afterEnd = f }
}

// About sets the description that --help shows.
func About[P any](text string) Option[P] {
	return func(o *mainOptions[P]) { o.about = text }
}

// Buckets adds stores whose libraries not every program should carry, such as gcs.Scheme() and azure.Scheme(): for --bucket, and for the sources and
// sinks of the job. Folders, buckets in memory and S3 are always there.
func Buckets[P any](schemes ...objstore.Scheme) Option[P] {
	return func(o *mainOptions[P]) { o.buckets = append(o.buckets, schemes...) }
}

// flags are the engine's flags: how the job runs. None of them changes results.
type flags struct {
	Bucket         string          `help:"Bucket of state and checkpoints: a folder or URL (default ${default})." default:".sabot" placeholder:"URL"`
	As             string          `help:"Name of the job, where it is not its own: that of a clone." placeholder:"JOB"`
	Fresh          bool            `help:"Start a new run from nothing; outputs of earlier runs are removed."`
	AllowStateLoss bool            `help:"Go on with another graph also where that loses state or input positions; without it, they are listed."`
	Drain          bool            `help:"Read nothing new: finish and publish what is committed, and stop; another graph can go on then."`
	Checkpoint     time.Duration   `help:"Time between checkpoints (default ${default})." default:"1s" placeholder:"DURATION"`
	Partitions     int             `help:"Keyed partitions of a new run (default 8); a resumed one keeps its own." placeholder:"N"`
	Retain         int             `help:"Checkpoints kept to fall back to (default ${default}); 0: none." default:"3" placeholder:"N"`
	RetainEvery    time.Duration   `help:"Time between two of them (default ${default})." default:"5m" placeholder:"DURATION"`
	Lanes          int             `help:"Goroutines per stage (default: one for each processor)." placeholder:"N"`
	Rate           int             `help:"Most rows per second to read; 0: no limit." default:"0" placeholder:"ROWS"`
	Lease          time.Duration   `help:"How long a stopped process keeps its job (default ${default})." default:"5s" placeholder:"DURATION"`
	TakeOver       bool            `help:"Take the job over from a process that still runs it."`
	Wait           bool            `help:"Wait when another process runs the job, instead of exiting."`
	OnBadRecord    string          `help:"What to do with a bad record: ${enum}." enum:"continue,fail" default:"continue"`
	HTTP           string          `help:"Address for /metrics, /livez and /readyz, and /v1/scaling of a coordinator; none when empty." placeholder:"HOST:PORT"`
	Pprof          bool            `help:"Serve /debug/pprof there too."`
	Memory         byteSize        `help:"Memory that the process may take, as in 512MiB: state beyond a third of it is in the bucket only, and read back when it is used (default: no bound)." default:"auto" placeholder:"SIZE"`
	CacheDir       string          `help:"Folder for a disk cache of state (default: sabot in the user's cache folder; none where the bucket is local)." placeholder:"DIR"`
	CacheSize      byteSize        `help:"What the disk cache may take, as in 20GiB (default: the lesser of 10GiB and a quarter of the free space); 0: no cache." default:"auto" placeholder:"SIZE"`
	LogLevel       slog.Level      `help:"Least level of log lines: debug, info, warn, error." default:"warn"`
	LogFormat      string          `help:"Form of log lines: ${enum}." enum:"text,json" default:"text"`
	Config         kong.ConfigFlag `help:"YAML file with flags by name." placeholder:"FILE"`
}

// commandLine is the job's parameters, the engine's flags and the roles of a process.
type commandLine[P any] struct {
	Params P     `embed:""`
	Engine flags `embed:"" group:"How it runs"`

	Run         struct{}         `cmd:"" default:"withargs" help:"Run the whole job in this process (the default)."`
	Coordinator coordinatorFlags `cmd:"" help:"Coordinate the job for workers that are processes of their own."`
	Worker      workerFlags      `cmd:"" help:"Work for the job's coordinator."`
	Plan        planFlags        `cmd:"" help:"Show the job's graph, or what would become of its state if it were started."`
}

// Main runs the job that build returns, with the command line of the process, and exits. P is a struct whose fields are the job's parameters:
// flags with the tags help, default, enum and so on of github.com/alecthomas/kong. Every flag --some-name is also read from SABOT_SOME_NAME and
// from the file that --config names.
func Main[P any](build func(P) *sabot.Job, opts ...Option[P]) {
	ctx, stop := signals()
	code := mainWith(ctx, os.Args, os.Stdout, os.Stderr, build, opts...)
	stop()
	os.Exit(code)
}

// signalError is the cause of a context that a signal ended.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.Signal.String() }

// signals returns a context that the first interrupt or termination ends; a second one ends the process at once, which loses nothing.
func signals() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		first, ok := <-c
		if !ok {
			return
		}
		cancel(signalError{first.(syscall.Signal)})
		if second, ok := <-c; ok {
			os.Exit(exitSignals + int(second.(syscall.Signal)))
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(c)
		cancel(nil)
	}
}

// mainWith is Main with everything of the process passed in; it returns the exit code.
func mainWith[P any](ctx context.Context, args []string, stdout, stderr io.Writer, build func(P) *sabot.Job, opts ...Option[P]) int {
	var o mainOptions[P]
	for _, opt := range opts {
		opt(&o)
	}
	var cl commandLine[P]
	parsed, code := parse(&cl, args, o.about, stdout, stderr)
	if parsed == nil {
		return code
	}
	switch parsed.Command() {
	case "coordinator":
		return executeCoordinator(ctx, cl.Coordinator, cl.Engine.options(stdout, stderr, o.buckets), stdout, stderr, build(cl.Params))
	case "plan":
		return executePlan(ctx, cl.Plan, cl.Engine.options(stdout, stderr, o.buckets), stdout, stderr, build(cl.Params))
	case "worker":
		return executeWorker(ctx, cl.Worker, cl.Engine.options(stdout, stderr, o.buckets), stdout, stderr, build(cl.Params))
	}
	return execute(ctx, cl, stdout, stderr, build, o)
}

// parse reads a command line. Without a result the process exits with the code.
func parse(into any, args []string, about string, stdout, stderr io.Writer) (parsed *kong.Context, code int) {
	exited := -1
	parser, err := kong.New(into, kong.Name(filepath.Base(args[0])), kong.Description(about), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }), kong.DefaultEnvars("SABOT"), kong.Configuration(configFile),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}))
	if err != nil {
		fmt.Fprintln(stderr, "error: the job's parameters:", err)
		return nil, exitUsage
	}
	parsed, err = parser.Parse(args[1:])
	if exited >= 0 {
		return nil, exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\nRun %s --help for the flags.\n", err, filepath.Base(args[0]))
		return nil, exitUsage
	}
	return parsed, exitDone
}

// configFile reads a YAML file of flags. What the environment sets goes before it.
func configFile(r io.Reader) (kong.Resolver, error) {
	file, err := kongyaml.Loader(r)
	if err != nil {
		return nil, err
	}
	return kong.ResolverFunc(func(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if _, set := os.LookupEnv(name); set {
				return nil, nil
			}
		}
		return file.Resolve(ctx, parent, flag)
	}), nil
}

func execute[P any](ctx context.Context, cl commandLine[P], stdout, stderr io.Writer, build func(P) *sabot.Job, o mainOptions[P]) int {
	r := &runner{out: stdout, opt: cl.Engine.options(stdout, stderr, o.buckets)}
	r.opt.watch = func(ctx context.Context, stats func() (engine.Stats, bool)) {
		file, ok := stdout.(*os.File)
		show(ctx, stdout, ok && term.IsTerminal(int(file.Fd())), stats)
	}
	res, err := Run(ctx, build(cl.Params), r.opt)
	var sig signalError
	switch {
	case errors.As(err, &sig):
		fmt.Fprintf(stdout, "Stopped after checkpoint %d, %s rows read. Start the same command again to go on from there.\n", res.Epoch, grouped(res.RowsRead))
		return exitSignals + int(sig.Signal)
	case err != nil:
		return failed(stderr, err)
	}
	if !res.Finished { // drained
		fmt.Fprintf(stdout, "Drained after checkpoint %d, %s rows read: all that is committed is published, and another graph can go on from there.\n", res.Epoch, grouped(res.RowsRead))
		return exitDone
	}
	fmt.Fprint(stdout, res.String())
	if o.afterEnd != nil {
		if err := o.afterEnd(ctx, cl.Params, stdout); err != nil {
			fmt.Fprintln(stderr, "error:", err)
			return exitFailed
		}
	}
	return exitDone
}

// options returns the flags as options.
func (f flags) options(stdout, stderr io.Writer, buckets []objstore.Scheme) Options {
	if f.Retain == 0 {
		f.Retain = -1
	}
	if f.CacheSize == 0 {
		f.CacheSize = -1
	} else if f.CacheSize == unsetSize {
		f.CacheSize = 0
	}
	if f.Memory == unsetSize {
		f.Memory = 0
	}
	return Options{Bucket: f.Bucket, Memory: int64(f.Memory), Buckets: buckets, As: f.As, Fresh: f.Fresh, AllowStateLoss: f.AllowStateLoss, Drain: f.Drain,
		Retain: f.Retain, RetainEvery: f.RetainEvery, Checkpoint: f.Checkpoint, Partitions: f.Partitions, Lanes: f.Lanes,
		Rate: f.Rate, Lease: f.Lease, TakeOver: f.TakeOver, Wait: f.Wait, FailOnBadRecord: f.OnBadRecord == "fail",
		Log: logger(stderr, f.LogLevel, f.LogFormat), Notice: func(text string) { fmt.Fprintln(stdout, text) }, HTTP: f.HTTP, Pprof: f.Pprof,
		CacheDir: f.CacheDir, CacheSize: int64(f.CacheSize)}
}

// failed says what went wrong, and returns the exit code for it.
func failed(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "error:", err)
	if sabot.KindOf(err) == sabot.Invalid {
		return exitUsage
	}
	return exitFailed
}

type runner struct {
	out io.Writer
	opt Options
}

func logger(w io.Writer, level slog.Level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// grouped prints n with commas between thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
