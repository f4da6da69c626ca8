//go:build !linux

package benchmicro

import (
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
)

// cpuTime returns the time: how long a thread has had a processor is asked for on Linux only.
func cpuTime() (time.Duration, error) { return time.Duration(clock.Real().Now().UnixNano()), nil }
