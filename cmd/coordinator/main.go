// Command coordinator coordinates the workers of a job that is data: a job file, or an example by name. A job in Go has this role in its own binary.
package main

import (
	"github.com/sabot-stream/sabot/cmd/internal/jobs"
	"github.com/sabot-stream/sabot/run"
)

func main() {
	run.CoordinatorMain("Coordinates the workers of a job that is data.", jobs.Flags.Build, jobs.Buckets()...)
}
