package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// The checksums of a segment keep what is damaged from its decoders. These targets go behind them: whatever the bytes, there is no panic, and an error is
// of kind Corrupt.

func wantCorrupt(t *testing.T, err error) {
	t.Helper()
	if err != nil && sabot.KindOf(err) != sabot.Corrupt {
		t.Fatalf("an error of kind %v: %v", sabot.KindOf(err), err)
	}
}

// FuzzBlock: a block whose checksum is right is refused, or has as many rows as the index says, each with a key and a value in every column.
func FuzzBlock(f *testing.F) {
	for _, codec := range codecs {
		for _, width := range []bool{true, false} {
			rows := sample(20, 7, width)
			b, _, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: codec, BlockRows: 20})
			if err != nil {
				f.Fatal(err)
			}
			r, err := OpenBytes(b)
			if err != nil {
				f.Fatal(err)
			}
			bi := r.blocks[0]
			f.Add(b[bi.Offset:bi.end()], bi.meta, uint16(bi.Rows))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, meta uint32, n uint16) {
		if uint64(meta) > uint64(len(b)) || meta < 16 || n == 0 {
			return // an index that says so is refused
		}
		r := &Reader{schema: allTypes, blocks: []BlockInfo{{meta: meta, body: uint32(len(b)) - meta, Rows: int(n), crc: crc32.Checksum(b, castagnoli)}}}
		rows, err := r.decode(0, b)
		wantCorrupt(t, err)
		if err != nil {
			_, err := pickAll(r, b)
			wantCorrupt(t, err)
			return
		}
		if rows.Len() != int(n) {
			t.Fatalf("%d rows, want %d", rows.Len(), n)
		}
		picked, err := pickAll(r, b)
		wantCorrupt(t, err)
		if err != nil || !slices.Equal(lines(picked, nil), lines(rows, nil)) {
			t.Fatalf("picked one by one the rows are others, or %v", err)
		}
		out := New(allTypes)
		for i := range rows.Len() {
			_ = hash32(rows.Key(i))
			out.Append(rows, i)
		}
		if p, err := Project(rows, allTypes, allTypes[2:]); err != nil || p.Len() != int(n) {
			t.Fatalf("projected: %v", err)
		}
	})
}

// pickAll returns all rows of the first block, as Pick decodes them.
func pickAll(r *Reader, b []byte) (*Rows, error) {
	var d Decoder
	keys, err := d.Seek(r, 0, b)
	if err != nil {
		return nil, err
	}
	_ = keys.Search(1<<31, 0)
	all := make([]int, keys.Len())
	for i := range all {
		all[i] = i
	}
	return d.Pick(all)
}

// FuzzIndex: an index whose checksum is right is refused, or names blocks that lie in the segment.
func FuzzIndex(f *testing.F) {
	block := func(off uint64, meta, body, rows uint32, first, last string) (b []byte) {
		b = binary.LittleEndian.AppendUint64(b, off)
		for _, v := range []uint32{meta, body, rows, 7} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		for _, k := range []string{first, last} {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(k))), k...)
		}
		return b
	}
	f.Add(append(block(8, 64, 100, 5, "abcd", "abce"), block(172, 64, 100, 6, "bbcd", "bbcexx")...), int64(400), 11)
	f.Add([]byte{}, int64(0), 0)
	f.Fuzz(func(t *testing.T, b []byte, size int64, rows int) {
		if size < 0 {
			return
		}
		r := &Reader{rows: rows}
		err := r.parseIndex(b, size)
		wantCorrupt(t, err)
		if err != nil {
			return
		}
		for _, bi := range r.Blocks() {
			if bi.Offset < 0 || bi.Length() < 0 || bi.end() > size || len(bi.First) < 4 || len(bi.Last) < 4 || bi.Rows <= 0 {
				t.Fatalf("it has the block %+v of a segment of %d bytes", bi, size)
			}
		}
		_, _ = r.within(0, 1<<32)
	})
}

// FuzzFooter: a footer whose checksum is right is refused, or names regions that lie in the segment, and columns that segments hold.
func FuzzFooter(f *testing.F) {
	columns, err := encodeSchema(allTypes)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("100,20,5", "60,32,9", "11", "12", columns, int64(200))
	f.Add("100,20,5", "", "11", "0", "[]", int64(120))
	f.Fuzz(func(t *testing.T, index, filter, rows, key, columns string, size int64) {
		if size < 0 {
			return
		}
		meta := map[string]string{"sabot.index": index, "sabot.rows": rows, "sabot.key": key, "sabot.columns": columns}
		if filter != "" {
			meta["sabot.filter"] = filter
		}
		r := &Reader{}
		at, err := r.parseFooter(meta, size)
		wantCorrupt(t, err)
		if err != nil {
			return
		}
		for _, x := range []region{at, r.filter} {
			if x.off < 0 || x.n < 0 || x.off+x.n > size {
				t.Fatalf("it names %+v of a segment of %d bytes", x, size)
			}
		}
		for _, c := range r.schema {
			if kindOf(c.Type) == 0 {
				t.Fatalf("it has the column %v", c)
			}
		}
		if r.filter.n > 0 {
			Filter(make([]byte, min(r.filter.n, 1<<20))).Has(5)
		}
	})
}

// FuzzEncode: what is encoded is what is read, however rows are divided into blocks.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("some keys and some values of them"), uint8(3), uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, n, blockRows, codec uint8) {
		schema := Schema{{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String}}
		rows := New(schema)
		want := map[string]string{}
		for i := 0; i+6 < len(data) && len(want) < int(n); {
			k := data[i : i+4+int(data[i]&1)]
			v := data[i+5 : min(len(data), i+5+int(data[i+4])%9)]
			i += 6 + len(v)
			if _, twice := want[string(k)]; twice {
				continue
			}
			rows.KeyBytes = append(rows.KeyBytes, k...)
			rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
			rows.Ops = append(rows.Ops, Op(len(v)%2))
			ints, texts := &rows.Cols[0], &rows.Cols[1]
			if len(v)%3 == 0 {
				ints.Null(rows.Len() - 1)
			} else {
				ints.Ints = append(ints.Ints, int64(len(v)))
				if ints.Valid != nil {
					ints.Valid = append(ints.Valid, true)
				}
			}
			texts.Bytes = append(texts.Bytes, v...)
			texts.Offsets = append(texts.Offsets, uint32(len(texts.Bytes)))
			want[string(k)] = fmt.Sprint(len(v)%2, len(v)%3 == 0, string(v))
		}
		if rows.Len() == 0 {
			return
		}
		b, _, err := Encode(nil, schema, rows, Sort(rows, nil), Options{Codec: Codec(codec % 3), BlockRows: 1 + int(blockRows)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := OpenBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if err := r.Scan(0, 1<<32, func(x *Rows) error {
			for i := range x.Len() {
				got++
				ints, texts := &x.Cols[0], &x.Cols[1]
				text := fmt.Sprint(int(x.Ops[i]), ints.Valid != nil && !ints.Valid[i], string(texts.Bytes[texts.Offsets[i]:texts.Offsets[i+1]]))
				if key := string(x.Key(i)); text != want[key] {
					t.Fatalf("key %x is %q, want %q", key, text, want[key])
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got != len(want) {
			t.Fatalf("%d rows, want %d", got, len(want))
		}
	})
}
