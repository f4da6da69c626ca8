package file_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	pq "github.com/apache/arrow-go/v18/parquet/file"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
)

const benchRows = 100_000

// drain reads a source of one file with some of its columns, and returns the number of rows.
func drain(b *testing.B, s file.Source, columns ...string) (n int) {
	schema, splits, err := s.Describe(b.Context(), sabot.Env{})
	if err != nil {
		b.Fatal(err)
	}
	if len(columns) > 0 {
		var fields []arrow.Field
		for _, c := range columns {
			fields = append(fields, schema.Field(schema.FieldIndices(c)[0]))
		}
		schema = arrow.NewSchema(fields, nil)
	}
	r, err := s.Open(b.Context(), sabot.Env{}, schema, splits[0], "")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for {
		c, err := r.Read(b.Context())
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil || len(c.Bad) > 0 {
			b.Fatalf("error %v, bad records %v", err, c.Bad)
		}
		n += int(c.Rows.NumRows())
		c.Rows.Release()
	}
}

// measure runs a reading of the file again and again.
func measure(b *testing.B, bytes int, read func() int) {
	b.SetBytes(int64(bytes))
	for b.Loop() {
		if n := read(); n != benchRows {
			b.Fatalf("%d rows, want %d", n, benchRows)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

// columnsOf are the columns of a loop that knows the shape: id, name, value, at.
type columnsOf struct {
	id    []int64
	name  []byte
	ends  []int32
	value []float64
	at    []int64
}

func (c *columnsOf) add(id, name, value, at []byte) error {
	i, err1 := strconv.ParseInt(string(id), 10, 64)
	v, err2 := strconv.ParseFloat(string(value), 64)
	t, err3 := time.Parse(time.RFC3339, string(at))
	c.id, c.value, c.at = append(c.id, i), append(c.value, v), append(c.at, t.UnixMicro())
	c.name = append(c.name, name...)
	c.ends = append(c.ends, int32(len(c.name)))
	return errors.Join(err1, err2, err3)
}

// handLoop reads lines of the shape, which cut takes apart.
func handLoop(b *testing.B, path string, skip int, cut func(line []byte) [4][]byte) int {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 256<<10)
	n := 0
	var c columnsOf
	for s.Scan() {
		if skip > 0 {
			skip--
			continue
		}
		if n%8192 == 0 {
			c = columnsOf{}
		}
		p := cut(s.Bytes())
		if err := c.add(p[0], p[1], p[2], p[3]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkCSV(b *testing.B) {
	var t strings.Builder
	t.WriteString("id,name,value,at\n")
	for i := range benchRows {
		fmt.Fprintf(&t, "%d,name of %d,%d.25,2024-01-02T03:%02d:%02dZ\n", i, i%1000, i, i/60%60, i%60)
	}
	path := write(b, "in.csv", []byte(t.String()))
	schema := cols("id:int", "name:text", "value:float", "at:time")
	b.Run("source", func(b *testing.B) {
		measure(b, t.Len(), func() int { return drain(b, file.Source{URL: path, Schema: schema}) })
	})
	b.Run("hand loop", func(b *testing.B) {
		measure(b, t.Len(), func() int {
			return handLoop(b, path, 1, func(line []byte) (p [4][]byte) {
				for i := range p {
					p[i], line, _ = bytes.Cut(line, []byte{','})
				}
				return p
			})
		})
	})
}

func BenchmarkJSONL(b *testing.B) {
	var t strings.Builder
	for i := range benchRows {
		fmt.Fprintf(&t, `{"id":%d,"name":"name of %d","value":%d.25,"at":"2024-01-02T03:%02d:%02dZ"}`+"\n", i, i%1000, i, i/60%60, i%60)
	}
	path := write(b, "in.jsonl", []byte(t.String()))
	schema := cols("id:int", "name:text", "value:float", "at:time")
	b.Run("source", func(b *testing.B) {
		measure(b, t.Len(), func() int { return drain(b, file.Source{URL: path, Schema: schema}) })
	})
	b.Run("hand loop", func(b *testing.B) {
		between := [5]string{`{"id":`, `,"name":"`, `","value":`, `,"at":"`, `"}`}
		measure(b, t.Len(), func() int {
			return handLoop(b, path, 0, func(line []byte) (p [4][]byte) {
				for i := range p {
					line = line[len(between[i]):]
					end := bytes.Index(line, []byte(between[i+1]))
					p[i], line = line[:end], line[end:]
				}
				return p
			})
		})
	})
}

func BenchmarkParquet(b *testing.B) {
	columns := []string{"c0", "c1", "c2"}
	var fields []arrow.Field
	for _, c := range append(columns, "more") {
		fields = append(fields, arrow.Field{Name: c, Type: i64})
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for k := range fields {
		for i := range benchRows {
			builder.Field(k).(*array.Int64Builder).Append(int64(i * (k + 1) % 100_003))
		}
	}
	body := parquetBytes(b, nil, builder.NewRecordBatch())
	path := write(b, "in.parquet", body)
	b.Run("source", func(b *testing.B) {
		measure(b, 24*benchRows, func() int { return drain(b, file.Source{URL: path}, columns...) })
	})
	b.Run("arrow-go column readers", func(b *testing.B) {
		measure(b, 24*benchRows, func() int { return columnReaders(b, path, len(columns)) })
	})
}

// columnReaders reads the first columns of 64-bit integers, one after the other, and returns the number of rows.
func columnReaders(b *testing.B, path string, columns int) (rows int) {
	f, err := pq.OpenParquetFile(path, false)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for g := range f.NumRowGroups() {
		for c := range columns {
			r, err := f.RowGroup(g).Column(c)
			if err != nil {
				b.Fatal(err)
			}
			in := r.(*pq.Int64ColumnChunkReader)
			for in.HasNext() {
				out := make([]int64, 8192)
				n, _, err := in.ReadBatch(8192, out, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				rows += int(n)
			}
		}
	}
	return rows / columns
}
