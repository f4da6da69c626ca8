package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// ErrStale says that the checkpoint of a View is not kept any more and some of its state is gone: the job has gone on. Errors that wrap it are of kind
// Retry.
var ErrStale = errors.New("the job has gone on, and the view's state is not kept any more: Refresh it, or read a savepoint")

// Option is an option of Open.
type Option func(*View)

// Follow makes Get and GetAll refresh a view that is stale, once, instead of failing with ErrStale: rows of one call are of one checkpoint, those of
// two calls need not be. Scans never do.
func Follow() Option { return func(v *View) { v.follow = true } }

// Now makes the view judge by this time what has expired by processing time, instead of by the clock.
func Now(t time.Time) Option { return func(v *View) { v.now = func() time.Time { return t } } }

// View is a job's keyed state as of a checkpoint. Goroutines may share it.
type View struct {
	store   checkpoint.Store
	fetcher *fetch.Fetcher
	own     bool // the fetcher is closed with the view
	follow  bool
	now     func() time.Time

	mu    sync.RWMutex // Refresh excludes Get
	snap  *snapshot
	parts parts
}

// snapshot is a checkpoint.
type snapshot struct {
	root   *pb.Root
	pin    *pb.Pin // that keeps it; nil: it was the newest
	tables []*table
	err    error // why the tables cannot be read
	now    sabot.Micros
}

// Open returns a view of a job's newest checkpoint. The error wraps objstore.ErrNotFound when the job has none. The bucket stays the caller's, who closes
// it after the view; nothing is ever written to it.
func Open(ctx context.Context, bucket objstore.Bucket, job string, opts ...Option) (*View, error) {
	if err := checkpoint.CheckName(job); err != nil {
		return nil, err
	}
	v := &View{store: checkpoint.Store{Bucket: bucket, Paths: checkpoint.NewPaths(job), Clock: clock.Real()}, now: clock.Real().Now, parts: parts{of: map[partKey]*part{}}}
	for _, o := range opts {
		o(v)
	}
	root, _, err := v.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	v.snap = v.snapshot(root, nil)
	v.fetcher, v.own = fetch.New(bucket, fetch.Options{}), true
	return v, nil
}

func (v *View) snapshot(root *pb.Root, pin *pb.Pin) *snapshot {
	s := &snapshot{root: root, pin: pin, now: sabot.MicrosOf(v.now())}
	s.tables, s.err = tablesOf(root)
	return s
}

// Close ends the view, and those that were made of it by At and AtSavepoint.
func (v *View) Close() {
	if v.own {
		v.fetcher.Close()
	}
}

func (v *View) current() *snapshot {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.snap
}

// Epoch returns the number of the checkpoint.
func (v *View) Epoch() uint64 { return v.current().root.Epoch }

// Tables returns the job's tables, by operator in the order of its graph; none when the checkpoint does not describe them, as Table then says.
func (v *View) Tables() []Table {
	var out []Table
	for _, t := range v.current().tables {
		out = append(out, t.Table)
	}
	return out
}

// Table returns the table of a name; an Invalid error says which there are.
func (v *View) Table(name string) (Table, error) {
	t, err := v.current().table(name)
	if err != nil {
		return Table{}, err
	}
	return t.Table, nil
}

func (s *snapshot) table(name string) (*table, error) {
	if s.err != nil {
		return nil, s.err
	}
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		if t.Name == name {
			return t, nil
		}
		names[i] = t.Name
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s has no table %q among %q%s", s.root.Job, name, names, row.DidYouMean(name, names)))
}

// Refresh moves the view to the job's newest checkpoint. A view of an earlier one that is kept stays where it is.
func (v *View) Refresh(ctx context.Context) error {
	if v.current().pin != nil {
		return nil
	}
	root, _, err := v.store.Read(ctx)
	if err != nil {
		return err
	}
	next := v.snapshot(root, nil)
	v.mu.Lock()
	defer v.mu.Unlock()
	if next.root.Term < v.snap.root.Term || next.root.Term == v.snap.root.Term && next.root.CommittedUs < v.snap.root.CommittedUs {
		return nil // another Refresh was quicker
	}
	if next.root.Fingerprint != v.snap.root.Fingerprint || !slices.EqualFunc(next.tables, v.snap.tables, (*table).same) {
		v.parts.clear()
	}
	v.snap = next
	v.parts.keep(next)
	return nil
}

// same tells whether both read the same columns of the same table.
func (t *table) same(u *table) bool {
	return t.Name == u.Name && t.stage == u.stage && t.schema.Equal(u.schema)
}

// At returns a view of another checkpoint: a savepoint, a retained one, or the newest. An Invalid error says which there are.
func (v *View) At(ctx context.Context, epoch uint64) (*View, error) {
	return v.at(ctx, fmt.Sprintf("checkpoint %d", epoch), &epoch, func(p *pb.Pin) bool { return p.Epoch == epoch })
}

// AtSavepoint returns a view of a savepoint, by its name, or of any checkpoint that is kept, by its id. An Invalid error says which there are.
func (v *View) AtSavepoint(ctx context.Context, nameOrID string) (*View, error) {
	return v.at(ctx, fmt.Sprintf("savepoint %q", nameOrID), nil, func(p *pb.Pin) bool {
		return p.Kind == pb.PinKind_SAVEPOINT && p.Name == nameOrID || p.Id == nameOrID
	})
}

// at returns a view of the pin that is says yes to, or of the newest checkpoint if it is of that epoch.
func (v *View) at(ctx context.Context, what string, epoch *uint64, is func(*pb.Pin) bool) (*View, error) {
	root, _, err := v.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	pin := checkpoint.NewestKept(root, is)
	switch {
	case pin != nil:
		root, err = v.store.ReadCopy(ctx, pin)
	case epoch == nil || root.Epoch != *epoch:
		err = sabot.WithKind(sabot.Invalid, fmt.Errorf("job %s does not keep %s; %s", root.Job, what, checkpoint.DescribeKept(root)))
	}
	if err != nil {
		return nil, err
	}
	out := &View{store: v.store, fetcher: v.fetcher, follow: v.follow, now: v.now, parts: parts{of: map[partKey]*part{}}}
	out.snap = out.snapshot(root, pin)
	return out, nil
}

// failed says what a failure to read a table means: where an object is gone, whether the checkpoint is kept at all.
func (v *View) failed(ctx context.Context, s *snapshot, table string, err error) error {
	if !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("job %s at checkpoint %d: %w", s.root.Job, s.root.Epoch, err)
	}
	root, _, rootErr := v.store.Read(ctx)
	switch {
	case rootErr != nil && !errors.Is(rootErr, objstore.ErrNotFound):
		return rootErr
	case rootErr == nil && s.pin == nil && root.Nonce == s.root.Nonce, rootErr == nil && s.pin != nil && checkpoint.PinOf(root, s.pin.Id) != nil:
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("job %s at checkpoint %d: %v", s.root.Job, s.root.Epoch, err)) // the job is there, an object is not
	}
	return sabot.WithKind(sabot.Retry, fmt.Errorf("read table %q of job %s at checkpoint %d: %w", table, s.root.Job, s.root.Epoch, ErrStale))
}

// partitions returns the partitions of a table, ascending by hash.
func (s *snapshot) partitions(t *table) []*pb.Partition {
	for _, st := range s.root.Stages {
		if st.Id == t.stage {
			return st.Partitions
		}
	}
	return nil
}

// instant says as of when it is judged what of a partition lives.
func (s *snapshot) instant(p *pb.Partition) instant {
	at := instant{low: sabot.NoTime, now: s.now}
	if p.HasWatermark {
		at.low = sabot.Micros(p.WatermarkUs)
	}
	return at
}

// refs returns what a partition has of a table, without buckets in which nothing lives.
func (s *snapshot) refs(p *pb.Partition, t *table) (out []objstate.Ref) {
	dead := t.kind.dead(s.instant(p))
	for _, r := range p.Refs {
		b := objstate.Interval{Lo: sabot.Micros(r.BucketLo), Hi: sabot.Micros(r.BucketHi)}
		if r.Table != t.Name || b != (objstate.Interval{}) && b.Hi <= dead {
			continue
		}
		o := s.root.Objects[r.Object]
		out = append(out, objstate.Ref{Object: o.Key, Size: o.Size, Offset: r.Offset, Length: r.Length, CRC: r.Crc, Bucket: b,
			Clip: rowkey.Range{Lo: r.Lo, Hi: r.Hi}, Rows: r.Rows, Tail: r.Tail})
	}
	return out
}

// Root returns the checkpoint as it is stored, for tools of this module. Nobody changes it.
func (v *View) Root() *pb.Root { return v.current().root }
