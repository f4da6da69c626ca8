package datagen

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
)

// reader reads one split: its row i is row i*Splits + split of the source.
type reader struct {
	s        Source
	g        generator
	schema   *arrow.Schema
	columns  []string
	split    int64
	rows     int64 // of the split; 0: without end
	most     int
	now      func() time.Time
	interval time.Duration // 0: no rate

	next int64 // row of the split
	due  int64 // when that is due, in nanoseconds since 1970

	wake  func()      // nil: nobody is to be told
	timer *time.Timer // until the next rows come; nil: none was needed yet
}

// together is for how long rows that are due are kept back, so that those of a high rate come in batches: the first of each is as old as that. Rows
// that are due less often come one by one, at once.
const together = time.Millisecond

// Notify implements sabot.Notifier.
func (r *reader) Notify(wake func()) { r.wake = wake }

// later has the engine ask again after a time.
func (r *reader) later(d time.Duration) {
	switch {
	case r.wake == nil:
	case r.timer == nil:
		r.timer = time.AfterFunc(d, r.wake)
	default:
		r.timer.Reset(d)
	}
}

func columnsOf(wanted, have *arrow.Schema) ([]string, error) {
	var names []string
	for _, f := range wanted.Fields() {
		if !have.HasField(f.Name) {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("datagen: there is no column %q; payload needs Bytes, created needs a Rate", f.Name))
		}
		names = append(names, f.Name)
	}
	return names, nil
}

// seek goes to a position: "<rows>", with a rate "<rows>@<nanoseconds when the next one is due>". A run may have had another rate, or none.
func (r *reader) seek(at sabot.Position) error {
	r.g = newGenerator(r.s)
	rows, due, timed := strings.Cut(string(at), "@")
	var err error
	if at != "" {
		r.next, err = strconv.ParseInt(rows, 10, 64)
	}
	switch {
	case r.interval == 0:
	case timed && err == nil:
		r.due, err = strconv.ParseInt(due, 10, 64)
	case r.s.Begin.IsZero():
		r.due = r.now().UnixNano()
	default:
		r.due = r.s.Begin.UnixNano() + r.split*int64(r.interval)/int64(r.s.Splits) + r.next*int64(r.interval)
	}
	if err != nil || r.next < 0 {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("datagen: position %q of split %d is none", at, r.split))
	}
	return nil
}

func (r *reader) position() sabot.Position {
	p := strconv.FormatInt(r.next, 10)
	if r.interval > 0 {
		p += "@" + strconv.FormatInt(r.due, 10)
	}
	return sabot.Position(p)
}

// Read implements sabot.Reader.
func (r *reader) Read(ctx context.Context) (sabot.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return sabot.Chunk{}, err
	}
	n := int64(r.most)
	if r.s.Rows > 0 {
		if n = min(n, r.rows-r.next); n <= 0 {
			return sabot.Chunk{}, io.EOF
		}
	}
	if r.interval > 0 {
		late, ripe := r.now().UnixNano()-r.due, max(0, int64(together-r.interval))
		if late < ripe {
			r.later(time.Duration(ripe - late))
			return sabot.Chunk{After: r.before()}, nil
		}
		n = min(n, late/int64(r.interval)+1)
	}
	rows := r.build(int(n))
	r.next += n
	r.due += n * int64(r.interval)
	c := sabot.Chunk{Rows: rows, After: r.position()}
	if r.rows > 0 {
		c.Done = float64(r.next) / float64(r.rows)
	}
	return c, nil
}

// before is the position where nothing has been read since it: before the first row there is none.
func (r *reader) before() sabot.Position {
	if r.next == 0 {
		return ""
	}
	return r.position()
}

// build returns the next n rows.
func (r *reader) build(n int) arrow.RecordBatch {
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = r.g.hash(r.number(i))
	}
	cols := make([]arrow.Array, len(r.columns))
	for c, name := range r.columns {
		if name == "payload" {
			cols[c] = r.payloads(hashes)
			continue
		}
		cols[c] = ints(r.schema.Field(c).Type, r.column(name, hashes))
	}
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	return array.NewRecordBatch(r.schema, cols, int64(n))
}

// number is that of the source's row, for the i-th from here on.
func (r *reader) number(i int) int64 { return (r.next+int64(i))*int64(r.s.Splits) + r.split }

// created is when the i-th row from here on is due, in microseconds.
func (r *reader) created(i int) int64 {
	return (r.due + int64(i)*int64(r.interval)) / int64(time.Microsecond)
}

// column returns the values of a column of numbers.
func (r *reader) column(name string, hashes []uint64) []int64 {
	out := make([]int64, len(hashes))
	for i, h := range hashes {
		switch name {
		case "row":
			out[i] = r.number(i)
		case "key":
			out[i] = r.g.key(h)
		case "value":
			out[i] = r.g.value(h)
		case "created":
			out[i] = r.created(i)
		case "at":
			if r.s.live() {
				out[i] = r.created(i) - r.g.jitter(h)
			} else {
				out[i] = r.g.time(r.number(i), h)
			}
		}
	}
	return out
}

func ints(t arrow.DataType, values []int64) arrow.Array {
	data := array.NewData(t, len(values), []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(values))}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// payloads returns the column of texts.
func (r *reader) payloads(hashes []uint64) arrow.Array {
	size := r.s.Bytes
	offsets, body := make([]int32, len(hashes)+1), make([]byte, len(hashes)*size)
	for i, h := range hashes {
		r.g.payload(body[i*size:(i+1)*size], h)
		offsets[i+1] = int32((i + 1) * size)
	}
	data := array.NewData(arrow.BinaryTypes.String, len(hashes),
		[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(body)}, nil, 0, 0)
	defer data.Release()
	return array.NewStringData(data)
}

// Close implements sabot.Reader.
func (r *reader) Close() error {
	if r.timer != nil {
		r.timer.Stop()
	}
	return nil
}
