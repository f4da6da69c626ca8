package file

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/internal/row"
)

// Source reads files.
type Source struct {
	URL    string        // path, file:// or bucket URL of a file, or a glob of several
	Format Format        // empty: by extension
	Schema *arrow.Schema // of CSV and JSON lines; nil: Like, or inferred from the first 1,000 rows
	Like   any           // a struct, or a pointer to one, whose fields are the columns of CSV and JSON lines; nil: Schema, or inferred
	CSV    CSVOptions
}

// CSVOptions say how CSV files are written.
type CSVOptions struct {
	Comma    rune     // between fields; 0: ','
	NoHeader bool     // the first line is a row; columns are named by the schema, or column_1 and so on
	Null     []string // fields that stand for null, besides the empty one
}

// defaultRows is the size of a chunk when the engine does not say.
const defaultRows = 8192

// Identity implements sabot.Identifier.
func (s Source) Identity() string { return s.URL }

// Describe implements sabot.Source.
func (s Source) Describe(ctx context.Context, env sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	paths, err := find(ctx, s.URL)
	if err != nil {
		return nil, nil, err
	}
	var schema *arrow.Schema
	var splits []sabot.Split
	for _, id := range paths {
		p := withQuery(id, s.URL)
		got, err := s.schemaOf(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if name := twice(got); name != "" {
			return nil, nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%s has two columns %q; name columns apart", p, name))
		}
		if schema == nil {
			schema = got
			if f, _ := formatOf(p, s.Format); (f == CSV || f == JSONL) && s.Schema == nil && s.Like == nil && env.Notice != nil {
				env.Notice(fmt.Sprintf("Types inferred from the first rows of %s, and kept for this run: %s.", id, columns(schema)))
			}
		} else if err := agree(paths[0], schema, p, got); err != nil {
			return nil, nil, err
		}
		version, size, err := versionOf(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		splits = append(splits, sabot.Split{ID: sabot.SplitID(id), Version: version, Bytes: size, Bounded: true})
	}
	return schema, splits, nil
}

// versionOf returns a file's version: its size, and a checksum of its two ends.
func versionOf(ctx context.Context, path string) (version string, size int64, err error) {
	const end = 64 << 10
	f, err := openInput(ctx, path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, end)); err != nil {
		return "", 0, fmt.Errorf("read input %s: %w", path, err)
	}
	if _, err := io.Copy(h, io.NewSectionReader(f, max(0, f.Size()-end), end)); err != nil {
		return "", 0, fmt.Errorf("read input %s: %w", path, err)
	}
	return fmt.Sprintf("%d bytes, checksum %016x", f.Size(), h.Sum64()), f.Size(), nil
}

// declared returns the schema that the user gave, nil for none.
func (s Source) declared() (*arrow.Schema, error) {
	if s.Schema != nil {
		return batch.NormalizeSchema(s.Schema)
	}
	if s.Like == nil {
		return nil, nil
	}
	t := reflect.TypeOf(s.Like)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	schema, err := row.Schema(t)
	return schema, sabot.WithKind(sabot.Invalid, err)
}

// schemaOf returns the columns of a file.
func (s Source) schemaOf(ctx context.Context, path string) (*arrow.Schema, error) {
	f, err := formatOf(path, s.Format)
	if err != nil {
		return nil, err
	}
	switch f {
	case Parquet:
		return parquetSchema(ctx, path)
	case Arrow:
		return arrowSchema(ctx, path)
	}
	schema, err := s.declared()
	if schema != nil || err != nil {
		return schema, err
	}
	return s.infer(ctx, path, f)
}

func columns(s *arrow.Schema) string {
	parts := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		parts[i] = f.Name + " " + f.Type.String()
	}
	return strings.Join(parts, ", ")
}

// twice returns a name that two columns share, if any do.
func twice(s *arrow.Schema) string {
	for _, f := range s.Fields() {
		if len(s.FieldIndices(f.Name)) > 1 {
			return f.Name
		}
	}
	return ""
}

// agree checks that two files have the same columns.
func agree(first string, a *arrow.Schema, other string, b *arrow.Schema) error {
	for _, f := range a.Fields() {
		g, ok := b.FieldsByName(f.Name)
		if !ok {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("%s has a column %q, %s has none", first, f.Name, other))
		}
		if !arrow.TypeEqual(f.Type, g[0].Type) {
			return sabot.WithKind(sabot.Invalid, fmt.Errorf("column %q is %s in %s and %s in %s; give the source a Schema if they are CSV or JSON lines",
				f.Name, f.Type, first, g[0].Type, other))
		}
	}
	return nil
}

// Open implements sabot.Source.
func (s Source) Open(ctx context.Context, env sabot.Env, schema *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	path := withQuery(string(split.ID), s.URL)
	version, size, err := versionOf(ctx, path)
	if err != nil {
		return nil, err
	}
	if version != split.Version {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%s has changed since the job's first start: it had %s, now %s; put the old file back, or "+
			"start over with --fresh", path, split.Version, version))
	}
	f, err := formatOf(path, s.Format)
	if err != nil {
		return nil, err
	}
	rows := env.MaxRows
	if rows <= 0 {
		rows = defaultRows
	}
	switch f {
	case Parquet:
		return openParquet(ctx, path, schema, rows, at)
	case Arrow:
		return openArrow(ctx, path, schema, rows, at)
	}
	return s.openText(ctx, path, f, schema, rows, size, at)
}
