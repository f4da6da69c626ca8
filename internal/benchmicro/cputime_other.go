//go:build !linux

package benchmicro

import (
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
)

// threadTime and processTime return the time: how long there was a processor is asked for on Linux only.
func threadTime() (time.Duration, error) { return time.Duration(clock.Real().Now().UnixNano()), nil }

func processTime() (time.Duration, error) { return threadTime() }
