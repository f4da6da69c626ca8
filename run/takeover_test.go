package run

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"go.uber.org/goleak"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// opened counts the readers that a source opens.
type opened struct {
	metering
	n *atomic.Int64
}

func (o opened) Open(ctx context.Context, env sabot.Env, s *arrow.Schema, sp sabot.Split, at sabot.Position) (sabot.Reader, error) {
	o.n.Add(1)
	return o.metering.Open(ctx, env, s, sp, at)
}

// When the coordinator dies, the workers keep what they have: nobody starts to read again.
func TestTakeoverGoesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, opens := newLedger(t), new(atomic.Int64)
	c := newCluster(t, func() *sabot.Job { return meterJobFrom(l, opened{n: opens}) })
	c.opt.Rate = 5000
	for i := range 3 {
		c.worker(fmt.Sprint("worker-", i))
	}
	co := c.coordinator()
	wait := func(what string, ok func(*pb.Root) bool) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			if root := c.root(); root != nil && ok(root) {
				return
			}
			if !co.running() || time.Since(began) > 30*time.Second {
				t.Fatalf("%s does not come: %s", what, c.stuck())
			}
		}
	}
	wait("a share for each worker", func(root *pb.Root) bool { return len(checkpoint.Owners(root)) == 3 && checkpoint.RowsRead(root) > 2000 })
	before := opens.Load()
	for range 3 {
		co.kill()
		co = c.coordinator()
		rows := checkpoint.RowsRead(c.root())
		wait("progress under the next coordinator", func(root *pb.Root) bool { return checkpoint.RowsRead(root) > rows })
	}
	if n := opens.Load() - before; n != 0 {
		t.Errorf("%d splits were opened again", n)
	}
	<-co.ended
	if co.err != nil || !co.res.Finished {
		t.Fatalf("the coordinator ended with %+v, %v", co.res, co.err)
	}
	c.wg.Wait()
	l.check()
	c.fsck()
}
