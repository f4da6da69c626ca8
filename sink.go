package sabot

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// OutputID names one output of a committed sink. It is the same at every retry of its Publish, after any crash.
type OutputID struct {
	Job    string
	Run    string // drawn at a job's start from nothing
	Sink   string // the sink node's name
	Range  string // which part of the key space (or which lane of a source stage) wrote it
	Number uint64 // the cut that opened it; rises
}

// String returns the id in a form fit for file names and idempotency keys: lower-case letters, digits, '-' and '_' as far as the names are.
func (o OutputID) String() string {
	return fmt.Sprintf("%s-%s-%s-%s-%08d", o.Job, o.Run, o.Sink, o.Range, o.Number)
}

// Sink is a committed sink: it sees only rows whose checkpoint is committed, each output whole, and at least once under the same id.
type Sink interface {
	// Publish makes one output visible. Every retry brings the same id and the same rows, so making it idempotent by id makes it exactly
	// once. It is called from one goroutine per output, possibly several outputs at a time. The batch is valid during the call only.
	// An error is retried with backoff; wrap it by Permanent to stop the job.
	Publish(context.Context, OutputID, arrow.RecordBatch) error
}

// StreamSink is a Sink that takes an output batch by batch, without joining it into one.
type StreamSink interface {
	Sink
	PublishAll(context.Context, OutputID, array.RecordReader) error
}

// Roller is a Sink that says when an output is closed. Without it: 128 MiB, one minute, or the end of input.
type Roller interface {
	Roll() (bytes int64, age time.Duration)
}

// Checker is a sink that can check its destination and the schema of its rows before the job starts.
type Checker interface {
	Check(context.Context, Env, *arrow.Schema) error
}

// Sweeper is a Sink that can remove what an earlier run of the same job published; --fresh asks it to.
type Sweeper interface {
	// Sweep removes the outputs of that job and sink whose run is one of runs, and no other object. It returns how many it removed.
	Sweep(ctx context.Context, job, sink string, runs []string) (int, error)
}

// ImmediateSink sees rows as they are produced, milliseconds after their input: at least once, and possibly of epochs that never commit.
type ImmediateSink interface {
	// Write takes rows, valid during the call only. It is called from one goroutine at a time per lane.
	Write(context.Context, arrow.RecordBatch) error
}
