package run

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/coord"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/internal/scaling"
)

func TestSampleOf(t *testing.T) {
	now := time.Unix(1000, 0)
	lanes := func(busy ...float64) *pb.Load {
		l := &pb.Load{}
		for _, b := range busy {
			l.Lanes = append(l.Lanes, &pb.LaneLoad{Busy: b})
		}
		return l
	}
	root := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "run", Now: now,
		Sources: []*pb.Source{{Name: "s", Splits: []*pb.Split{{Id: "a"}, {Id: "b", Group: 1}, {Id: "c", Group: 1, Ended: true}}}},
		Stages:  []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(8)}}})
	root.Groups = []*pb.Group{{Id: 0}, {Id: 1}}
	splits := []coord.SplitStatus{{Source: "s", Rows: 10, LagRows: 5, Lag: 2 * time.Second, LagBytes: -1},
		{Source: "s", Rows: 20, LagRows: 6, Lag: 3 * time.Second, LagBytes: -1}, {Source: "s", Rows: 30, Ended: true}}
	two := func() []coord.WorkerStatus {
		return []coord.WorkerStatus{{Has: true, Load: lanes(0.1, 0.9)}, {Has: true, Load: lanes(0.5)}}
	}
	base := scaling.Sample{At: now, Rows: 60, Lag: 11, Busy: 1.4, Partitions: 8, Workers: 2}
	with := func(f func(*scaling.Sample)) scaling.Sample {
		s := base
		f(&s)
		return s
	}
	for name, c := range map[string]struct {
		change func(*coord.Status)
		want   scaling.Sample
	}{
		"all is known":               {func(*coord.Status) {}, base},
		"a load is old":              {func(s *coord.Status) { s.Workers[1].LoadAge = 6 * time.Second }, with(func(s *scaling.Sample) { s.Stale = true })},
		"the bucket fails":           {func(s *coord.Status) { s.Workers[1].Load.Trouble, s.Workers[1].Load.TroubleUs = "put of k fails", 3e6 }, with(func(s *scaling.Sample) { s.Stale = true })},
		"a load has never come":      {func(s *coord.Status) { s.Workers[1].Load = nil }, with(func(s *scaling.Sample) { s.Stale, s.Busy = true, 0.9 })},
		"a worker without a share":   {func(s *coord.Status) { s.Workers = append(s.Workers, coord.WorkerStatus{}); s.Moving = true }, with(func(s *scaling.Sample) { s.Workers, s.Moving = 3, true })},
		"the workers are not back":   {func(s *coord.Status) { s.Workers, s.Moving = nil, true }, with(func(s *scaling.Sample) { s.Busy, s.Stale, s.Moving = 0, true, true })},
		"there are more splits":      {func(s *coord.Status) { s.Root.Stages = nil }, with(func(s *scaling.Sample) { s.Partitions = 2 })},
		"nobody knows what is there": {func(s *coord.Status) { s.Splits[0].LagRows, s.Splits[1].LagRows = -1, -1 }, with(func(s *scaling.Sample) { s.Lag = 0 })},
	} {
		st := coord.Status{Root: proto.Clone(root).(*pb.Root), Workers: two(), Splits: append([]coord.SplitStatus{}, splits...)}
		c.change(&st)
		if got, lag := sampleOf(st, now); got != c.want || lag != 3*time.Second {
			t.Errorf("%s:\n%+v, lag %v\nwant %+v, lag 3s", name, got, lag, c.want)
		}
	}
}

// faucet is a source of six splits, into each of which so many rows come per second.
type faucet struct {
	perSecond int64
	opened    time.Time
}

const (
	faucetSplits = 6
	faucetChunk  = 50 // rows of one read
)

func (f faucet) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	var splits []sabot.Split
	for s := range faucetSplits {
		splits = append(splits, sabot.Split{ID: sabot.SplitID(strconv.Itoa(s))})
	}
	schema, err := row.Schema(reflect.TypeFor[measure]())
	return schema, splits, err
}

func (f faucet) Open(_ context.Context, _ sabot.Env, _ *arrow.Schema, _ sabot.Split, at sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[measure]()
	r := &faucetReader{faucet: f, encoder: e}
	n, _ := strconv.Atoi(string(at)) // ours
	r.next.Store(int64(n))
	return r, err
}

type faucetReader struct {
	faucet
	encoder *row.Encoder[measure]
	next    atomic.Int64
}

// Lag implements sabot.Lagger.
func (r *faucetReader) Lag() (int64, bool) {
	return int64(time.Since(r.opened).Seconds()*float64(r.perSecond)) - r.next.Load(), true
}

func (r *faucetReader) Read(context.Context) (sabot.Chunk, error) {
	there, _ := r.Lag()
	n := min(there, faucetChunk)
	if n == 0 {
		return sabot.Chunk{}, nil
	}
	for range n {
		i := r.next.Add(1)
		r.encoder.Append(&measure{r.opened.Add(time.Duration(i) * time.Second / time.Duration(r.perSecond)), fmt.Sprint("m", i%100), i})
	}
	return sabot.Chunk{Rows: array.NewRecordBatch(r.encoder.Schema(), r.encoder.Flush(), n), After: sabot.Position(strconv.FormatInt(r.next.Load(), 10))}, nil
}

func (*faucetReader) Close() error { return nil }

// slowCluster is a cluster of which each worker does 2000 rows per second, as each of its two lanes takes a millisecond for a row.
func slowCluster(t *testing.T, perSecond int64) *cluster {
	opened := time.Now()
	c := newCluster(t, func() *sabot.Job {
		job := sabot.NewJob("meters")
		rows := job.Source("measures", faucet{perSecond / faucetSplits, opened}, sabot.EventTime("at"))
		sabot.Map(rows, "slow", func(m measure) (measure, error) {
			time.Sleep(time.Millisecond)
			return m, nil
		}).KeyBy("meter").Window(sabot.Tumbling(time.Minute)).Aggregate("minutes", sabot.Sum("value").As("sum")).
			Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []byMeter) error { return nil }))
		return job
	})
	c.opt.Rate, c.opt.Checkpoint = 0, 500*time.Millisecond
	return c
}

// scales measures for a coordinator of the cluster, as coordinate does where there is an address for HTTP.
func (c *cluster) scales(p *process) (a *autoscale, end func()) {
	for p.driver.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	a = newAutoscale(scaling.Limits{}, clock.Real())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(ctx, p.driver.Load())
	}()
	return a, func() {
		cancel()
		<-ended
	}
}

// answers asks for /v1/scaling.
func answers(t *testing.T, a *autoscale) (d decision) {
	t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("GET", "/v1/scaling", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &d); w.Code != 200 || err != nil {
		t.Fatalf("/v1/scaling: status %d, %v: %s", w.Code, err, w.Body)
	}
	return d
}

// A job to which more comes than its worker can do asks for more workers. What nobody can measure any more scales nothing.
func TestScalingFollowsTheLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowCluster(t, 4800)
		p := c.coordinator()
		c.worker("one")
		a, end := c.scales(p)
		time.Sleep(12 * time.Second)
		before := answers(t, a)
		if before.Workers != 1 || before.Reason != "stale" || before.Present != 1 || before.LagRows < 10_000 {
			t.Errorf("after twelve seconds: %+v, want one worker, as too little is known yet, and 2800 rows more of lag each second", before)
		}
		time.Sleep(10 * time.Second)
		d := answers(t, a)
		if d.Workers != 2 || d.Wanted != 4 || d.Reason != "up-limited" && d.Reason != "up-waits" || d.LagRows <= before.LagRows || d.Partitions != 8 || d.Stale {
			t.Errorf("with 4800 rows per second for a worker that does 2000: %+v, want 4 workers, and 2 for now", d)
		}
		if d.PerWorker < 1900 || d.PerWorker > 2100 || d.Arrival < 4600 || d.Arrival > 5000 || d.LagSeconds == nil || *d.LagSeconds < 5 {
			t.Errorf("measured %+v, want 2000 rows per second of a worker, 4800 that come, and rows that have waited for seconds", d)
		}
		two := c.worker("two")
		time.Sleep(30 * time.Second)
		if d = answers(t, a); d.Present != 2 || d.Workers != 2 || d.Wanted < 4 {
			t.Errorf("with a second worker: %+v, want that more are wanted still, and that the next step up waits for a minute", d)
		}
		two.kill()
		for range 4 {
			time.Sleep(time.Second)
			if now := answers(t, a); now.Workers != d.Workers {
				t.Errorf("while the share of one that died is dealt out: %+v, want %d workers still", now, d.Workers)
			}
		}
		end()
		p.kill()
		time.Sleep(10 * time.Second)
		if now := answers(t, a); now.Workers != d.Workers || !now.Stale || now.Reason != "stale" {
			t.Errorf("when nobody has measured for ten seconds: %+v, want %d workers still, and that this is stale", now, d.Workers)
		}
	})
}

// A coordinator that comes after another one knows how many workers there were, before they are back.
func TestScalingHoldsAfterATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowCluster(t, 600)
		p := c.coordinator()
		workers := []*process{c.worker("one"), c.worker("two"), c.worker("three")}
		time.Sleep(5 * time.Second)
		p.kill()
		for _, w := range workers {
			w.kill()
		}
		p = c.coordinator()
		a, end := c.scales(p)
		defer end()
		for range 5 {
			time.Sleep(2 * time.Second)
			if d := answers(t, a); d.Workers != 3 || d.Present != 3 || !d.Stale {
				t.Errorf("before any worker is back: %+v, want the three that had shares, and that this is stale", d)
			}
		}
	})
}

// freePort returns an address at which nobody listens.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The coordinator serves /v1/scaling with its limits, and its metrics say the same; a worker serves its own metrics.
func TestClusterServesHTTP(t *testing.T) {
	c := slowCluster(t, 600)
	c.opt.HTTP, c.opt.MinWorkers, c.opt.MaxWorkers = freePort(t), 2, 5
	coordinator := "http://" + c.opt.HTTP
	c.coordinator()
	c.opt.HTTP = freePort(t)
	worker := "http://" + c.opt.HTTP
	c.worker("one")
	fetch := func(url string) (string, bool) {
		res, err := http.Get(url)
		if err != nil {
			return err.Error(), false
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return fmt.Sprint(string(b), err), res.StatusCode == 200
	}
	for what, c := range map[string]struct{ url, has string }{
		"the number":                    {coordinator + "/v1/scaling", `"workers":2,`},
		"the metric":                    {coordinator + "/metrics", `sabot_workers_wanted{job_name="meters"} 2`},
		"the lag of all":                {coordinator + "/metrics", `sabot_lag_rows{job_name="meters",source="measures"}`},
		"the worker's lag":              {worker + "/metrics", `sabot_worker_lag_seconds{job_name="meters",source="measures"}`},
		"the worker's stages of cuts":   {worker + "/metrics", `sabot_cut_seconds_count{job_name="meters",stage="upload"}`},
		"how busy the worker's lanes":   {worker + "/metrics", `sabot_worker_busy_ratio{job_name="meters",stage="0"}`},
		"what the worker has read":      {worker + "/metrics", `sabot_worker_source_rows_total{job_name="meters",source="measures"}`},
		"the worker's watermark":        {worker + "/metrics", `sabot_worker_watermark_delay_seconds{job_name="meters"}`},
		"the worker's calls of buckets": {worker + "/metrics", `sabot_storage_operations_total{job_name="meters",op="put",outcome="ok"}`},
	} {
		var text string
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			var ok bool
			if text, ok = fetch(c.url); ok && strings.Contains(text, c.has) {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: %s does not show %s:\n%s", what, c.url, c.has, text)
			}
		}
	}
	if text, ok := fetch(worker + "/v1/scaling"); ok {
		t.Errorf("a worker says how many workers there should be: %s", text)
	}
}
