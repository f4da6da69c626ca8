package file_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
)

// canonical are the types that run through the engine.
var canonical = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
	arrow.FixedWidthTypes.Date32, &arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.Decimal128Type{Precision: 20, Scale: 3},
}

// schemaOf returns a column for each type, all nullable or none.
func schemaOf(nullable bool, types ...arrow.DataType) *arrow.Schema {
	var fields []arrow.Field
	for i, t := range types {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("c%d_%s", i, t.Name()), Type: t, Nullable: nullable})
	}
	return arrow.NewSchema(fields, nil)
}

// texts are values that text formats may stumble over.
var texts = []string{"", "a", "true", "12", "null", `"`, `""`, `a"b`, "a,b", "a\nb", "a\r\nb", "\n", "\r", " lead and trail ", "ä\u2028😀", `\N`, `\`, "\t", "{}", "<&>", "\x00"}

// random returns n rows; a nullable column is null at about every fourth.
func random(rng *rand.Rand, schema *arrow.Schema, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, f := range schema.Fields() {
		for range n {
			if f.Nullable && rng.IntN(4) == 0 {
				b.Field(i).AppendNull()
				continue
			}
			appendRandom(rng, b.Field(i))
		}
	}
	return b.NewRecordBatch()
}

func appendRandom(rng *rand.Rand, b array.Builder) {
	u := rng.Uint64() >> rng.IntN(64) // of every magnitude
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(u&1 == 1)
	case *array.Int8Builder:
		b.Append(int8(u))
	case *array.Int16Builder:
		b.Append(int16(u))
	case *array.Int32Builder:
		b.Append(int32(u))
	case *array.Int64Builder:
		b.Append(int64(u) * int64(1-2*rng.IntN(2)))
	case *array.Uint8Builder:
		b.Append(uint8(u))
	case *array.Uint16Builder:
		b.Append(uint16(u))
	case *array.Uint32Builder:
		b.Append(uint32(u))
	case *array.Uint64Builder:
		b.Append(u)
	case *array.Float32Builder:
		b.Append(float32(rng.NormFloat64() * float64(u)))
	case *array.Float64Builder:
		b.Append(rng.NormFloat64() * float64(u))
	case *array.StringBuilder:
		b.Append(texts[rng.IntN(len(texts))])
	case *array.BinaryBuilder:
		raw := []byte{0, '"', ',', '\n', '\r', 0xff, 0xc3, 'x'}
		rng.Shuffle(len(raw), func(i, j int) { raw[i], raw[j] = raw[j], raw[i] })
		b.Append(raw[:rng.IntN(len(raw)+1)])
	case *array.Date32Builder:
		b.Append(arrow.Date32(rng.IntN(80_000) - 40_000))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(rng.Int64N(8e15) - 4e15))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(u >> 1)).Negate())
	default:
		panic(fmt.Sprintf("no random value for %T", b))
	}
}

// write writes a file into a new folder, and returns its path.
func write(t testing.TB, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// parquetBytes returns a Parquet file with a row group for each record.
func parquetBytes(t testing.TB, props []parquet.WriterProperty, recs ...arrow.RecordBatch) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pqarrow.NewFileWriter(recs[0].Schema(), &b, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// arrowBytes returns an Arrow IPC file or stream with a batch for each record.
func arrowBytes(t testing.TB, stream bool, recs ...arrow.RecordBatch) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write(arrow.RecordBatch) error
		Close() error
	}
	var err error
	if w, err = ipc.NewFileWriter(&b, ipc.WithSchema(recs[0].Schema())); stream {
		b.Reset()
		w, err = ipc.NewWriter(&b, ipc.WithSchema(recs[0].Schema())), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opener returns what opens a source of a file, for conntest.
func opener(s file.Source) func() sabot.Source { return func() sabot.Source { return s } }
