package file

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/valyala/fastjson"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/row"
)

// textReader reads CSV or JSON lines. A position is the byte and the line of the next record.
type textReader struct {
	in      *records
	schema  *arrow.Schema
	build   *row.Builder
	maxRows int
	size    int64
	blank   bool                   // an empty line is a null: the one column's
	parse   func(rec []byte) error // appends a row, or part of one with an error
}

func (s Source) openText(ctx context.Context, path string, f Format, schema *arrow.Schema, rows int, size int64, at sabot.Position) (*textReader, error) {
	offset, line := int64(0), int64(1)
	if at != "" {
		if _, err := fmt.Sscanf(string(at), "byte %d line %d", &offset, &line); err != nil || offset < 0 {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("open %s: position %q is none of this format", path, at))
		}
	}
	r := &textReader{schema: schema, build: row.NewBuilder(schema), maxRows: rows, size: size}
	if f == JSONL {
		r.parse = jsonParser(r.build, schema)
	} else {
		header, headerEnd, err := s.header(ctx, path)
		if err != nil {
			return nil, err
		}
		if at == "" {
			offset, line = headerEnd.offset, headerEnd.line
		}
		r.blank = len(header) == 1 && schema.Field(0).Nullable
		if r.parse, err = s.csvParser(path, r.build, schema, header); err != nil {
			return nil, err
		}
	}
	comma := byte(0)
	if f == CSV {
		comma = s.comma()
	}
	in, err := openRecords(ctx, path, comma, offset, line)
	r.in = in
	return r, err
}

// Read implements sabot.Reader.
func (r *textReader) Read(ctx context.Context) (sabot.Chunk, error) {
	var c sabot.Chunk
	if err := ctx.Err(); err != nil {
		return c, err
	}
	read := 0
	for ; read < r.maxRows; read++ {
		rec, line, err := r.in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return c, err
		}
		if err == nil && len(rec) == 0 && !r.blank {
			continue // an empty line is no record
		}
		n := r.build.Len()
		if err == nil && !utf8.Valid(rec) {
			err = errors.New("it is not valid UTF-8")
		}
		if err == nil {
			err = r.parse(rec)
		}
		if err != nil {
			r.build.Truncate(n)
			c.Bad = append(c.Bad, sabot.BadRecord{Raw: slices.Clone(rec[:min(len(rec), keepRaw)]), Position: fmt.Sprintf("line %d", line), Reason: err.Error()})
		}
	}
	if read == 0 {
		return c, io.EOF
	}
	c.After = sabot.Position(fmt.Sprintf("byte %d line %d", r.in.offset, r.in.line))
	c.Done = float64(r.in.offset) / float64(max(1, r.size))
	if n := r.build.Len(); n > 0 {
		cols := r.build.Build()
		c.Rows = array.NewRecordBatch(r.schema, cols, int64(n))
		for _, col := range cols {
			col.Release()
		}
	}
	return c, nil
}

// Close implements sabot.Reader.
func (r *textReader) Close() error { return r.in.close() }

// place is where the first row of a CSV file begins.
type place struct{ offset, line int64 }

// header returns the names of a CSV file's columns, and where its rows begin.
func (s Source) header(ctx context.Context, path string) (names []string, rows place, err error) {
	if c := s.CSV.Comma; c < 0 || c >= utf8.RuneSelf || c == '"' || c == '\n' || c == '\r' {
		return nil, rows, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: %q cannot stand between fields; set CSV.Comma to another ASCII character", path, c))
	}
	declared, err := s.declared()
	if err != nil {
		return nil, rows, err
	}
	in, err := openRecords(ctx, path, s.comma(), 0, 1)
	if err != nil {
		return nil, rows, err
	}
	defer in.close()
	var rec []byte
	for len(rec) == 0 && err == nil { // empty lines are no records
		rec, _, err = in.next()
	}
	if errors.Is(err, io.EOF) && s.CSV.NoHeader && declared != nil {
		return columnNames(declared), place{0, 1}, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, rows, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: the file is empty, it has not even a header", path))
	}
	if err != nil {
		return nil, rows, sabot.WithKind(sabot.Invalid, fmt.Errorf("read the header of %s: %w", path, err))
	}
	fields, err := splitCSV(rec, s.comma(), nil)
	if err != nil {
		return nil, rows, sabot.WithKind(sabot.Invalid, fmt.Errorf("read the header of %s: %w", path, err))
	}
	for i, f := range fields {
		switch {
		case !s.CSV.NoHeader:
			names = append(names, string(f.text))
		case declared != nil && i < declared.NumFields():
			names = append(names, declared.Field(i).Name)
		default:
			names = append(names, fmt.Sprintf("column_%d", i+1))
		}
	}
	if s.CSV.NoHeader {
		return names, place{0, 1}, nil
	}
	return names, place{in.offset, in.line}, nil
}

func columnNames(s *arrow.Schema) []string {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return names
}

func (s Source) comma() byte {
	if s.CSV.Comma == 0 {
		return ','
	}
	return byte(s.CSV.Comma)
}

// csvParser returns what appends a CSV record's fields to the builder.
func (s Source) csvParser(path string, b *row.Builder, schema *arrow.Schema, header []string) (func([]byte) error, error) {
	at := make([]int, schema.NumFields())
	for i, f := range schema.Fields() {
		if at[i] = slices.Index(header, f.Name); at[i] < 0 {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: its header has no column %q%s", path, f.Name, row.DidYouMean(f.Name, header)))
		}
	}
	var fields []csvField
	return func(rec []byte) error {
		var err error
		if fields, err = splitCSV(rec, s.comma(), fields[:0]); err != nil {
			return err
		}
		if len(fields) != len(header) {
			return fmt.Errorf("it has %d fields, the header %d", len(fields), len(header))
		}
		for i, k := range at {
			f := fields[k]
			if !f.quoted && (len(f.text) == 0 || slices.Contains(s.CSV.Null, string(f.text))) {
				err = appendNull(b, i, schema.Field(i))
			} else {
				err = appendText(b, i, schema.Field(i), f.text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func appendNull(b *row.Builder, i int, f arrow.Field) error {
	if !f.Nullable {
		return fmt.Errorf("column %q is null, which its type does not allow", f.Name)
	}
	b.AppendNull(i)
	return nil
}

// appendText appends a value that is written as text.
func appendText(b *row.Builder, i int, f arrow.Field, text []byte) error {
	s := unsafe.String(unsafe.SliceData(text), len(text)) // for the call's time: nothing below keeps it
	switch f.Type.ID() {
	case arrow.STRING:
		b.AppendBytes(i, text)
		return nil
	case arrow.BINARY:
		v, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fmt.Errorf("column %q: %.60q is no base64, which stands for bytes", f.Name, s)
		}
		b.AppendBytes(i, v)
		return nil
	case arrow.DECIMAL128:
		v, ok := parseDecimal(s, f.Type.(*arrow.Decimal128Type))
		if !ok {
			return clash(f, s)
		}
		b.AppendDecimal(i, v)
		return nil
	case arrow.BOOL:
		v, err := strconv.ParseBool(s)
		if err != nil {
			return clash(f, s)
		}
		b.AppendBool(i, v)
		return nil
	case arrow.FLOAT64, arrow.FLOAT32:
		v, err := strconv.ParseFloat(s, f.Type.(arrow.FixedWidthDataType).BitWidth())
		if err != nil {
			return clash(f, s)
		}
		b.AppendFloat(i, v)
		return nil
	case arrow.TIMESTAMP:
		t, ok := parseTime(s)
		if !ok {
			return clash(f, s)
		}
		b.AppendInt(i, t.UnixMicro())
		return nil
	case arrow.DATE32:
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return clash(f, s)
		}
		b.AppendInt(i, t.Unix()/86400)
		return nil
	}
	if !arrow.IsInteger(f.Type.ID()) {
		return fmt.Errorf("column %q has type %s, which is not read from text", f.Name, f.Type)
	}
	bits := f.Type.(arrow.FixedWidthDataType).BitWidth()
	if arrow.IsUnsignedInteger(f.Type.ID()) {
		v, err := strconv.ParseUint(s, 10, bits)
		if err != nil {
			return clash(f, s)
		}
		b.AppendInt(i, int64(v))
		return nil
	}
	v, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		return clash(f, s)
	}
	b.AppendInt(i, v)
	return nil
}

func clash(f arrow.Field, text string) error {
	return fmt.Errorf("column %q: %.60q is no %s", f.Name, text, f.Type)
}

// parseDecimal reads digits with a point among them or not. A number that the type would have to round is none of it.
func parseDecimal(s string, t *arrow.Decimal128Type) (v decimal128.Num, ok bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return v, false
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	fraction = strings.TrimRight(fraction, "0")
	if whole+fraction == "" && !strings.Contains(digits, "0") || len(fraction) > int(t.Scale) || strings.Trim(whole+fraction, "0123456789") != "" {
		return v, false
	}
	digits = strings.TrimLeft(whole+fraction+strings.Repeat("0", int(t.Scale)-len(fraction)), "0")
	if len(digits) > int(t.Precision) {
		return v, false
	}
	n, ok := new(big.Int).SetString("0"+digits, 10)
	if !ok {
		return v, false
	}
	if s[0] == '-' {
		n.Neg(n)
	}
	return decimal128.FromBigInt(n), true
}

// timeLayouts are tried in turn. Times without a zone are UTC.
var timeLayouts = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00"}

func parseTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05") {
		return time.Time{}, false
	}
	for _, l := range timeLayouts {
		if t, err := time.Parse(l, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// jsonParser returns what appends the members of a JSON object to the builder. Members that are no columns are passed over.
func jsonParser(b *row.Builder, schema *arrow.Schema) func([]byte) error {
	var p fastjson.Parser
	return func(rec []byte) error {
		v, err := p.ParseBytes(rec)
		if err != nil {
			return fmt.Errorf("it is no JSON: %.200s", err.Error())
		}
		if v.Type() != fastjson.TypeObject {
			return fmt.Errorf("it is no JSON object but a %s", v.Type())
		}
		for i, f := range schema.Fields() {
			if err := appendJSON(b, i, f, v.Get(f.Name)); err != nil {
				return err
			}
		}
		return nil
	}
}

func appendJSON(b *row.Builder, i int, f arrow.Field, v *fastjson.Value) error {
	if v == nil || v.Type() == fastjson.TypeNull {
		return appendNull(b, i, f)
	}
	if v.Type() == fastjson.TypeString { // asking a number for its text would make an error, which is slow
		text, err := v.StringBytes()
		if err != nil {
			return err
		}
		if arrow.IsInteger(f.Type.ID()) || arrow.IsFloating(f.Type.ID()) || f.Type.ID() == arrow.BOOL {
			return clash(f, string(text))
		}
		return appendText(b, i, f, text)
	}
	switch {
	case f.Type.ID() == arrow.STRING: // so that a column of several types, or of objects and lists, loses nothing
		b.AppendBytes(i, v.MarshalTo(nil))
		return nil
	case f.Type.ID() == arrow.BOOL:
		if x, err := v.Bool(); err == nil {
			b.AppendBool(i, x)
			return nil
		}
	case v.Type() == fastjson.TypeNumber && (arrow.IsInteger(f.Type.ID()) || arrow.IsFloating(f.Type.ID()) || arrow.IsDecimal(f.Type.ID())):
		return appendText(b, i, f, v.MarshalTo(nil))
	}
	return clash(f, string(v.MarshalTo(nil)))
}
