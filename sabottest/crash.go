package sabottest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fault"
)

// errCrashed ends a process's life: every storage call fails from then on, and so does the run.
var errCrashed = errors.New("crashed by the test")

// errInjected is a failure of one storage call, in a process that lives on.
var errInjected = fmt.Errorf("failed by the test: %w", objstore.ErrAmbiguous)

// crashPoint is the storage call, counted over all of a job's processes, at which one dies, or that fails once. At is negative: it only counts.
type crashPoint struct {
	at    int
	after bool
	err   error // errCrashed or errInjected

	mu    sync.Mutex
	calls []fault.Call
}

// life returns the bucket of one process's life; kill is called when it dies.
func (p *crashPoint) life(under objstore.Bucket, kill func()) objstore.Bucket {
	return fault.Wrap(under, func(c fault.Call) (f fault.Fault) {
		p.mu.Lock()
		defer p.mu.Unlock()
		n := len(p.calls)
		p.calls = append(p.calls, c)
		if n != p.at {
			return f
		}
		if p.err == errCrashed {
			f.Kill = true
			kill()
		}
		if p.after {
			f.After = p.err
		} else {
			f.Before = p.err
		}
		return f
	})
}
