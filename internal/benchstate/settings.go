package benchstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sabot-stream/sabot"
)

// BenchSettings measures what the settings of a job do that concern its state: the time between checkpoints, the number of partitions and a TTL. Each is
// changed by itself, from a checkpoint each second, the default number of partitions and no TTL; no case has a bound on its memory.
func BenchSettings(ctx context.Context, o Options) (err error) {
	if o.Keys < splits || o.Rows < splits || o.Keys%splits != 0 || o.Rows%splits != 0 {
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("%d keys and %d rows: both must be even, and not 0", o.Keys, o.Rows))
	}
	dir := o.Folder
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sabot-settings-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	plain := Case{Keys: o.Keys, Rows: o.Rows, Dist: Zipf, Checkpoint: time.Second}
	type setting struct {
		name   string
		change func(*Case)
	}
	settings := []setting{{"as it is", func(*Case) {}}}
	for _, d := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second, 10 * time.Second} {
		settings = append(settings, setting{fmt.Sprint("a checkpoint each ", d), func(c *Case) { c.Checkpoint = d }})
	}
	for _, n := range []int{2, 32, 256} {
		settings = append(settings, setting{fmt.Sprint(n, " partitions"), func(c *Case) { c.Partitions = n }})
	}
	for _, d := range []time.Duration{time.Second, time.Hour} {
		settings = append(settings, setting{fmt.Sprint("a TTL of ", d), func(c *Case) { c.TTL = d }})
	}
	for i, s := range settings {
		c := plain
		c.Bucket = filepath.Join(dir, fmt.Sprint(i))
		s.change(&c)
		if err := o.setting(ctx, s.name, c); err != nil {
			return fmt.Errorf("measure %s: %w", s.name, err)
		}
	}
	return nil
}

// setting measures a case, and a start on what it leaves.
func (o Options) setting(ctx context.Context, name string, c Case) error {
	r, err := o.run(ctx, c)
	if err != nil {
		return err
	}
	size, err := sizeOf(c.Bucket)
	if err != nil {
		return err
	}
	c.Rows += fewRows
	again, err := o.run(ctx, c)
	if err != nil {
		return err
	}
	o.say(name+": throughput", "rows/s", float64(r.Rows)/r.Seconds)
	o.say(name+": processors' time for a row", "ns", 1e9*r.CPU/float64(o.Keys+o.Rows))
	o.say(name+": most memory", "bytes", float64(r.RSS))
	o.say(name+": objects written", "objects", float64(r.Written.N))
	o.say(name+": bytes written", "bytes", float64(r.Written.Bytes))
	o.say(name+": state in the bucket", "bytes", float64(size))
	o.say(name+": first output after a start", "s", again.First)
	return os.RemoveAll(c.Bucket)
}
