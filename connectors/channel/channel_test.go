package channel_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

type order struct {
	ID   int64
	Shop string
	At   time.Time
}

type sales struct {
	Shop                   string
	WindowStart, WindowEnd time.Time
	Count                  int64
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func orders(from, to int) (rows []order) {
	for i := from; i < to; i++ {
		rows = append(rows, order{int64(i), []string{"a", "b", "c"}[i%3], noon.Add(time.Duration(i) * time.Second)})
	}
	return rows
}

// book keeps what a sink publishes, by output.
type book struct {
	mu   sync.Mutex
	rows map[string][]sales
}

func (b *book) publish(_ context.Context, id sabot.OutputID, rows []sales) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[id.String()] = rows
	return nil
}

func (b *book) total() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rows := range b.rows {
		for _, r := range rows {
			n += r.Count
		}
	}
	return n
}

func salesJob(in sabot.Source, b *book) *sabot.Job {
	job := sabot.NewJob("sales")
	job.Source("orders", in, sabot.EventTime("at")).KeyBy("shop").Window(sabot.Tumbling(time.Minute)).
		Aggregate("count", sabot.Count()).Sink("book", callback.Committed(b.publish))
	return job
}

func TestRowsFromTheProgram(t *testing.T) {
	b := &book{rows: map[string][]sales{}}
	in := channel.NewSize[order](100) // less than is sent: Send has to wait for checkpoints
	sent := make(chan error, 1)
	go func() {
		defer in.Close()
		_, err := in.Send(t.Context(), orders(0, 1000)...)
		sent <- err
	}()
	if _, err := run.Run(t.Context(), salesJob(in, b), run.Options{Store: mem.New(), Checkpoint: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if n := b.total(); n != 1000 {
		t.Errorf("1000 orders were sent, %d are counted", n)
	}
	if _, err := in.Send(t.Context(), order{}); !errors.Is(err, channel.ErrClosed) {
		t.Errorf("send after close: %v, want %v", err, channel.ErrClosed)
	}
}

// A process ends in the middle; the next one goes on with the row that Start returns.
func TestOverProcesses(t *testing.T) {
	b := &book{rows: map[string][]sales{}}
	bucket := mem.New()
	all := orders(0, 300)
	abort := make(chan struct{})
	first := channel.New[order]()
	enough := make(chan struct{})
	go func() {
		_, _ = first.Send(t.Context(), all[:100]...) // the process ends without waiting for it
		close(enough)
	}()
	go func() {
		<-enough
		for b := range ticks(t.Context()) {
			if _, _, err := bucket.Get(b, "sales/CURRENT"); err == nil {
				close(abort)
				return
			}
		}
	}()
	if _, err := run.Run(t.Context(), salesJob(first, b), run.Options{Store: bucket, Checkpoint: time.Millisecond, Abort: abort}); !errors.Is(err, run.ErrAborted) {
		t.Fatalf("the first process ended with %v, want %v", err, run.ErrAborted)
	}
	second := channel.New[order]()
	var from int64
	go func() {
		defer second.Close()
		n, err := second.Start(t.Context())
		if err == nil {
			from = n
			_, err = second.Send(t.Context(), all[n:]...)
		}
		if err != nil {
			t.Error(err)
		}
	}()
	if _, err := run.Run(t.Context(), salesJob(second, b), run.Options{Store: bucket, Checkpoint: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if n := b.total(); n != 300 {
		t.Errorf("300 orders were sent, the second process began at %d, %d are counted", from, n)
	}
}

// ticks yields a context a few times a second, for polling.
func ticks(ctx context.Context) func(func(context.Context) bool) {
	return func(yield func(context.Context) bool) {
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for yield(ctx) {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// open returns a reader of a source from a position.
func open[T any](t *testing.T, s *channel.Source[T], at sabot.Position) sabot.Reader {
	t.Helper()
	schema, splits, err := s.Describe(t.Context(), sabot.Env{})
	if err != nil || len(splits) != 1 {
		t.Fatalf("describe: %v, %v", splits, err)
	}
	r, err := s.Open(t.Context(), sabot.Env{MaxRows: 7}, schema, splits[0], at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func drain(t *testing.T, r sabot.Reader) (rows []order, after sabot.Position) {
	t.Helper()
	for {
		c, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) || err == nil && c.Rows == nil {
			return rows, after
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := sabot.Rows[order](c.Rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 7 {
			t.Fatalf("a chunk of %d rows, at most 7 are asked for", len(got))
		}
		rows, after = append(rows, got...), c.After
		c.Rows.Release()
	}
}

func TestUncommittedRowsComeAgain(t *testing.T) {
	s := channel.New[order]()
	if _, err := s.Send(t.Context(), orders(0, 30)...); err != nil {
		t.Fatal(err)
	}
	r := open(t, s, "")
	got, _ := drain(t, r)
	if !slices.Equal(got, orders(0, 30)) {
		t.Fatalf("read %v", got)
	}
	r.(sabot.CommitListener).Committed("12")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, at := drain(t, open(t, s, "12")); !slices.Equal(got, orders(12, 30)) || at != "30" {
		t.Errorf("after a commit at 12 the rest is %d rows up to %q, want rows 12 to 30", len(got), at)
	}
	schema, splits, _ := s.Describe(t.Context(), sabot.Env{})
	for _, at := range []sabot.Position{"11", "31", "x", "-1"} {
		if _, err := s.Open(t.Context(), sabot.Env{}, schema, splits[0], at); err == nil {
			t.Errorf("position %q was opened, though its rows are not there", at)
		}
	}
}

func TestSendWaitsWhenFull(t *testing.T) {
	s := channel.NewSize[order](10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sent, err := s.Send(ctx, orders(0, 15)...); sent != 10 || !errors.Is(err, context.Canceled) {
		t.Fatalf("%d rows were taken, %v; there is room for 10", sent, err)
	}
	r := open(t, s, "")
	drain(t, r)
	done := make(chan int)
	go func() {
		n, _ := s.Send(t.Context(), orders(10, 15)...) // 5 are taken or the test fails below
		done <- n
	}()
	r.(sabot.CommitListener).Committed("10")
	if n := <-done; n != 5 {
		t.Errorf("after a commit %d of 5 rows were taken", n)
	}
	if got, _ := drain(t, r); !slices.Equal(got, orders(10, 15)) {
		t.Errorf("then %v is read", got)
	}
}

func TestLagIsWhatHasNotBeenRead(t *testing.T) {
	src := channel.New[order]()
	if _, err := src.Send(t.Context(), orders(0, 10)...); err != nil {
		t.Fatal(err)
	}
	schema, splits, err := src.Describe(t.Context(), sabot.Env{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Open(t.Context(), sabot.Env{MaxRows: 4}, schema, splits[0], "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range []int64{10, 6, 2, 0, 0} {
		if n, ok := r.(sabot.Lagger).Lag(); !ok || n != want {
			t.Errorf("the lag is %d, known %v, want %d", n, ok, want)
		}
		c, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Rows != nil {
			c.Rows.Release()
		}
		r.(sabot.CommitListener).Committed(c.After) // what is committed is not waited for
	}
}
