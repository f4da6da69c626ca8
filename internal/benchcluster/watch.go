package benchcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

const (
	// lookEvery is how often CURRENT is looked at: times that are measured are late by so much at most.
	lookEvery = 20 * time.Millisecond
	// places is how many places of the hash space of a keyed stage are watched.
	places = 32
	// patience is how long a cluster may take for anything that is waited for.
	patience = 5 * time.Minute
)

// watch looks at a cluster's committed roots.
type watch struct {
	c      *cluster
	bucket objstore.Bucket
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	root   *pb.Root // seen last
	roots  int      // how many were seen
	shares map[string][]mark
}

// mark is a time at which a share was seen to be further than before.
type mark struct {
	at  time.Time
	far int64
}

// watch begins to look.
func (c *cluster) watch(ctx context.Context) (*watch, error) {
	bucket, err := bucketurl.Open(ctx, c.url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{c: c, bucket: bucket, stop: cancel, done: make(chan struct{}), shares: map[string][]mark{}}
	go w.look(ctx)
	return w, nil
}

// end ends looking.
func (w *watch) end() {
	w.stop()
	<-w.done
	_ = w.bucket.Close() // nothing of ours is in it
}

func (w *watch) look(ctx context.Context) {
	defer close(w.done)
	store := checkpoint.Store{Bucket: w.bucket, Paths: checkpoint.NewPaths("bench"), Clock: clock.Real()}
	for {
		if root, _, err := store.Read(ctx); err == nil { // there is none at first, and a store may fail: the next look tells
			w.note(root, clock.Real().Now())
		}
		if clock.Real().Sleep(ctx, lookEvery) != nil {
			return
		}
	}
}

func (w *watch) note(root *pb.Root, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.root != nil && w.root.Nonce == root.Nonce {
		return
	}
	w.root = root
	w.roots++
	for _, s := range progress(root) {
		marks := w.shares[s.name]
		if len(marks) == 0 || marks[len(marks)-1].far < s.far {
			w.shares[s.name] = append(marks, mark{now, s.far})
		}
	}
}

// share is how far a share is, and whose it is.
type share struct {
	name  string
	group uint32
	far   int64
}

// progress returns how far each split and each watched place of the keyed stages is.
func progress(root *pb.Root) (all []share) {
	for _, src := range root.Sources {
		for _, s := range src.Splits {
			all = append(all, share{"split " + s.Id, s.Group, s.Rows})
		}
	}
	for _, st := range root.Stages {
		for i := range uint64(places) {
			at := i * (checkpoint.HashSpace / places)
			p := st.Partitions[slices.IndexFunc(st.Partitions, func(p *pb.Partition) bool { return at < p.Hi })]
			all = append(all, share{fmt.Sprintf("stage %d place %d", st.Id, i), p.Group, p.WatermarkUs})
		}
	}
	return all
}

// last returns the newest root, nil before the first.
func (w *watch) last() *pb.Root {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.root
}

// count returns how many roots were seen.
func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roots
}

// until waits for something to be true of the newest root.
func (w *watch) until(ctx context.Context, what string, ok func(*pb.Root) bool) (time.Time, error) {
	for began := clock.Real().Now(); ; {
		root, now := w.last(), clock.Real().Now()
		if root != nil && ok(root) {
			return now, nil
		}
		if err := w.c.alive(); err != nil { // perhaps because the job has ended, which is then seen
			if err := clock.Real().Sleep(ctx, 5*lookEvery); err != nil {
				return now, err
			}
			if root := w.last(); root != nil && ok(root) {
				return clock.Real().Now(), nil
			}
			return now, err
		}
		if now.Sub(began) > patience {
			return now, fmt.Errorf("waited %s for %s of the measured job", patience, what)
		}
		if err := clock.Real().Sleep(ctx, lookEvery/2); err != nil {
			return now, err
		}
	}
}

// rows waits until so many rows are read.
func (w *watch) rows(ctx context.Context, n int64) error {
	_, err := w.until(ctx, fmt.Sprint(n, " rows"), func(root *pb.Root) bool { return checkpoint.RowsRead(root) >= n })
	return err
}

// beyond waits until every share that is chosen is further than it was, and returns when that was.
func (w *watch) beyond(ctx context.Context, was *pb.Root, chosen func(share) bool) (time.Time, error) {
	if was == nil {
		return time.Time{}, errors.New("the measured job has no checkpoint")
	}
	from := map[string]int64{}
	for _, s := range progress(was) {
		if chosen(s) {
			from[s.name] = s.far
		}
	}
	return w.until(ctx, "progress of each share", func(root *pb.Root) bool {
		return !slices.ContainsFunc(progress(root), func(s share) bool {
			far, ok := from[s.name]
			return ok && s.far <= far
		})
	})
}

func everything(share) bool { return true }

// settle waits until so many workers share the job and every share has made progress twice since.
func (w *watch) settle(ctx context.Context, workers int) error {
	if _, err := w.until(ctx, fmt.Sprint("shares of ", workers, " workers"), func(root *pb.Root) bool {
		return len(checkpoint.Owners(root)) == workers
	}); err != nil {
		return err
	}
	for range 2 {
		if _, err := w.beyond(ctx, w.last(), everything); err != nil {
			return err
		}
	}
	return nil
}

// gap returns the longest time between from and to in which some share has made no progress.
func (w *watch) gap(from, to time.Time) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, marks := range w.shares {
		longest = max(longest, gapOf(marks, from, to))
	}
	return longest
}

// gapOf returns the longest time between from and to that has no mark in it; a gap that has begun before counts from its beginning.
func gapOf(marks []mark, from, to time.Time) (longest time.Duration) {
	last := from
	for _, m := range marks {
		switch {
		case m.at.Before(from):
			last = m.at
		case m.at.Before(to):
			longest, last = max(longest, m.at.Sub(last)), m.at
		}
	}
	return max(longest, to.Sub(last))
}

// marksOf returns marks at some times, in microseconds.
func marksOf(at []int64) (marks []mark) {
	slices.Sort(at)
	for _, us := range at {
		marks = append(marks, mark{at: time.UnixMicro(us)})
	}
	return marks
}
