package objstate

import (
	"fmt"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// cursorBytes is how much of each segment is in memory while several are merged.
const cursorBytes = 512 << 10

// Compact merges segments, oldest first, each within its clip, into one: the newest row of a key wins, and with bottom, when nothing older shows
// the range, deletes vanish. The result has the columns of all. It has no rows, and no bytes, when nothing is left. In memory are the result, and a run of each input.
func Compact(fetch Fetch, inputs []Ref, bottom bool) ([]byte, segment.Info, error) {
	segs := make([]*segment.Reader, len(inputs))
	var schema segment.Schema
	width := 0
	for i, r := range inputs {
		seg, err := openRef(fetch, r)
		if err != nil {
			return nil, segment.Info{}, fmt.Errorf("segment of %s at %d: %w", r.Object, r.Offset, err)
		}
		if schema = segment.Union(schema, seg.Schema()); i == 0 {
			width = seg.KeyWidth()
		} else if seg.KeyWidth() != width {
			width = 0
		}
		segs[i] = seg
	}
	cursors := make([]*segment.Cursor, len(inputs))
	for i, r := range inputs {
		cursors[i] = segs[i].Cursor(schema, r.Clip.Lo, r.Clip.Hi, cursorBytes)
	}
	w, err := segment.NewWriter(nil, schema, width, segment.Options{Codec: segment.LZ4})
	if err != nil {
		return nil, segment.Info{}, err
	}
	err = segment.Merge(cursors, func(rows *segment.Rows, i int) error {
		if bottom && rows.Ops[i] == segment.Delete {
			return nil
		}
		return w.Append(rows, i)
	})
	if err != nil {
		return nil, segment.Info{}, fmt.Errorf("merge %d segments of %s: %w", len(inputs), inputs[0].Object, err)
	}
	if w.Rows() == 0 {
		return nil, segment.Info{}, nil
	}
	return w.Finish()
}

// CompactWhole is up to how many bytes a segment is read whole, by one request, to be merged; a larger one is read in runs.
const CompactWhole = 1 << 20

// openRef opens the segment of a reference by itself.
func openRef(fetch Fetch, r Ref) (*segment.Reader, error) {
	if r.Length <= CompactWhole {
		b, err := fetch.One(r.span(0, r.Length))
		if err != nil {
			return nil, err
		}
		if got := segment.Checksum(b); got != r.CRC {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("checksum %08x, want %08x", got, r.CRC))
		}
		return segment.OpenBytes(b)
	}
	return segment.Open(func(off, n int64) ([]byte, error) {
		if off < 0 || n < 0 || off > r.Length-n {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("bytes %d to %d of a segment of %d", off, off+n, r.Length))
		}
		return fetch.One(r.span(off, n))
	}, r.Length)
}
