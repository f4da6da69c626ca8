package file_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/connectors/conntest"
	"github.com/sabot-stream/sabot/connectors/file"
)

// groups returns records of all types, some longer than a chunk of 7, one empty.
func groups(nullable bool) []arrow.RecordBatch {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []arrow.RecordBatch
	for _, n := range []int{3, 9, 0, 1, 12} {
		out = append(out, random(rng, schemaOf(nullable, canonical...), n))
	}
	return out
}

func TestParquetConforms(t *testing.T) {
	for _, nullable := range []bool{true, false} {
		for i, c := range []struct {
			name  string
			props []parquet.WriterProperty
		}{
			{"plain", []parquet.WriterProperty{parquet.WithDictionaryDefault(false)}},
			{"dictionary, snappy", []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Snappy)}},
			{"pages of 64 bytes, zstd", []parquet.WriterProperty{parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDataPageSize(64), parquet.WithBatchSize(4)}},
			{"data pages V2", []parquet.WriterProperty{parquet.WithDataPageVersion(parquet.DataPageV2)}},
		} {
			if !nullable && i > 0 {
				continue // one encoding is enough without nulls
			}
			t.Run(fmt.Sprintf("%s/nullable %v", c.name, nullable), func(t *testing.T) {
				recs := groups(nullable)
				path := write(t, "in.parquet", parquetBytes(t, c.props, recs...))
				conntest.Source(t, opener(file.Source{URL: path}), recs...)
			})
		}
	}
}

func TestArrowConforms(t *testing.T) {
	for _, nullable := range []bool{true, false} {
		for name, stream := range map[string]bool{"in.arrow": false, "in.arrows": true} {
			t.Run(fmt.Sprintf("%s/nullable %v", name, nullable), func(t *testing.T) {
				recs := groups(nullable)
				conntest.Source(t, opener(file.Source{URL: write(t, name, arrowBytes(t, stream, recs...))}), recs...)
			})
		}
	}
}

// Types that are not the engine's own are read as the ones that stand for them.
func TestForeignTypesConform(t *testing.T) {
	foreign := []arrow.DataType{arrow.BinaryTypes.LargeString, arrow.BinaryTypes.LargeBinary, arrow.FixedWidthTypes.Date64,
		&arrow.TimestampType{Unit: arrow.Second}, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, &arrow.TimestampType{Unit: arrow.Nanosecond},
		&arrow.FixedSizeBinaryType{ByteWidth: 3}, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(true, foreign...))
	defer b.Release()
	for i := range 25 {
		for k, c := range []string{fmt.Sprint("text", i%3), "YWJj", "2024-02-29", "2024-02-29T12:00:00", "2024-02-29T12:00:00.5Z", "2024-02-29T12:00:00.25", "YWJj",
			fmt.Sprint("word", i%4)} {
			if (i+k)%5 == 0 {
				b.Field(k).AppendNull()
			} else if err := b.Field(k).AppendValueFromString(c); err != nil {
				t.Fatalf("column %d: %v", k, err)
			}
		}
	}
	rec := b.NewRecordBatch()
	want, err := batch.Normalize(rec)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"in.parquet": parquetBytes(t, nil, rec), "in.arrow": arrowBytes(t, false, rec), "in.arrows": arrowBytes(t, true, rec)} {
		t.Run(name, func(t *testing.T) { conntest.Source(t, opener(file.Source{URL: write(t, name, body)}), want) })
	}
}

// The files of a glob are splits in order of name, whatever their formats.
func TestGlobConforms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	var want []arrow.RecordBatch
	for i, name := range []string{"a/1.parquet", "a/b/2.arrow", "a/b/3.parquet", "c/4.arrows"} {
		rec := random(rng, schemaOf(true, canonical...), 5+i)
		want = append(want, rec)
		body := parquetBytes(t, nil, rec)
		if ext := filepath.Ext(name); ext != ".parquet" {
			body = arrowBytes(t, ext == ".arrows", rec)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a", ".hidden.parquet"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{dir + "/**/*.*", "file://" + dir + "/**/[1-9].{parquet,arrow,arrows}"} {
		t.Run(filepath.Base(url), func(t *testing.T) { conntest.Source(t, opener(file.Source{URL: url}), want...) })
	}
}
