package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
)

// readAll describes the source and reads its splits: the rows, cells between bars, and the bad records.
func readAll(t testing.TB, s file.Source) (rows []string, bad []sabot.BadRecord, err error) {
	t.Helper()
	schema, splits, err := s.Describe(t.Context(), sabot.Env{})
	if err != nil {
		return nil, nil, err
	}
	for _, sp := range splits {
		r, err := s.Open(t.Context(), sabot.Env{}, schema, sp, "")
		if err != nil {
			return rows, bad, err
		}
		defer r.Close()
		for {
			c, err := r.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return rows, bad, err
			}
			bad = append(bad, c.Bad...)
			if c.Rows == nil {
				continue
			}
			for i := range int(c.Rows.NumRows()) {
				cells := make([]string, c.Rows.NumCols())
				for k, col := range c.Rows.Columns() {
					cells[k] = col.ValueStr(i)
				}
				rows = append(rows, strings.Join(cells, "|"))
			}
			c.Rows.Release()
		}
	}
	return rows, bad, nil
}

// badRecord is a record that must come back, and words of its reason.
type badRecord struct{ position, raw, reason string }

func checkRead(t *testing.T, s file.Source, wantRows []string, wantBad []badRecord) {
	t.Helper()
	rows, bad, err := readAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantRows, rows); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	for i, b := range bad {
		if i >= len(wantBad) {
			t.Errorf("bad record %s %q: %s; want none", b.Position, b.Raw, b.Reason)
		} else if w := wantBad[i]; b.Position != w.position || string(b.Raw) != w.raw || !strings.Contains(b.Reason, w.reason) {
			t.Errorf("bad record is at %s, %q: %s\nwant at %s, %q: ...%s...", b.Position, b.Raw, b.Reason, w.position, w.raw, w.reason)
		}
	}
	if len(bad) < len(wantBad) {
		t.Errorf("bad records are %d, want also %v", len(bad), wantBad[len(bad):])
	}
}

func TestCSVBadRecords(t *testing.T) {
	declared := file.Source{Schema: cols("a:int", "b:text", "c:float")}
	for _, c := range []struct {
		name   string
		text   string
		source file.Source
		rows   []string
		bad    []badRecord
	}{
		{"too few and too many fields", "a,b,c\n1,x\n2,y,0.5\n3,z,1,9\n\n4,,\n", declared, []string{"2|y|0.5", "4|(null)|(null)"},
			[]badRecord{{"line 2", "1,x", "2 fields, the header 3"}, {"line 4", "3,z,1,9", "4 fields, the header 3"}}},
		{"bad numbers", "a,b,c\nx,y,1\n1.5,y,1\n99999999999999999999,y,1\n5,y,1e999\n6,y,--\n7,ok,-1e3\n", declared, []string{"7|ok|-1000"},
			[]badRecord{{"line 2", "x,y,1", `column "a": "x" is no int64`}, {"line 3", "1.5,y,1", `"1.5" is no int64`},
				{"line 4", "99999999999999999999,y,1", "is no int64"}, {"line 5", "5,y,1e999", `column "c": "1e999" is no float64`}, {"line 6", "6,y,--", "is no float64"}}},
		{"quote never closed", "a,b,c\n1,\"x,1\n2,y,2\n3,z,3\n", declared, []string{"2|y|2", "3|z|3"}, []badRecord{{"line 2", `1,"x,1`, "a quote is not closed"}}},
		{"quote closed on a later line", "a,b,c\n1,\"x\n2\n3,y\",3\n4,z,4\n", declared, []string{"1|x\n2\n3,y|3", "4|z|4"}, nil},
		{"lines are counted through quotes", "a,b,c\n1,\"x\n\n\n\",1\nbad\n", declared, []string{"1|x\n\n\n|1"}, []badRecord{{"line 6", "bad", "1 fields"}}},
		{"stray quotes", "a,b,c\n1,5\" pipe,1\n2,x\"y\"z,2\n3,\"x\"y,3\n4,ok,4\n5,\"ok\",5\n", declared, []string{"4|ok|4", "5|ok|5"},
			[]badRecord{{"line 2", `1,5" pipe,1`, "field 2 has a quote but does not begin with one"}, {"line 3", `2,x"y"z,2`, "field 2 has a quote"},
				{"line 4", `3,"x"y,3`, "field 2 goes on behind its closing quote"}}},
		{"invalid UTF-8", "a,b,c\n1,\xff\xfe,1\n2,y,2\n3,a\xc3,3", declared, []string{"2|y|2"},
			[]badRecord{{"line 2", "1,\xff\xfe,1", "valid UTF-8"}, {"line 4", "3,a\xc3", "valid UTF-8"}}},
		{"null where the struct has none", "id,name,big\n,x,1\n2,,\n", file.Source{Like: likeRow{}}, []string{"2|(null)|(null)"},
			[]badRecord{{"line 2", ",x,1", `column "id" is null`}}},
		{"out of the range of a struct's field", "id,name,big\n2147483648,x,1\n1,x,-1\n-2147483648,x,18446744073709551616\n3,x,0\n", file.Source{Like: likeRow{}},
			[]string{"3|x|0"}, []badRecord{{"line 2", "2147483648,x,1", "is no int32"}, {"line 3", "1,x,-1", "is no uint64"},
				{"line 4", "-2147483648,x,18446744073709551616", "is no uint64"}}},
		{"out of the range of a float32", "f\n1e39\n-1e39\n1e38\n", file.Source{Like: struct{ F float32 }{}}, []string{"1e+38"},
			[]badRecord{{"line 2", "1e39", "is no float32"}, {"line 3", "-1e39", "is no float32"}}},
		{"bad times and dates", "at,d\n2024-02-30T00:00:00Z,\n2024-01-01,\nyesterday,\n,2024-13-01\n,24-1-1\n,2024-01-02\n", file.Source{Schema: cols("at:time", "d:date")},
			[]string{"(null)|2024-01-02"}, []badRecord{{"line 2", "2024-02-30T00:00:00Z,", "is no timestamp"}, {"line 3", "2024-01-01,", "is no timestamp"},
				{"line 4", "yesterday,", "is no timestamp"}, {"line 5", ",2024-13-01", "is no date32"}, {"line 6", ",24-1-1", "is no date32"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "invalid UTF-8" {
				c.bad[1].raw += ",3"
			}
			c.source.URL = write(t, "in.csv", []byte(c.text))
			checkRead(t, c.source, c.rows, c.bad)
		})
	}
}

func TestJSONLBadRecords(t *testing.T) {
	declared := file.Source{Schema: cols("a:int", "b:bool", "at:time")}
	for _, c := range []struct {
		name   string
		text   string
		source file.Source
		rows   []string
		bad    []badRecord
	}{
		{"no JSON", "{\"a\":1}\n{\"a\":\nx\n{\"a\":2}}\n{'a':3}\n{\"a\":4}\n{\"a\":5", declared, []string{"1|(null)|(null)", "4|(null)|(null)"},
			[]badRecord{{"line 2", `{"a":`, "no JSON"}, {"line 3", "x", "no JSON"}, {"line 4", `{"a":2}}`, "no JSON"}, {"line 5", `{'a':3}`, "no JSON"},
				{"line 7", `{"a":5`, "no JSON"}}},
		{"no objects", "[1]\n1\nnull\n\"x\"\ntrue\n{}\n", declared, []string{"(null)|(null)|(null)"}, []badRecord{{"line 1", "[1]", "no JSON object but a array"},
			{"line 2", "1", "no JSON object"}, {"line 3", "null", "no JSON object"}, {"line 4", `"x"`, "no JSON object"}, {"line 5", "true", "no JSON object"}}},
		{"clashes", `{"a":"1"}` + "\n" + `{"a":1.5}` + "\n" + `{"a":1e2}` + "\n" + `{"a":true}` + "\n" + `{"b":0}` + "\n" + `{"b":"true"}` + "\n" + `{"at":1}` + "\n" +
			`{"a":[1]}` + "\n" + `{"a":{}}` + "\n" + `{"at":"noon"}` + "\n", declared, nil, []badRecord{{"line 1", `{"a":"1"}`, `column "a": "1" is no int64`},
			{"line 2", `{"a":1.5}`, "is no int64"}, {"line 3", `{"a":1e2}`, "is no int64"}, {"line 4", `{"a":true}`, `"true" is no int64`},
			{"line 5", `{"b":0}`, `column "b"`}, {"line 6", `{"b":"true"}`, "is no bool"}, {"line 7", `{"at":1}`, "is no timestamp"},
			{"line 8", `{"a":[1]}`, "is no int64"}, {"line 9", `{"a":{}}`, "is no int64"}, {"line 10", `{"at":"noon"}`, "is no timestamp"}}},
		{"invalid UTF-8", "{\"a\":1,\"x\":\"\xff\"}\n{\"a\":2}\n", declared, []string{"2|(null)|(null)"}, []badRecord{{"line 1", "{\"a\":1,\"x\":\"\xff\"}", "valid UTF-8"}}},
		{"null where the struct has none", `{"id":null}` + "\n{}\n" + `{"id":1}` + "\n", file.Source{Like: likeRow{}}, []string{"1|(null)|(null)"},
			[]badRecord{{"line 1", `{"id":null}`, `column "id" is null`}, {"line 2", "{}", `column "id" is null`}}},
		{"a raw tab in a string is taken", "{\"a\":1,\"x\":\"\t\"}\n", declared, []string{"1|(null)|(null)"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.source.URL = write(t, "in.jsonl", []byte(c.text))
			checkRead(t, c.source, c.rows, c.bad)
		})
	}
}

// Types are inferred from the first 1,000 records; what does not fit them later is a bad record.
func TestClashBehindInference(t *testing.T) {
	for name, line := range map[string]func(any) string{
		"in.csv":   func(v any) string { return fmt.Sprintf("%v,x\n", v) },
		"in.jsonl": func(v any) string { return fmt.Sprintf(`{"n":%v,"s":"x"}`+"\n", v) },
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			header := 0
			if name == "in.csv" {
				b.WriteString("n,s\n")
				header = 1
			}
			var want []string
			for i := range 1000 {
				b.WriteString(line(i))
				want = append(want, fmt.Sprintf("%d|x", i))
			}
			b.WriteString(line("0.5"))
			b.WriteString(line(1001))
			raw := strings.TrimSpace(line("0.5"))
			checkRead(t, file.Source{URL: write(t, name, []byte(b.String()))}, append(want, "1001|x"),
				[]badRecord{{fmt.Sprintf("line %d", 1001+header), raw, `column "n": "0.5" is no int64`}})
		})
	}
}

func TestLongLines(t *testing.T) {
	ten := bytes.Repeat([]byte("x"), 10<<20)
	for name, text := range map[string]string{"in.csv": "a\nbefore\n" + string(ten) + "\nafter\n", "in.jsonl": `{"a":"before"}` + "\n" + `{"a":"` + string(ten) + `"}` +
		"\n" + `{"a":"after"}` + "\n"} {
		t.Run("10 MB/"+name, func(t *testing.T) {
			rows, bad, err := readAll(t, file.Source{URL: write(t, name, []byte(text))})
			if err != nil || len(bad) != 0 || len(rows) != 3 || rows[0] != "before" || rows[1] != string(ten) || rows[2] != "after" {
				t.Errorf("%d rows, %d bad records, error %v, want the 3 rows that were written", len(rows), len(bad), err)
			}
		})
	}
	long := bytes.Repeat([]byte("y"), 17<<20)
	for name, text := range map[string]string{"in.csv": "a\nbefore\n" + string(long) + "\nafter\n", "in.jsonl": `{"a":"before"}` + "\n" + string(long) +
		"\n" + `{"a":"after"}` + "\n"} {
		t.Run("17 MB/"+name, func(t *testing.T) {
			line := map[string]string{"in.csv": "line 3", "in.jsonl": "line 2"}[name]
			checkRead(t, file.Source{URL: write(t, name, []byte(text))}, []string{"before", "after"}, []badRecord{{line, string(long[:64<<10]), "longer than 16 MiB"}})
		})
	}
	t.Run("open quote before 17 MB of rows", func(t *testing.T) {
		text := "a,b\n1,\"x\n" + strings.Repeat("2,"+strings.Repeat("y", 1021)+"\n", 17<<10)
		rows, bad, err := readAll(t, file.Source{URL: write(t, "in.csv", []byte(text)), Schema: cols("a:int", "b:text")})
		if err != nil || len(rows) != 17<<10 || len(bad) != 1 {
			t.Errorf("%d rows, %d bad records, error %v, want %d rows and one bad record", len(rows), len(bad), err, 17<<10)
		}
	})
}
