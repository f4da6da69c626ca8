package benchmicro

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
)

const (
	storedRows      = 2_000_000
	storedQuickRows = 100_000
	wantRows        = 4096
)

// Keys looked up in segments, all of a batch together, against one by one. Segments are those of a compaction, in memory or in a folder that is in the
// system's page cache.
func lookupWorks() []Work {
	return []Work{
		each("state.multiget.memory", "key", func(quick bool) (*Race, error) {
			return multigets(quick, mem.New(), nil)
		}),
		each("state.multiget.folder", "key", func(quick bool) (*Race, error) {
			bucket, remove, err := folder()
			if err != nil {
				return nil, err
			}
			return multigets(quick, bucket, remove)
		}),
	}
}

func multigets(quick bool, bucket objstore.Bucket, remove func() error) (*Race, error) {
	n := int64(storedRows)
	if quick {
		n = storedQuickRows
	}
	full, err := stored(context.Background(), bucket, n)
	if err != nil {
		return nil, err
	}
	l, err := full.Resume()
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 5))
	lookup := func(together int) Side {
		return func(ctx context.Context) ([]float64, error) {
			wants := Wants(r, n, wantRows)
			l.Found = 0
			return SpentEach(wantRows, func() error {
				for i := 0; i < len(wants); i += together {
					l.Find(wants[i : i+together])
				}
				return same("keys found", l.Found, wantRows)
			})(ctx)
		}
	}
	return &Race{Sabot: lookup(wantRows), Baseline: lookup(1), Close: func() error {
		l.Leave()
		full.Close()
		if remove == nil {
			return nil
		}
		return remove()
	}}, nil
}

// Wants returns the keys of random rows below n.
func Wants(r *rand.Rand, n int64, count int) []objstate.Want {
	wants := make([]objstate.Want, count)
	for i := range wants {
		key := AppendKey(nil, r.Int64N(n))
		wants[i] = objstate.Want{Hash: rowkey.HashOf(key), Key: key}
	}
	return wants
}

// stored returns a lane that has written n rows as one compacted segment.
func stored(ctx context.Context, bucket objstore.Bucket, n int64) (*Lane, error) {
	l, err := NewLane(ctx, bucket)
	if err != nil {
		return nil, err
	}
	l.Fill(n, batchRows)
	if err := l.Write(l.Barrier()); err != nil {
		return nil, err
	}
	_, err = l.Compact()
	return l, err
}

// folder returns a bucket in a new temporary folder, and what removes it.
func folder() (objstore.Bucket, func() error, error) {
	dir, err := os.MkdirTemp("", "sabot-bench")
	if err != nil {
		return nil, nil, err
	}
	b, err := file.Open(dir, file.Options{})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, func() error { return errors.Join(b.Close(), os.RemoveAll(dir)) }, nil
}
