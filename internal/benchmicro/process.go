package benchmicro

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/operators"
)

type inRow struct{ V int64 }

type outRow struct{ Key, Sum int64 }

type proc = *sabot.Proc[int64, inRow, outRow]

// A process function that reads and writes a handle for each row, through its operator, against a Go map.
func handleWorks() []Work {
	value := func(p proc) {
		sum := sabot.NewValue[int64](p, "sum")
		p.OnRow(func(r inRow) error {
			s, _ := sum.Get()
			sum.Put(s + r.V)
			return nil
		})
	}
	entries := func(p proc) {
		m := sabot.NewMap[int64, int64](p, "m")
		p.OnRow(func(r inRow) error {
			n, _ := m.Get(r.V % 16)
			m.Put(r.V%16, n+r.V)
			return nil
		})
	}
	return []Work{
		each("handle.value.300", "row", func(bool) (*Race, error) { return handles(300, value, sumsByKey) }),
		each("handle.value.100k", "row", func(bool) (*Race, error) { return handles(100_000, value, sumsByKey) }),
		each("handle.map.300", "row", func(bool) (*Race, error) { return handles(300, entries, sumsByEntry) }),
	}
}

func sumsByKey(in *input) func() error {
	m := map[int64]int64{}
	return func() error {
		for i, k := range in.keys {
			s := m[k]
			m[k] = s + in.values[i]
		}
		return some(len(m))
	}
}

func sumsByEntry(in *input) func() error {
	m := map[int64]map[int64]int64{}
	return func() error {
		for i, k := range in.keys {
			inner := m[k]
			if inner == nil {
				inner = map[int64]int64{}
				m[k] = inner
			}
			n := inner[in.values[i]%16]
			inner[in.values[i]%16] = n + in.values[i]
		}
		return some(len(m))
	}
}

// some returns an error when nothing was done.
func some(n int) error {
	if n == 0 {
		return fmt.Errorf("nothing came of it")
	}
	return nil
}

// handles races an operator of a process function with a loop by hand over the same rows.
func handles(keys int, setup func(proc), plain func(*input) func() error) (*Race, error) {
	in, err := newInput(int64Type, keys, 0)
	if err != nil {
		return nil, err
	}
	store, err := emptyStore(in.keyFields())
	if err != nil {
		return nil, err
	}
	job := sabot.NewJob("micro")
	sabot.Process(job.Source("in", nil).KeyBy("key"), "p", setup)
	fn := job.Impl("p").(sabot.ProcessFunc)
	out, _, err := fn.Bind(in.schema, []string{"key"})
	if err != nil {
		return nil, err
	}
	op, err := operators.NewProcess(operators.ProcessConfig{Name: "p", In: in.schema, Out: out, KeyFields: in.keyFields()}, fn, store)
	if err != nil {
		return nil, err
	}
	return &Race{
		Sabot: WorkedEach(inputRows, func() error {
			for _, b := range in.batches {
				b.Retain()
				if err := op.Batch(b, &collector{}); err != nil {
					return err
				}
			}
			return nil
		}),
		Baseline: WorkedEach(inputRows, plain(in)),
	}, nil
}

// emptyStore returns a lane's state with nothing stored.
func emptyStore(keyFields []arrow.Field) (*objstate.Store, error) {
	return objstate.NewStore(objstate.Options{Ranges: rowkey.Even(1), Watermark: sabot.NoTime, KeyFields: keyFields,
		Refs: func() objstate.Snapshot {
			return objstate.Snapshot{Version: 0, Of: func(string) []objstate.Ref { return nil }}
		},
		Fetch: func(spans []objstate.Span) ([][]byte, error) {
			return nil, fmt.Errorf("%d spans were asked for, and nothing is stored", len(spans))
		}})
}
