package benchcluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/clock"
)

// sampler is a committed sink that notes what it is given in a file of this process: "<sink> <output> <microseconds when> <row>".
type sampler[T any] struct {
	folder string // empty: nowhere
	line   func(T) string
}

// Roll implements sabot.Roller: each checkpoint's rows are published at once.
func (sampler[T]) Roll() (bytes int64, age time.Duration) { return 1, time.Second }

// Publish implements sabot.Sink.
func (s sampler[T]) Publish(_ context.Context, id sabot.OutputID, b arrow.RecordBatch) error {
	if s.folder == "" {
		return nil
	}
	rows, err := sabot.Rows[T](b)
	if err != nil {
		return sabot.Permanent(err)
	}
	now := clock.Real().Now().UnixMicro()
	var text strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&text, id.Sink, id, now, s.line(r))
	}
	f, err := os.OpenFile(filepath.Join(s.folder, fmt.Sprintf("%d.samples", os.Getpid())), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(text.String()); err != nil {
		_ = f.Close() // the first error tells
		return err
	}
	return f.Close()
}

func (s seen) line() string { return fmt.Sprint(s.Row, s.Created.UnixMicro(), s.Nth, s.Before) }

func (c counted) line() string {
	return fmt.Sprint(c.Visited, c.WindowStart.UnixMicro(), c.Visits, c.Value)
}

// sample is one row that a sink was given.
type sample struct {
	sink, output string
	at           int64 // microseconds
	row          [4]int64
}

// samples calls f with all that is noted in a folder, in the order of each process.
func samples(folder string, f func(sample)) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.samples"))
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := samplesOf(path, f); err != nil {
			return fmt.Errorf("read what the sinks noted: %w", err)
		}
	}
	return nil
}

func samplesOf(path string, f func(sample)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var s sample
		n, err := fmt.Sscan(lines.Text(), &s.sink, &s.output, &s.at, &s.row[0], &s.row[1], &s.row[2], &s.row[3])
		if n == 7 && err == nil { // the last line of a process that was killed is cut off
			f(s)
		}
	}
	return lines.Err()
}
