package objstate

import (
	"encoding/binary"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// scanBytes is about how much of segments is merged, and in memory, at a time while a bucket is scanned.
const scanBytes = 4 << 20

// Scan yields what segments show of the time bucket that contains at, or of the whole part when it has one bucket: the newest row of each key, in order
// of hash, without deletes. Memory does not count: who calls it passes over what it has in memory. Rows are valid during the call. It panics with a
// *StorageError when that cannot be read.
func (h Handle) Scan(at sabot.Micros, yield func(hash uint64, key, suffix []byte, rows *segment.Rows, i int) error) error {
	for _, rng := range h.s.o.Ranges {
		for lo := rng.Lo; lo < rng.Hi; {
			hi, rows := h.slice(lo, rng.Hi, at)
			if err := h.s.rows(h.p, rows, yield); err != nil {
				return err
			}
			lo = hi
		}
	}
	return nil
}

// slice reads the rows of [lo,hi), or of as much of it as is read at a time. It reads them before anything is done with them: when the last root
// changes meanwhile, and objects go, it reads them again.
func (h Handle) slice(lo, hi uint64, at sabot.Micros) (end uint64, rows *segment.Rows) {
	h.try(func() (err error) {
		end, rows, err = h.s.slice(h.p, lo, hi, at)
		return err
	})
	return end, rows
}

func (s *Store) slice(p *part, lo, hi uint64, at sabot.Micros) (end uint64, out *segment.Rows, err error) {
	levels, err := s.levels(p)
	if err != nil {
		return 0, nil, err
	}
	var in []*level
	total := int64(0)
	for i := range levels {
		if l := &levels[i]; (p.Base == 0 || l.Bucket.Contains(at)) && l.Clip.Lo < hi && l.Clip.Hi > lo {
			in = append(in, l)
			for _, b := range l.seg.Blocks() {
				if h := uint64(binary.BigEndian.Uint32(b.First)); h >= lo && h < hi {
					total += b.Length()
				}
			}
		}
	}
	end = hi
	if n := uint64(total/scanBytes) + 1; n > 1 {
		end = min(hi, lo+max(1, (hi-lo)/n))
	}
	cursors := make([]*segment.Cursor, len(in))
	for i, l := range in {
		cursors[i] = l.seg.Cursor(p.Schema, max(lo, l.Clip.Lo), min(end, l.Clip.Hi), scanBytes)
	}
	out = segment.New(p.Schema)
	err = segment.Merge(cursors, func(rows *segment.Rows, i int) error {
		if rows.Ops[i] != segment.Delete {
			out.Append(rows, i)
		}
		return nil
	})
	return end, out, err
}

func (s *Store) rows(p *part, rows *segment.Rows, yield func(hash uint64, key, suffix []byte, rows *segment.Rows, i int) error) error {
	for i := range rows.Len() {
		k := rows.Key(i)[4:]
		n, err := s.decoder.Len(k)
		if err != nil {
			return err
		}
		if err := yield(rowkey.HashOf(k[:n]), k[:n], k[n:], rows, i); err != nil {
			return err
		}
	}
	return nil
}
