package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
)

// DeadLetter is a row or record that the job gave up, as a line of JSON.
type DeadLetter struct {
	Operator string         `json:"operator"`
	Reason   string         `json:"reason"`
	Split    string         `json:"split,omitempty"`    // while the row is in its source's stage
	Row      *int64         `json:"row,omitempty"`      // its number in the split, from 0
	Position string         `json:"position,omitempty"` // of a record that could not be decoded
	Raw      string         `json:"raw,omitempty"`      // the record, when it is text
	RawBytes []byte         `json:"raw_bytes,omitempty"`
	Columns  map[string]any `json:"columns,omitempty"`
	Key      map[string]any `json:"key,omitempty"` // after an exchange
	Time     string         `json:"time,omitempty"`
}

// deadLetters collects a lane's dead letters until its next barrier.
type deadLetters struct {
	fail  bool // stop the job at the first one
	lines []byte
	n     int64
	keys  func(key []byte) map[string]any
}

// BadRecordError stops a job that was told to stop at a bad record.
type BadRecordError struct{ Letter DeadLetter }

func (e *BadRecordError) Error() string {
	l := e.Letter
	at := l.Split
	switch {
	case l.Position != "":
		at += " " + l.Position
	case l.Row != nil:
		at += fmt.Sprintf(" row %d", *l.Row)
	case l.Key != nil:
		at = fmt.Sprintf("key %v", l.Key)
	}
	return fmt.Sprintf("bad record in %q at %s: %s (stopped by --on-bad-record fail)", l.Operator, at, l.Reason)
}

func (d *deadLetters) add(l DeadLetter) error {
	if d.fail {
		return sabot.WithKind(sabot.Invalid, &BadRecordError{l})
	}
	line, err := json.Marshal(l)
	if err != nil { // a float that JSON has no word for, say: keep what can be told
		l.Columns = map[string]any{"unprintable": err.Error()}
		if line, err = json.Marshal(l); err != nil {
			return fmt.Errorf("encode dead letter: %w", err)
		}
	}
	d.lines = append(append(d.lines, line...), '\n')
	d.n++
	return nil
}

// row gives up row i of b.
func (d *deadLetters) row(operator string, b *batch.Batch, i int, reason string) error {
	l := DeadLetter{Operator: operator, Reason: reason, Columns: map[string]any{}}
	for c, f := range b.Schema.Fields() {
		v := b.Cols[c].GetOneForMarshal(i)
		switch x := v.(type) {
		case string:
			if !utf8.ValidString(x) {
				v = []byte(x)
			}
		case float64, float32: // JSON has no word for NaN and the infinities
			v = number(x)
		}
		l.Columns[f.Name] = v
	}
	if b.Source != "" {
		row := b.FirstRow + int64(i)
		l.Split, l.Row = b.Split, &row
	}
	if b.Hashes != nil {
		l.Key = d.keys(b.Keys.At(i))
	}
	if b.Times != nil {
		l.Time = sabot.Micros(b.Times[i]).Time().Format(time.RFC3339Nano)
	}
	return d.add(l)
}

func number(v any) any {
	if s := fmt.Sprint(v); s == "NaN" || s == "+Inf" || s == "-Inf" {
		return s
	}
	return v
}

// key gives up a timer's call.
func (d *deadLetters) key(operator string, key map[string]any, at sabot.Micros, reason string) error {
	return d.add(DeadLetter{Operator: operator, Reason: reason, Key: key, Time: at.Time().Format(time.RFC3339Nano)})
}

// record gives up a record that could not be decoded.
func (d *deadLetters) record(source, split string, r sabot.BadRecord) error {
	l := DeadLetter{Operator: source, Reason: r.Reason, Split: split, Position: r.Position}
	if utf8.Valid(r.Raw) {
		l.Raw = string(r.Raw)
	} else {
		l.RawBytes = r.Raw
	}
	return d.add(l)
}

func (d *deadLetters) take() ([]byte, int64) {
	lines, n := d.lines, d.n
	d.lines, d.n = nil, 0
	return lines, n
}

// deadSchema is what a sink of dead letters is given: a letter's parts as text, null where there is nothing.
var deadSchema = arrow.NewSchema([]arrow.Field{
	{Name: "operator", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
	{Name: "split", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "letter", Type: arrow.BinaryTypes.String}, // the whole letter as JSON
}, nil)

// deadRecord turns lines of JSON into a record of deadSchema; the caller releases it.
func deadRecord(lines []byte) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, deadSchema)
	defer b.Release()
	for line := range bytes.Lines(lines) {
		var l DeadLetter
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode dead letter: %w", err))
		}
		b.Field(0).(*array.StringBuilder).Append(l.Operator)
		b.Field(1).(*array.StringBuilder).Append(l.Reason)
		if l.Split == "" {
			b.Field(2).AppendNull()
		} else {
			b.Field(2).(*array.StringBuilder).Append(l.Split)
		}
		if l.Row == nil {
			b.Field(3).AppendNull()
		} else {
			b.Field(3).(*array.Int64Builder).Append(*l.Row)
		}
		b.Field(4).(*array.StringBuilder).Append(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return b.NewRecordBatch(), nil
}
