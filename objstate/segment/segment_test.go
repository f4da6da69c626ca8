package segment

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
)

var update = flag.Bool("update", false, "write the golden files anew")

var allTypes = Schema{
	{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "ok", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "raw", Type: arrow.BinaryTypes.Binary, Nullable: true},
}

// sample returns n rows of allTypes with distinct keys, in no order; fixed: all keys have 12 bytes.
func sample(n int, seed uint64, fixed bool) *Rows {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := &Rows{KeyOffsets: []uint32{0}, Cols: make([]Column, len(allTypes))}
	rows.Cols[4].Offsets, rows.Cols[5].Offsets = []uint32{0}, []uint32{0}
	for i := range n {
		key := binary.BigEndian.AppendUint32(nil, r.Uint32()>>r.IntN(30)) // small hashes collide
		key = binary.BigEndian.AppendUint64(key, uint64(i))
		if !fixed {
			key = append(key, make([]byte, r.IntN(9))...)
		}
		rows.KeyBytes = append(rows.KeyBytes, key...)
		rows.KeyOffsets = append(rows.KeyOffsets, uint32(len(rows.KeyBytes)))
		rows.Ops = append(rows.Ops, Op(r.IntN(4)/3))
		c := rows.Cols
		for k := range c {
			c[k].Valid = append(c[k].Valid, r.IntN(5) > 0)
		}
		c[0].Ints = append(c[0].Ints, r.Int64()>>r.IntN(63))
		c[1].Ints = append(c[1].Ints, int64(i)*1000)
		c[2].Floats = append(c[2].Floats, r.NormFloat64())
		c[3].Bools = append(c[3].Bools, r.IntN(2) == 0)
		c[4].Bytes = fmt.Appendf(c[4].Bytes, "%.*s", r.IntN(12), "abcdefghijkl")
		c[4].Offsets = append(c[4].Offsets, uint32(len(c[4].Bytes)))
		c[5].Bytes = append(c[5].Bytes, make([]byte, r.IntN(4))...)
		c[5].Offsets = append(c[5].Offsets, uint32(len(c[5].Bytes)))
	}
	return rows
}

// lines renders rows in the order of perm, for comparison.
func lines(r *Rows, perm []uint32) []string {
	var out []string
	for i := range r.Len() {
		row := i
		if perm != nil {
			row = int(perm[i])
		}
		s := fmt.Sprintf("%x %d", r.Key(row), r.Ops[row])
		for _, c := range r.Cols {
			switch {
			case c.Valid != nil && !c.Valid[row]:
				s += " null"
			case c.Ints != nil:
				s += fmt.Sprint(" ", c.Ints[row])
			case c.Floats != nil:
				s += fmt.Sprint(" ", c.Floats[row])
			case c.Bools != nil:
				s += fmt.Sprint(" ", c.Bools[row])
			default:
				s += fmt.Sprintf(" %q", c.Bytes[c.Offsets[row]:c.Offsets[row+1]])
			}
		}
		out = append(out, s)
	}
	return out
}

func scanAll(t *testing.T, b []byte, lo, hi uint64) []string {
	t.Helper()
	r, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	if err := r.Scan(lo, hi, func(rows *Rows) error {
		out = append(out, lines(rows, nil)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

var codecs = map[string]Codec{"none": None, "lz4": LZ4, "zstd": Zstd}

func TestRoundTrip(t *testing.T) {
	for name, codec := range codecs {
		for _, fixed := range []bool{true, false} {
			for _, n := range []int{1, 7, 1000, 5000} {
				t.Run(fmt.Sprintf("%s/fixed=%v/%d", name, fixed, n), func(t *testing.T) {
					rows := sample(n, uint64(n), fixed)
					perm := Sort(rows, nil)
					b, info, err := Encode(nil, allTypes, rows, perm, Options{Codec: codec, BlockRows: 300, Bounds: []uint32{1 << 20, 1 << 31}})
					if err != nil {
						t.Fatal(err)
					}
					if info.Rows != n || info.Length != int64(len(b)) {
						t.Errorf("info %+v of %d rows and %d bytes", info, n, len(b))
					}
					if diff := cmp.Diff(lines(rows, perm), scanAll(t, b, 0, 1<<32)); diff != "" {
						t.Errorf("rows differ (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

func TestScanShowsJustTheRange(t *testing.T) {
	rows := sample(3000, 5, false)
	perm := Sort(rows, nil)
	b, _, err := Encode(nil, allTypes, rows, perm, Options{Codec: LZ4, BlockRows: 100})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 9))
	for range 50 {
		lo, hi := uint64(r.Uint32()>>r.IntN(30)), uint64(r.Uint32()>>r.IntN(30))
		var want []string
		all := lines(rows, perm)
		for i, row := range perm {
			if h := uint64(hash32(rows.Key(int(row)))); h >= lo && h < hi {
				want = append(want, all[i])
			}
		}
		got := scanAll(t, b, lo, hi)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("[%d,%d) (-want +got):\n%.2000s", lo, hi, diff)
		}
	}
}

func TestArrowGoReadsSegments(t *testing.T) {
	for name, codec := range codecs {
		for _, fixed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/fixed=%v", name, fixed), func(t *testing.T) {
				rows := sample(2500, 3, fixed)
				perm := Sort(rows, nil)
				b, _, err := Encode(nil, allTypes, rows, perm, Options{Codec: codec})
				if err != nil {
					t.Fatal(err)
				}
				f, err := ipc.NewFileReader(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				var got []string
				for i := range f.NumRecords() {
					rec, err := f.RecordBatch(i)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, arrowLines(rec)...)
				}
				if diff := cmp.Diff(lines(rows, perm), got); diff != "" {
					t.Errorf("arrow-go reads other rows (-want +got):\n%.2000s", diff)
				}
			})
		}
	}
}

func arrowLines(rec arrow.RecordBatch) []string {
	var out []string
	for i := range int(rec.NumRows()) {
		var key []byte
		switch k := rec.Column(0).(type) {
		case *array.FixedSizeBinary:
			key = k.Value(i)
		case *array.Binary:
			key = k.Value(i)
		}
		s := fmt.Sprintf("%x %d", key, rec.Column(1).(*array.Uint8).Value(i))
		for _, c := range rec.Columns()[2:] {
			switch {
			case c.IsNull(i):
				s += " null"
			default:
				switch c := c.(type) {
				case *array.Int64:
					s += fmt.Sprint(" ", c.Value(i))
				case *array.Timestamp:
					s += fmt.Sprint(" ", int64(c.Value(i)))
				case *array.Float64:
					s += fmt.Sprint(" ", c.Value(i))
				case *array.Boolean:
					s += fmt.Sprint(" ", c.Value(i))
				case *array.String:
					s += fmt.Sprintf(" %q", c.Value(i))
				case *array.Binary:
					s += fmt.Sprintf(" %q", c.Value(i))
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// The bytes of a segment are a stored format: they change only with its number.
func TestGoldenBytes(t *testing.T) {
	for name, codec := range map[string]Codec{"none": None, "lz4": LZ4} {
		rows := sample(5, 1, true)
		b, _, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: codec, BlockRows: 3})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), hex.Dump(b)); diff != "" {
			t.Errorf("%s: the bytes have changed (-want +got):\n%s", name, diff)
		}
	}
}

// readAll opens and scans, and reports what a reader of a damaged segment meets.
func readAll(b []byte) error {
	r, err := OpenBytes(b)
	if err != nil {
		return err
	}
	return r.Scan(0, 1<<32, func(*Rows) error { return nil })
}

func TestDamageIsFound(t *testing.T) {
	rows := sample(40, 2, false)
	b, info, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: LZ4, BlockRows: 16})
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, bi := range r.Blocks() { // a flipped bit of a block is found by its own checksum
		for at := bi.Offset; at < bi.end(); at += 3 {
			b[at] ^= 1 << (at % 8)
			if err := readAll(b); sabot.KindOf(err) != sabot.Corrupt {
				t.Fatalf("a bit of byte %d is flipped: %v, want a Corrupt error", at, err)
			}
			b[at] ^= 1 << (at % 8)
		}
	}
	for at := range b { // wherever it is, the reference's checksum finds it
		b[at] ^= 4
		if got := Checksum(b); got == info.CRC {
			t.Fatalf("byte %d changed, the checksum has not", at)
		}
		_ = readAll(b) // must not panic
		b[at] ^= 4
	}
	for n := range b {
		if readAll(b[:n]) == nil {
			t.Fatalf("cut to %d of %d bytes, it reads without an error", n, len(b))
		}
	}
}

func TestUnsortedKeysAreRefused(t *testing.T) {
	rows := sample(10, 4, true)
	perm := Sort(rows, nil)
	perm[3], perm[4] = perm[4], perm[3]
	if _, _, err := Encode(nil, allTypes, rows, perm, Options{}); err == nil {
		t.Fatal("keys out of order were encoded")
	}
}

func FuzzReader(f *testing.F) {
	for _, codec := range codecs {
		rows := sample(20, 7, true)
		b, _, err := Encode(nil, allTypes, rows, Sort(rows, nil), Options{Codec: codec, BlockRows: 8})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { // whatever the bytes: no panic
		_ = readAll(b)
		if r, err := OpenBytes(b); err == nil { // nor for a reader that wants some columns
			_ = r.Scan(0, 1<<32, func(rows *Rows) error {
				_, err := Project(rows, r.Schema(), allTypes[2:])
				return err
			})
		}
	})
}

// A segment is opened, with its filter, by one request for as many bytes as Info tells, whatever their share of it; with fewer by more requests.
func TestTail(t *testing.T) {
	for _, rows := range []int{1, 2000, 200_000} {
		r := sample(rows, 3, true)
		b, info, err := Encode(nil, allTypes, r, Sort(r, nil), Options{Codec: LZ4})
		if err != nil {
			t.Fatal(err)
		}
		if info.Tail <= 0 || info.Tail >= info.Length {
			t.Fatalf("%d rows: the end has %d bytes of %d", rows, info.Tail, info.Length)
		}
		for _, tail := range []int64{info.Tail, info.Tail / 2, TailBytes(info.Length)} {
			asked := 0
			seg, err := Open(func(off, n int64) ([]byte, error) {
				asked++
				return b[off : off+n : off+n], nil
			}, info.Length, max(tail, 16))
			if err != nil {
				t.Fatal(err)
			}
			if f, err := seg.Filter(); err != nil || !f.Has(info.MinHash) || seg.Rows() != rows {
				t.Fatalf("%d rows: %d, filter %v, %v", rows, seg.Rows(), f != nil, err)
			}
			if want := tail == info.Tail; want && asked != 1 || tail == info.Tail/2 && asked < 2 {
				t.Errorf("%d rows, %d bytes of an end of %d: %d requests", rows, tail, info.Tail, asked)
			}
		}
	}
}
