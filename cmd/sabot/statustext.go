package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// statusWidth is how many columns a status takes at most.
const statusWidth = 100

// text prints the status for a person: a line for each worker, however many splits and partitions there are.
func (s *jobStatus) text(w io.Writer) {
	fmt.Fprintf(w, "job %s, run %s, term %d: checkpoint %d, committed %s ago\n", s.Job, s.Run, s.Term, s.Epoch, short(s.CommitAge))
	fmt.Fprintf(w, "%d rows read, %d late, %d dead; watermark %s\n\n", s.RowsRead, s.RowsLate, s.RowsDead, orDash(s.Watermark))
	t := narrowTable(w)
	t.AppendHeader(table.Row{"worker", "splits", "parts", "lag rows", "lag", "busy", "blocked", "queue", "state", "doing"})
	for i, x := range s.Workers {
		t.AppendRow(table.Row{s.nameOf(i), x.Splits, x.Partitions, count(x.LagRows), span(x.Lag), share(x.Busy), share(x.Blocked), share(x.Queue), size(x.StateBytes), x.doing()})
	}
	t.Render()
	if s.BetweenWorkers > 0 {
		fmt.Fprintf(w, "%s are on their way between workers\n", size(s.BetweenWorkers))
	}
	for _, why := range s.Stuck {
		wrapped(w, "stuck: ", why)
	}
	for _, why := range s.Slow {
		wrapped(w, "slow:  ", why)
	}
}

// shares prints every split and partition.
func (s *jobStatus) shares(w io.Writer) {
	fmt.Fprintln(w)
	t := narrowTable(w)
	t.AppendHeader(table.Row{"source", "split", "worker", "rows", "lag rows", "lag", "watermark"})
	for _, x := range s.Splits {
		mark := second(x.Watermark)
		switch {
		case x.Ended:
			mark = "ended"
		case x.Idle:
			mark = "idle"
		}
		t.AppendRow(table.Row{clip(x.Source, 12), clip(x.ID, 24), clip(orNobody(x.Worker), 16), x.Rows, count(x.LagRows), span(x.Lag), mark})
	}
	t.Render()
	fmt.Fprintln(w)
	t = narrowTable(w)
	t.AppendHeader(table.Row{"stage", "part", "worker", "watermark", "segments", "state"})
	for _, x := range s.Partitions {
		t.AppendRow(table.Row{x.Stage, x.Partition, clip(orNobody(x.Worker), 24), second(x.Watermark), x.Segments, size(x.StateBytes)})
	}
	t.Render()
}

// narrowTable is a table without lines, but for one under its head.
func narrowTable(w io.Writer) table.Writer {
	t := newTable(w)
	t.Style().Options.DrawBorder, t.Style().Options.SeparateColumns = false, false
	return t
}

// doing says what a worker does, in a word or two.
func (x workerStatus) doing() string {
	switch {
	case x.HeardOf > silentAfter:
		return "silent " + short(x.HeardOf)
	case !x.HasGroup:
		return "no share yet"
	case x.Trouble != "":
		return "bucket " + short(x.TroubleFor)
	case x.Leaving:
		return "leaves"
	case x.Cut != 0 && x.CutStage == "":
		return "cut " + short(x.CutFor)
	case x.Cut != 0:
		return x.CutStage + " " + short(x.CutFor)
	case x.Ended:
		return "read all"
	}
	return "works"
}

// silentAfter is after how many seconds without a word from a worker it is called silent.
const silentAfter = 3

// nameOf returns a worker's name, or its id where another has the same name.
func (s *jobStatus) nameOf(i int) string {
	for k, x := range s.Workers {
		if k != i && x.Name == s.Workers[i].Name {
			return clip(s.Workers[i].ID, 16)
		}
	}
	return clip(s.Workers[i].Name, 16)
}

// second is an instant to the second.
func second(instant *string) string {
	whole, _, fraction := strings.Cut(orDash(instant), ".")
	if fraction {
		whole += "Z"
	}
	return whole
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

// clip keeps the end of what is too long: that is where names differ.
func clip(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return "…" + string(r[len(r)-most+1:])
}

// short prints seconds as people say them.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

func span(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return short(*seconds)
}

func count(n *int64) string {
	if n == nil {
		return "-"
	}
	if *n >= 1_000_000 {
		return fmt.Sprintf("%.1fM", float64(*n)/1e6)
	}
	return fmt.Sprint(*n)
}

func share(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100**x)
}

// size prints bytes.
func size(n int64) string {
	for _, u := range []struct {
		unit string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.unit)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// wrapped prints a line behind a word, on several lines where it is long.
func wrapped(w io.Writer, word, line string) {
	lines := strings.Split(text.WrapSoft(line, statusWidth-len(word)), "\n")
	for i, l := range lines {
		lead := word
		if i > 0 {
			lead = strings.Repeat(" ", len(word))
		}
		fmt.Fprintln(w, lead+strings.TrimRight(l, " "))
	}
}
