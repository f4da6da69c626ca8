package file

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

var fuzzSeeds = []string{"", "a,b\n1,2\n", "a,b\r\n\"x\ny\",\"\"\"\"\n\n1", "\xef\xbb\xbfa\n\"", "a,b\n1,5\" pipe\n\"x\"y,1\n2,\"open\n3,4\n", "\r\n\r\r\n", `{"a":"x","b":1}` + "\n{}\n[1",
	"{\"a\":{\"x\":[]},\"b\":null}\r\n\xff\n{\"b\":1.5}", "\"\"\"\n\",\"\n\"\n", "a\n\n\n1"}

func FuzzCSV(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "in.csv")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		recs := checkRecords(t, path, text, ',')
		checkAgainstStandard(t, recs, text)
		checkResume(t, Source{URL: path, Schema: fuzzSchema, CSV: CSVOptions{NoHeader: true}}, recs)
	})
}

func FuzzJSONL(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "in.jsonl")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		checkResume(t, Source{URL: path, Schema: fuzzSchema}, checkRecords(t, path, text, 0))
	})
}

var fuzzSchema = arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "b", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)

// checkRecords checks that the records follow each other without a gap, each being its bytes without the line end, and that the line numbers are
// those of the bytes. It returns the records that are not empty.
func checkRecords(t *testing.T, path string, text []byte, comma byte) (recs []string) {
	t.Helper()
	in, err := openRecords(t.Context(), path, comma, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	at := in.offset
	if mark := text[:at]; len(mark) > 0 && string(mark) != "\xef\xbb\xbf" {
		t.Fatalf("%q is passed over at the beginning", mark)
	}
	for {
		rec, line, err := in.next()
		if errors.Is(err, io.EOF) {
			if at != int64(len(text)) {
				t.Fatalf("the records end at byte %d, want %d", at, len(text))
			}
			return recs
		}
		if err != nil {
			t.Fatal(err)
		}
		if in.offset <= at || in.offset > int64(len(text)) {
			t.Fatalf("a record goes from byte %d to %d of %d", at, in.offset, len(text))
		}
		whole := text[at:in.offset]
		if want := bytes.TrimSuffix(bytes.TrimSuffix(whole, []byte("\n")), []byte("\r")); !bytes.Equal(rec, want) {
			t.Fatalf("record of bytes %d to %d is %q, want %q", at, in.offset, rec, want)
		}
		if want := int64(1 + bytes.Count(text[:at], []byte("\n"))); line != want {
			t.Fatalf("record at byte %d says line %d, want %d", at, line, want)
		}
		if in.offset < int64(len(text)) && whole[len(whole)-1] != '\n' {
			t.Fatalf("record %q ends before its line does", whole)
		}
		if len(rec) > 0 {
			recs = append(recs, string(rec))
		}
		at = in.offset
	}
}

// checkAgainstStandard compares the fields with encoding/csv, where that finds nothing wrong.
func checkAgainstStandard(t *testing.T, recs []string, text []byte) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	r.FieldsPerRecord = -1
	want, err := r.ReadAll()
	if err != nil || bytes.ContainsRune(text, '\r') { // it turns CR LF inside of quotes into LF
		return
	}
	var got [][]string
	for _, rec := range recs {
		fields, err := splitCSV([]byte(rec), ',', nil)
		if err != nil {
			t.Fatalf("record %q: %v; encoding/csv reads it", rec, err)
		}
		texts := make([]string, len(fields))
		for i, f := range fields {
			texts[i] = string(f.text)
		}
		got = append(got, texts)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("fields are %q, encoding/csv says %q", got, want)
	}
}

// checkResume reads record by record, where each is a row or bad, and then the rest behind each of them.
func checkResume(t *testing.T, s Source, recs []string) {
	t.Helper()
	version, size, err := versionOf(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	split := sabot.Split{ID: sabot.SplitID(s.URL), Version: version, Bytes: size, Bounded: true}
	items, marks, ok := readItems(t, s, split, 1, "")
	if !ok {
		return // no record that a header could be taken from
	}
	if len(items) < len(recs) { // a one-column CSV has rows of empty lines besides
		t.Fatalf("%d rows and bad records %q, want %d: %q", len(items), items, len(recs), recs)
	}
	for at, n := range marks {
		rest, _, ok := readItems(t, s, split, 3, at)
		want := slices.Clone(items[n:])
		slices.Sort(want) // rows and bad records of a chunk stand apart
		slices.Sort(rest)
		if !ok || !slices.Equal(rest, want) {
			t.Fatalf("behind %q come %q, want %q", at, rest, want)
		}
	}
}

// readItems returns rows and bad records, and how many of them come before each position.
func readItems(t *testing.T, s Source, split sabot.Split, n int, at sabot.Position) (items []string, marks map[sabot.Position]int, ok bool) {
	t.Helper()
	r, err := s.Open(t.Context(), sabot.Env{MaxRows: n}, fuzzSchema, split, at)
	if sabot.KindOf(err) == sabot.Invalid {
		return nil, nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	marks = map[sabot.Position]int{}
	for {
		c, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return items, marks, true
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range c.Bad {
			items = append(items, fmt.Sprintf("%s %q %s", b.Position, b.Raw, b.Reason))
		}
		if c.Rows != nil {
			for i := range int(c.Rows.NumRows()) {
				items = append(items, strings.Join([]string{c.Rows.Column(0).ValueStr(i), c.Rows.Column(1).ValueStr(i)}, "|"))
			}
			c.Rows.Release()
		}
		marks[c.After] = len(items)
	}
}
