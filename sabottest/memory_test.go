package sabottest_test

import (
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/sabottest"
)

// Jobs that may keep nothing in memory, and read back the state of each key for each batch, give what they give with all memory, wherever they crash.
func TestStateLargerThanMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off")
	for name, c := range map[string]struct {
		job  func() *sabot.Job
		want func(*sabottest.Harness)
	}{
		"process function by row": {handlesJob(false), wantReports},
		"process function by key": {handlesJob(true), wantReports},
		"hopping windows":         {windowJob, wantWindows},
	} {
		t.Run(name, func(t *testing.T) {
			sabottest.CrashEverywhere(t, c.job, func(h *sabottest.Harness) {
				h.Memory = 2
				c.want(h)
			})
		})
	}
}
