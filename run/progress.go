package run

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/engine"
)

// How often a line of progress is shown.
const (
	everyOnTerminal = 200 * time.Millisecond
	everyInLog      = 2 * time.Second
)

// show prints the job's progress until ctx ends: one line that changes on a terminal, a line now and then elsewhere.
func show(ctx context.Context, w io.Writer, terminal bool, stats func() (engine.Stats, bool)) {
	if terminal {
		showBar(ctx, w, stats)
		return
	}
	every(ctx, everyInLog, rates(stats, func(l line) { fmt.Fprintln(w, l) }))
}

func showBar(ctx context.Context, w io.Writer, stats func() (engine.Stats, bool)) {
	pw := progress.NewWriter()
	pw.SetOutputWriter(w)
	pw.SetUpdateFrequency(everyOnTerminal)
	pw.SetTrackerLength(20)
	pw.SetMessageLength(96)
	pw.SetStyle(progress.StyleBlocks)
	pw.Style().Colors.Message = text.Colors{}
	pw.Style().Visibility = progress.StyleVisibility{Percentage: true, Tracker: true}
	pw.SetNumTrackersExpected(1)
	t := &progress.Tracker{Total: 1000}
	pw.AppendTracker(t)
	done := make(chan struct{})
	go func() {
		pw.Render()
		close(done)
	}()
	every(ctx, everyOnTerminal, rates(stats, func(l line) {
		t.UpdateMessage(l.String())
		t.SetValue(min(999, int64(l.Done*1000)))
	}))
	t.MarkAsDone()
	pw.Stop()
	<-done
}

// every calls f each d, and once more when ctx has ended.
func every(ctx context.Context, d time.Duration, f func(time.Time)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			f(now)
		case <-ctx.Done():
			return
		}
	}
}

// line is what one line of progress tells.
type line struct {
	engine.Stats
	in, out float64 // rows per second
	age     time.Duration
}

func (l line) String() string {
	mark := "none yet"
	if l.Watermark != sabot.NoTime && l.Watermark != sabot.MaxMicros {
		mark = l.Watermark.Time().Format("2006-01-02 15:04:05")
	} else if l.Watermark == sabot.MaxMicros {
		mark = "end of input"
	}
	return fmt.Sprintf("in %s (%s/s)  out %s (%s/s)  watermark %s  checkpoint %d, %.1fs ago", count(float64(l.RowsIn)), count(l.in),
		count(float64(l.RowsOut)), count(l.out), mark, l.Epoch, l.age.Seconds())
}

// rates returns what turns statistics into lines.
func rates(stats func() (engine.Stats, bool), show func(line)) func(time.Time) {
	var last engine.Stats
	var at time.Time
	return func(now time.Time) {
		st, ok := stats()
		if !ok {
			return
		}
		l := line{Stats: st, age: now.Sub(st.Committed)}
		if d := now.Sub(at).Seconds(); !at.IsZero() && d > 0 {
			l.in, l.out = float64(st.RowsIn-last.RowsIn)/d, float64(st.RowsOut-last.RowsOut)/d
		}
		last, at = st, now
		show(l)
	}
}

// count prints a number for people.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2fG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}
