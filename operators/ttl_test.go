package operators

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
)

// keeping is a process function that keeps a value, an entry and an element, with options.
func keeping(opts ...sabot.StateOption) sabot.ProcessFunc {
	return processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		value := sabot.NewValue[int64](p, "value", opts...)
		entries := sabot.NewMap[int64, string](p, "map", opts...)
		list := sabot.NewList[bool](p, "list", opts...)
		p.OnRow(func(keyed) error {
			value.Put(1)
			entries.Put(p.Key(), "one")
			list.Append(true)
			return nil
		})
	})
}

// Batches in the end find all that has expired by processing time, without any watermark.
func TestBatchesSweepByProcessingTime(t *testing.T) {
	const keys = 4 * sweepSlots
	f := newFeed(t, justKey, 0)
	clock := sabot.Micros(1_000_000)
	op := newTimedProcessOp(t, keeping(sabot.TTL(time.Minute), sabot.TTLClock(sabot.ByProcessingTime)), f, newDisk(t, f.keyFields()),
		func() time.Time { return clock.Time() }).(*process)
	out := &recorder{t: t}
	if err := op.Batch(f.batch(stamped(keys, 10), nil), out); err != nil {
		t.Fatal(err)
	}
	for i, later := range []sabot.Micros{59_999_999, 1} {
		clock += later
		for range keys/sweepSlots + 1 {
			if err := op.Batch(f.batch(nil, nil), out); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := op.keys.Len(), []int{keys, 0}[i]; got != want {
			t.Errorf("%d keys are kept %s after they were put, want %d", got, (clock - 1_000_000).Time().Sub(time.Unix(0, 0)), want)
		}
	}
}

// Maps and lists that were kept by one clock do not fit the other: they are refused, not misread. Values are columns of their own, and a job whose values
// change their clock is refused before anything is read (package change).
func TestTTLOfAnotherClock(t *testing.T) {
	ttl, wall := sabot.TTL(time.Hour), sabot.TTLClock(sabot.ByProcessingTime)
	for name, c := range map[string]struct{ was, is []sabot.StateOption }{
		"event time, then processing time": {[]sabot.StateOption{ttl}, []sabot.StateOption{ttl, wall}},
		"processing time, then event time": {[]sabot.StateOption{ttl, wall}, []sabot.StateOption{ttl}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t, justKey, 0)
			d := newDisk(t, f.keyFields())
			now := func() time.Time { return time.Unix(5, 0) }
			out := &recorder{t: t}
			op := newTimedProcessOp(t, keeping(c.was...), f, d, now)
			if err := op.Batch(f.batch(stamped(3, 10), nil), out); err != nil {
				t.Fatal(err)
			}
			d.freeze(10)()
			for _, part := range newTimedProcessOp(t, keeping(c.is...), f, d, now).(*process).parts[:2] {
				err := ready(part)
				if sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), `no column "used`) {
					t.Errorf("reading the state says %v, want an error of kind invalid that names the column", err)
				}
			}
			again := newTimedProcessOp(t, keeping(c.was...), f, d, now).(*process)
			for _, part := range again.parts {
				if err := ready(part); err != nil {
					t.Errorf("reading the state by its own clock: %v", err)
				}
			}
			if n := again.keys.Len(); n != 3 {
				t.Errorf("%d keys are kept, want 3", n)
			}
		})
	}
}

// ready reads a part's state.
func ready(h objstate.Handle) (err error) {
	defer func() {
		if v := recover(); v != nil {
			var bad *objstate.StorageError
			if e, ok := v.(error); !ok || !errors.As(e, &bad) {
				panic(v)
			}
			err = bad
		}
	}()
	h.Load()
	return nil
}
