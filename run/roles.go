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
)

type coordinatorFlags struct {
	Listen   string           `help:"Address for workers and tools (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT"`
	Security control.Security `embed:""`
}

type workerFlags struct {
	Coordinator []string         `help:"Addresses of the job's coordinators; one of them leads (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT,..."`
	Name        string           `help:"Of this worker, for people (default: host and process)." placeholder:"NAME"`
	Security    control.Security `embed:""`
}

// executeCoordinator runs the coordinator of a job. While another one leads it stands by.
func executeCoordinator[P any](ctx context.Context, cl commandLine[P], stdout, stderr io.Writer, build func(P) *sabot.Job) int {
	f := cl.Coordinator
	opt := cl.Engine.options(stdout, stderr)
	opt.Wait = true
	opt.Notice = func(text string) { opt.Log.Warn(text) }
	res, err := coordinate(ctx, build(cl.Params), opt, func(ctx context.Context, d *coord.Driver) error {
		s, err := control.Listen(f.Listen, f.Security, clock.Real())
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Coordinating at %s.\n", s.Addr())
		return s.Serve(ctx, d)
	})
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
func executeWorker[P any](ctx context.Context, cl commandLine[P], stdout, stderr io.Writer, build func(P) *sabot.Job) int {
	f := cl.Worker
	name := f.Name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	err := work(ctx, build(cl.Params), cl.Engine.options(stdout, stderr), name, func(ctx context.Context) (workerConn, error) {
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
