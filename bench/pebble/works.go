package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sabot-stream/sabot/internal/benchmicro"
	"github.com/sabot-stream/sabot/objstate"
)

const (
	stateRows    = 2_000_000
	updated      = 16 // batches of a round
	readRows     = 4096
	wide, narrow = 1 << 30, 8 << 20 // bytes of Pebble's block cache: all of the state fits, or nearly nothing
)

// count is how many rows there are.
func count(quick bool) int64 {
	if quick {
		return stateRows / 20
	}
	return stateRows
}

// stores are full ones, by the size of Pebble's cache: works share them, those that write come after those that read.
type stores map[int64]*full

func (s stores) works() []benchmicro.Work {
	work := func(name, unit string, open func(quick bool) (*benchmicro.Race, error)) benchmicro.Work {
		return benchmicro.Work{Name: name, Units: []benchmicro.Unit{{Name: unit}}, Open: open}
	}
	return []benchmicro.Work{
		work("load", "ns/row", loads),
		work("read.memory.random", "ns/key", s.on(wide, memoryReads(false))),
		work("read.memory.sorted", "ns/key", s.on(wide, memoryReads(true))),
		work("update", "ns/row", s.on(wide, updates)),
		work("checkpoint", "ms", s.on(wide, checkpoints)),
		work("read.folder.random", "ns/key", s.on(narrow, folderReads(false))),
		work("read.folder.sorted", "ns/key", s.on(narrow, folderReads(true))),
		work("restore", "ms", s.on(narrow, restores)),
	}
}

// close closes all stores, and removes what they have written.
func (s stores) close() (err error) {
	for _, f := range s {
		err = errors.Join(err, f.folder.close())
	}
	return err
}

// Empty stores take all rows in batches, and write them to the folder.
func loads(quick bool) (*benchmicro.Race, error) {
	n := count(quick)
	fresh := func(fill func(context.Context, *folder) error) benchmicro.Side {
		return func(ctx context.Context) ([]float64, error) {
			f, err := newFolder()
			if err != nil {
				return nil, err
			}
			v, err := benchmicro.TookEach(int(n), func() error { return fill(ctx, f) })(ctx)
			return v, errors.Join(err, f.close())
		}
	}
	return &benchmicro.Race{
		Sabot: fresh(func(ctx context.Context, f *folder) error {
			if err := f.openLane(ctx); err != nil {
				return err
			}
			err := inBatches(n, func(rows []int64) error { f.putLane(rows, rows[0]); return nil })
			return errors.Join(err, f.lane.Write(f.lane.Barrier()))
		}),
		Baseline: fresh(func(_ context.Context, f *folder) error {
			if err := f.openDB(wide); err != nil {
				return err
			}
			err := inBatches(n, func(rows []int64) error { return f.putDB(rows, rows[0]) })
			return errors.Join(err, f.db.Flush())
		}),
	}, nil
}

// full is both stores with all rows, and what chooses among these.
type full struct {
	*folder
	n int64
	r *rand.Rand
}

// on returns what opens a race on the full stores with a cache of so many bytes.
func (s stores) on(cache int64, race func(*full) (*benchmicro.Race, error)) func(bool) (*benchmicro.Race, error) {
	return func(quick bool) (*benchmicro.Race, error) {
		if s[cache] == nil {
			f, err := newFolder()
			if err != nil {
				return nil, err
			}
			s[cache] = &full{folder: f, n: count(quick), r: rand.New(rand.NewPCG(1, 8))}
			if err := f.load(context.Background(), s[cache].n, cache); err != nil {
				return nil, err
			}
		}
		return race(s[cache])
	}
}

// random returns random rows.
func (f *full) random(n int) []int64 {
	rows := make([]int64, n)
	for i := range rows {
		rows[i] = f.r.Int64N(f.n)
	}
	return rows
}

// Random rows get new values, a batch at a time; what is written to the folder meanwhile is each store's own affair. Pebble's flushes and
// compactions are in other goroutines, and count.
func updates(f *full) (*benchmicro.Race, error) {
	side := func(each func(int, func() error) benchmicro.Side, put func(rows []int64) error) benchmicro.Side {
		return func(ctx context.Context) ([]float64, error) {
			rows := f.random(updated * batchRows)
			return each(len(rows), func() error {
				for b := range slices.Chunk(rows, batchRows) {
					if err := put(b); err != nil {
						return err
					}
				}
				return nil
			})(ctx)
		}
	}
	return &benchmicro.Race{
		Sabot:    side(benchmicro.WorkedEach, func(rows []int64) error { f.putLane(rows, rows[0]); return nil }),
		Baseline: side(benchmicro.SpentEach, func(rows []int64) error { return f.putDB(rows, rows[0]) }),
	}, nil
}

// reads is a side that looks for random rows.
func (f *full) reads(find func(rows []int64) (found int, err error)) benchmicro.Side {
	return func(ctx context.Context) ([]float64, error) {
		rows := f.random(readRows)
		return benchmicro.SpentEach(readRows, func() error { return all(find(rows)) })(ctx)
	}
}

// all returns an error unless all rows were found.
func all(found int, err error) error {
	if err == nil && found != readRows {
		err = fmt.Errorf("%d rows were found, want %d", found, readRows)
	}
	return err
}

// Rows are read from the lane's table, and from Pebble's cache: one by one, or a batch together, which Pebble reads in the order of keys.
func memoryReads(sorted bool) func(*full) (*benchmicro.Race, error) {
	return func(f *full) (*benchmicro.Race, error) {
		return &benchmicro.Race{Sabot: f.reads(func(rows []int64) (found int, err error) {
			sum := int64(0)
			keys, hashes := benchmicro.Keys(rows)
			for i, h := range hashes {
				if slot := f.lane.Lookup(h, keys.At(i)); slot != objstate.NoSlot {
					sum += f.lane.Cols[0].Ints[slot]
					found++
				}
			}
			return found, positive(sum)
		}), Baseline: f.reads(func(rows []int64) (int, error) { return read(f.db, rows, sorted) })}, nil
	}
}

// Rows are read from the lane's segments, and from Pebble's tables, which are in the system's page cache.
func folderReads(sorted bool) func(*full) (*benchmicro.Race, error) {
	return func(f *full) (*benchmicro.Race, error) {
		l, err := f.lane.Resume()
		if err != nil {
			return nil, err
		}
		together := 1
		if sorted {
			together = readRows
		}
		return &benchmicro.Race{Sabot: f.reads(func(rows []int64) (int, error) {
			l.Found, l.Sum = 0, 0
			for w := range slices.Chunk(wants(rows), together) {
				l.Find(w)
			}
			return l.Found, positive(l.Sum)
		}), Baseline: f.reads(func(rows []int64) (int, error) { return read(f.db, rows, sorted) })}, nil
	}
}

func positive(sum int64) error {
	if sum <= 0 {
		return fmt.Errorf("the values that were read add up to %d", sum)
	}
	return nil
}

func wants(rows []int64) []objstate.Want {
	keys, hashes := benchmicro.Keys(rows)
	out := make([]objstate.Want, len(rows))
	for i := range out {
		out[i] = objstate.Want{Hash: hashes[i], Key: keys.At(i)}
	}
	return out
}

// read reads rows from a database: one by one as they come, or in the order of keys by one iterator.
func read(db *pebble.DB, rows []int64, sorted bool) (found int, err error) {
	keys := make([][]byte, len(rows))
	for i, n := range rows {
		keys[i] = appendKey(make([]byte, 0, 16), n)
	}
	sum := int64(0)
	if !sorted {
		for _, k := range keys {
			v, closer, err := db.Get(k)
			if err != nil {
				return found, err
			}
			sum += int64(binary.LittleEndian.Uint64(v))
			found++
			if err := closer.Close(); err != nil {
				return found, err
			}
		}
		return found, positive(sum)
	}
	slices.SortFunc(keys, bytes.Compare)
	it, err := db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if it.SeekGE(k) && bytes.Equal(it.Key(), k) {
			sum += int64(binary.LittleEndian.Uint64(it.Value()))
			found++
		}
	}
	return found, errors.Join(it.Close(), positive(sum))
}

// A tenth of the rows has changed, and is made to last: Sabot writes a segment, Pebble flushes and makes a checkpoint.
func checkpoints(f *full) (*benchmicro.Race, error) {
	side := func(put func(rows []int64) error, check func() error) benchmicro.Side {
		return func(ctx context.Context) ([]float64, error) {
			for range f.n / 10 / batchRows {
				if err := put(f.random(batchRows)); err != nil {
					return nil, err
				}
			}
			return benchmicro.Milliseconds(check)(ctx)
		}
	}
	return &benchmicro.Race{
		Sabot: side(func(rows []int64) error { f.putLane(rows, rows[0]); return nil }, func() error { return f.lane.Write(f.lane.Barrier()) }),
		Baseline: side(func(rows []int64) error { return f.putDB(rows, rows[0]) }, func() error {
			_, err := f.checkpoint()
			return err
		}),
	}, nil
}

// A store begins with what another has written, and finds the rows of a batch, in the order of keys.
func restores(f *full) (*benchmicro.Race, error) {
	dir, err := f.checkpoint()
	if err != nil {
		return nil, err
	}
	side := func(find func(rows []int64) (int, error)) benchmicro.Side {
		return func(ctx context.Context) ([]float64, error) {
			rows := f.random(readRows)
			return benchmicro.Milliseconds(func() error { return all(find(rows)) })(ctx)
		}
	}
	return &benchmicro.Race{
		Sabot: side(func(rows []int64) (int, error) {
			l, err := f.lane.Resume()
			if err != nil {
				return 0, err
			}
			defer l.Leave()
			l.Find(wants(rows))
			return l.Found, nil
		}),
		Baseline: side(func(rows []int64) (int, error) {
			opt := options(narrow)
			opt.ReadOnly = true
			db, err := pebble.Open(dir, opt)
			if err != nil {
				return 0, err
			}
			found, err := read(db, rows, true)
			return found, errors.Join(err, db.Close())
		}),
	}, nil
}
