package test

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/internal/row"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

// The tests of this file run whole jobs in virtual time.

type reading struct {
	At     time.Time
	Sensor string
}

type hourly struct {
	Sensor                 string
	WindowStart, WindowEnd time.Time
	Count                  int64
}

// scripted is a source of splits that give rows at given times after the job's start.
type scripted struct {
	began  time.Time
	splits map[string][]scriptedRow
	end    time.Duration // when all splits end
}

type scriptedRow struct {
	after time.Duration
	row   reading
}

func (s *scripted) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	var splits []sabot.Split
	for id := range s.splits {
		splits = append(splits, sabot.Split{ID: sabot.SplitID(id)})
	}
	slices.SortFunc(splits, func(a, b sabot.Split) int { return len(a.ID) - len(b.ID) })
	schema, err := row.Schema(reflect.TypeFor[reading]())
	return schema, splits, err
}

func (s *scripted) Open(_ context.Context, _ sabot.Env, _ *arrow.Schema, split sabot.Split, _ sabot.Position) (sabot.Reader, error) {
	e, err := row.NewEncoder[reading]()
	return &scriptedReader{s: s, rows: s.splits[string(split.ID)], encoder: e}, err
}

type scriptedReader struct {
	s       *scripted
	rows    []scriptedRow
	encoder *row.Encoder[reading]
	next    int
}

func (r *scriptedReader) Read(context.Context) (sabot.Chunk, error) {
	gone := time.Since(r.s.began)
	if r.next < len(r.rows) && r.rows[r.next].after <= gone {
		r.encoder.Append(&r.rows[r.next].row)
		r.next++
		cols := r.encoder.Flush()
		return sabot.Chunk{Rows: array.NewRecordBatch(r.encoder.Schema(), cols, 1), After: sabot.Position(fmt.Sprint(r.next))}, nil
	}
	if gone >= r.s.end {
		return sabot.Chunk{}, io.EOF
	}
	return sabot.Chunk{After: sabot.Position(fmt.Sprint(r.next))}, nil
}

func (r *scriptedReader) Close() error { return nil }

// diary notes when rows come out.
type diary struct {
	mu      sync.Mutex
	began   time.Time
	entries []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf("%s "+format, append([]any{time.Since(d.began).Round(100 * time.Millisecond)}, args...)...))
}

func (d *diary) windows(_ context.Context, rows []hourly) error {
	for _, r := range rows {
		d.note("%s %s: %d", r.Sensor, r.WindowStart.Format("15:04"), r.Count)
	}
	return nil
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(d.entries)
	slices.Sort(want)
	if !slices.Equal(d.entries, want) {
		t.Errorf("came out:\n  %q\nwant:\n  %q", d.entries, want)
	}
}

func virtual(t *testing.T, test func(t *testing.T, d *diary)) {
	synctest.Test(t, func(t *testing.T) { test(t, &diary{began: time.Now()}) })
}

func runVirtual(t *testing.T, job *sabot.Job) run.Result {
	t.Helper()
	res, err := run.Run(t.Context(), job, run.Options{Store: mem.New(), Lanes: 2, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// two splits: a gives a row of each hour every ten seconds, b falls silent after its first.
func sensors(began time.Time) *scripted {
	day := began.Truncate(24 * time.Hour)
	s := &scripted{began: began, end: time.Minute, splits: map[string][]scriptedRow{"bb": {{0, reading{day, "b"}}}}}
	for h := range 4 {
		s.splits["a"] = append(s.splits["a"], scriptedRow{time.Duration(h) * 10 * time.Second, reading{day.Add(time.Duration(h) * time.Hour), "a"}})
	}
	return s
}

func windows(d *diary, in sabot.Source, opts ...sabot.TimeOption) *sabot.Job {
	job := sabot.NewJob("sensors")
	job.Source("in", in, sabot.EventTime("at", opts...)).KeyBy("sensor").Window(sabot.Tumbling(time.Hour)).
		Aggregate("count", sabot.Count()).Immediate("out", callback.Immediate(d.windows))
	return job
}

func TestSilentSplitHoldsTheWatermark(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		runVirtual(t, windows(d, sensors(d.began)))
		d.want(t, "1m0s a 00:00: 1", "1m0s b 00:00: 1", "1m0s a 01:00: 1", "1m0s a 02:00: 1", "1m0s a 03:00: 1")
	})
}

func TestIdleSplitLetsTheWatermarkGo(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		runVirtual(t, windows(d, sensors(d.began), sabot.IdleAfter(15*time.Second)))
		d.want(t, "15s a 00:00: 1", "15s b 00:00: 1", "20s a 01:00: 1", "30s a 02:00: 1", "1m0s a 03:00: 1")
	})
}

func TestProcessingTimeTimers(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		job := sabot.NewJob("sensors")
		in := job.Source("in", sensors(d.began), sabot.EventTime("at"))
		sabot.Process(in.KeyBy("sensor"), "quiet", func(p *sabot.Proc[string, reading, reading]) {
			quiet := sabot.NewValue[int64](p, "due")
			alarm := p.Timer("alarm", sabot.ByProcessingTime, func(at time.Time) error {
				quiet.Clear()
				d.note("%s is quiet since %s", p.Key(), at.Add(-25*time.Second).Sub(d.began))
				return nil
			})
			p.OnRow(func(reading) error {
				if at, ok := quiet.Get(); ok {
					alarm.Cancel(time.UnixMicro(at))
				}
				at := time.Now().Add(25 * time.Second)
				quiet.Put(at.UnixMicro())
				alarm.Set(at)
				p.Emit(reading{})
				return nil
			})
		}).Immediate("out", callback.Immediate(func(context.Context, []reading) error { return nil }))
		runVirtual(t, job)
		d.want(t, "25s b is quiet since 0s", "55s a is quiet since 30s")
	})
}

// A TTL of processing time goes by the clock of the run, without any event time.
func TestTTLOfProcessingTime(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		in := channel.New[reading]()
		job := sabot.NewJob("sensors")
		sabot.Process(job.Source("in", in).KeyBy("sensor"), "recent", func(p *sabot.Proc[string, reading, reading]) {
			minute := []sabot.StateOption{sabot.TTL(time.Minute), sabot.TTLClock(sabot.ByProcessingTime)}
			written := sabot.NewCounter(p, "written", minute...)
			read := sabot.NewValue[bool](p, "read", append(minute, sabot.TTLOnRead())...)
			list := sabot.NewList[int64](p, "list", minute...)
			p.OnRow(func(reading) error {
				_, seen := read.Get()
				d.note("%d %t %d", written.Get(), seen, list.Len())
				if read.Put(true); written.Get() == 0 {
					written.Add(3)
				}
				list.Append(1)
				return nil
			})
		}).Immediate("out", callback.Immediate(func(context.Context, []reading) error { return nil }))
		go func() {
			defer in.Close()
			for _, wait := range []time.Duration{0, 40 * time.Second, 40 * time.Second, time.Minute} {
				time.Sleep(wait)
				if _, err := in.Send(t.Context(), reading{Sensor: "a"}); err != nil {
					t.Error(err)
				}
			}
		}()
		runVirtual(t, job)
		d.want(t, "0s 0 false 0", "40s 3 true 1", "1m20s 0 true 1", "2m20s 0 false 0")
	})
}

// A row comes out of the job at once, whatever the interval between checkpoints.
func TestRowsComeOutAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		in := channel.New[reading]()
		job := sabot.NewJob("sensors")
		keyed := job.Source("in", in).KeyBy("sensor")
		sabot.Process(keyed, "pass", func(p *sabot.Proc[string, reading, reading]) {
			p.OnRow(func(r reading) error {
				p.Emit(r)
				return nil
			})
		}).Immediate("out", callback.Immediate(func(_ context.Context, rows []reading) error {
			for _, r := range rows {
				d.note("%s, %s on its way", r.Sensor, time.Since(r.At))
			}
			return nil
		}))
		go func() {
			defer in.Close()
			for _, sensor := range []string{"a", "b", "c"} {
				time.Sleep(3 * time.Second)
				if _, err := in.Send(t.Context(), reading{time.Now(), sensor}); err != nil {
					t.Error(err)
				}
			}
		}()
		runVirtual(t, job)
		d.want(t, "3s a, 0s on its way", "6s b, 0s on its way", "9s c, 0s on its way")
	})
}

// TestThrottledSplitIsNotIdle: rows that are there and wait for the limit on the rate keep the watermark where it is, for however long.
func TestThrottledSplitIsNotIdle(t *testing.T) {
	virtual(t, func(t *testing.T, d *diary) {
		day := d.began.Truncate(24 * time.Hour)
		s := &scripted{began: d.began, splits: map[string][]scriptedRow{}}
		for i := range 4 {
			s.splits["a"] = append(s.splits["a"], scriptedRow{0, reading{day.Add(time.Duration(i) * time.Hour), "a"}})
			s.splits["bb"] = append(s.splits["bb"], scriptedRow{0, reading{day.Add(time.Duration(i) * time.Minute), "b"}})
		}
		job := windows(d, s, sabot.IdleAfter(100*time.Millisecond))
		res, err := run.Run(t.Context(), job, run.Options{Store: mem.New(), Lanes: 2, Partitions: 2, Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(d.began); took < 6*time.Second {
			t.Errorf("8 rows at a row per second took %s", took)
		}
		if res.Late != 0 {
			t.Errorf("%d rows came late", res.Late)
		}
		for i, e := range d.entries {
			_, d.entries[i], _ = strings.Cut(e, " ")
		}
		d.want(t, "a 00:00: 1", "a 01:00: 1", "a 02:00: 1", "a 03:00: 1", "b 00:00: 4")
	})
}
