package sabot

import (
	"context"
	"log/slog"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// SplitID names a split within its source, for the life of a run.
type SplitID string

// Position is a source's own mark of how far a split has been read. Empty means the beginning. The engine stores it and never looks inside.
type Position string

// Source is where rows come from. Implementations are values that say what data; how it runs is the engine's.
type Source interface {
	// Describe returns the columns that the source can give and its splits. It is asked once per run, at the first start: the root keeps the
	// answer, so a resumed run sees the same schema and list. It does no lasting I/O.
	Describe(context.Context, Env) (*arrow.Schema, []Split, error)
	// Open returns a reader of exactly the rows of the split after the position, in the same order at every call, with just the columns of
	// the schema given, in its order (a subset of Describe's). A split whose Version no longer holds is an Invalid error.
	Open(context.Context, Env, *arrow.Schema, Split, Position) (Reader, error)
}

// Split is the unit of a source: a file, a shard, a Kafka partition. It is indivisible.
type Split struct {
	ID      SplitID
	Version string // what must not change while the job runs: a file's size and tag; empty when nothing can be said
	Bytes   int64  // size for progress; 0 when unknown
	Bounded bool   // the split has an end
}

// Reader reads one split. One goroutine uses it.
type Reader interface {
	// Read returns the next rows, at most Env.MaxRows. An empty Chunk means nothing now: Read does not wait for rows, it is called again a
	// little later, or when the Reader, as a Notifier, says so. io.EOF means the split's end. It returns early with the context's error when
	// that ends.
	Read(context.Context) (Chunk, error)
	Close() error
}

// Chunk is a batch of rows with the position after it.
type Chunk struct {
	Rows  arrow.RecordBatch // nil when there are none; the caller releases it
	Bad   []BadRecord       // records of this stretch that could not be decoded
	After Position          // restart point once Rows and Bad are dealt with
	Done  float64           // share of the split read, 0 to 1
}

// BadRecord is a record that could not be decoded; it goes to the job's dead letters.
type BadRecord struct {
	Raw      []byte // as read, cut at 64 KiB
	Position string // where, for a person: "line 17", "row 120 of row group 3"
	Reason   string
}

// Env is what the engine lends to connectors.
type Env struct {
	Job, Run string
	Log      *slog.Logger
	Now      func() time.Time // wall clock; virtual under test
	Notice   func(string)     // tells the person who starts the job; nil: nobody
	MaxRows  int              // most rows per Chunk; 8192 when 0
}

// CommitListener is implemented by readers that want to know which position is committed, to free what they hold for replay. Called from
// any goroutine.
type CommitListener interface {
	Committed(Position)
}

// Notifier is implemented by readers that know when rows come. The engine calls Notify once, before the first Read; the Reader calls wake, from
// any goroutine, whenever Read may have rows, or the split's end, after it had nothing.
type Notifier interface {
	Notify(wake func())
}

// Lagger is implemented by readers that know how much of their split is left to read.
type Lagger interface {
	// Lag returns how many rows and bad records are there that Read has not returned; of a bounded split those up to its end. Ok is false while that
	// is not known. It does no I/O. Any goroutine may call it, also while Read runs and after Close.
	Lag() (rows int64, ok bool)
}

// Identifier is implemented by sources and sinks whose place matters: a job restarted with another identity is refused.
type Identifier interface {
	Identity() string // e.g. the URL and format
}
