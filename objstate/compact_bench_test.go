package objstate

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// BenchmarkCompact merges segments of four integers by a key of 16 bytes: of neighbours that share half of their keys; a small one onto a large one;
// eight small ones; and one by itself.
func BenchmarkCompact(b *testing.B) {
	schema := make(segment.Schema, 4)
	for i := range schema {
		schema[i] = arrow.Field{Name: fmt.Sprint("v", i), Type: arrow.PrimitiveTypes.Int64}
	}
	hash := func(n int64) uint32 { return uint32(uint64(n) * 0x9e3779b97f4a7c15 >> 32) }
	encode := func(r *rand.Rand, from, n, step int64, block int) []byte {
		rows := segment.New(schema)
		for i := from; i < from+n*step; i += step {
			rows.KeyBytes = binary.BigEndian.AppendUint32(rows.KeyBytes, hash(i))
			rows.KeyBytes = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(rows.KeyBytes, uint64(i)*0x1e3779b97f4a7c15), uint64(i))
			rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
			rows.Ops = append(rows.Ops, segment.Put)
			for c := range rows.Cols {
				rows.Cols[c].Ints = append(rows.Cols[c].Ints, r.Int64N(1_000_000))
			}
		}
		seg, _, err := segment.Encode(nil, schema, rows, segment.Sort(rows, nil), segment.Options{Codec: segment.LZ4, BlockBytes: block})
		if err != nil {
			b.Fatal(err)
		}
		return seg
	}
	for _, c := range []struct {
		name string
		segs func(r *rand.Rand) [][]byte
		rows int64
	}{
		{"halves", func(r *rand.Rand) (out [][]byte) {
			for i := range int64(4) {
				out = append(out, encode(r, i*50_000, 100_000, 1, 32<<10))
			}
			return out
		}, 400_000},
		{"quarter-on-bottom", func(r *rand.Rand) [][]byte {
			return [][]byte{encode(r, 0, 400_000, 1, 0), encode(r, 0, 100_000, 4, 0)}
		}, 500_000},
		{"eight-small", func(r *rand.Rand) (out [][]byte) {
			for i := range int64(8) {
				out = append(out, encode(r, i, 2000, 7, 32<<10))
			}
			return out
		}, 16_000},
		{"one", func(r *rand.Rand) [][]byte { return [][]byte{encode(r, 0, 400_000, 1, 0)} }, 400_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			segs := c.segs(rand.New(rand.NewPCG(1, 2)))
			refs := make([]Ref, len(segs))
			for i, s := range segs {
				refs[i] = Ref{Object: fmt.Sprint(i), Length: int64(len(s)), CRC: segment.Checksum(s), Clip: rowkey.Even(1)[0]}
			}
			fetch := func(spans []Span) ([][]byte, error) {
				out := make([][]byte, len(spans))
				for i, s := range spans {
					var n int
					_, _ = fmt.Sscan(s.Object, &n)
					out[i] = segs[n][s.Off : s.Off+s.N]
				}
				return out, nil
			}
			for b.Loop() {
				if _, info, err := Compact(fetch, refs, true); err != nil || info.Rows == 0 {
					b.Fatal(info, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.rows), "ns/row")
		})
	}
}
