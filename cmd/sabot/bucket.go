package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/cmd/internal/jobs"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/bucketurl"
)

type bucketCreateCmd struct {
	Bucket string        `help:"The bucket: a folder or URL." default:".sabot" placeholder:"URL"`
	Wait   time.Duration `help:"How long to wait for a store that does not answer yet." default:"0s" placeholder:"DURATION"`
}

// creator is a bucket that can be created.
type creator interface {
	Create(context.Context) error
}

// Run creates a bucket. One that is there is left as it is.
func (c bucketCreateCmd) Run(ctx context.Context, w io.Writer) error {
	b, err := bucketurl.Open(ctx, c.Bucket, jobs.Buckets()...) // creates a folder
	if err != nil {
		return err
	}
	defer b.Close()
	if store, ok := b.(creator); ok {
		began := clock.Real().Now()
		for {
			err := store.Create(ctx)
			if err == nil {
				break
			}
			if sabot.KindOf(err) == sabot.Invalid || clock.Real().Now().Sub(began) >= c.Wait {
				return err
			}
			if err := clock.Real().Sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(w, "Bucket %s is there.\n", c.Bucket)
	return nil
}
