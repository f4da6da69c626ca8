package objstate

import (
	"fmt"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Compact merges segments, oldest first, each within its clip, into one: the newest row of a key wins, and with bottom, when nothing older shows
// the range, deletes vanish. The result has no rows, and no bytes, when nothing is left.
func Compact(fetch Fetch, inputs []Ref, bottom bool) ([]byte, segment.Info, error) {
	var merge segment.Merger
	for _, r := range inputs {
		b, err := fetch(r.Object, r.Offset, r.Length)
		if err != nil {
			return nil, segment.Info{}, err
		}
		at := fmt.Sprintf("segment of %s at %d", r.Object, r.Offset)
		if got := segment.Checksum(b); got != r.CRC {
			return nil, segment.Info{}, sabot.WithKind(sabot.Corrupt, fmt.Errorf("%s: checksum %08x, want %08x", at, got, r.CRC))
		}
		seg, err := segment.OpenBytes(b)
		if err == nil {
			err = merge.Add(seg, r.Clip.Lo, r.Clip.Hi)
		}
		if err != nil {
			return nil, segment.Info{}, fmt.Errorf("%s: %w", at, err)
		}
	}
	schema, rows := merge.Rows(bottom)
	if rows.Len() == 0 {
		return nil, segment.Info{}, nil
	}
	return segment.Encode(nil, schema, rows, nil, segment.Options{Codec: segment.Zstd})
}
