// Package show prints what the examples have published, as a table.
package show

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
)

// Rows calls f with all rows of the Parquet files in a folder (a path or a bucket URL), file by file.
func Rows[T any](ctx context.Context, url string, f func(T)) error {
	folder, query, hasQuery := strings.Cut(url, "?")
	pattern := strings.TrimSuffix(folder, "/") + "/*.parquet"
	if hasQuery {
		pattern += "?" + query
	}
	src := file.Source{URL: pattern}
	schema, splits, err := src.Describe(ctx, sabot.Env{})
	if err != nil {
		return err
	}
	for _, s := range splits {
		if err := readFile(ctx, src, schema, s, f); err != nil {
			return err
		}
	}
	return nil
}

func readFile[T any](ctx context.Context, src file.Source, schema *arrow.Schema, s sabot.Split, f func(T)) (err error) {
	r, err := src.Open(ctx, sabot.Env{MaxRows: 64 << 10}, schema, s, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		c, err := r.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = each(c.Rows, f)
		c.Rows.Release()
		if err != nil {
			return err
		}
	}
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
