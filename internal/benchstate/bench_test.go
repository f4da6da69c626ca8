package benchstate

import (
	"testing"
	"time"
)

// A job whose state does not fit its memory reads every row, and a second run goes on where the first has ended.
func TestRunInLittleMemory(t *testing.T) {
	c := Case{Bucket: t.TempDir(), Keys: 20_000, Rows: 20_000, Dist: Zipf, Memory: 1 << 20, Checkpoint: 50 * time.Millisecond}
	if r, err := Run(t.Context(), c); err != nil || r.Rows < c.Rows || r.Seconds <= 0 || r.First <= 0 || r.RSS <= 0 {
		t.Fatalf("from nothing: %+v, %v", r, err)
	}
	c.Rows += 10_000
	if r, err := Run(t.Context(), c); err != nil || r.Rows < 10_000 || r.Seconds <= 0 {
		t.Fatalf("going on: %+v, %v", r, err)
	}
}

// Settings change what a job does, not what it comes to.
func TestRunSettings(t *testing.T) {
	plain := Case{Keys: 2000, Rows: 4000, Dist: Uniform, Checkpoint: 20 * time.Millisecond}
	for name, change := range map[string]func(*Case){"partitions": func(c *Case) { c.Partitions = 3 }, "ttl": func(c *Case) { c.TTL = time.Hour }} {
		c := plain
		c.Bucket = t.TempDir()
		change(&c)
		if r, err := Run(t.Context(), c); err != nil || r.Rows != c.Rows || r.Written.N == 0 || r.Written.Bytes == 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if err := BenchSettings(t.Context(), Options{Keys: 3, Rows: 2}); err == nil {
		t.Error("an odd number of keys is taken")
	}
}

// What could never end is refused.
func TestValidate(t *testing.T) {
	good := Options{Keys: 4, Rows: 2, Memory: 1, Every: 1}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Options){func(o *Options) { o.Keys = 3 }, func(o *Options) { o.Keys = 0 }, func(o *Options) { o.Rows = 5 },
		func(o *Options) { o.Memory = 0 }, func(o *Options) { o.Every = 0 }} {
		o := good
		change(&o)
		if o.validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
