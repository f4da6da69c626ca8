package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/valyala/fastjson"

	"github.com/sabot-stream/sabot"
)

// inferRows is how many records the types of CSV and JSON lines are inferred from.
const inferRows = 1000

// guess is what a column's values seen so far may be.
type guess struct {
	name                              string
	seen                              bool
	notInt, notReal, notBool, notTime bool
}

func (g *guess) text(s string) {
	g.seen = true
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		g.notInt = true
	}
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		g.notReal = true
	}
	if s != "true" && s != "false" {
		g.notBool = true
	}
	if _, ok := parseTime(s); !ok {
		g.notTime = true
	}
}

func (g *guess) field() arrow.Field {
	f := arrow.Field{Name: g.name, Type: arrow.BinaryTypes.String, Nullable: true}
	switch {
	case !g.seen:
	case !g.notInt:
		f.Type = arrow.PrimitiveTypes.Int64
	case !g.notReal:
		f.Type = arrow.PrimitiveTypes.Float64
	case !g.notBool:
		f.Type = arrow.FixedWidthTypes.Boolean
	case !g.notTime:
		f.Type = &arrow.TimestampType{Unit: arrow.Microsecond}
	}
	return f
}

// infer returns the columns of a CSV or JSON lines file by its first records. Records that cannot be read are passed over: reading them for
// good will say what is wrong with them.
func (s Source) infer(ctx context.Context, path string, f Format) (*arrow.Schema, error) {
	var guesses []*guess
	var see func(rec []byte)
	start, comma := place{0, 1}, byte(0)
	if f == JSONL {
		var p fastjson.Parser
		see = func(rec []byte) {
			if v, err := p.ParseBytes(rec); err == nil {
				guesses = seeJSON(v, guesses)
			}
		}
	} else {
		names, at, err := s.header(ctx, path)
		if err != nil {
			return nil, err
		}
		start, comma = at, s.comma()
		for _, n := range names {
			guesses = append(guesses, &guess{name: n})
		}
		see = func(rec []byte) { s.seeCSV(rec, guesses) }
	}
	in, err := openRecords(ctx, path, comma, start.offset, start.line)
	if err != nil {
		return nil, err
	}
	defer in.close()
	for range inferRows {
		rec, _, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return nil, err
		}
		if err == nil && len(rec) > 0 && utf8.Valid(rec) {
			see(rec)
		}
	}
	if len(guesses) == 0 {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read %s: none of its first %d lines is a JSON object with members; give the source a Schema",
			path, inferRows))
	}
	fields := make([]arrow.Field, len(guesses))
	for i, g := range guesses {
		fields[i] = g.field()
	}
	return arrow.NewSchema(fields, nil), nil
}

func (s Source) seeCSV(rec []byte, guesses []*guess) {
	fields, err := splitCSV(rec, s.comma(), nil)
	if err != nil || len(fields) != len(guesses) {
		return
	}
	for i, f := range fields {
		if len(f.text) > 0 && !slices.Contains(s.CSV.Null, string(f.text)) {
			guesses[i].text(string(f.text))
		}
	}
}

func seeJSON(v *fastjson.Value, guesses []*guess) []*guess {
	o, err := v.Object()
	if err != nil {
		return guesses
	}
	o.Visit(func(key []byte, v *fastjson.Value) {
		i := slices.IndexFunc(guesses, func(g *guess) bool { return g.name == string(key) })
		if i < 0 {
			i = len(guesses)
			guesses = append(guesses, &guess{name: string(key)})
		}
		g := guesses[i]
		switch v.Type() {
		case fastjson.TypeNull:
		case fastjson.TypeString:
			text, _ := v.StringBytes() // it is a string
			g.text(string(text))
			g.notInt, g.notReal, g.notBool = true, true, true // a number in quotes is text
		default:
			g.text(string(v.MarshalTo(nil)))
			g.notTime = true
		}
	})
	return guesses
}
