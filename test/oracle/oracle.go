// Package oracle computes by brute force what the example jobs must publish: with maps and sorts, and none of the engine's code.
package oracle

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Flight is a record of the input. Date is in microseconds; a nil Delay is null.
type Flight struct {
	Date                int64
	Delay               *int64
	Distance            int64
	Origin, Destination string
}

// Flights reads a Parquet file of flights.
func Flights(path string) ([]Flight, error) {
	t, err := readTable(path)
	if err != nil {
		return nil, err
	}
	defer t.Release()
	out := make([]Flight, t.NumRows())
	for c := range int(t.NumCols()) {
		row := 0
		for _, chunk := range t.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				set(&out[row], t.Column(c).Name(), chunk, i)
				row++
			}
		}
	}
	return out, nil
}

func set(f *Flight, name string, c arrow.Array, i int) {
	switch name {
	case "date":
		f.Date = int64(c.(*array.Timestamp).Value(i))
	case "delay":
		if c.IsValid(i) {
			v := c.(*array.Int64).Value(i)
			f.Delay = &v
		}
	case "distance":
		f.Distance = c.(*array.Int64).Value(i)
	case "origin":
		f.Origin = strings.Clone(c.ValueStr(i))
	case "destination":
		f.Destination = strings.Clone(c.ValueStr(i))
	}
}

func readTable(path string) (arrow.Table, error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r.ReadTable(context.Background())
}

// Hourly returns what examples/flights must publish, a line for each row, sorted.
func Hourly(flights []Flight) []string {
	type key struct {
		origin string
		start  int64
	}
	type sum struct{ n, sum, values, greatest int64 }
	sums := map[key]*sum{}
	const hour = 3600_000_000
	for _, f := range flights {
		k := key{f.Origin, f.Date - mod(f.Date, hour)}
		s := sums[k]
		if s == nil {
			s = &sum{greatest: math.MinInt64}
			sums[k] = s
		}
		s.n++
		if f.Delay != nil {
			s.sum += *f.Delay
			s.values++
			s.greatest = max(s.greatest, *f.Delay)
		}
	}
	var out []string
	for k, s := range sums {
		avg, greatest := "null", "null"
		if s.values > 0 {
			avg, greatest = fmt.Sprint(float64(s.sum)/float64(s.values)), fmt.Sprint(s.greatest)
		}
		out = append(out, fmt.Sprintf("%s %d %d %d %s %s", k.origin, k.start, k.start+hour, s.n, avg, greatest))
	}
	slices.Sort(out)
	return out
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// Spells returns what examples/routes must publish, a line for each row, sorted.
func Spells(flights []Flight) []string {
	type route struct{ origin, destination string }
	byRoute := map[route][]int64{}
	for _, f := range flights {
		r := route{f.Origin, f.Destination}
		byRoute[r] = append(byRoute[r], f.Date)
	}
	var out []string
	for r, dates := range byRoute {
		slices.Sort(dates)
		for i, d := range dates {
			if i+1 == len(dates) {
				out = append(out, fmt.Sprintf("%s %s %d null null", r.origin, r.destination, d))
			} else if gap := dates[i+1] - d; gap > 6*3600_000_000 {
				out = append(out, fmt.Sprintf("%s %s %d %d %d", r.origin, r.destination, d, dates[i+1], gap/60_000_000))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Published reads all Parquet files of a folder, and returns a line for each row, sorted: its columns in order, times in microseconds.
func Published(folder string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.parquet"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range paths {
		t, err := readTable(p)
		if err != nil {
			return nil, err
		}
		out = append(out, lines(t)...)
		t.Release()
	}
	slices.Sort(out)
	return out, nil
}

func lines(t arrow.Table) []string {
	rows := make([][]string, t.NumRows())
	for c := range int(t.NumCols()) {
		row := 0
		for _, chunk := range t.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				rows[row] = append(rows[row], text(chunk, i))
				row++
			}
		}
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = strings.Join(r, " ")
	}
	return out
}

func text(c arrow.Array, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	switch c := c.(type) {
	case *array.Timestamp:
		return fmt.Sprint(int64(c.Value(i)))
	case *array.Float64:
		return fmt.Sprint(c.Value(i))
	}
	return c.ValueStr(i)
}

// Diff describes the first differences between two sorted lists of lines; empty: there are none.
func Diff(want, got []string) string {
	var b strings.Builder
	shown, i, j := 0, 0, 0
	for (i < len(want) || j < len(got)) && shown < 10 {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			i++
			j++
		case j == len(got) || i < len(want) && cmp.Less(want[i], got[j]):
			fmt.Fprintf(&b, "missing: %s\n", want[i])
			i++
			shown++
		default:
			fmt.Fprintf(&b, "too much: %s\n", got[j])
			j++
			shown++
		}
	}
	if shown > 0 {
		fmt.Fprintf(&b, "%d rows wanted, %d published", len(want), len(got))
	}
	return b.String()
}
