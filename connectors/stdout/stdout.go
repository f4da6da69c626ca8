// Package stdout prints a job's rows as they are produced, for a look at what a stream holds.
package stdout

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/jsonl"
)

// Sink is an immediate sink that prints each row as a line of JSON: at least once, and possibly rows of checkpoints that never commit.
type Sink struct {
	Writer io.Writer // nil: standard output. It is given whole lines, from one goroutine at a time
}

var printing sync.Mutex // lanes share the writer

// Write implements sabot.ImmediateSink.
func (s Sink) Write(_ context.Context, rows arrow.RecordBatch) error {
	var b bytes.Buffer
	if err := jsonl.Encode(&b, rows); err != nil {
		return err
	}
	w := s.Writer
	if w == nil {
		w = os.Stdout
	}
	printing.Lock()
	defer printing.Unlock()
	_, err := w.Write(b.Bytes())
	return err
}
