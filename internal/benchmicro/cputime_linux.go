package benchmicro

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns how long the calling thread has had a processor.
func cpuTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
