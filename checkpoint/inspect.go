package checkpoint

import (
	"context"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// Snapshot sums up a root for people and scripts. Times are RFC 3339 in UTC.
type Snapshot struct {
	Job            string          `json:"job"`
	Run            string          `json:"run"`
	Term           uint64          `json:"term"`
	Epoch          uint64          `json:"epoch"`
	Floor          uint64          `json:"floor"`
	RowsRead       int64           `json:"rows_read"`
	RowsLate       int64           `json:"rows_late"`
	RowsDead       int64           `json:"rows_dead"`
	Watermark      *string         `json:"watermark"` // least of all keyed partitions, or of all splits when there are none; null: not yet any
	Ended          bool            `json:"ended"`     // all input is read
	Finished       bool            `json:"finished"`  // and all is published
	FinishedAt     *string         `json:"finished_at"`
	StartedAt      string          `json:"started_at"`
	CommittedAt    string          `json:"committed_at"`
	Partitions     int             `json:"partitions"` // of all keyed stages
	References     int             `json:"references"`
	Objects        int             `json:"objects"`
	Bytes          int64           `json:"bytes"` // that references and sections name, each once
	OutputsOpen    int             `json:"outputs_open"`
	OutputsWaiting int             `json:"outputs_waiting"` // closed, to be published
	DeadWaiting    int             `json:"dead_waiting"`    // runs of dead letters to be written out
	Splits         []SplitSnapshot `json:"splits"`
}

// SplitSnapshot is how far one split has been read.
type SplitSnapshot struct {
	Source    string  `json:"source"`
	ID        string  `json:"id"`
	Rows      int64   `json:"rows"`
	Dead      int64   `json:"dead"`
	Position  string  `json:"position"`
	Watermark *string `json:"watermark"`
	Done      float64 `json:"done"` // share read
	Ended     bool    `json:"ended"`
}

// EndOfInput is how a Snapshot writes the watermark of input that has ended: the last instant that RFC 3339 can tell.
const EndOfInput = "9999-12-31T23:59:59.999999Z"

// Inspect sums up the committed root of a job.
func Inspect(ctx context.Context, bucket objstore.Bucket, job string) (*Snapshot, error) {
	root, _, err := Store{Bucket: bucket, Paths: NewPaths(job), Clock: clock.Real()}.Read(ctx)
	if err != nil {
		return nil, err
	}
	return Summarize(root), nil
}

// Summarize sums up a root.
func Summarize(root *pb.Root) *Snapshot {
	s := &Snapshot{Job: root.Job, Run: root.Run, Term: root.Term, Epoch: root.Epoch, Floor: root.Floor, RowsRead: RowsRead(root),
		RowsLate: root.Late, RowsDead: root.Dead, Ended: root.Ended, Finished: root.FinishedUs != 0, StartedAt: Instant(root.StartedUs),
		CommittedAt: Instant(root.CommittedUs), Objects: len(root.Objects), DeadWaiting: len(root.DeadSections), Splits: []SplitSnapshot{}}
	if s.Finished {
		at := Instant(root.FinishedUs)
		s.FinishedAt = &at
	}
	var splits, parts lowest
	for _, src := range root.Sources {
		for _, sp := range src.Splits {
			splits.add(sp.HasWatermark, sp.WatermarkUs)
			var w lowest
			w.add(sp.HasWatermark, sp.WatermarkUs)
			s.Splits = append(s.Splits, SplitSnapshot{src.Name, sp.Id, sp.Rows, sp.Dead, sp.Position, w.text(), sp.Done, sp.Ended})
		}
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			parts.add(p.HasWatermark, p.WatermarkUs)
			s.Partitions++
			s.References += len(p.Refs)
		}
	}
	if s.Watermark = parts.text(); s.Partitions == 0 {
		s.Watermark = splits.text()
	}
	for _, o := range root.Outputs {
		if o.Closed {
			s.OutputsWaiting++
		} else {
			s.OutputsOpen++
		}
	}
	for _, x := range spansOf(root) {
		s.Bytes += x.length
	}
	return s
}

// lowest is the minimum of watermarks; one that is missing makes it missing.
type lowest struct {
	n       int
	missing bool
	us      int64
}

func (l *lowest) add(has bool, us int64) {
	l.missing = l.missing || !has
	if l.n++; l.n == 1 || us < l.us {
		l.us = us
	}
}

func (l *lowest) text() *string {
	if l.n == 0 || l.missing {
		return nil
	}
	t := Instant(l.us)
	return &t
}

// maxInstant is EndOfInput in microseconds.
const maxInstant = 253402300799_999999

// Instant writes microseconds since the epoch as RFC 3339 in UTC; what lies beyond is EndOfInput.
func Instant(us int64) string {
	if us > maxInstant {
		return EndOfInput
	}
	return sabot.Micros(us).Time().Format(time.RFC3339Nano)
}
