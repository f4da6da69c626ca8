package view

import (
	"context"
	"errors"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// batchRows is how many rows a batch of a scan has at the most.
const batchRows = 8192

// Scan yields all rows of a table in the order of their keys' hashes, those of one key together, in the order of Table.More. All are of the checkpoint
// that the view is of when it begins, also when the view is refreshed meanwhile. After an error, which it yields last, nothing comes: ErrStale says that
// the checkpoint is not kept any more.
func (v *View) Scan(ctx context.Context, table string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for rec, err := range v.Batches(ctx, table) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			for i := range int(rec.NumRows()) {
				if !yield(Row{rec, i}, nil) {
					return
				}
			}
		}
	}
}

// Batches is Scan in batches of some thousand rows. Their memory is the garbage collector's: nobody has to release them.
func (v *View) Batches(ctx context.Context, table string) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		s := v.current()
		t, err := s.table(table)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, m := range s.partitions(t) {
			sc := &scan{table: t, b: batch.NewBuilder(t.schema), at: s.instant(m), yield: yield}
			switch err := v.scan(ctx, s, m, sc); {
			case errors.Is(err, errEnough):
				return
			case err != nil:
				yield(nil, v.failed(ctx, s, table, err))
				return
			}
		}
	}
}

// errEnough says that whoever scans wants no more.
var errEnough = errors.New("enough")

// scan is a scan of one partition.
type scan struct {
	*table
	b     *batch.Builder
	rows  int
	at    instant
	yield func(arrow.RecordBatch, error) bool
}

func (v *View) scan(ctx context.Context, s *snapshot, m *pb.Partition, sc *scan) error {
	p, err := newPart(sc.table, m, len(s.partitions(sc.table)))
	if err != nil {
		return err
	}
	p.use(s, m, reader(ctx, v.fetcher.Scan))
	if err := p.scan(sc); err != nil {
		return err
	}
	return sc.flush()
}

func (p *part) scan(sc *scan) (err error) {
	defer caught(&err)
	return p.handle.Scan(0, sc.row)
}

func (sc *scan) row(_ uint64, key, suffix []byte, rows *segment.Rows, i int) error {
	shown, err := sc.show(sc.b, key, suffix, rows, i, sc.at)
	if err != nil || !shown {
		return err
	}
	if sc.rows++; sc.rows == batchRows {
		return sc.flush()
	}
	return nil
}

func (sc *scan) flush() error {
	if sc.rows == 0 {
		return nil
	}
	rec := array.NewRecordBatch(sc.schema, sc.b.Build(), int64(sc.rows))
	sc.rows = 0
	if !sc.yield(rec, nil) {
		return errEnough
	}
	return nil
}

var _ objstate.Part = (*found)(nil)
