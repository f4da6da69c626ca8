// Package deal writes flights to files in other ways than they came: several files that overlap in time, rows out of order, other formats, nulls.
package deal

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/sabot-stream/sabot/test/oracle"
)

// How says how flights are dealt.
type How struct {
	Seed     uint64
	Files    int
	Displace time.Duration // rows are moved so that none comes after one that is later by more than this
	Format   string        // parquet, csv or jsonl
	Nulls    float64       // share of delays to be null
}

// Deal writes the flights to dir/part-*.<format>, and returns the pattern of the files and the flights as written.
func Deal(dir string, flights []oracle.Flight, how How) (pattern string, written []oracle.Flight, err error) {
	r := rand.New(rand.NewPCG(how.Seed, 7))
	parts := make([][]oracle.Flight, how.Files)
	for _, f := range flights {
		if r.Float64() < how.Nulls {
			f.Delay = nil
		}
		k := r.IntN(how.Files)
		parts[k] = append(parts[k], f)
		written = append(written, f)
	}
	for k, p := range parts {
		displace(r, p, how.Displace)
		path := filepath.Join(dir, fmt.Sprintf("part-%02d.%s", k, how.Format))
		if err := write(path, how.Format, p); err != nil {
			return "", nil, err
		}
	}
	return filepath.Join(dir, "part-*."+how.Format), written, nil
}

// displace orders the flights by their time plus a random part of d: so a flight comes before another only if it is not later by more than d.
func displace(r *rand.Rand, flights []oracle.Flight, d time.Duration) {
	if d == 0 {
		return
	}
	type at struct {
		t int64
		f oracle.Flight
	}
	keyed := make([]at, len(flights))
	for i, f := range flights {
		keyed[i] = at{f.Date + r.Int64N(d.Microseconds()), f}
	}
	slices.SortStableFunc(keyed, func(a, b at) int { return int(max(-1, min(1, a.t-b.t))) })
	for i, k := range keyed {
		flights[i] = k.f
	}
}

func write(path, format string, flights []oracle.Flight) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	switch format {
	case "csv":
		return writeCSV(f, flights)
	case "jsonl":
		return writeJSONL(f, flights)
	}
	return writeParquet(f, flights)
}

func writeCSV(f *os.File, flights []oracle.Flight) error {
	w := csv.NewWriter(f)
	if err := w.Write([]string{"date", "delay", "distance", "origin", "destination"}); err != nil {
		return err
	}
	for _, x := range flights {
		delay := ""
		if x.Delay != nil {
			delay = strconv.FormatInt(*x.Delay, 10)
		}
		if err := w.Write([]string{time.UnixMicro(x.Date).UTC().Format("2006-01-02 15:04:05"), delay, strconv.FormatInt(x.Distance, 10), x.Origin,
			x.Destination}); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func writeJSONL(f *os.File, flights []oracle.Flight) error {
	e := json.NewEncoder(f)
	for _, x := range flights {
		if err := e.Encode(map[string]any{"date": time.UnixMicro(x.Date).UTC().Format(time.RFC3339), "delay": x.Delay, "distance": x.Distance,
			"origin": x.Origin, "destination": x.Destination}); err != nil {
			return err
		}
	}
	return nil
}

func writeParquet(f *os.File, flights []oracle.Flight) error {
	schema := arrow.NewSchema([]arrow.Field{{Name: "date", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
		{Name: "delay", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "distance", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "origin", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "destination", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for len(flights) > 0 {
		n := min(len(flights), 50_000)
		for _, x := range flights[:n] {
			b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(x.Date))
			if x.Delay == nil {
				b.Field(1).AppendNull()
			} else {
				b.Field(1).(*array.Int64Builder).Append(*x.Delay)
			}
			b.Field(2).(*array.Int64Builder).Append(x.Distance)
			b.Field(3).(*array.StringBuilder).Append(x.Origin)
			b.Field(4).(*array.StringBuilder).Append(x.Destination)
		}
		rec := b.NewRecordBatch()
		err := w.Write(rec)
		rec.Release()
		if err != nil {
			return err
		}
		flights = flights[n:]
	}
	return w.Close()
}
