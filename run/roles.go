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

// securityFlags say how processes of a job know each other.
type securityFlags struct {
	TokenFile string `help:"File with the secret that all processes of the job share." placeholder:"FILE"`
	TLSCert   string `name:"tls-cert" help:"This process's certificate." placeholder:"FILE"`
	TLSKey    string `name:"tls-key" help:"Its key." placeholder:"FILE"`
	TLSCA     string `name:"tls-ca" help:"Authority of the other side's certificate, which is then asked for." placeholder:"FILE"`
}

func (f securityFlags) security() control.Security {
	return control.Security{TokenFile: f.TokenFile, CertFile: f.TLSCert, KeyFile: f.TLSKey, CAFile: f.TLSCA}
}

type coordinatorFlags struct {
	Listen   string        `help:"Address for workers and tools (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT"`
	Security securityFlags `embed:""`
}

type workerFlags struct {
	Coordinator []string      `help:"Addresses of the job's coordinators; one of them leads (default ${default})." default:"127.0.0.1:7070" placeholder:"HOST:PORT,..."`
	Name        string        `help:"Of this worker, for people (default: host and process)." placeholder:"NAME"`
	Security    securityFlags `embed:""`
}

// executeCoordinator runs the coordinator of a job. While another one leads it stands by.
func executeCoordinator[P any](ctx context.Context, cl commandLine[P], stdout, stderr io.Writer, build func(P) *sabot.Job) int {
	f := cl.Coordinator
	opt := cl.Engine.options(stdout, stderr)
	opt.Wait = true
	opt.Notice = func(text string) { opt.Log.Warn(text) }
	res, err := coordinate(ctx, build(cl.Params), opt, func(ctx context.Context, d *coord.Driver) error {
		s, err := control.Listen(f.Listen, f.Security.security(), clock.Real())
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
		return control.Connect(ctx, f.Coordinator, f.Security.security())
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
