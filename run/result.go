package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Result is what a run came to, as committed.
type Result struct {
	Job, Run string
	Finished bool // the input has ended and all output is published
	Before   bool // it had finished before this process started
	Epoch    uint64
	RowsRead int64
	Late     int64 // rows too late for any window
	Dead     int64 // rows in dead letters
	Started  time.Time
	Ended    time.Time
	DeadAt   string // prefix of the dead letters in the bucket
	Sources  []SourceResult
}

// SourceResult is what was read of one source.
type SourceResult struct {
	Name   string
	Rows   int64
	Splits int
	Unread []string // splits that appeared after the first start
}

func resultOf(root *pb.Root) Result {
	if root == nil {
		return Result{}
	}
	r := Result{Job: root.Job, Run: root.Run, Finished: root.FinishedUs != 0, Epoch: root.Epoch, RowsRead: checkpoint.RowsRead(root), Late: root.Late,
		Dead: root.Dead, Started: time.UnixMicro(root.StartedUs), DeadAt: root.Job + "/dead/" + root.Run + "/"}
	if r.Finished {
		r.Ended = time.UnixMicro(root.FinishedUs)
	}
	for _, s := range root.Sources {
		sr := SourceResult{Name: s.Name, Splits: len(s.Splits), Unread: s.Unread}
		for _, sp := range s.Splits {
			sr.Rows += sp.Rows
		}
		r.Sources = append(r.Sources, sr)
	}
	return r
}

// String tells a person how the run ended, in lines.
func (r Result) String() string {
	var b strings.Builder
	if r.Before {
		fmt.Fprintf(&b, "Job %q has ended already, at %s.", r.Job, r.Ended.Local().Format("2006-01-02 15:04:05"))
	} else {
		fmt.Fprintf(&b, "Job %q ended.", r.Job)
	}
	var reads []string
	for _, s := range r.Sources {
		reads = append(reads, fmt.Sprintf("%s rows of %q (%s)", grouped(s.Rows), s.Name, plural(s.Splits, "split")))
	}
	fmt.Fprintf(&b, " It read %s; its last checkpoint is number %d.", strings.Join(reads, " and "), r.Epoch)
	if r.Before {
		b.WriteString(" Use --fresh to run it again from the beginning.")
	}
	b.WriteByte('\n')
	if r.Late > 0 {
		fmt.Fprintf(&b, "%s rows came too late for their windows and are not in the output; a greater MaxDelay, Lateness or a late output takes them.\n",
			grouped(r.Late))
	}
	if r.Dead > 0 {
		fmt.Fprintf(&b, "%s bad records are in dead letters, with their reasons: %s in the bucket.\n", grouped(r.Dead), r.DeadAt)
	}
	for _, s := range r.Sources {
		if len(s.Unread) > 0 {
			fmt.Fprintf(&b, "Not read, because they came after the first start of the job: %s.\n", strings.Join(s.Unread, ", "))
		}
	}
	return b.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
