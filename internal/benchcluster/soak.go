package benchcluster

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

const (
	soakInterval = 100 * time.Millisecond
	soakPace     = 1000 // rows per second
	soakWorkers  = 2
	soakLooks    = 60 // how often is looked at memory and objects
)

// look is what a soak sees of the job at one time.
type look struct {
	rss, heap float64 // bytes of all processes together; heap: what was live after the last garbage collection
	objects   float64 // in the bucket
	live      float64 // share of the bytes in packs that the root names
}

// Soak runs a job of a checkpoint each 100 ms for a time, to its end, and tells whether memory and the number of objects stay what they are, the bucket
// holds little that is not live, everything in it is whole, and the output is that of brute force. What is not whole or differs is an error. No
// checkpoint is retained to fall back to: each would keep the objects of its time.
func Soak(ctx context.Context, opt Options, d time.Duration, keys int64) error {
	if keys <= 0 || keys%splits != 0 {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("%d keys: it must be a multiple of %d", keys, splits))
	}
	return with(ctx, opt, func(b *Bench) error {
		p := Params{Rows: int64(soakPace * d.Seconds()), Keys: keys, Value: 100, Emit: 1, Windows: true}
		c, err := b.cluster("soak", soakInterval, "--rows", fmt.Sprint(p.Rows), "--keys", fmt.Sprint(p.Keys), "--value", fmt.Sprint(p.Value), "--windows",
			fmt.Sprint("--pace=", soakPace), "--retain=0")
		if err != nil {
			return err
		}
		defer c.down(false)
		w, err := c.up(ctx, 1, soakWorkers)
		if err != nil {
			return err
		}
		defer w.end()
		looks, err := c.lookAtTimes(ctx, w, d)
		if err != nil {
			return err
		}
		if _, err := w.until(ctx, "the end", func(root *pb.Root) bool { return root.FinishedUs != 0 }); err != nil {
			return err
		}
		b.told("checking the output of %d rows", p.Rows)
		b.figure("soak_checkpoints", "1", float64(w.last().Epoch))
		b.soaked(looks)
		if err := c.fsck(ctx); err != nil {
			return err
		}
		wrong, rows, err := p.check(c.samples())
		b.figure("soak_output_rows", "1", float64(rows))
		if err != nil {
			return err
		}
		if wrong != nil {
			return wrong
		}
		return b.failed
	})
}

// lookAtTimes looks at the job again and again, until its input is nearly over.
func (c *cluster) lookAtTimes(ctx context.Context, w *watch, d time.Duration) (looks []look, err error) {
	until := clock.Real().Now().Add(d * 9 / 10)
	for clock.Real().Now().Before(until) {
		if err := clock.Real().Sleep(ctx, max(500*time.Millisecond, d/soakLooks)); err != nil {
			return nil, err
		}
		if err := c.alive(); err != nil {
			return nil, err
		}
		l, err := c.look(ctx)
		if err != nil {
			return nil, err
		}
		c.bench.told("checkpoint %d: RSS %.0f MB, heap %.1f MB, %.0f objects, live %.2f", w.last().Epoch, l.rss/1e6, l.heap/1e6, l.objects, l.live)
		looks = append(looks, l)
	}
	return looks, nil
}

func (c *cluster) look(ctx context.Context) (l look, err error) {
	for name := range c.procs {
		m, err := c.scrape(ctx, name)
		if err != nil {
			return l, err
		}
		l.rss += m["process_resident_memory_bytes"]
		l.heap += m["go_memstats_next_gc_bytes"] / 2 // the collector lets the heap double
	}
	s, err := c.stored(ctx)
	if err != nil {
		return l, err
	}
	l.objects = s.objects
	bucket, err := bucketurl.Open(ctx, c.url)
	if err != nil {
		return l, err
	}
	defer bucket.Close()
	rep, err := checkpoint.Fsck(ctx, bucket, "bench")
	if err != nil {
		return l, err
	}
	if total := rep.LiveBytes + rep.RetainedBytes + rep.GarbageBytes; total > 0 {
		l.live = float64(rep.LiveBytes) / float64(total)
	}
	return l, nil
}

// soaked writes how the looks of the second quarter of the time compare with those of the last.
func (b *Bench) soaked(looks []look) {
	n := len(looks)
	early, late := looks[n/4:max(n/2, n/4+1)], looks[min(n*3/4, n-1):]
	mean := func(of []look, f func(look) float64) (sum float64) {
		for _, l := range of {
			sum += f(l) / float64(len(of))
		}
		return sum
	}
	least := math.Inf(1)
	for _, l := range looks[n/4:] {
		least = min(least, l.live)
	}
	for _, x := range []struct {
		name, unit string
		scale      float64
		of         func(look) float64
	}{
		{"rss", "MB", 1e6, func(l look) float64 { return l.rss }},
		{"heap", "MB", 1e6, func(l look) float64 { return l.heap }},
		{"objects", "1", 1, func(l look) float64 { return l.objects }},
		{"live_share", "1", 1, func(l look) float64 { return l.live }},
	} {
		b.figure("soak_"+x.name+"_early", x.unit, mean(early, x.of)/x.scale)
		b.figure("soak_"+x.name+"_late", x.unit, mean(late, x.of)/x.scale)
	}
	b.figure("soak_live_share_least", "1", least, 0.6)
}

// fsck checks that the bucket holds everything whole.
func (c *cluster) fsck(ctx context.Context) error {
	bucket, err := bucketurl.Open(ctx, c.url)
	if err != nil {
		return err
	}
	defer bucket.Close()
	rep, err := checkpoint.Fsck(ctx, bucket, "bench")
	if err == nil && !rep.OK() {
		err = fmt.Errorf("the bucket is not whole: %+v", rep.Bad)
	}
	return err
}
