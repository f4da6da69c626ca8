package file_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot/connectors/conntest"
	"github.com/sabot-stream/sabot/connectors/file"
)

var (
	i64 = arrow.PrimitiveTypes.Int64
	f64 = arrow.PrimitiveTypes.Float64
	str = arrow.BinaryTypes.String
	boo = arrow.FixedWidthTypes.Boolean
	ts  = &arrow.TimestampType{Unit: arrow.Microsecond}
)

// cols returns nullable columns of "name:type".
func cols(specs ...string) *arrow.Schema {
	types := map[string]arrow.DataType{"int": i64, "float": f64, "text": str, "bool": boo, "time": ts, "date": arrow.FixedWidthTypes.Date32}
	var fields []arrow.Field
	for _, s := range specs {
		name, typ, _ := strings.Cut(s, ":")
		fields = append(fields, arrow.Field{Name: name, Type: types[typ], Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

// table returns rows of cells as text; <nil> is null.
func table(t testing.TB, schema *arrow.Schema, rows ...[]any) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, r := range rows {
		for i, v := range r {
			if v == nil {
				b.Field(i).AppendNull()
			} else if err := b.Field(i).AppendValueFromString(fmt.Sprint(v)); err != nil {
				t.Fatalf("cell %v of column %d: %v", v, i, err)
			}
		}
	}
	return b.NewRecordBatch()
}

type row = []any

type likeRow struct {
	ID   int32 `sabot:"id"`
	Name *string
	Big  *uint64
}

func likeSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int32}, {Name: "name", Type: str, Nullable: true},
		{Name: "big", Type: arrow.PrimitiveTypes.Uint64, Nullable: true}}, nil)
}

func TestCSVConforms(t *testing.T) {
	mixed := cols("n:int", "f:float", "s:text", "b:bool", "at:time")
	for _, c := range []struct {
		name   string
		text   string
		source file.Source
		schema *arrow.Schema
		rows   []row
	}{
		{"inferred", "n,f,s,b,at\n1,1.5,x,true,2024-01-02 03:04:05\n-2,2,y,false,2024-01-02T03:04:05.25+02:00\n,,,,\n", file.Source{}, mixed,
			[]row{{1, 1.5, "x", true, "2024-01-02T03:04:05"}, {-2, 2, "y", false, "2024-01-02T01:04:05.25"}, {nil, nil, nil, nil, nil}}},
		{"CRLF, no line end at the end", "a,b\r\n1,x\r\n2,y", file.Source{}, cols("a:int", "b:text"), []row{{1, "x"}, {2, "y"}}},
		{"quotes", "a,b\n\"x,y\",\"he said \"\"no\"\"\"\n\"\",\n\"\"\"\",\"two\nlines\"\n\"cr\r\nlf\",z\n", file.Source{}, cols("a:text", "b:text"),
			[]row{{"x,y", `he said "no"`}, {"", nil}, {`"`, "two\nlines"}, {"cr\r\nlf", "z"}}},
		{"byte order mark", "\xef\xbb\xbfa,b\n1,2\n", file.Source{}, cols("a:int", "b:int"), []row{{1, 2}}},
		{"byte order mark before a quote", "\xef\xbb\xbf\"a\",b\n1,2\n", file.Source{}, cols("a:int", "b:int"), []row{{1, 2}}},
		{"byte order mark, no header", "\xef\xbb\xbf1,2\n3,4\n", file.Source{CSV: file.CSVOptions{NoHeader: true}}, cols("column_1:int", "column_2:int"),
			[]row{{1, 2}, {3, 4}}},
		{"blank lines", "\n\na,b\n\n1,2\n\r\n\n3,4\n\n\n", file.Source{}, cols("a:int", "b:int"), []row{{1, 2}, {3, 4}}},
		{"semicolons and names for null", "a;b\n1;NA\nNULL;x\n\"NA\";y\n", file.Source{CSV: file.CSVOptions{Comma: ';', Null: []string{"NA", "NULL"}},
			Schema: cols("a:text", "b:text")}, cols("a:text", "b:text"), []row{{"1", nil}, {nil, "x"}, {"NA", "y"}}},
		{"no header, a schema", "1,x\n2,y\n", file.Source{CSV: file.CSVOptions{NoHeader: true}, Schema: cols("a:int", "b:text")}, cols("a:int", "b:text"),
			[]row{{1, "x"}, {2, "y"}}},
		{"a schema of other order, fewer columns", "a,b,c\n1,x,2024-02-29\n2,y,1969-12-31\n", file.Source{Schema: cols("c:date", "a:float")},
			cols("c:date", "a:float"), []row{{"2024-02-29", 1}, {"1969-12-31", 2}}},
		{"like a struct", "big,extra,name,id\n18446744073709551615,,x,7\n,,,-8\n", file.Source{Like: likeRow{}}, likeSchema(),
			[]row{{7, "x", "18446744073709551615"}, {-8, nil, nil}}},
		{"one column with nulls", "a\n1\n\"\"\n2\n", file.Source{Schema: cols("a:text")}, cols("a:text"), []row{{"1"}, {""}, {"2"}}},
		{"names in quotes", "\"a,1\",\"b\"\"2\"\n1,2\n", file.Source{}, cols("a,1:int", `b"2:int`), []row{{1, 2}}},
		{"only a header", "a,b\n", file.Source{}, cols("a:text", "b:text"), nil},
		{"spaces are kept", "a,b\n x , 1\n", file.Source{}, cols("a:text", "b:text"), []row{{" x ", " 1"}}},
		{"numbers too long for integers", "a\n9223372036854775807\n9223372036854775808\n", file.Source{}, cols("a:float"), []row{{"9223372036854775807"},
			{"9223372036854775808"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.source.URL = write(t, "in.csv", []byte(c.text))
			conntest.Source(t, opener(c.source), table(t, c.schema, c.rows...))
		})
	}
}

func TestJSONLConforms(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		source file.Source
		schema *arrow.Schema
		rows   []row
	}{
		{"inferred", `{"n":1,"f":1.5,"s":"x","b":true,"at":"2024-01-02T03:04:05Z"}` + "\n" + `{"n":-2,"f":2,"s":"","b":false,"at":"2024-01-02 03:04:05"}` + "\n" +
			`{"n":null,"f":null,"s":null,"b":null,"at":null}` + "\n", file.Source{}, cols("n:int", "f:float", "s:text", "b:bool", "at:time"),
			[]row{{1, 1.5, "x", true, "2024-01-02T03:04:05"}, {-2, 2, "", false, "2024-01-02T03:04:05"}, {nil, nil, nil, nil, nil}}},
		{"members missing, added and in another order", `{"a":1}` + "\n" + `{"b":"x","a":2}` + "\n{}\n", file.Source{}, cols("a:int", "b:text"),
			[]row{{1, nil}, {2, "x"}, {nil, nil}}},
		{"extra members", `{"a":1,"more":[1,{"x":2}]}` + "\n", file.Source{Schema: cols("a:int")}, cols("a:int"), []row{{1}}},
		{"nested values are their JSON text", `{"a":{"x":[1,2]},"b":[1]}` + "\n" + `{"a":null,"b":[]}` + "\n", file.Source{}, cols("a:text", "b:text"),
			[]row{{`{"x":[1,2]}`, "[1]"}, {nil, "[]"}}},
		{"values of several types are text", `{"a":1}` + "\n" + `{"a":"x"}` + "\n" + `{"a":true}` + "\n", file.Source{}, cols("a:text"),
			[]row{{"1"}, {"x"}, {"true"}}},
		{"escapes", `{"a":"\"\\\n\u00e4\ud83d\ude00","b\n":1}` + "\n", file.Source{}, cols("a:text", "b\n:int"), []row{{"\"\\\nä😀", 1}}},
		{"numbers in quotes are text", `{"a":"1"}` + "\n", file.Source{}, cols("a:text"), []row{{"1"}}},
		{"CRLF, blank lines, no line end at the end", "\r\n{\"a\":1}\r\n\r\n\n  {\"a\" : 2}  ", file.Source{}, cols("a:int"), []row{{1}, {2}}},
		{"byte order mark", "\xef\xbb\xbf{\"a\":1}\n", file.Source{}, cols("a:int"), []row{{1}}},
		{"like a struct", `{"id":7,"name":"x","big":18446744073709551615}` + "\n" + `{"id":-8}` + "\n", file.Source{Like: &likeRow{}}, likeSchema(),
			[]row{{7, "x", "18446744073709551615"}, {-8, nil, nil}}},
		{"integers keep all digits", `{"a":9223372036854775807}` + "\n" + `{"a":-9223372036854775808}` + "\n", file.Source{}, cols("a:int"),
			[]row{{"9223372036854775807"}, {"-9223372036854775808"}}},
		{"a schema, no rows", "", file.Source{Schema: cols("a:int")}, cols("a:int"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.source.URL = write(t, "in.jsonl", []byte(c.text))
			conntest.Source(t, opener(c.source), table(t, c.schema, c.rows...))
		})
	}
}

// Records that are longer than a read of the file, of many sizes, and bad ones between them.
func TestLongTextConforms(t *testing.T) {
	var csv, jsonl strings.Builder
	csv.WriteString("n,s\n")
	for i := range 16 {
		long := strings.Repeat("x", map[int]int{3: 300_000, 9: 10_000}[i])
		fmt.Fprintf(&csv, "%d,\"%s\n\"\n", i, long)
		fmt.Fprintf(&jsonl, `{"n":%d,"s":"%s"}`+"\n", i, long)
		if i%3 == 0 {
			csv.WriteString("bad\n\"\"x,\n")
			jsonl.WriteString("[]\n{\n")
		}
	}
	for name, text := range map[string]string{"in.csv": csv.String(), "in.jsonl": jsonl.String()} {
		t.Run(name, func(t *testing.T) {
			conntest.Source(t, opener(file.Source{URL: write(t, name, []byte(text)), Schema: cols("n:int", "s:text")}))
		})
	}
}
