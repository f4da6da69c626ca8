// Package jobs finds the job that a program of cmd is to run: one that is data.
package jobs

import (
	"errors"
	"fmt"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/examples"
	"github.com/sabot-stream/sabot/jobfile"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/azure"
	"github.com/sabot-stream/sabot/objstore/gcs"
	"github.com/sabot-stream/sabot/run"
)

// Flags name the job.
type Flags struct {
	JobFile string            `help:"The job's file, see docs/jobfile.md." placeholder:"FILE"`
	Example string            `help:"Or an example: flights." placeholder:"NAME"`
	Param   map[string]string `help:"Parameters of the job." placeholder:"NAME=VALUE;..."`
}

// Main runs the job, whole or in a role, with the command line of the process, and exits.
func Main() {
	run.Main(Flags.Build, run.About[Flags]("Runs a job that is data: a job file, or an example by name."), run.Buckets[Flags](Buckets()...))
}

// Buckets are the stores that the programs of cmd know besides those of every program.
func Buckets() []objstore.Scheme { return []objstore.Scheme{gcs.Scheme(), azure.Scheme()} }

// Build returns the job. What is wrong is reported by its Plan.
func (f Flags) Build() *sabot.Job {
	switch {
	case f.JobFile != "" && f.Example != "":
		return none(errors.New("--job-file and --example name two jobs: give one of them"))
	case f.JobFile != "":
		return jobfile.Load(f.JobFile, f.Param)
	case f.Example == "flights":
		return jobfile.Parse("flights.yaml", examples.Flights, f.Param)
	case f.Example != "":
		return none(fmt.Errorf("there is no example %q that is data; there is flights", f.Example))
	}
	return none(errors.New("no job: give --job-file FILE, or --example flights"))
}

func none(err error) *sabot.Job {
	job := sabot.NewJob("job")
	job.Problem("command line", err)
	return job
}
