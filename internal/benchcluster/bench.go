package benchcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/benchbucket"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

// Options say what is measured, and on what.
type Options struct {
	Program  []string  // the command that runs Job; the flags of run.Main follow
	Bucket   string    // URL; empty: a temporary folder
	MinIO    string    // path of a MinIO program, which is started for the bucket; empty: none
	Only     []string  // names of parts; empty: all
	Quick    bool      // short times and little state: to see that it works, not how fast
	Figures  io.Writer // where figures go
	JSON     bool      // as JSON, one a line
	Progress io.Writer // what is being done, for whoever waits; nil: nowhere
	Keep     bool      // leave logs and the temporary bucket where they are
}

// parts are what is measured, in order.
var parts = []struct {
	name    string
	measure func(*Bench, context.Context) error
}{
	{"throughput", (*Bench).throughput},
	{"latency", (*Bench).latency},
	{"requests", (*Bench).requests},
	{"pauses", (*Bench).pauses},
}

// Parts returns the names of what can be measured.
func Parts() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// Bench measures.
type Bench struct {
	opt    Options
	dir    string // of logs, samples and the temporary bucket
	bucket string // URL
	env    []string
	minio  func() // ends it; nil: there is none
	failed error  // to write a figure
}

// Run measures what the options say, and ends all that it has started.
func Run(ctx context.Context, opt Options) error {
	return with(ctx, opt, func(b *Bench) error {
		for _, name := range opt.Only {
			if !slices.Contains(Parts(), name) {
				return sabot.WithKind(sabot.Invalid, fmt.Errorf("there is no part %q; there are %s", name, strings.Join(Parts(), ", ")))
			}
		}
		for _, p := range parts {
			if len(opt.Only) > 0 && !slices.Contains(opt.Only, p.name) {
				continue
			}
			if err := p.measure(b, ctx); err != nil {
				return fmt.Errorf("measure %s: %w", p.name, err)
			}
		}
		return b.failed
	})
}

// with calls f with a bench whose bucket is there.
func with(ctx context.Context, opt Options, f func(*Bench) error) (err error) {
	dir, err := os.MkdirTemp("", "sabot-bench")
	if err != nil {
		return err
	}
	b := &Bench{opt: opt, dir: dir, bucket: opt.Bucket}
	defer func() {
		if b.minio != nil {
			b.minio()
		}
		if opt.Keep {
			b.told("logs are in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	switch {
	case opt.MinIO != "" && opt.Bucket != "":
		return sabot.WithKind(sabot.Invalid, errors.New("--minio starts a bucket of its own: leave out --bucket"))
	case opt.MinIO != "":
		if b.bucket, b.minio, err = benchbucket.StartMinIO(ctx, opt.MinIO, dir); err != nil {
			return err
		}
	case opt.Bucket == "":
		b.bucket = filepath.Join(dir, "bucket")
	default:
		if err := isEmpty(ctx, opt.Bucket); err != nil {
			return err
		}
	}
	return f(b)
}

// isEmpty returns an error when a bucket holds anything: an earlier bench's jobs would go on.
func isEmpty(ctx context.Context, url string) error {
	bucket, err := bucketurl.Open(ctx, url)
	if err != nil {
		return err
	}
	defer bucket.Close()
	for o, err := range bucket.List(ctx, "") {
		if err != nil {
			return err
		}
		return sabot.WithKind(sabot.Invalid, fmt.Errorf("bucket %s holds %s: measure on an empty one", url, o.Key))
	}
	return nil
}

// figure writes a figure.
func (b *Bench) figure(name, unit string, value float64, target ...float64) {
	f := Figure{Name: name, Unit: unit, Value: value}
	if len(target) > 0 {
		f.Target = &target[0]
	}
	b.failed = errors.Join(b.failed, f.print(b.opt.Figures, b.opt.JSON))
}

// seconds writes a figure that is a time.
func (b *Bench) seconds(name string, value time.Duration, target ...float64) {
	b.figure(name, "s", value.Seconds(), target...)
}

// pick chooses the value of the quick form.
func pick[T any](b *Bench, quick, full T) T {
	if b.opt.Quick {
		return quick
	}
	return full
}
