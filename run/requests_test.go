package run

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// A job through which nothing flows asks nothing of its bucket, however many workers share it.
func TestIdleClusterIsFree(t *testing.T) {
	bucket := fault.Wrap(mem.New(), nil)
	c := newCluster(t, func() *sabot.Job {
		job := sabot.NewJob("meters")
		job.Source("measures", channel.New[measure](), sabot.EventTime("at")).KeyBy("meter").Window(sabot.Tumbling(time.Minute)).
			Aggregate("minutes", sabot.Sum("value").As("sum")).
			Sink("out", callback.Committed(func(context.Context, sabot.OutputID, []byMeter) error { return nil }))
		return job
	})
	c.bucket = bucket
	for i := range 3 {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	for began := time.Now(); !strings.Contains(co.status(c.ctx), "worker-2 Group:"); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the workers do not come: %s", co.status(c.ctx))
		}
	}
	var calls []fault.Call
	for range 5 { // the first time or two the shares are being dealt out
		before := len(bucket.Calls())
		time.Sleep(2 * time.Second) // a hundred intervals between checkpoints
		if calls = bucket.Calls()[before:]; len(calls) == 0 {
			return
		}
	}
	t.Errorf("an idle job made %d calls: %v", len(calls), calls)
}

// A checkpoint costs one object for each worker, and one commit for all of them.
func TestCheckpointsCostLittle(t *testing.T) {
	const workers = 3
	bucket := fault.Wrap(mem.New(), nil)
	l := newLedger(t)
	c := newCluster(t, func() *sabot.Job { return meterJob(l) })
	c.bucket = bucket
	c.opt.Checkpoint = 100 * time.Millisecond
	for i := range workers {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	<-co.ended
	if co.err != nil {
		t.Fatal(co.err)
	}
	packs, commits, lists := 0, 0, 0
	for _, call := range bucket.Calls() {
		switch {
		case call.Op == fault.Put && strings.Contains(call.Key, "/packs/"):
			packs++
		case call.Op == fault.PutIf && strings.HasSuffix(call.Key, "/CURRENT"):
			commits++
		case call.Op == fault.List:
			lists++
		}
	}
	// Compactions write objects of their own; the first commit, and those that deal shares out, hold none.
	if packs > 2*workers*commits || commits > packs+10 {
		t.Errorf("%d objects were written and %d commits made by %d workers", packs, commits, workers)
	}
	if lists > 6 {
		t.Errorf("%d listings: they belong to starts and ends alone", lists)
	}
	l.check()
}
