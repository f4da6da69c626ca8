package benchcluster

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
)

const (
	valueBytes    = 1000 // of state for each key
	pauseInterval = 200 * time.Millisecond
	pauseWorkers  = 3
	// defaultLease is how long a stopped coordinator keeps its job, and a stopped worker its share.
	defaultLease = 5.0
)

// pauses measures how long the job pauses when processes come, go and die, and when the number of partitions changes, with little state and with much.
func (b *Bench) pauses(ctx context.Context) error {
	for _, s := range []struct {
		name string
		keys int64
	}{{"small", pick[int64](b, 1000, 10_000)}, {"large", pick[int64](b, 5000, 1_000_000)}} {
		if err := b.pausesAt(ctx, s.name, s.keys); err != nil {
			return fmt.Errorf("with %s state: %w", s.name, err)
		}
	}
	return nil
}

// scene is a job whose pauses are measured.
type scene struct {
	*Bench
	c     *cluster
	w     *watch
	state string
}

func (b *Bench) pausesAt(ctx context.Context, state string, keys int64) error {
	b.told("pauses with %s state: filling %d keys", state, keys)
	c, err := b.cluster("pauses-"+state, pauseInterval, "--keys", fmt.Sprint(keys), "--value", fmt.Sprint(valueBytes), "--emit=20")
	if err != nil {
		return err
	}
	defer c.down(false)
	pace := min(40_000, keys/2) // not much is overwritten until all have stopped
	if err := c.prepare(ctx, fmt.Sprint("--pace=", pace), 1, 2, keys); err != nil {
		return err
	}
	c.params = append(c.params, "--pace=1000")
	b.told("pauses with %s state", state)
	w, err := c.up(ctx, 2, pauseWorkers)
	if err != nil {
		return err
	}
	defer w.end()
	b.figure("state_"+state, "MB", float64(checkpoint.Summarize(w.last()).Bytes)/1e6)
	s := scene{b, c, w, state}
	if err := clock.Real().Sleep(ctx, pick(b, 0, 10*time.Second)); err != nil { // what has been filled is compacted
		return err
	}
	for _, step := range []func(context.Context) error{s.calm, s.planned, s.workerDies, s.coordinatorDies} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// calm measures what a pause is when nothing happens.
func (s scene) calm(ctx context.Context) error {
	return s.pause(ctx, "pause_none", pauseWorkers, func() error { return clock.Real().Sleep(ctx, pick(s.Bench, time.Second, 5*time.Second)) })
}

// pause does something and writes the longest time without progress from then until the job is shared by so many workers and makes progress.
func (s scene) pause(ctx context.Context, name string, workers int, do func() error, target ...float64) error {
	from := clock.Real().Now()
	if err := do(); err != nil {
		return err
	}
	if err := s.w.settle(ctx, workers); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	to := clock.Real().Now()
	s.seconds(name+"_"+s.state, s.w.gap(from, to), target...)
	published, err := s.publishedGap(from, to)
	s.seconds(name+"_"+s.state+"_output", published)
	return err
}

// publishedGap returns the longest time in which no sink was given anything.
func (s scene) publishedGap(from, to time.Time) (time.Duration, error) {
	var at []int64
	err := samples(s.c.samples(), func(x sample) { at = append(at, x.at) })
	return gapOf(marksOf(at), from, to), err
}

// planned measures moves that are planned: they have a last checkpoint, so nothing is done twice.
func (s scene) planned(ctx context.Context) error {
	if err := s.pause(ctx, "pause_join", pauseWorkers+1, func() error { return s.c.workers(1) }, 1); err != nil {
		return err
	}
	last := s.c.names("worker")[pauseWorkers]
	if err := s.pause(ctx, "pause_drain", pauseWorkers, func() error {
		s.c.end(last, syscall.SIGTERM)
		return nil
	}, 1); err != nil {
		return err
	}
	parts := 2 * len(s.w.last().Stages[0].Partitions)
	return s.pause(ctx, "pause_rescale", pauseWorkers, func() error {
		if err := s.c.rescale(ctx, parts); err != nil {
			return err
		}
		_, err := s.w.until(ctx, fmt.Sprint(parts, " partitions"), func(root *pb.Root) bool { return len(root.Stages[0].Partitions) == parts })
		return err
	}, 1)
}

// workerDies measures how long a dead worker's share makes no progress: what it had on its way when it died does not count.
func (s scene) workerDies(ctx context.Context) error {
	name := s.c.names("worker")[0]
	lost := map[string]bool{}
	root := s.w.last()
	group := root.Groups[slices.IndexFunc(root.Groups, func(g *pb.Group) bool { return g.Worker == name })].Id
	for _, x := range progress(root) {
		lost[x.name] = x.group == group
	}
	from := clock.Real().Now()
	s.c.kill(name)
	if _, err := s.w.until(ctx, "new owners of a lost share", func(root *pb.Root) bool { return !slices.Contains(checkpoint.Owners(root), group) }); err != nil {
		return err
	}
	to, err := s.w.beyond(ctx, s.w.last(), func(x share) bool { return lost[x.name] })
	if err != nil {
		return err
	}
	s.seconds("recovery_worker_"+s.state, to.Sub(from), 5+defaultLease)
	if err := s.c.workers(1); err != nil {
		return err
	}
	return s.w.settle(ctx, pauseWorkers)
}

// coordinatorDies measures how long a job makes no progress whose coordinator has died.
func (s scene) coordinatorDies(ctx context.Context) error {
	i, _, err := s.c.leader(ctx)
	if err != nil {
		return err
	}
	from := clock.Real().Now()
	s.c.kill(fmt.Sprint("coordinator-", i))
	if err := clock.Real().Sleep(ctx, 2*lookEvery); err != nil { // what it has committed last is seen
		return err
	}
	to, err := s.w.beyond(ctx, s.w.last(), everything)
	if err != nil {
		return err
	}
	s.seconds("recovery_coordinator_"+s.state, to.Sub(from), 5+defaultLease)
	return nil
}
