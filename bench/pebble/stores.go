package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sabot-stream/sabot/internal/benchmicro"
	"github.com/sabot-stream/sabot/objstore/file"
)

// batchRows is how many rows are written at a time.
const batchRows = 8192

// folder is a new temporary folder with a store of each kind, as far as they are made.
type folder struct {
	dir    string
	bucket *file.Bucket
	lane   *benchmicro.Lane
	db     *pebble.DB
	checks int // checkpoints of db

	slots []uint32
	value [8 * benchmicro.Values]byte
}

func newFolder() (*folder, error) {
	dir, err := os.MkdirTemp("", "sabot-bench")
	if err != nil {
		return nil, err
	}
	return &folder{dir: dir, slots: make([]uint32, batchRows)}, nil
}

// close closes what was made, and removes it.
func (f *folder) close() (err error) {
	if f.lane != nil {
		f.lane.Close()
		err = f.bucket.Close()
	}
	if f.db != nil {
		err = errors.Join(err, f.db.Close())
	}
	return errors.Join(err, os.RemoveAll(f.dir))
}

// openLane makes an empty lane.
func (f *folder) openLane(ctx context.Context) (err error) {
	if f.bucket, err = file.Open(filepath.Join(f.dir, "sabot"), file.Options{}); err != nil {
		return err
	}
	f.lane, err = benchmicro.NewLane(ctx, f.bucket)
	return err
}

// quiet drops what Pebble would log, but for what ends the process.
type quiet struct{}

// Infof implements pebble.Logger.
func (quiet) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (quiet) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func options(cache int64) *pebble.Options {
	return &pebble.Options{CacheSize: cache, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, Logger: quiet{}}
}

// openDB makes an empty database with so many bytes of cache for uncompressed blocks.
func (f *folder) openDB(cache int64) (err error) {
	f.db, err = pebble.Open(filepath.Join(f.dir, "pebble"), options(cache))
	return err
}

// putLane writes a batch of rows into the lane's table.
func (f *folder) putLane(rows []int64, value int64) {
	keys, hashes := benchmicro.Keys(rows)
	f.lane.Put(hashes, keys, ordinals[:len(rows)], f.slots[:len(rows)], value)
}

var ordinals = benchmicro.Ordinals(batchRows)

// putDB writes a batch of rows into the database.
func (f *folder) putDB(rows []int64, value int64) error {
	b := f.db.NewBatchWithSize(len(rows) * 64)
	for c := range benchmicro.Values {
		binary.LittleEndian.PutUint64(f.value[8*c:], uint64(value))
	}
	var key [16]byte
	for _, n := range rows {
		if err := b.Set(appendKey(key[:0], n), f.value[:], nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

// appendKey appends a row's key as Pebble has it; it sorts as the lane's does, but for the sign.
func appendKey(dst []byte, n int64) []byte {
	a, b := benchmicro.Key(n)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(a)), uint64(b))
}

// inBatches calls put with the rows from 0 to n-1, a batch at a time.
func inBatches(n int64, put func(rows []int64) error) error {
	rows := make([]int64, batchRows)
	for from := int64(0); from < n; from += batchRows {
		k := min(batchRows, n-from)
		for i := range k {
			rows[i] = from + i
		}
		if err := put(rows[:k]); err != nil {
			return err
		}
	}
	return nil
}

// load fills both stores with n rows, and writes them out as one segment and as compacted tables.
func (f *folder) load(ctx context.Context, n, cache int64) error {
	if err := errors.Join(f.openLane(ctx), f.openDB(cache)); err != nil {
		return err
	}
	err := inBatches(n, func(rows []int64) error {
		f.putLane(rows, rows[0])
		return f.putDB(rows, rows[0])
	})
	if err = errors.Join(err, f.lane.Write(f.lane.Barrier()), f.db.Flush()); err != nil {
		return err
	}
	if _, err := f.lane.Compact(); err != nil {
		return err
	}
	return f.db.Compact(ctx, []byte{0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, true)
}

// checkpoint copies the database's state into a folder of its own.
func (f *folder) checkpoint() (dir string, err error) {
	f.checks++
	dir = filepath.Join(f.dir, fmt.Sprint("checkpoint", f.checks))
	return dir, errors.Join(f.db.Flush(), f.db.Checkpoint(dir))
}
