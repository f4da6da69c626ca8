package sabottest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

// Harness is one run of a test: what is fed, and what comes out.
type Harness struct {
	// Memory is how many bytes each process may take, as the flag --memory says it; 0: there is no bound. Half of it is for state. The garbage collector
	// of the test's process keeps to it as well, and is busy with that, unless GOMEMLIMIT is set in the environment.
	Memory int64

	t      testing.TB
	build  func() *sabot.Job
	bucket objstore.Bucket
	crash  *crashPoint // nil: none
	opts   run.Options

	fed     map[string][]any // rows by source
	ran     bool
	failure error

	mu        sync.Mutex
	published map[string]map[string]reflect.Value // by sink and output id: a slice of rows
}

// Run runs a test of a job once, undisturbed.
func Run(t testing.TB, job func() *sabot.Job, test func(*Harness)) {
	t.Helper()
	test(newHarness(t, job, nil))
}

// CrashEverywhere runs a test of a job undisturbed, and then with a crash before and after each storage call of that run. With -short it
// tries every seventh call.
func CrashEverywhere(t *testing.T, job func() *sabot.Job, test func(*Harness)) {
	t.Helper()
	everywhere(t, job, test, "crash", errCrashed)
}

// FailEverywhere is like CrashEverywhere, but each time one call fails, with its effect unknown, in a process that goes on.
func FailEverywhere(t *testing.T, job func() *sabot.Job, test func(*Harness)) {
	t.Helper()
	everywhere(t, job, test, "fail", errInjected)
}

func everywhere(t *testing.T, job func() *sabot.Job, test func(*Harness), what string, err error) {
	t.Helper()
	count := &crashPoint{at: -1}
	test(newHarness(t, job, count))
	if t.Failed() {
		return
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 0; at < len(count.calls); at += step {
		for _, after := range []bool{false, true} {
			when := "before"
			if after {
				when = "after"
			}
			t.Run(fmt.Sprintf("%s %s call %d (%s)", what, when, at, count.calls[at]), func(t *testing.T) {
				t.Parallel()
				test(newHarness(t, job, &crashPoint{at: at, after: after, err: err}))
			})
		}
	}
}

func newHarness(t testing.TB, job func() *sabot.Job, crash *crashPoint) *Harness {
	h := &Harness{t: t, build: job, bucket: mem.New(), crash: crash, fed: map[string][]any{}, published: map[string]map[string]reflect.Value{}}
	h.opts = run.Options{Checkpoint: time.Millisecond, Lanes: 2, Partitions: 4, Log: slog.New(slog.DiscardHandler)}
	return h
}

// Feed adds rows to the input of a source, which the job must have with Source[T] as its connector.
func Feed[T any](h *Harness, source string, rows ...T) {
	h.t.Helper()
	if h.ran {
		h.t.Fatalf("sabottest: Feed(%q) after the job has run: feed everything before the first Want", source)
	}
	for _, r := range rows {
		h.fed[source] = append(h.fed[source], r)
	}
}

// Want runs the job to its end, if it has not run, and compares the rows that the sink has published with want, in any order.
func Want[T any](h *Harness, sink string, want ...T) {
	h.t.Helper()
	got, err := Rows[T](h, sink)
	if err != nil {
		h.t.Fatalf("sabottest: %v", err)
	}
	order := func(a, b T) int { return compareStrings(fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)) }
	want = slices.Clone(want)
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" && len(want)+len(got) > 0 {
		h.t.Fatalf("sink %q (-want +got):\n%s", sink, diff)
	}
}

// Rows runs the job to its end, if it has not run, and returns the rows that the sink has published.
func Rows[T any](h *Harness, sink string) ([]T, error) {
	h.t.Helper()
	if err := h.run(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []T
	for _, rows := range h.published[sink] {
		typed, ok := rows.Interface().([]T)
		if !ok {
			return nil, fmt.Errorf("sink %q takes rows of another type: %s", sink, rows.Type())
		}
		out = append(out, typed...)
	}
	return out, nil
}

// WantError runs the job and checks that it fails with an error of the kind.
func WantError(h *Harness, kind sabot.Kind) error {
	h.t.Helper()
	err := h.run()
	if err == nil || sabot.KindOf(err) != kind {
		h.t.Fatalf("sabottest: the job ended with %v, want an error of kind %s", err, kind)
	}
	return err
}

// maxStarts is how often a job is started again after crashes before the test gives up.
const maxStarts = 10

// run starts the job, again after each crash, until it ends or fails.
func (h *Harness) run() error {
	if h.ran {
		return h.failure
	}
	h.ran = true
	for range maxStarts {
		err := h.start()
		if errors.Is(err, errCrashed) {
			continue
		}
		h.failure = err
		return err
	}
	h.failure = fmt.Errorf("the job did not end within %d starts", maxStarts)
	return h.failure
}

// start runs the job in one process's life.
func (h *Harness) start() error {
	job := h.build()
	plan, err := job.Plan()
	if err != nil {
		return err
	}
	for _, n := range plan.Nodes {
		switch c := job.Impl(n.Name).(type) {
		case feeder:
			if err := c.feed(h.fed[n.Name]); err != nil {
				return err
			}
		case publisher:
			c.attach(func(id sabot.OutputID, rows reflect.Value) { h.publish(n.Name, id, rows) })
		}
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the job did not end within a minute"))
	defer cancel()
	opts := h.opts
	opts.Store, opts.Memory = h.bucket, h.Memory
	if h.crash != nil {
		dead := make(chan struct{})
		opts.Store, opts.Abort = h.crash.life(h.bucket, sync.OnceFunc(func() { close(dead) })), dead
	}
	res, err := run.Run(ctx, job, opts)
	switch {
	case errors.Is(err, errCrashed) || errors.Is(err, run.ErrAborted) || errors.Is(err, errInjected):
		return errCrashed
	case err == nil && !res.Finished:
		return errors.New("the job stopped before its end")
	}
	return err
}

func (h *Harness) publish(sink string, id sabot.OutputID, rows reflect.Value) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.published[sink] == nil {
		h.published[sink] = map[string]reflect.Value{}
	}
	key := id.String()
	if old, ok := h.published[sink][key]; ok && !reflect.DeepEqual(old.Interface(), rows.Interface()) {
		h.t.Errorf("output %s of sink %q was published twice with different rows:\n%s", key, sink, cmp.Diff(old.Interface(), rows.Interface()))
	}
	h.published[sink][key] = rows
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// feeder and publisher are what the harness needs of Source and Sink whatever their row type.
type feeder interface {
	feed(rows []any) error
}

type publisher interface {
	attach(func(sabot.OutputID, reflect.Value))
}

type sink[T any] struct {
	deliver func(sabot.OutputID, reflect.Value)
}

// Sink returns a committed sink of rows of type T, whose outputs the harness keeps.
func Sink[T any]() sabot.Sink { return &sink[T]{} }

func (s *sink[T]) attach(f func(sabot.OutputID, reflect.Value)) { s.deliver = f }

// Publish implements sabot.Sink.
func (s *sink[T]) Publish(_ context.Context, id sabot.OutputID, b arrow.RecordBatch) error {
	rows, err := sabot.Rows[T](b)
	if err != nil {
		return sabot.Permanent(err)
	}
	s.deliver(id, reflect.ValueOf(rows))
	return nil
}
