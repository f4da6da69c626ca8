package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/datagen"
	"github.com/sabot-stream/sabot/internal/miniotest"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/view"
)

// seenSource gives the rows of a job that is looked into: row n is in split n % Splits.
var seenSource = datagen.Source{Rows: 24_000, Splits: 6, Keys: 300}

// gate is that source, of which each split gives about so many rows for now: what a test does to the job need not be quicker than the job.
type gate struct {
	datagen.Source
	rows atomic.Int64
}

// Open implements sabot.Source.
func (g *gate) Open(ctx context.Context, env sabot.Env, schema *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	r, err := g.Source.Open(ctx, env, schema, split, at)
	return &gateReader{Reader: r, gate: g, at: at}, err
}

type gateReader struct {
	sabot.Reader
	*gate
	at sabot.Position
}

// Read implements sabot.Reader.
func (r *gateReader) Read(ctx context.Context) (sabot.Chunk, error) {
	if n, _ := strconv.ParseInt(string(r.at), 10, 64); n >= r.rows.Load() { // none at the beginning
		return sabot.Chunk{After: r.at}, nil
	}
	c, err := r.Reader.Read(ctx)
	if err == nil {
		r.at = c.After
	}
	return c, err
}

// numberedRow is a row of it, and seenKey what is passed on of one.
type (
	numberedRow struct{ Row, Value int64 }
	seenKey     struct{ Key int64 }
)

// seenJob keeps for each key, by split, the number of the last row and how many rows there were, in a map each; in a value how many there were of all
// splits, and the same in a window that is open until the end.
func seenJob(rows *gate) *sabot.Job {
	job := sabot.NewJob("meters") // as the cluster knows it
	keyed := job.Source("rows", rows, sabot.EventTime("at")).KeyBy("key")
	sabot.Process(keyed, "seen", func(p *sabot.Proc[int64, numberedRow, seenKey]) {
		all := sabot.NewValue[int64](p, "all")
		last, count := sabot.NewMap[int64, int64](p, "last"), sabot.NewMap[int64, int64](p, "count")
		p.OnRow(func(r numberedRow) error {
			split := r.Row % int64(seenSource.Splits)
			n, _ := all.Get()
			all.Put(n + 1)
			last.Put(split, r.Row)
			k, _ := count.Get(split)
			count.Put(split, k+1)
			return nil
		})
	}).Sink("none", callback.Committed(func(context.Context, sabot.OutputID, []seenKey) error { return nil }))
	keyed.Window(sabot.Tumbling(time.Hour)).Aggregate("hour", sabot.Count().As("n")).
		Sink("hours", callback.Committed(func(context.Context, sabot.OutputID, []seenKey) error { return nil }))
	return job
}

// keySplit is a split's share of a key.
type keySplit struct{ key, split int64 }

// looked is what a view shows of the job.
type looked struct {
	all, hour   map[int64]int64
	last, count map[keySplit]int64
}

// look reads all tables of a view.
func look(ctx context.Context, v *view.View) (l looked, err error) {
	l = looked{map[int64]int64{}, map[int64]int64{}, map[keySplit]int64{}, map[keySplit]int64{}}
	scan := func(table string, add func(view.Row)) {
		for r, failed := range v.Scan(ctx, table) {
			if failed != nil {
				err = errors.Join(err, failed)
				return
			}
			add(r)
		}
	}
	number := func(r view.Row, column string) int64 { return r.Value(column).(int64) }
	scan("seen", func(r view.Row) { l.all[number(r, "key")] = number(r, "all") })
	scan("hour", func(r view.Row) { l.hour[number(r, "key")] = number(r, "n") })
	scan("seen.last", func(r view.Row) { l.last[keySplit{number(r, "key"), number(r, "entry")}] = number(r, "value") })
	scan("seen.count", func(r view.Row) { l.count[keySplit{number(r, "key"), number(r, "entry")}] = number(r, "value") })
	return l, err
}

// hashOf returns the hash by which a key belongs to a partition.
func hashOf(key int64) uint64 {
	return uint64(rowkey.Hash32(rowkey.HashOf(rowkey.AppendInt64(nil, key))))
}

// agrees makes sure that each partition is that of one moment of each split: the rows up to some number, and no others. It returns how many rows there are.
func (l looked) agrees(t *testing.T, root *pb.Root) (rows int64) {
	t.Helper()
	hashes := map[int64]uint64{}
	for k := range seenSource.Keys {
		hashes[k] = hashOf(k)
	}
	for _, p := range root.Stages[0].Partitions {
		upTo := make([]int64, seenSource.Splits)
		for at, n := range l.last {
			if h := hashes[at.key]; h >= p.Lo && h < p.Hi {
				upTo[at.split] = max(upTo[at.split], n+1)
			}
		}
		want := looked{map[int64]int64{}, map[int64]int64{}, map[keySplit]int64{}, map[keySplit]int64{}}
		for r := range seenSource.All() {
			split := r.Row % int64(seenSource.Splits)
			if h := hashes[r.Key]; h >= p.Lo && h < p.Hi && r.Row < upTo[split] {
				want.all[r.Key]++
				want.last[keySplit{r.Key, split}] = r.Row
				want.count[keySplit{r.Key, split}]++
				rows++
			}
		}
		for key, h := range hashes {
			if h < p.Lo || h >= p.Hi {
				continue
			}
			if l.all[key] != want.all[key] || l.hour[key] != want.all[key] && root.FinishedUs == 0 {
				t.Errorf("partition %08x: key %d shows %d rows and %d in its window, of %d", p.Lo, key, l.all[key], l.hour[key], want.all[key])
			}
			for split := range int64(seenSource.Splits) {
				at := keySplit{key, split}
				if l.count[at] != want.count[at] || l.last[at] != want.last[at] {
					t.Errorf("partition %08x: key %d shows %d rows of split %d up to %d, want %d up to %d", p.Lo, key, l.count[at], split, l.last[at],
						want.count[at], want.last[at])
				}
			}
		}
	}
	return rows
}

// Views of a job of several workers: each partition is of one moment whoever runs it, while the job goes on, workers come and the partitions change; a
// checkpoint of before stays what it was.
func TestViewsOfClusters(t *testing.T) {
	t.Run("memory", func(t *testing.T) { viewsOfCluster(t, mem.New()) })
	t.Run("minio", func(t *testing.T) {
		m := miniotest.Start(t)
		t.Setenv("AWS_ACCESS_KEY_ID", miniotest.User)
		t.Setenv("AWS_SECRET_ACCESS_KEY", miniotest.Password)
		bucket, err := bucketurl.Open(t.Context(), m.Bucket("views"))
		if err != nil {
			t.Fatal(err)
		}
		defer bucket.Close()
		viewsOfCluster(t, bucket)
	})
}

func viewsOfCluster(t *testing.T, bucket objstore.Bucket) {
	rows := &gate{Source: seenSource}
	c := newCluster(t, func() *sabot.Job { return seenJob(rows) })
	c.bucket, c.opt.Rate, c.opt.CacheSize = bucket, 5000, -1
	if bucket.Limits().Remote {
		c.opt.Checkpoint = 100 * time.Millisecond
	}
	for i := range 3 {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	open := func(opts ...view.Option) *view.View {
		t.Helper()
		v, err := view.Open(c.ctx, bucket, "meters", opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	stale, looks := 0, 0
	// wait looks into the job again and again until its root is as it has to be.
	wait := func(what string, ok func(*pb.Root) bool) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			root := c.root()
			if root != nil && checkpoint.RowsRead(root) > 0 {
				v := open()
				l, err := look(c.ctx, v)
				looks++
				if errors.Is(err, view.ErrStale) {
					stale++
				} else if err != nil {
					t.Fatal(err)
				} else if l.agrees(t, v.Root()); t.Failed() {
					t.FailNow()
				}
			}
			if root != nil && ok(root) {
				return
			}
			if !co.running() || time.Since(began) > 60*time.Second {
				t.Fatalf("%s does not come: %s", what, c.stuck())
			}
		}
	}
	groups := func(root *pb.Root) int { return len(checkpoint.Owners(root)) }
	more := func(r *pb.Root) bool { return checkpoint.RowsRead(r) >= rows.rows.Load()*int64(seenSource.Splits) }
	rows.rows.Store(1000)
	wait("a part of the input by three workers", func(r *pb.Root) bool { return more(r) && groups(r) == 3 })
	if err := (inside{c, co}).Create(c.ctx, "s1", "before"); err != nil {
		t.Fatal(err)
	}
	held := open(view.Follow())
	before, err := held.AtSavepoint(c.ctx, "before")
	if err != nil {
		t.Fatal(err)
	}
	was, err := look(c.ctx, before)
	if err != nil {
		t.Fatal(err)
	}
	if was.agrees(t, before.Root()) == 0 {
		t.Fatal("the savepoint shows nothing: a comparison with nothing shows nothing")
	}
	// unchanged makes sure that the savepoint shows what it did, by its number too.
	unchanged := func(v *view.View) {
		t.Helper()
		at, err := v.At(c.ctx, before.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]*view.View{"the view of before": before, "a new one": at} {
			if l, err := look(c.ctx, v); err != nil || fmt.Sprint(l) != fmt.Sprint(was) || v.Epoch() != before.Epoch() {
				t.Errorf("%s shows another state than when the savepoint was made, or %v", name, err)
			}
		}
		if n := len(at.Root().Stages[0].Partitions); n != 8 {
			t.Errorf("the checkpoint of before the partitions changed has %d", n)
		}
	}
	for _, n := range []int{16, 3} {
		co.rescale(c.ctx, n)
		wait(fmt.Sprint(n, " partitions"), func(r *pb.Root) bool { return len(r.Stages[0].Partitions) == n })
		c.worker(fmt.Sprint("late-", n))
		rows.rows.Add(1000)
		wait("more input", more)
		unchanged(open())
		for key := range int64(20) {
			got, err := held.Get(c.ctx, "seen", key) // it follows
			if err != nil || len(got) != 1 || got[0].Value("all").(int64) < was.all[key] {
				t.Errorf("key %d with %d partitions: %v, %v", key, n, got, err)
			}
		}
	}
	rows.rows.Store(seenSource.Rows)
	<-co.ended
	if co.err != nil || !co.res.Finished {
		t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
	}
	end := open()
	l, err := look(c.ctx, end)
	if n := l.agrees(t, end.Root()); err != nil || n != seenSource.Rows {
		t.Errorf("at the end %d rows are shown of %d, %v", n, seenSource.Rows, err)
	}
	unchanged(end)
	t.Logf("%d looks, %d of them stale", looks, stale)
	if looks-stale < 5 {
		t.Errorf("of %d looks %d were stale", looks, stale)
	}
	if i := slices.IndexFunc(end.Tables(), func(x view.Table) bool { return x.Name == "seen.last" }); i < 0 {
		t.Errorf("tables are %v", end.Tables())
	}
}
