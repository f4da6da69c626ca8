package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// reading is what the jobs that change read: one each minute, in order.
type reading struct {
	At      time.Time
	Key, By int64
	V       int64
}

// readings returns n rows.
func readings(n int) []reading {
	out := make([]reading, n)
	for i := range out {
		out[i] = reading{time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(i) * time.Minute), int64(i*7%5 + i%3), int64(i % 4), int64(i*i%101 + 1)}
	}
	return out
}

// tap is a source of one split that gives rows up to a limit, and then waits; at the limit of all of them it ends.
type tap struct {
	place string
	rows  []reading
	limit *atomic.Int64
}

// Identity implements sabot.Identity's method.
func (s *tap) Identity() string { return s.place }

func (s *tap) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	schema, err := row.Schema(reflect.TypeFor[reading]())
	return schema, []sabot.Split{{ID: sabot.SplitID(s.place), Bounded: true}}, err
}

func (s *tap) Open(_ context.Context, _ sabot.Env, schema *arrow.Schema, _ sabot.Split, at sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[reading]()
	if err != nil {
		return nil, err
	}
	r := &tapReader{tap: s, schema: schema, encoder: e}
	if at != "" {
		if _, err := fmt.Sscan(string(at), &r.next); err != nil {
			return nil, err
		}
	}
	return r, nil
}

type tapReader struct {
	*tap
	schema  *arrow.Schema
	encoder *row.Encoder[reading]
	next    int
}

func (r *tapReader) Read(context.Context) (sabot.Chunk, error) {
	if r.next == len(r.rows) {
		return sabot.Chunk{}, io.EOF
	}
	n := min(r.next+3, len(r.rows), int(r.limit.Load())) - r.next
	if n <= 0 {
		return sabot.Chunk{After: position(r.next)}, nil
	}
	for i := range n {
		r.encoder.Append(&r.rows[r.next+i])
	}
	r.next += n
	all := r.encoder.Flush()
	defer func() {
		for _, c := range all {
			c.Release()
		}
	}()
	cols := make([]arrow.Array, r.schema.NumFields())
	for i, f := range r.schema.Fields() {
		cols[i] = all[r.encoder.Schema().FieldIndices(f.Name)[0]]
	}
	return sabot.Chunk{Rows: array.NewRecordBatch(r.schema, cols, int64(n)), After: position(r.next), Done: float64(r.next) / float64(len(r.rows))}, nil
}

func position(n int) sabot.Position {
	if n == 0 {
		return ""
	}
	return sabot.Position(fmt.Sprint(n))
}

func (r *tapReader) Close() error { return nil }

// changeRig runs one job in several graphs, one after the other, on one bucket.
type changeRig struct {
	t      *testing.T
	bucket objstore.Bucket
	rows   []reading
	limit  atomic.Int64
	opt    Options
	said   []string // notices of the last start

	mu   sync.Mutex
	kept map[string]map[string]any // rows by sink and output
}

func newChangeRig(t *testing.T, rows int) *changeRig {
	r := &changeRig{t: t, bucket: mem.New(), rows: readings(rows), kept: map[string]map[string]any{}}
	r.opt = Options{Checkpoint: 2 * time.Millisecond, Lanes: 2, Log: slog.New(slog.DiscardHandler), Notice: func(s string) { r.said = append(r.said, s) }}
	return r
}

// source returns the job's input.
func (r *changeRig) source() sabot.Source { return &tap{"tap", r.rows, &r.limit} }

// keeper is a committed sink whose outputs the rig keeps.
type keeper[T any] struct {
	rig   *changeRig
	name  string
	place string
}

func keeping[T any](r *changeRig, name string) sabot.Sink { return &keeper[T]{r, name, "here"} }

func (s *keeper[T]) Identity() string { return s.place }

func (s *keeper[T]) Publish(_ context.Context, id sabot.OutputID, rec arrow.RecordBatch) error {
	rows, err := sabot.Rows[T](rec)
	if err != nil {
		return sabot.Permanent(err)
	}
	s.rig.mu.Lock()
	defer s.rig.mu.Unlock()
	if s.rig.kept[s.name] == nil {
		s.rig.kept[s.name] = map[string]any{}
	}
	if old, ok := s.rig.kept[s.name][id.String()]; ok && !reflect.DeepEqual(old, any(rows)) {
		s.rig.t.Errorf("output %s came twice with different rows", id)
	}
	s.rig.kept[s.name][id.String()] = rows
	return nil
}

func (r *changeRig) store(job string) *checkpoint.Store {
	return &checkpoint.Store{Bucket: r.bucket, Paths: checkpoint.NewPaths(job), Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)}
}

func (r *changeRig) root() *pb.Root {
	r.t.Helper()
	root, _, err := r.store("change").Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return root
}

var errEnough = errors.New("enough is read")

// until runs a job until n rows of each source are committed, and stops it.
func (r *changeRig) until(n int, job *sabot.Job, opts ...func(*Options)) {
	r.t.Helper()
	r.limit.Store(int64(n))
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	opt := r.options(opts)
	go func() {
		for ctx.Err() == nil {
			if root, _, err := r.store(cmp.Or(opt.As, "change")).Read(ctx); err == nil && enough(root, int64(n)) {
				cancel(errEnough)
			}
			time.Sleep(time.Millisecond) // until the next checkpoint
		}
	}()
	if _, err := Run(ctx, job, opt); !errors.Is(err, errEnough) {
		r.t.Fatalf("the job ended with %v before %d rows were read", err, n)
	}
}

func enough(root *pb.Root, n int64) bool {
	for _, s := range root.Sources {
		for _, sp := range s.Splits {
			if sp.Rows < n {
				return false
			}
		}
	}
	return true
}

func (r *changeRig) options(opts []func(*Options)) Options {
	opt := r.opt
	opt.Store = r.bucket
	for _, f := range opts {
		f(&opt)
	}
	r.said = nil
	return opt
}

// end runs a job to its end.
func (r *changeRig) end(job *sabot.Job, opts ...func(*Options)) Result {
	r.t.Helper()
	r.limit.Store(int64(len(r.rows)))
	res, err := Run(r.t.Context(), job, r.options(opts))
	if err != nil || !res.Finished {
		r.t.Fatalf("the job ended with %+v, %v", res, err)
	}
	if rep, err := checkpoint.Fsck(r.t.Context(), r.bucket, res.Job); err != nil || !rep.OK() {
		r.t.Errorf("fsck: %+v, %v", rep, err)
	}
	return res
}

// drain brings what a job has committed to its end.
func (r *changeRig) drain(job *sabot.Job, opts ...func(*Options)) {
	r.t.Helper()
	before := r.root()
	res, err := Run(r.t.Context(), job, r.options(append(opts, func(o *Options) { o.Drain = true })))
	if err != nil || res.Finished {
		r.t.Fatalf("drained: %+v, %v", res, err)
	}
	after := r.root()
	if len(after.Outputs)+len(after.Exchanges)+len(after.DeadSections) > 0 || checkpoint.RowsRead(after) != checkpoint.RowsRead(before) {
		r.t.Fatalf("after the drain: %d rows read (%d before), outputs %v, exchanges %v, dead letters %v", checkpoint.RowsRead(after), checkpoint.RowsRead(before),
			after.Outputs, after.Exchanges, after.DeadSections)
	}
}

var shapes = regexp.MustCompile(`struct [0-9a-f]{8}`)

var stored = regexp.MustCompile(`up to \d+ rows`)

// refused starts a job that is to be refused with these lines between the first and the last, which must begin with help.
func (r *changeRig) refused(job *sabot.Job, help string, lines ...string) {
	r.t.Helper()
	before := r.root()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute) // it would wait for rows if it were let go on
	defer cancel()
	_, err := Run(ctx, job, r.options(nil))
	if sabot.KindOf(err) != sabot.Invalid {
		r.t.Fatalf("the job ended with %v, want that it is refused", err)
	}
	want := append([]string{`job "change" cannot go on from its last checkpoint in bucket .sabot:`}, lines...)
	text := shapes.ReplaceAllString(err.Error(), "struct S")
	got := strings.Split(stored.ReplaceAllString(text, "up to N rows"), "\n") // how many there are hangs on when checkpoints were made
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], "  ")
	}
	if diff := gocmp.Diff(append(want, help), got); diff != "" {
		r.t.Errorf("refused (-want +got):\n%s", diff)
	}
	if after := r.root(); after.Nonce != before.Nonce {
		r.t.Error("a start that was refused has changed the root")
	}
}

func lossy(o *Options) { o.AllowStateLoss = true }

// published compares what a sink has published with want, in any order.
func published[T any](r *changeRig, sink string, want []T) {
	r.t.Helper()
	var got []T
	for _, rows := range r.kept[sink] {
		got = append(got, rows.([]T)...)
	}
	order := func(a, b T) int { return cmp.Compare(fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)) }
	want = slices.Clone(want)
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if diff := gocmp.Diff(want, got); diff != "" {
		r.t.Errorf("sink %q (-want +got):\n%s", sink, diff)
	}
	if len(want) == 0 {
		r.t.Errorf("sink %q: a comparison with nothing shows nothing", sink)
	}
}

// total is the result of a window.
type total struct {
	Key                    int64
	WindowStart, WindowEnd time.Time
	Sum                    int64
}

// totals adds up rows by key and window, in windows that end after one time and at another at the latest; the zero time: no bound.
func totals(rows []reading, key func(reading) int64, size time.Duration, after, by time.Time) (out []total) {
	sums := map[total]int64{}
	for _, x := range rows {
		start := x.At.Truncate(size)
		sums[total{Key: key(x), WindowStart: start, WindowEnd: start.Add(size)}] += x.V
	}
	for w, sum := range sums {
		if (after.IsZero() || w.WindowEnd.After(after)) && (by.IsZero() || !w.WindowEnd.After(by)) {
			w.Sum = sum
			out = append(out, w)
		}
	}
	return out
}

func byKey(x reading) int64 { return x.Key }
func byBy(x reading) int64  { return x.By }
