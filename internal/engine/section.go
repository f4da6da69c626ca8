package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
)

// decodeSection returns the records of a section; the caller releases them. The caller has compared its checksum with that of the root, which is what
// keeps damaged bytes from arrow-go: it allocates what metadata says. Of messages and columns it gets no more memory than such a section can need; how
// many columns a schema says that it has, nothing bounds.
func decodeSection(b []byte) (recs []arrow.RecordBatch, err error) {
	n := int64(len(b))
	mem := &bounded{memory.DefaultAllocator, 2*len(b) + sectionSlack}
	messages := ipc.NewMessageReader(bytes.NewReader(b), ipc.WithMetadataSizeLimit(n), ipc.WithBodySizeLimit(n), ipc.WithAllocator(mem))
	r, err := ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(mem))
	if err != nil {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode output section: %w", err))
	}
	defer r.Release()
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return recs, nil
		}
		if err == nil {
			err = checkLengths(rec)
		}
		if err != nil {
			for _, rec := range recs {
				rec.Release()
			}
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode output section: %w", err))
		}
		rec.Retain()
		recs = append(recs, rec)
	}
}

// sectionSlack is for the alignment of what a section holds.
const sectionSlack = 64 << 10

// bounded is an allocator of so many bytes. Asked for more it panics, which arrow-go makes an error of what it reads.
type bounded struct {
	memory.Allocator
	left int
}

var errTooLarge = errors.New("it says that it holds more than it is large")

func (a *bounded) Allocate(n int) []byte {
	a.take(n)
	return a.Allocator.Allocate(n)
}

func (a *bounded) Reallocate(n int, b []byte) []byte {
	a.take(n - len(b))
	return a.Allocator.Reallocate(n, b)
}

func (a *bounded) take(n int) {
	if n > a.left {
		panic(errTooLarge)
	}
	a.left -= max(0, n)
}

// checkLengths tells whether the columns of a record have as many rows as it says.
func checkLengths(rec arrow.RecordBatch) error {
	for i, c := range rec.Columns() {
		if int64(c.Len()) != rec.NumRows() {
			return fmt.Errorf("column %d has %d rows of %d", i, c.Len(), rec.NumRows())
		}
	}
	return nil
}
