package benchmicro

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns how long the calling thread has had a processor.
func threadTime() (time.Duration, error) { return cpuTime(unix.CLOCK_THREAD_CPUTIME_ID) }

// processTime returns how long all threads of this process together have had a processor.
func processTime() (time.Duration, error) { return cpuTime(unix.CLOCK_PROCESS_CPUTIME_ID) }

func cpuTime(clock int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano()), err
}
