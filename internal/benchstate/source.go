package benchstate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
)

// Distribution says which keys come, once each has come once.
type Distribution string

// The distributions.
const (
	Uniform Distribution = "uniform"
	Zipf    Distribution = "zipf" // the key of rank r as often as 1/r
)

// splits is how many splits the source has: one for each processor of the machine that the goals are for.
const splits = 2

// keyed is a source of rows of a key and a value: first each key once, in no order, then as many of the distribution as are asked for. The same row comes
// at every call. It has no end: when it has given all, it has nothing more to give.
type keyed struct {
	keys  int64 // a multiple of splits
	rows  int64 // after each key has come, of all splits
	most  int64 // rows of a read; 0: as many as the engine takes
	burst int64 // rows, once each key has come, after which nothing comes until all are committed; 0: rows come without a pause
	dist  Distribution
	mark  *progress
}

// progress is what the source has given, and what is committed of it. Any goroutine may use it.
type progress struct {
	given     atomic.Int64 // rows
	committed [splits]atomic.Int64
	before    atomic.Int64 // rows that were given before this run
	filled    atomic.Int64 // when each key had come, in ns
	burst     func()       // called when a burst is committed; nil: nobody asks
}

// done returns how many rows are committed.
func (p *progress) done() (n int64) {
	for i := range p.committed {
		n += p.committed[i].Load()
	}
	return n
}

// all tells whether everything that was given is committed.
func (p *progress) all() bool { return p.done() == p.before.Load()+p.given.Load() }

// watch calls stop when so many rows are committed, and returns when that was, in ns; 0: they never were.
func (p *progress) watch(ctx context.Context, rows int64, stop func()) int64 {
	defer stop()
	for ctx.Err() == nil {
		if p.done() >= rows {
			return time.Now().UnixNano()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0
}

// fields are the columns.
var fields = []arrow.Field{{Name: "key", Type: arrow.PrimitiveTypes.Int64}, {Name: "value", Type: arrow.PrimitiveTypes.Int64}}

// Describe implements sabot.Source.
func (s keyed) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	out := make([]sabot.Split, splits)
	for i := range out {
		out[i] = sabot.Split{ID: sabot.SplitID(strconv.Itoa(i))}
	}
	return arrow.NewSchema(fields, nil), out, nil
}

// Open implements sabot.Source.
func (s keyed) Open(_ context.Context, env sabot.Env, _ *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	r := &reader{s: s, most: cmp.Or(s.most, int64(env.MaxRows))}
	var err error
	if r.split, err = strconv.ParseInt(string(split.ID), 10, 64); err == nil && at != "" {
		r.at, err = strconv.ParseInt(string(at), 10, 64)
		s.mark.before.Add(r.at)
	}
	if err != nil {
		return nil, fmt.Errorf("open split %q at %q: %w", split.ID, at, err)
	}
	return r, nil
}

type reader struct {
	s     keyed
	split int64
	at    int64
	most  int64
}

// mix spreads a number over all of 64 bits.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// key returns the key of a split's row. Ranks are spread over the keys.
func (r *reader) key(row int64) int64 {
	own := r.s.keys / splits
	if row < own {
		return row*splits + r.split
	}
	u := float64(mix(uint64(row)*splits+uint64(r.split))>>11) / (1 << 53)
	rank := int64(u * float64(r.s.keys))
	if r.s.dist == Zipf {
		rank = int64(math.Exp(u*math.Log(float64(r.s.keys+1)))) - 1
	}
	return int64(mix(uint64(rank)) % uint64(r.s.keys))
}

// Read implements sabot.Reader.
func (r *reader) Read(context.Context) (sabot.Chunk, error) {
	n := min(r.most, (r.s.keys+r.s.rows)/splits-r.at, r.left())
	if n <= 0 {
		return sabot.Chunk{}, nil
	}
	keys, values := make([]int64, n), make([]int64, n)
	for i := range keys {
		keys[i], values[i] = r.key(r.at+int64(i)), r.at+int64(i)
	}
	r.at += n
	if given := r.s.mark.given.Add(n); given+r.s.mark.before.Load() >= r.s.keys {
		r.s.mark.filled.CompareAndSwap(0, time.Now().UnixNano())
	}
	cols := []arrow.Array{int64s(keys), int64s(values)}
	rec := array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, n)
	for _, c := range cols {
		c.Release()
	}
	return sabot.Chunk{Rows: rec, After: sabot.Position(strconv.FormatInt(r.at, 10))}, nil
}

// left returns how many rows may come before there is a pause.
func (r *reader) left() int64 {
	own, each := r.s.keys/splits, r.s.burst/splits
	if each == 0 || r.at < own {
		return r.most
	}
	into := (r.at - own) % each
	for i := range r.s.mark.committed {
		if into == 0 && r.s.mark.committed[i].Load() < r.at {
			return 0
		}
	}
	return each - into
}

func int64s(v []int64) arrow.Array {
	d := array.NewData(arrow.PrimitiveTypes.Int64, len(v), []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(v))}, nil, 0, 0)
	defer d.Release()
	return array.NewInt64Data(d)
}

// Committed implements sabot.CommitListener.
func (r *reader) Committed(at sabot.Position) {
	if n, err := strconv.ParseInt(string(at), 10, 64); err == nil {
		r.s.mark.committed[r.split].Store(n)
		if r.s.burst > 0 && r.s.mark.burst != nil && r.s.mark.all() {
			r.s.mark.burst()
		}
	}
}

// Close implements sabot.Reader.
func (r *reader) Close() error { return nil }
