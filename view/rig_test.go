package view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/internal/savepoint"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

// event is what the jobs read: about one each minute, never late, of 60 users.
type event struct {
	At     time.Time
	User   string
	Region *int64 // the second part of the key; null for some
	V      int64
	X      float64
	Up     bool
	Word   string
}

// pair is a value that is a struct.
type pair struct{ A, B int64 }

const (
	maxDelay  = 3 * time.Minute
	shortLife = 90 * time.Minute
	hop       = 20 * time.Minute
	hopSize   = time.Hour
	lateness  = 30 * time.Minute
)

func events(n int) []event {
	out := make([]event, n)
	for i := range out {
		e := event{At: time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(i)*time.Minute - time.Duration(i%3)*time.Minute), User: fmt.Sprint("user ", i*i%37), V: int64(i*7919%1000) - 300,
			X: float64(i%17) / 4, Up: i%5 == 0, Word: fmt.Sprint("w", i*31%11)}
		if r := int64(i % 3); r > 0 {
			e.Region = &r
		}
		out[i] = e
	}
	return out
}

// tap is a source of one split that gives rows up to a limit, and then waits; at the limit of all of them it ends.
type tap struct {
	rows  []event
	limit *atomic.Int64
}

func (s *tap) Identity() string { return "tap" }

func (s *tap) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	schema, err := row.Schema(reflect.TypeFor[event]())
	return schema, []sabot.Split{{ID: "tap", Bounded: true}}, err
}

func (s *tap) Open(_ context.Context, _ sabot.Env, schema *arrow.Schema, _ sabot.Split, at sabot.Position) (sabot.Reader, error) {
	r := &tapReader{tap: s, schema: schema}
	var err error
	if r.encoder, err = row.NewEncoder[event](); err == nil && at != "" {
		_, err = fmt.Sscan(string(at), &r.next)
	}
	return r, err
}

type tapReader struct {
	*tap
	schema  *arrow.Schema
	encoder *row.Encoder[event]
	next    int
}

func (r *tapReader) Read(context.Context) (sabot.Chunk, error) {
	if r.next == len(r.rows) {
		return sabot.Chunk{}, io.EOF
	}
	n := min(r.next+20, len(r.rows), int(r.limit.Load())) - r.next
	if n > 0 {
		for i := range n {
			r.encoder.Append(&r.rows[r.next+i])
		}
		r.next += n
	}
	c := sabot.Chunk{Done: float64(r.next) / float64(len(r.rows))}
	if r.next > 0 {
		c.After = sabot.Position(fmt.Sprint(r.next))
	}
	if n > 0 {
		all := r.encoder.Flush()
		cols := make([]arrow.Array, r.schema.NumFields())
		for i, f := range r.schema.Fields() {
			cols[i] = all[r.encoder.Schema().FieldIndices(f.Name)[0]]
		}
		c.Rows = array.NewRecordBatch(r.schema, cols, int64(n))
	}
	return c, nil
}

func (r *tapReader) Close() error { return nil }

type nothing struct{ User string }

// function keeps state of every kind.
func function(p *sabot.Proc[userKey, event, nothing]) {
	sum := sabot.NewValue[int64](p, "sum")
	word := sabot.NewValue[string](p, "word", sabot.TTL(shortLife))
	both := sabot.NewValue[pair](p, "both")
	hits := sabot.NewCounter(p, "hits")
	largest := sabot.NewReducing(p, "largest", func(a, b float64) float64 { return max(a, b) })
	words := sabot.NewMap[string, int64](p, "words")
	floats := sabot.NewMap[float64, bool](p, "floats", sabot.TTL(shortLife))
	list := sabot.NewList[string](p, "list")
	lately := sabot.NewList[int64](p, "lately", sabot.TTL(shortLife))
	due := p.Timer("due", sabot.ByEventTime, func(time.Time) error { return nil })
	far := p.Timer("far", sabot.ByProcessingTime, func(time.Time) error { return nil })
	last := p.Timer("last", sabot.ByEventTime, func(time.Time) error { return nil })
	p.OnRow(func(e event) error {
		n, _ := sum.Get()
		sum.Put(n + e.V)
		word.Put(e.Word)
		if e.V%2 == 0 {
			both.Put(pair{e.V, n})
		}
		hits.Add(1)
		largest.Add(e.X)
		k, _ := words.Get(e.Word)
		if words.Put(e.Word, k+1); e.V%7 == 0 {
			words.Remove("w3")
		}
		floats.Put(e.X, e.Up)
		list.Append(e.Word)
		lately.Append(e.V)
		if due.Set(e.At.Add(2 * time.Hour)); e.V%3 == 0 {
			due.Cancel(e.At.Add(2 * time.Hour))
		}
		far.Set(e.At.AddDate(200, 0, 0))
		last.Set(e.At.Add(24 * time.Hour))
		return nil
	})
}

type userKey struct {
	User   string
	Region *int64
}

type rig struct {
	t      testing.TB
	bucket objstore.Bucket
	rows   []event
	limit  atomic.Int64
	opt    run.Options
}

func newRig(t testing.TB, rows int) *rig {
	r := &rig{t: t, bucket: mem.New(), rows: events(rows)}
	r.opt = run.Options{Checkpoint: 2 * time.Millisecond, Lanes: 2, Log: slog.New(slog.DiscardHandler), RetainEvery: 10 * time.Millisecond}
	return r
}

func (r *rig) job() *sabot.Job {
	job := sabot.NewJob("seen")
	in := job.Source("in", &tap{r.rows, &r.limit}, sabot.EventTime("at", sabot.MaxDelay(maxDelay)))
	sabot.Process(in.KeyBy("user", "region"), "all", function).Sink("none", callback.Committed(func(context.Context, sabot.OutputID, []nothing) error { return nil }))
	in.KeyBy("user").Window(sabot.Hopping(hopSize, hop).Lateness(lateness)).
		Aggregate("hops", sabot.Count(), sabot.Sum("v").As("sum"), sabot.Avg("x").As("avg"), sabot.Max("up").As("up"), sabot.Min("word").As("least"), sabot.Last("at").As("latest")).
		Sink("results", callback.Committed(func(context.Context, sabot.OutputID, []result) error { return nil }))
	return job
}

type result struct{ User string }

func (r *rig) store() checkpoint.Store {
	return checkpoint.Store{Bucket: r.bucket, Paths: checkpoint.NewPaths("seen"), Clock: clock.Real()}
}

func (r *rig) root() *pb.Root {
	r.t.Helper()
	root, _, err := r.store().Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return root
}

var errEnoughRead = errors.New("enough is read")

// until runs the job until n rows are committed, calling meanwhile again and again, and stops it.
func (r *rig) until(n int, meanwhile func()) {
	r.t.Helper()
	r.limit.Store(int64(n))
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	o := r.opt
	o.Store = r.bucket
	before := "" // the run that is to be over
	if o.Fresh {
		before = r.root().Run
	}
	done := make(chan error, 1)
	go func() {
		_, err := run.Run(ctx, r.job(), o)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if !errors.Is(err, errEnoughRead) {
				r.t.Fatalf("the job ended with %v before %d rows were read", err, n)
			}
			return
		case <-time.After(time.Millisecond): // until the next checkpoint
			root, _, err := r.store().Read(ctx)
			if err != nil || root.Run == before {
				continue // it has none yet, or is being stopped
			}
			if meanwhile != nil && ctx.Err() == nil {
				meanwhile()
			}
			if checkpoint.RowsRead(root) >= int64(n) {
				cancel(errEnoughRead)
			}
		}
	}
}

// end runs the job to its end.
func (r *rig) end() {
	r.t.Helper()
	r.limit.Store(int64(len(r.rows)))
	o := r.opt
	o.Store = r.bucket
	if res, err := run.Run(r.t.Context(), r.job(), o); err != nil || !res.Finished {
		r.t.Fatalf("the job ended with %+v, %v", res, err)
	}
}

func (r *rig) savepoint(name string) {
	r.t.Helper()
	if err := (savepoint.Offline{Bucket: r.bucket, Job: "seen", Clock: clock.Real()}).Create(r.t.Context(), name+"id", name); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) view(opts ...Option) *View {
	r.t.Helper()
	v, err := Open(r.t.Context(), r.bucket, "seen", opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(v.Close)
	return v
}

// repartition gives the job, which is stopped, another number of partitions.
func (r *rig) repartition(n int) {
	r.t.Helper()
	root, version, err := r.store().Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	root.Nonce = ""
	root.Term++
	if err := checkpoint.Repartition(root, n); err != nil {
		r.t.Fatal(err)
	}
	for _, g := range root.Groups {
		checkpoint.Raise(root, g.Id)
	}
	if _, err := r.store().Commit(r.t.Context(), root, version); err != nil {
		r.t.Fatal(err)
	}
}
