package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/lease"
)

type coordinatorFlags struct {
	Listen     string           `help:"Address for workers and tools (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT"`
	Advertise  []string         `help:"Addresses at which standbys reach this coordinator (default: that of --listen, or this machine's when it listens everywhere)." placeholder:"HOST:PORT"`
	MinWorkers int              `help:"Workers that /v1/scaling asks for at least (default ${default})." default:"1" placeholder:"N"`
	MaxWorkers int              `help:"Workers that /v1/scaling asks for at most; 0: as many as there are partitions." default:"0" placeholder:"N"`
	Security   control.Security `embed:""`
}

type workerFlags struct {
	Coordinator []string         `help:"Addresses of the job's coordinators; one of them leads (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT,..."`
	Name        string           `help:"Of this worker, for people (default: host and process)." placeholder:"NAME"`
	Security    control.Security `embed:""`
}

// roleLine is the command line of a process with one role.
type roleLine[P, R any] struct {
	Params P     `embed:""`
	Engine flags `embed:"" group:"How it runs"`
	Role   R     `embed:"" group:"How it is reached"`
}

// CoordinatorMain is Main for a program that only coordinates: what Main has as the command coordinator, without that word.
// Schemes are those of Buckets.
func CoordinatorMain[P any](about string, build func(P) *sabot.Job, schemes ...objstore.Scheme) {
	ctx, stop := signals()
	var cl roleLine[P, coordinatorFlags]
	parsed, code := parse(&cl, os.Args, about, os.Stdout, os.Stderr)
	if parsed != nil {
		code = executeCoordinator(ctx, cl.Role, cl.Engine.options(os.Stdout, os.Stderr, schemes), os.Stdout, os.Stderr, build(cl.Params))
	}
	stop()
	os.Exit(code)
}

// WorkerMain is Main for a program that only works: what Main has as the command worker, without that word.
// Schemes are those of Buckets.
func WorkerMain[P any](about string, build func(P) *sabot.Job, schemes ...objstore.Scheme) {
	ctx, stop := signals()
	var cl roleLine[P, workerFlags]
	parsed, code := parse(&cl, os.Args, about, os.Stdout, os.Stderr)
	if parsed != nil {
		code = executeWorker(ctx, cl.Role, cl.Engine.options(os.Stdout, os.Stderr, schemes), os.Stdout, os.Stderr, build(cl.Params))
	}
	stop()
	os.Exit(code)
}

// executeCoordinator runs the coordinator of a job. While another one leads it stands by.
func executeCoordinator(ctx context.Context, f coordinatorFlags, opt Options, stdout, stderr io.Writer, job *sabot.Job) int {
	opt.Wait, opt.MinWorkers, opt.MaxWorkers = true, f.MinWorkers, f.MaxWorkers
	opt.Notice = func(text string) { opt.Log.Warn(text) }
	asker := &control.Asker{Security: f.Security}
	opt.ask = asker.Ask
	res, err := coordinate(ctx, job, opt, func(ctx context.Context, d *coord.Driver, leader objstore.Leadership) error {
		_ = asker.Close() // who led before is not asked any more
		s, err := control.Listen(f.Listen, f.Security, clock.Real())
		if err != nil {
			return err
		}
		if h, ok := leader.(*lease.Holder); ok {
			s.AnswerStandbys(h.Answer)
			addrs := f.Advertise
			if len(addrs) == 0 {
				addrs = s.Reach()
			}
			h.Announce(addrs)
		}
		fmt.Fprintf(stdout, "Coordinating at %s.\n", s.Addr())
		return s.Serve(ctx, d)
	})
	_ = asker.Close() // of a process that has never led
	var sig signalError
	switch {
	case errors.As(err, &sig):
		fmt.Fprintln(stdout, "Stopped; the job goes on under another coordinator, or when this one is started again.")
		return exitSignals + int(sig.Signal)
	case err != nil:
		return failed(stderr, err)
	}
	if !res.Finished {
		fmt.Fprintf(stdout, "Stopped after checkpoint %d, %s rows read. Start coordinator and workers again to go on from there.\n", res.Epoch, grouped(res.RowsRead))
		return exitDone
	}
	fmt.Fprint(stdout, res.String())
	return exitDone
}

// executeWorker runs a worker of a job.
func executeWorker(ctx context.Context, f workerFlags, opt Options, stdout, stderr io.Writer, job *sabot.Job) int {
	name := f.Name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	err := work(ctx, job, opt, name, func(ctx context.Context) (workerConn, error) {
		return control.Connect(ctx, f.Coordinator, f.Security)
	})
	var sig signalError
	switch {
	case errors.As(context.Cause(ctx), &sig) && (err == nil || errors.As(err, &sig)):
		fmt.Fprintln(stdout, "Stopped; this worker's share is with others.")
		return exitSignals + int(sig.Signal)
	case err != nil:
		return failed(stderr, err)
	}
	fmt.Fprintln(stdout, "The coordinator has ended this worker's part.")
	return exitDone
}
