package benchmicro

import (
	"fmt"
	"math/rand/v2"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Counting and summing by key in a table that has all keys, against a Go map of structs.
func tableWorks() []Work {
	var works []Work
	for _, n := range []struct {
		name  string
		keys  int
		large bool
	}{{"1k", 1000, false}, {"1M", 1_000_000, false}, {"10M", 10_000_000, true}} {
		ints := each("table.upsert.int64."+n.name, "row", func(bool) (*Race, error) {
			return upserts(n.keys, func(k int64) int64 { return k }, rowkey.AppendInt64)
		})
		texts := each("table.upsert.string."+n.name, "row", func(bool) (*Race, error) {
			return upserts(n.keys, textOf, rowkey.AppendString[string])
		})
		ints.Large, texts.Large = n.large, n.large
		works = append(works, ints, texts)
	}
	return works
}

// tally is what is kept for a key.
type tally struct{ n, sum int64 }

var tallySchema = segment.Schema{{Name: "n", Type: int64Type}, {Name: "sum", Type: int64Type}}

const (
	upsertRows = 1 << 20 // that keys are drawn for
	roundRows  = 1 << 16 // of those, in turn
)

func upserts[K comparable](keys int, keyOf func(int64) K, encode func([]byte, K) []byte) (*Race, error) {
	table, plain := objstate.NewTable(tallySchema), make(map[K]tally)
	for k := range int64(keys) {
		key := encode(nil, keyOf(k))
		table.Upsert(rowkey.HashOf(key), key)
		plain[keyOf(k)] = tally{}
	}
	r := rand.New(rand.NewPCG(1, 3))
	var list []rowkey.Column
	var hashes [][]uint64
	var picked []K
	for range upsertRows / batchRows {
		c := rowkey.Column{Offsets: []int32{0}}
		for range batchRows {
			k := keyOf(r.Int64N(int64(keys)))
			picked = append(picked, k)
			c.Bytes = encode(c.Bytes, k)
			c.Offsets = append(c.Offsets, int32(len(c.Bytes)))
		}
		list, hashes = append(list, c), append(hashes, rowkey.Hash(c, nil))
	}
	rows, slots := Ordinals(batchRows), make([]uint32, batchRows)
	next, nextPlain := 0, 0
	return &Race{
		Sabot: WorkedEach(roundRows, func() error {
			for range roundRows / batchRows {
				b := next % len(list)
				next++
				table.UpsertBatch(hashes[b], list[b], rows, slots)
				n, sum := table.Cols[0].Ints, table.Cols[1].Ints
				for i, slot := range slots {
					n[slot]++
					sum[slot] += int64(i)
				}
				table.TouchAll(slots)
			}
			return same("keys", table.Len(), keys)
		}),
		Baseline: WorkedEach(roundRows, func() error {
			from := nextPlain % upsertRows
			nextPlain += roundRows
			for i, k := range picked[from : from+roundRows] {
				t := plain[k]
				t.n++
				t.sum += int64(i % batchRows)
				plain[k] = t
			}
			return same("keys", len(plain), keys)
		}),
	}, nil
}

// same returns an error when a side has not done what the other one does.
func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%v %s, want %v", got, what, want)
	}
	return nil
}
