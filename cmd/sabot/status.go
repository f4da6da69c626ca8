package main

import (
	"context"
	"io"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

type statusCmd struct {
	coordinator `embed:""`
	Watch       bool `help:"Show it again every two seconds, until interrupted."`
	Partitions  bool `help:"List splits and partitions too." env:"-"`
	JSON        bool `help:"Print JSON: all there is."`
}

// watchEvery is how often --watch shows the status.
const watchEvery = 2 * time.Second

// Run prints the status of a running job.
func (c statusCmd) Run(ctx context.Context, w io.Writer) error {
	for {
		var reply *controlpb.StatusReply
		err := c.ask(ctx, func(ctx context.Context, client *control.Client) (err error) {
			reply, err = client.Status(ctx, &controlpb.StatusRequest{})
			return err
		})
		if err != nil {
			return err
		}
		if err := c.print(w, statusOf(reply)); err != nil || !c.Watch {
			return err
		}
		if err := clock.Real().Sleep(ctx, watchEvery); err != nil {
			return nil //nolint:nilerr // interrupted: that is how watching ends
		}
	}
}

func (c statusCmd) print(w io.Writer, s *jobStatus) error {
	if c.JSON {
		return printJSON(w, s)
	}
	s.text(w)
	if c.Partitions {
		s.shares(w)
	}
	return nil
}

// jobStatus is a status for people and scripts. Durations are in seconds; a number that is not known is null.
type jobStatus struct {
	Job            string            `json:"job"`
	Run            string            `json:"run"`
	Term           uint64            `json:"term"`
	Epoch          uint64            `json:"epoch"`
	CommitAge      float64           `json:"commit_age_seconds"`
	CommitUnderWay float64           `json:"commit_under_way_seconds"` // 0: none is
	RowsRead       int64             `json:"rows_read"`                // as committed, like the next four
	RowsLate       int64             `json:"rows_late"`
	RowsDead       int64             `json:"rows_dead"`
	Watermark      *string           `json:"watermark"`
	Ended          bool              `json:"ended"`
	BetweenWorkers int64             `json:"bytes_between_workers"`
	Moving         bool              `json:"moving"` // shares are being dealt out
	Stuck          []string          `json:"stuck"`
	Slow           []string          `json:"slow"`
	Workers        []workerStatus    `json:"workers"`
	Splits         []splitStatus     `json:"splits"`
	Partitions     []partitionStatus `json:"partitions"`
}

type workerStatus struct {
	Name       string   `json:"name"`
	ID         string   `json:"id"`
	HasGroup   bool     `json:"has_group"`
	Group      uint32   `json:"group"`
	Leaving    bool     `json:"leaving"`
	Splits     int      `json:"splits"` // that are not ended
	Partitions int      `json:"partitions"`
	StateBytes int64    `json:"state_bytes"`
	LagRows    *int64   `json:"lag_rows"` // the least that it can be
	Lag        *float64 `json:"lag_seconds"`
	Busy       *float64 `json:"busy"`    // of its busiest lane
	Blocked    *float64 `json:"blocked"` // of the lane that waits most for room behind it
	Queue      *float64 `json:"queue"`   // of the fullest input queue
	Unsent     int64    `json:"unsent_bytes"`
	HeardOf    float64  `json:"heard_of_seconds"`
	LoadAge    *float64 `json:"load_age_seconds"`
	Cut        uint64   `json:"cut"` // that is open; 0: none
	CutStage   string   `json:"cut_stage"`
	CutFor     float64  `json:"cut_seconds"`
	Trouble    string   `json:"trouble"`
	TroubleFor float64  `json:"trouble_seconds"`
	Ended      bool     `json:"ended"` // it has read all
	Lanes      []lane   `json:"lanes"`
}

type lane struct {
	Stage     uint32  `json:"stage"`
	Lane      uint32  `json:"lane"`
	Busy      float64 `json:"busy"`
	Blocked   float64 `json:"blocked"`
	Throttled float64 `json:"throttled"`
	Queue     float64 `json:"queue"`
	Watermark *string `json:"watermark"`
}

type splitStatus struct {
	Source    string   `json:"source"`
	ID        string   `json:"id"`
	Worker    string   `json:"worker"` // empty: it waits for one
	Rows      int64    `json:"rows"`
	LagRows   *int64   `json:"lag_rows"`
	LagBytes  *int64   `json:"lag_bytes"`
	Lag       *float64 `json:"lag_seconds"`
	Watermark *string  `json:"watermark"`
	Ended     bool     `json:"ended"`
	Idle      bool     `json:"idle"`
	Still     float64  `json:"still_seconds"` // neither its rows nor its watermark have changed
}

type partitionStatus struct {
	Stage      uint32  `json:"stage"`
	Partition  int     `json:"partition"`
	Lo         uint64  `json:"lo"`
	Hi         uint64  `json:"hi"`
	Worker     string  `json:"worker"`    // likewise
	Watermark  *string `json:"watermark"` // as committed, like the rest
	StateBytes int64   `json:"state_bytes"`
	Segments   int     `json:"segments"`
}
