package sabottest

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
)

type visit struct {
	At   time.Time
	Page string
}

type visits struct {
	Page                   string
	WindowStart, WindowEnd time.Time
	Count                  int64
}

func visitsJob() *sabot.Job {
	job := sabot.NewJob("visits")
	job.Source("in", Source[visit](), sabot.EventTime("at")).KeyBy("page").Window(sabot.Tumbling(time.Minute)).
		Aggregate("count", sabot.Count()).Sink("out", Sink[visits]())
	return job
}

// A disk that is full ends the job, with what to do; when there is room again the job goes on and nothing is lost or doubled.
func TestFullDisk(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	writes := 0
	for at := 0; ; at++ {
		h := newHarness(t, visitsJob, nil)
		seen := 0
		h.bucket = fault.Wrap(mem.New(), func(c fault.Call) (f fault.Fault) {
			if c.Op != fault.Put && c.Op != fault.PutIf {
				return f
			}
			if seen++; seen-1 == at {
				f.Before = sabot.WithKind(sabot.Invalid, fmt.Errorf("write %s: %w: the disk is full", c.Key, syscall.ENOSPC))
			}
			return f
		})
		for i := range 3 {
			Feed(h, "in", visit{noon.Add(time.Duration(i) * 40 * time.Second), "home"})
		}
		err := h.start()
		if err == nil {
			if writes = at; writes == 0 {
				t.Fatal("the job has written nothing")
			}
			break
		}
		if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "the disk is full") {
			t.Fatalf("write %d fails: the job ended with %v of kind %s, want what the disk said, of kind invalid", at, err, sabot.KindOf(err))
		}
		Want(h, "out", visits{"home", noon, noon.Add(time.Minute), 2}, visits{"home", noon.Add(time.Minute), noon.Add(2 * time.Minute), 1})
	}
	if writes < 10 {
		t.Errorf("only %d writes were tried", writes)
	}
}
