package benchcompact

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/compaction"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// tally is what was counted so far; but for the bytes, since the end of the warm-up.
type tally struct {
	first       int64 // bytes that cuts have written
	expiredRead int64 // bytes of segments that were read when their time bucket had expired
	tasks       int

	rowBytes        float64 // of a live row, as the last sample has it
	cuts            int
	space, spaceSum float64 // stored bytes for each live one: most, and sum over cuts
	fanIn           int     // most references that show one place
	fanInSum        float64 // mean over places, sum over cuts
	warmed          int64   // bytes that cuts had written at the end of the warm-up
	warmedAll       int64   // bytes that were written by then
	live            int64   // bytes of live rows in the last sample
}

// samples is how often live rows are encoded, to know what one takes.
const samples = 12

// measure takes the figures of a second.
func (j *job) measure(n int) error {
	warm := j.o.Cuts / 4
	if n < warm {
		return nil
	}
	t := &j.tally
	if n == warm {
		t.warmed, t.warmedAll = t.first, j.bucket.written
	}
	if every := max(1, (j.o.Cuts-warm)/samples); (n-warm)%every == 0 || n == j.o.Cuts-1 {
		size, rows, err := j.encoded()
		if err != nil {
			return err
		}
		t.rowBytes = float64(size) / float64(rows)
		t.live = size
	}
	t.cuts++
	space := float64(j.bucket.stored) / (t.rowBytes * float64(j.w.count(j.micros())))
	t.space, t.spaceSum = max(t.space, space), t.spaceSum+space
	most, mean := fanIn(j.root)
	t.fanIn, t.fanInSum = max(t.fanIn, most), t.fanInSum+mean
	return nil
}

// byPartition divides the live rows.
func (j *job) byPartition() [][]row {
	out := make([][]row, len(j.parts))
	j.w.live(j.micros(), func(x row) {
		h := rowkey.Hash32(rowkey.HashOf(rowkey.AppendInt64(nil, x.key)))
		i, _ := slices.BinarySearchFunc(j.parts, uint64(h), func(r rowkey.Range, h uint64) int {
			if r.Hi <= h {
				return -1
			}
			return 1
		})
		out[i] = append(out[i], x)
	})
	return out
}

// encoded returns how many bytes the live rows take when they are encoded once, as compaction does it, and how many they are.
func (j *job) encoded() (size int64, rows int, err error) {
	for _, all := range j.byPartition() {
		if len(all) == 0 {
			continue
		}
		r := rowsOf(j.spec.Schema, all)
		b, _, err := segment.Encode(nil, j.spec.Schema, r, segment.Sort(r, nil), segment.Options{Codec: segment.LZ4})
		if err != nil {
			return 0, 0, fmt.Errorf("encode live rows: %w", err)
		}
		size += int64(len(b))
		rows += len(all)
	}
	return size, rows, nil
}

// bucketOf is a partition's time bucket.
type bucketOf struct {
	part   int
	lo, hi int64
}

// fanIn returns how many references a lookup consults: at the most, and in the mean over buckets and hashes.
func fanIn(root *pb.Root) (most int, mean float64) {
	refs := map[bucketOf][]*pb.Reference{}
	parts := root.Stages[0].Partitions
	for i, p := range parts {
		for _, r := range p.Refs {
			at := bucketOf{i, r.BucketLo, r.BucketHi}
			refs[at] = append(refs[at], r)
		}
	}
	for at, all := range refs {
		width := uint64(0)
		for _, r := range all {
			deep := 0 // at the beginning of r: somewhere the most begins
			for _, other := range all {
				if other.Lo <= r.Lo && r.Lo < other.Hi {
					deep++
				}
			}
			most = max(most, deep)
			width += r.Hi - r.Lo
		}
		mean += float64(width) / float64(parts[at.part].Hi-parts[at.part].Lo)
	}
	return most, mean / float64(max(1, len(refs)))
}

// check compares what segments show with what is live.
func (j *job) check() error {
	for i, all := range j.byPartition() {
		want := map[string]row{}
		r := rowsOf(j.spec.Schema, all)
		for k, x := range all {
			want[string(r.Key(k))] = x
		}
		if err := j.shown(j.root.Stages[0].Partitions[i], func(key []byte, x row) error {
			w, ok := want[string(key)]
			if !ok {
				return nil
			}
			if w.values != x.values {
				return fmt.Errorf("key %x has %v, want %v", key, x.values, w.values)
			}
			delete(want, string(key))
			return nil
		}); err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
		for key := range want {
			return fmt.Errorf("partition %d: %d of %d rows are missing, as that of %x", i, len(want), len(all), key)
		}
	}
	return nil
}

// shown yields what the references of a partition show, bucket by bucket.
func (j *job) shown(p *pb.Partition, yield func(key []byte, x row) error) error {
	in := map[bucketOf][]objstate.Ref{}
	for _, r := range p.Refs {
		at := bucketOf{0, r.BucketLo, r.BucketHi}
		in[at] = append(in[at], compaction.Ref(r, j.root.Objects))
	}
	for _, refs := range in {
		seg, _, err := objstate.Compact(j.bucket.fetch, refs, true)
		if err != nil || len(seg) == 0 {
			return err
		}
		r, err := segment.OpenBytes(bytes.Clone(seg))
		if err != nil {
			return err
		}
		if err := r.Scan(0, 1<<32, func(rows *segment.Rows) error {
			for i := range rows.Len() {
				var x row
				for c := range x.values {
					x.values[c] = rows.Cols[c].Ints[i]
				}
				if err := yield(rows.Key(i), x); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
