package engine

import (
	"sync/atomic"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

// progress is what the lanes of a group tell of their work, to be read from any goroutine.
type progress struct {
	rows  atomic.Int64 // read, since the group started
	lanes int64        // set before the lanes run
	done  atomic.Int64 // lanes that have seen the end of input
	fresh atomic.Bool  // rows have been read since the last cut, and the worker knows
	nudge func()       // tells the worker
}

func newProgress(nudge func()) *progress { return &progress{nudge: nudge} }

// read notes rows; the first ones after a cut are told at once, so that a short interval between cuts is kept.
func (p *progress) read(n int64) {
	p.rows.Add(n)
	if !p.fresh.Swap(true) {
		p.nudge()
	}
}

func (p *progress) laneEnded() { p.done.Add(1) }

// ended tells whether every lane has seen the end of input.
func (p *progress) ended() bool { return p.done.Load() == p.lanes }

// StateStats counts what a lane has read of its state, and dropped from memory.
type StateStats = objstate.Stats

// Stats is a job's state for a person who watches it.
type Stats struct {
	RowsIn, RowsOut int64 // since the run began; RowsOut as committed
	Late, Dead      int64 // as committed
	Done            float64
	Watermark       sabot.Micros // as committed; NoTime: none
	Epoch           uint64
	Committed       time.Time // of the last checkpoint
	Ended           bool      // all input is read
	Waiting         int       // outputs to publish
	Restarts        int
	ResumedAt       int64    // rows that had been read when this process took the job over
	RowsHere        int64    // read by this worker, from sources and other workers, since its share began
	Unsent          int64    // bytes of rows that wait for a checkpoint to go to other workers
	Root            *pb.Root // newest committed that the worker knows; nobody changes it
}
