// Package show prints what the examples have published, as a table.
package show

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot"
)

// Rows calls f with all rows of the Parquet files in a folder (a path or file:// URL), file by file.
func Rows[T any](ctx context.Context, url string, f func(T)) error {
	paths, err := filepath.Glob(filepath.Join(strings.TrimPrefix(url, "file://"), "*.parquet"))
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := readFile(ctx, p, f); err != nil {
			return fmt.Errorf("read %s: %w", p, err)
		}
	}
	return nil
}

func readFile[T any](ctx context.Context, path string, f func(T)) error {
	in, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	recs, err := r.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer recs.Release()
	for recs.Next() {
		if err := each(recs.RecordBatch(), f); err != nil {
			return err
		}
	}
	if err := recs.Err(); err != nil && err != io.EOF {
		return err
	}
	return nil
}

func each[T any](rec arrow.RecordBatch, f func(T)) error {
	rows, err := sabot.Rows[T](rec)
	for _, r := range rows {
		f(r)
	}
	return err
}

// Table prints a table under a title.
func Table(w io.Writer, title string, header []any, rows [][]any) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = 0
	t.AppendHeader(header)
	for _, r := range rows {
		t.AppendRow(r)
	}
	fmt.Fprintf(w, "\n%s\n", title)
	t.Render()
}
