package view

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate"
)

// wantsOf returns what to look up for keys, each the values of the key's columns, and perhaps one of Table.More.
func (t *table) wantsOf(keys [][]any) ([]objstate.Want, error) {
	b := batch.NewBuilder(arrow.NewSchema(t.Key, nil))
	wants := make([]objstate.Want, len(keys))
	for n, key := range keys {
		if len(key) < len(t.Key) || len(key) > len(t.Key)+len(t.More) {
			return nil, t.badKey("has %d values, want %s", len(key), t.keyText())
		}
		for i, f := range t.Key {
			v, err := canonical(f.Type, key[i])
			if err != nil {
				return nil, t.badKey("column %q: %v", f.Name, err)
			}
			appendKey(b, i, v)
		}
		if len(key) == len(t.Key) {
			continue
		}
		f := t.More[0]
		v, err := canonical(f.Type, key[len(t.Key)])
		if err == nil && v == nil {
			err = errors.New("it is never null")
		}
		if err != nil {
			return nil, t.badKey("column %q: %v", f.Name, err)
		}
		if u, ok := v.(uint64); ok {
			v = int64(u)
		}
		wants[n].Suffix = t.kind.suffix(v)
	}
	e, err := rowkey.NewEncoder(t.Key)
	if err != nil {
		return nil, err
	}
	var encoded rowkey.Column
	e.Encode(b.Build(), len(keys), &encoded)
	for n := range wants {
		wants[n].Key = encoded.At(n)
		wants[n].Hash = rowkey.HashOf(wants[n].Key)
	}
	return wants, nil
}

func (t Table) badKey(format string, args ...any) error {
	return sabot.WithKind(sabot.Invalid, fmt.Errorf("key of table %q: "+format, append([]any{t.Name}, args...)...))
}

// keyText lists the columns that make a key.
func (t Table) keyText() string {
	var all []string
	for _, f := range t.Key {
		all = append(all, f.Name+" "+f.Type.String())
	}
	text := strings.Join(all, ", ")
	for _, f := range t.More {
		text += ", and if wanted " + f.Name + " " + f.Type.String()
	}
	return text
}

func appendKey(b *batch.Builder, col int, v any) {
	switch v := v.(type) {
	case nil:
		b.AppendNull(col)
	case bool:
		b.AppendBool(col, v)
	case int64:
		b.AppendInt(col, v)
	case uint64:
		b.AppendInt(col, int64(v))
	case float64:
		b.AppendFloat(col, v)
	case string:
		b.AppendString(col, v)
	case []byte:
		b.AppendBytes(col, v)
	case decimal128.Num:
		b.AppendDecimal(col, v)
	}
}

// intBits is how many bits integers of a type have.
var intBits = map[arrow.Type]int{arrow.INT8: 8, arrow.INT16: 16, arrow.INT32: 32, arrow.INT64: 64, arrow.UINT8: 8, arrow.UINT16: 16, arrow.UINT32: 32, arrow.UINT64: 64}

// canonical returns a Go value as a column of the type has it: nil, bool, int64 (dates in days, timestamps in microseconds), uint64, float64, string,
// []byte, decimal128.Num.
func canonical(t arrow.DataType, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	wrong := fmt.Errorf("%v (%T) is not of type %s", v, v, t)
	r := reflect.ValueOf(v)
	switch t.ID() {
	case arrow.BOOL:
		if r.Kind() == reflect.Bool {
			return r.Bool(), nil
		}
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64:
		if i, ok := integer(r); ok && i>>(intBits[t.ID()]-1) == i>>63 {
			return i, nil
		}
	case arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		if u, ok := unsigned(r); ok && (intBits[t.ID()] == 64 || u>>intBits[t.ID()] == 0) {
			return u, nil
		}
	case arrow.FLOAT32, arrow.FLOAT64:
		if r.CanFloat() {
			return r.Float(), nil
		}
		if i, ok := integer(r); ok {
			return float64(i), nil
		}
	case arrow.STRING, arrow.BINARY:
		if r.Kind() == reflect.String {
			if t.ID() == arrow.BINARY {
				return []byte(r.String()), nil
			}
			return r.String(), nil
		}
		if r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8 {
			if t.ID() == arrow.STRING {
				return string(r.Bytes()), nil
			}
			return r.Bytes(), nil
		}
	case arrow.TIMESTAMP:
		if at, ok := v.(time.Time); ok {
			return int64(sabot.MicrosOf(at)), nil
		}
		if i, ok := integer(r); ok {
			return i, nil
		}
	case arrow.DATE32:
		if at, ok := v.(time.Time); ok {
			return int64(math.Floor(float64(at.Unix()) / (24 * 3600))), nil
		}
		if i, ok := integer(r); ok {
			return i, nil
		}
	case arrow.DECIMAL128:
		if d, ok := v.(decimal128.Num); ok {
			return d, nil
		}
	}
	return nil, wrong
}

func integer(r reflect.Value) (int64, bool) {
	switch {
	case r.CanInt():
		return r.Int(), true
	case r.CanUint() && r.Uint() <= math.MaxInt64:
		return int64(r.Uint()), true
	}
	return 0, false
}

func unsigned(r reflect.Value) (uint64, bool) {
	switch {
	case r.CanUint():
		return r.Uint(), true
	case r.CanInt() && r.Int() >= 0:
		return uint64(r.Int()), true
	}
	return 0, false
}

// ParseKey reads a key, as people write it, by the types of its columns: for Get. A null is null, times are RFC 3339 or dates, bytes hexadecimal behind
// 0x; a text in double quotes is read as JSON does, so that "null" is a text.
func (t Table) ParseKey(texts ...string) ([]any, error) {
	fields := append(append([]arrow.Field{}, t.Key...), t.More...)
	if len(texts) < len(t.Key) || len(texts) > len(fields) {
		return nil, t.badKey("has %d values, want %s", len(texts), t.keyText())
	}
	out := make([]any, len(texts))
	for i, s := range texts {
		var err error
		if out[i], err = parseValue(fields[i].Type, s); err != nil {
			return nil, t.badKey("column %q: %q is not of type %s: %v", fields[i].Name, s, fields[i].Type, err)
		}
	}
	return out, nil
}

func parseValue(t arrow.DataType, s string) (any, error) {
	if s == "null" {
		return nil, nil
	}
	switch t.ID() {
	case arrow.BOOL:
		return strconv.ParseBool(s)
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64:
		return strconv.ParseInt(s, 10, intBits[t.ID()])
	case arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return strconv.ParseUint(s, 10, intBits[t.ID()])
	case arrow.FLOAT32, arrow.FLOAT64:
		return strconv.ParseFloat(s, 64)
	case arrow.BINARY:
		digits, ok := strings.CutPrefix(s, "0x")
		if !ok {
			return nil, errors.New("bytes begin with 0x")
		}
		return hex.DecodeString(digits)
	case arrow.TIMESTAMP, arrow.DATE32:
		if at, err := time.Parse(time.DateOnly, s); err == nil {
			return at, nil
		}
		return time.Parse(time.RFC3339, s)
	case arrow.DECIMAL128:
		d := t.(*arrow.Decimal128Type)
		return decimal128.FromString(s, d.Precision, d.Scale)
	case arrow.NULL:
		return nil, errors.New("it is always null")
	}
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		var text string
		err := json.Unmarshal([]byte(s), &text)
		return text, err
	}
	return s, nil
}
