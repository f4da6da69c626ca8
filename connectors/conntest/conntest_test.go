package conntest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/conntest"
)

var schema = arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)

// record returns the rows from up to to: a number and its text, null for every third.
func record(from, to int, of *arrow.Schema) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, of)
	defer b.Release()
	for i, f := range of.Fields() {
		for n := from; n < to; n++ {
			switch {
			case f.Name == "n":
				b.Field(i).(*array.Int64Builder).Append(int64(n))
			case n%3 == 0:
				b.Field(i).AppendNull()
			default:
				b.Field(i).(*array.StringBuilder).Append(strconv.Itoa(n))
			}
		}
	}
	return b.NewRecordBatch()
}

// counter is a source of two splits of numbers. Unbounded, it says nothing where it would end.
type counter struct{ bounded bool }

func (c counter) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	return schema, []sabot.Split{{ID: "0-20", Version: "1", Bounded: c.bounded}, {ID: "20-31", Version: "1", Bounded: c.bounded}}, nil
}

func (c counter) Open(_ context.Context, env sabot.Env, s *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	if split.Version != "1" {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("version %s", split.Version))
	}
	r := &count{schema: s, max: env.MaxRows, bounded: c.bounded}
	fmt.Sscanf(string(split.ID), "%d-%d", &r.from, &r.to)
	r.next = r.from
	if at != "" {
		fmt.Sscanf(string(at), "%d", &r.next)
	}
	return r, nil
}

type count struct {
	schema         *arrow.Schema
	from, next, to int
	max            int
	bounded        bool
}

func (r *count) Read(ctx context.Context) (sabot.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return sabot.Chunk{}, err
	}
	if r.next == r.to && r.bounded {
		return sabot.Chunk{}, io.EOF
	}
	if r.next == r.to {
		return sabot.Chunk{}, nil
	}
	n := min(r.next+r.max, r.to)
	c := sabot.Chunk{Rows: record(r.next, n, r.schema), After: sabot.Position(strconv.Itoa(n)), Done: float64(n-r.from) / float64(r.to-r.from)}
	r.next = n
	return c, nil
}

func (r *count) Close() error { return nil }

func TestSourcePassesRightSources(t *testing.T) {
	for _, bounded := range []bool{true, false} {
		t.Run(fmt.Sprintf("bounded %v", bounded), func(t *testing.T) {
			conntest.Source(t, func() sabot.Source { return counter{bounded} }, record(0, 31, schema))
		})
	}
}

// shelf is a sink and its destination.
type shelf struct {
	mu  *sync.Mutex
	out map[string]string
	bad bool
}

func shelfKey(id sabot.OutputID) string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", id.Job, id.Run, id.Sink, id.Range, id.Number)
}

func (s shelf) Publish(ctx context.Context, id sabot.OutputID, rows arrow.RecordBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.out[shelfKey(id)]; ctx.Err() == nil && !there {
		s.out[shelfKey(id)] = fmt.Sprint(rows)
	}
	return ctx.Err()
}

func (s shelf) Check(context.Context, sabot.Env, *arrow.Schema) error {
	if s.bad {
		return sabot.WithKind(sabot.Invalid, errors.New("bad shelf"))
	}
	return nil
}

func (s shelf) Sweep(_ context.Context, job, sink string, runs []string) (n int, _ error) {
	for name := range s.out {
		for _, run := range runs {
			if strings.HasPrefix(name, job+"/"+run+"/"+sink+"/") && !strings.HasSuffix(name, ".bak") {
				delete(s.out, name)
				n++
			}
		}
	}
	return n, nil
}

func TestSinkPassesARightSink(t *testing.T) {
	open := func(*testing.T) conntest.Destination {
		s := shelf{new(sync.Mutex), map[string]string{}, false}
		return conntest.Destination{
			Open: func() sabot.Sink { return s },
			Outputs: func() map[string]string {
				out := map[string]string{}
				for k, v := range s.out {
					out[k] = v
				}
				return out
			},
			Put:     func(name, content string) { s.out[name] = content },
			Foreign: func(id sabot.OutputID) []string { return []string{shelfKey(id) + ".bak"} },
		}
	}
	conntest.Sink(t, open, record(0, 10, schema), map[string]sabot.Sink{"a bad shelf": shelf{bad: true}})
}
