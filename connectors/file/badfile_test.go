package file_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
)

// Each of these stops a job at its start, by an error that names the place and says what to do.
func TestRefusedInput(t *testing.T) {
	dir := t.TempDir()
	put := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rec := table(t, cols("a:int", "b:text"), row{1, "x"})
	pq := string(parquetBytes(t, nil, rec))
	for _, c := range []struct {
		name   string
		source file.Source
		want   string
	}{
		{"no URL", file.Source{}, "URL is empty"},
		{"no such file", file.Source{URL: filepath.Join(dir, "none.csv")}, "no such file: " + filepath.Join(dir, "none.csv")},
		{"empty glob", file.Source{URL: filepath.Join(dir, "*.none")}, "no file matches"},
		{"glob in no folder", file.Source{URL: filepath.Join(dir, "nowhere", "*.csv")}, "there is no folder"},
		{"malformed glob", file.Source{URL: filepath.Join(dir, "[a")}, "pattern"},
		{"a folder", file.Source{URL: dir}, "is a folder; name its files by a glob"},
		{"a file as a folder", file.Source{URL: filepath.Join(put("plain.csv", "a\n1\n"), "x.csv")}, "plain.csv"},
		{"another scheme", file.Source{URL: "ftp://bucket/x.parquet"}, "not ftp"},
		{"unknown format", file.Source{URL: put("x.csv", "a\n1\n"), Format: "xml"}, `unknown file format "xml"`},
		{"unknown extension", file.Source{URL: put("x.xlsx", "")}, `the extension ".xlsx" tells no format`},
		{"no extension", file.Source{URL: put("plain", "")}, "set Format"},
		{"empty CSV", file.Source{URL: put("empty.csv", "")}, "the file is empty"},
		{"CSV of blank lines", file.Source{URL: put("blank.csv", "\n\r\n\n")}, "the file is empty"},
		{"empty JSON lines", file.Source{URL: put("empty.jsonl", "")}, "give the source a Schema"},
		{"JSON that is no lines", file.Source{URL: put("array.json", "[\n{\n\"a\":1}\n]\n")}, "none of its first 1000 lines is a JSON object"},
		{"empty Parquet", file.Source{URL: put("empty.parquet", "")}, "empty.parquet"},
		{"empty Arrow", file.Source{URL: put("empty.arrow", "")}, "empty.arrow"},
		{"CSV named Parquet", file.Source{URL: put("text.parquet", "a,b\n1,2\n")}, "text.parquet: it is no Parquet file"},
		{"CSV named Arrow", file.Source{URL: put("text.arrow", "a,b\n1,2\n")}, "text.arrow: it is no Arrow IPC file"},
		{"open quote in a header", file.Source{URL: put("quote.csv", "\"a,b\n1,2\n")}, "read the header"},
		{"one name twice", file.Source{URL: put("twice.csv", "a,b,a\n1,2,3\n")}, `two columns "a"`},
		{"one name twice, Arrow", file.Source{URL: put("twice.arrow", string(arrowBytes(t, false, table(t, cols("a:int", "a:int"), row{1, 2}))))}, `two columns "a"`},
		{"missing column", file.Source{URL: put("missing.csv", "id,nam\n1,2\n"), Like: likeRow{}}, `no column "name" (did you mean "nam"?)`},
		{"missing column in another file", file.Source{URL: filepath.Join(dir, "{"+filepath.Base(put("1.parquet", pq))+","+filepath.Base(put("2.csv", "a\n1\n"))+"}")},
			`1.parquet has a column "b"`},
		{"another type in another file", file.Source{URL: filepath.Join(dir, "{1.parquet,"+filepath.Base(put("3.csv", "a,b\nx,y\n"))+"}")}, `column "a" is int64 in`},
		{"a struct that is none", file.Source{URL: filepath.Join(dir, "x.csv"), Like: 7}, "int is no struct"},
		{"a comma of two bytes", file.Source{URL: filepath.Join(dir, "x.csv"), CSV: file.CSVOptions{Comma: 'ä'}}, "between fields"},
		{"a quote as comma", file.Source{URL: filepath.Join(dir, "x.csv"), CSV: file.CSVOptions{Comma: '"'}}, "between fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := readAll(t, c.source)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want one with %q", err, c.want)
			}
			if k := sabot.KindOf(err); k != sabot.Invalid {
				t.Errorf("kind is %s, want %s: %v", k, sabot.Invalid, err)
			}
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	path := write(t, "in.csv", []byte("a\n1\n"))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readAll(t, file.Source{URL: path}); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want an Invalid one that names %s", err, path)
	}
}

// small returns a record of three columns, whose files are a few hundred bytes.
func small(t testing.TB) arrow.RecordBatch {
	var rows []row
	for i := range 12 {
		rows = append(rows, row{i * 1000, fmt.Sprint("text", i%5), map[bool]any{true: nil, false: 0.5}[i%3 == 0]})
	}
	return table(t, cols("a:int", "b:text", "c:float"), rows...)
}

// columnarFiles are small files in every columnar format.
func columnarFiles(t testing.TB) map[string][]byte {
	a, b := small(t).NewSlice(0, 5), small(t).NewSlice(5, 12)
	return map[string][]byte{
		"plain.parquet":      parquetBytes(t, []parquet.WriterProperty{parquet.WithDictionaryDefault(false)}, a, b),
		"dictionary.parquet": parquetBytes(t, nil, a, b),
		"in.arrow":           arrowBytes(t, false, a, b),
		"in.arrows":          arrowBytes(t, true, a, b),
	}
}

// A file that was cut short is refused, at whatever length. A stream that was cut between two messages has no end that could be missed.
func TestTruncatedFiles(t *testing.T) {
	for name, whole := range columnarFiles(t) {
		t.Run(name, func(t *testing.T) {
			ends := messageEnds(whole)
			path := write(t, name, whole)
			for n := len(whole) - 1; n >= 0; n-- {
				if err := os.Truncate(path, int64(n)); err != nil {
					t.Fatal(err)
				}
				rows, _, err := readAll(t, file.Source{URL: path})
				if name == "in.arrows" && slices.Contains(ends, n) {
					continue
				}
				if err == nil {
					t.Fatalf("cut to %d of %d bytes: %d rows and no error", n, len(whole), len(rows))
				}
				if k := sabot.KindOf(err); k != sabot.Invalid && k != sabot.Corrupt || !strings.Contains(err.Error(), path) {
					t.Fatalf("cut to %d of %d bytes: error is of kind %s, want invalid or corrupt with the path: %v", n, len(whole), k, err)
				}
			}
		})
	}
}

// messageEnds returns where the messages of an Arrow stream begin: where the ones before end.
func messageEnds(stream []byte) (ends []int) {
	for _, m := range messages(stream, 0) {
		ends = append(ends, m[0])
	}
	return ends
}

// messages returns the begin of each message from a place on, of its body, and its end: a mark, the length of the metadata, that, and a body that
// is padded to 8 bytes. No body of these tests holds the mark.
func messages(b []byte, at int) (all [][3]int) {
	const mark = 0xffffffff
	for at+8 <= len(b) && binary.LittleEndian.Uint32(b[at:]) == mark {
		body := at + 8 + int(binary.LittleEndian.Uint32(b[at+4:]))
		end := body
		for end+8 <= len(b) && binary.LittleEndian.Uint32(b[end:]) != mark {
			end += 8
		}
		all = append(all, [3]int{at, body, end})
		at = end
	}
	return all
}

// inBody tells whether byte i of an Arrow file or stream belongs to the body of a message with rows.
func inBody(name string, b []byte, i int) bool {
	begin := map[string]int{"in.arrow": 8}[name] // behind the magic
	all := messages(b, begin)
	return slices.ContainsFunc(all[1:len(all)-1], func(m [3]int) bool { return m[1] <= i && i < m[2] })
}

// A file with wrong bytes brings rows or an error, and never a panic.
func TestFlippedBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, whole := range columnarFiles(t) {
		t.Run(name, func(t *testing.T) {
			path := write(t, name, whole)
			every := 3
			if testing.Short() {
				every = 11
			}
			for i := rng.IntN(every); i < len(whole); i += every {
				if strings.HasPrefix(name, "in.arrow") && !inBody(name, whole, i) {
					continue // arrow-go allocates what a flatbuffer says before it looks, and Go cannot recover from want of memory
				}
				body := slices.Clone(whole)
				body[i] ^= byte(1 + rng.IntN(255))
				if err := os.WriteFile(path, body, 0o644); err != nil {
					t.Fatal(err)
				}
				rows, _, err := readAll(t, file.Source{URL: path})
				if err == nil && len(rows) < 12 && strings.HasSuffix(name, ".parquet") {
					t.Errorf("byte %d is %#x instead of %#x: %d rows and no error, want 12 or an error", i, body[i], whole[i], len(rows))
				}
				if k := sabot.KindOf(err); err != nil && k != sabot.Invalid && k != sabot.Corrupt {
					t.Errorf("byte %d is %#x instead of %#x: kind is %s, want invalid or corrupt: %v", i, body[i], whole[i], k, err)
				}
			}
		})
	}
}
