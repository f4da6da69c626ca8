// Package callback hands a job's rows to a Go function: at once as they are produced, or exactly once when they are committed.
package callback

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
)

// Immediate returns an immediate sink that calls f with rows as they are produced, milliseconds after their input. After a failure f may see
// rows again, and rows that no checkpoint ever commits. F is called from several goroutines at a time, one for each lane; an error of f starts
// the job again from its last checkpoint if its kind is sabot.Retry, and ends it otherwise.
func Immediate[T any](f func(ctx context.Context, rows []T) error) sabot.ImmediateSink {
	return immediate[T](f)
}

type immediate[T any] func(context.Context, []T) error

// Write implements sabot.ImmediateSink.
func (f immediate[T]) Write(ctx context.Context, b arrow.RecordBatch) error {
	rows, err := sabot.Rows[T](b)
	if err != nil {
		return err
	}
	return f(ctx, rows)
}

// Committed returns a committed sink that calls f with each output: rows of committed checkpoints only, and the same id with the same rows
// whenever it is repeated. An f that is idempotent by id sees every row exactly once. An error is retried with backoff, unless it is marked by
// sabot.Permanent.
func Committed[T any](f func(ctx context.Context, id sabot.OutputID, rows []T) error) sabot.Sink {
	return committed[T](f)
}

type committed[T any] func(context.Context, sabot.OutputID, []T) error

// Publish implements sabot.Sink.
func (f committed[T]) Publish(ctx context.Context, id sabot.OutputID, b arrow.RecordBatch) error {
	rows, err := sabot.Rows[T](b)
	if err != nil {
		return sabot.Permanent(err)
	}
	return f(ctx, id, rows)
}

// Check implements sabot.Checker.
func (f immediate[T]) Check(_ context.Context, _ sabot.Env, schema *arrow.Schema) error {
	return check[T](schema)
}

// Check implements sabot.Checker.
func (f committed[T]) Check(_ context.Context, _ sabot.Env, schema *arrow.Schema) error {
	return check[T](schema)
}

// check tells whether rows of a schema are rows of type T.
func check[T any](schema *arrow.Schema) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	none := b.NewRecordBatch()
	defer none.Release()
	_, err := sabot.Rows[T](none)
	return err
}
