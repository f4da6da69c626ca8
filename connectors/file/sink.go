package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// Sink publishes each output of a job as one file, <URL>/<id>.<format>, whole or not at all. A file that exists is the same output, published
// before. A consumer that removes files may see one again when a stopped process of an earlier run comes back.
type Sink struct {
	URL       string        // a folder: path (it is created), file:// or bucket URL
	Format    Format        // empty: Parquet
	RollBytes int64         // an output is closed at this size; 0: 128 MiB
	RollAge   time.Duration // or at this age; 0: a minute
}

// Identity implements sabot.Identifier.
func (s Sink) Identity() string { return s.URL + " (" + string(s.format()) + ")" }

// Roll implements sabot.Roller.
func (s Sink) Roll() (int64, time.Duration) { return s.RollBytes, s.RollAge }

func (s Sink) format() Format {
	if s.Format == "" {
		return Parquet
	}
	return s.Format
}

func (s Sink) open(ctx context.Context) (objstore.Bucket, error) {
	if s.URL == "" {
		return nil, sabot.WithKind(sabot.Invalid, errors.New("the sink's URL is empty"))
	}
	return bucketurl.Open(ctx, s.URL)
}

// Check implements sabot.Checker.
func (s Sink) Check(ctx context.Context, _ sabot.Env, schema *arrow.Schema) error {
	if _, err := formatOf("", s.format()); err != nil {
		return err
	}
	b, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, err := range b.List(ctx, "check") { // whether the place can be reached
		if err != nil {
			return err
		}
		break
	}
	empty, err := array.NewRecordReader(schema, nil)
	if err != nil {
		return err
	}
	defer empty.Release()
	if _, err := encode(s.format(), empty); err != nil {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("the rows cannot be written as %s: %w", s.format(), err))
	}
	return nil
}

// Publish implements sabot.Sink.
func (s Sink) Publish(ctx context.Context, id sabot.OutputID, rec arrow.RecordBatch) error {
	r, err := array.NewRecordReader(rec.Schema(), []arrow.RecordBatch{rec})
	if err != nil {
		return err
	}
	defer r.Release()
	return s.PublishAll(ctx, id, r)
}

// PublishAll implements sabot.StreamSink.
func (s Sink) PublishAll(ctx context.Context, id sabot.OutputID, rows array.RecordReader) error {
	b, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	body, err := encode(s.format(), rows)
	if err != nil {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("encode as %s: %w", s.format(), err))
	}
	defer buffers.Put(body)
	_, err = b.PutIf(ctx, id.String()+"."+string(s.format()), body.Bytes(), objstore.Absent)
	if errors.Is(err, objstore.ErrPrecondition) {
		return nil // published before
	}
	return err
}

// Sweep implements sabot.Sweeper.
func (s Sink) Sweep(ctx context.Context, job, sink string, runs []string) (int, error) {
	b, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	n := 0
	for _, run := range runs {
		prefix := job + "-" + run + "-" + sink + "-"
		for o, err := range b.List(ctx, prefix) {
			if err != nil {
				return n, err
			}
			if !isOutput(strings.TrimPrefix(o.Key, prefix), s.format()) {
				continue
			}
			if err := b.Delete(ctx, o.Key); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// isOutput tells whether the rest of a name, behind job, run and sink, is <range>-<number>.<format>.
func isOutput(rest string, f Format) bool {
	name, ok := strings.CutSuffix(rest, "."+string(f))
	rng, number, found := strings.Cut(name, "-")
	if !ok || !found || rng == "" || len(number) < 8 {
		return false
	}
	return strings.Trim(number, "0123456789") == "" && !strings.ContainsAny(rng, "/")
}

// buffers are used again: an output's file is built in memory.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
