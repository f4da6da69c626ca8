package view

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// ttl says for how long a value lives after it was used last.
type ttl struct {
	length time.Duration
	wall   bool
	col    int // that holds the time of last use; -1: it lives for ever
}

// ttlOf returns the TTL of a state whose times of last use are in a column that begins with prefix.
func (t *table) ttlOf(d sabot.StateDecl, prefix string) (ttl, error) {
	x := ttl{length: d.TTL, wall: d.Clock == sabot.ByProcessingTime, col: -1}
	if d.TTL == 0 {
		return x, nil
	}
	name := prefix + "used"
	if x.wall {
		name += ".clock"
	}
	if x.col = t.columnOf(name); x.col < 0 {
		return x, sabot.WithKind(sabot.Corrupt, fmt.Errorf("state %q has a TTL, and there is no column %q", d.Name, name))
	}
	return x, nil
}

// expired tells whether the value of a row is not there any more. Before the first watermark, and after the end of input, event time ends nothing.
func (x ttl) expired(rows *segment.Rows, i int, at instant) bool {
	if x.col < 0 {
		return false
	}
	now := at.low
	if x.wall {
		now = at.now
	}
	return now != sabot.NoTime && now != sabot.MaxMicros && now-sabot.Micros(rows.Cols[x.col].Ints[i]) >= sabot.Micros(x.length.Microseconds())
}

func isNull(c *segment.Column, i int) bool { return c.Valid != nil && !c.Valid[i] }

// showValue appends a stored value to a column of the same type.
func showValue(b *batch.Builder, col int, c *segment.Column, i int) {
	switch {
	case isNull(c, i):
		b.AppendNull(col)
	case c.Floats != nil:
		b.AppendFloat(col, c.Floats[i])
	case c.Bools != nil:
		b.AppendBool(col, c.Bools[i])
	case c.Offsets != nil:
		b.AppendBytes(col, c.Bytes[c.Offsets[i]:c.Offsets[i+1]])
	default:
		b.AppendInt(col, c.Ints[i])
	}
}

// valueRows are the values of a process function's keys.
type valueRows struct {
	cols []int // that are shown
	ttls []ttl // of them
}

// values makes it the table of the values of a process function. The next number of a list is no value.
func (t *table) values(state []sabot.StateDecl) error {
	k := valueRows{}
	for _, d := range state {
		isNext := slices.ContainsFunc(state, func(l sabot.StateDecl) bool { return l.Kind == sabot.ListState && d.Name == l.Name+".next" })
		if d.Kind == sabot.TimerState || d.Kind == sabot.MapState || d.Kind == sabot.ListState || isNext {
			continue
		}
		col := t.columnOf(d.Name)
		if col < 0 {
			return sabot.WithKind(sabot.Corrupt, fmt.Errorf("there is no column of state %q", d.Name))
		}
		x, err := t.ttlOf(d, d.Name+".")
		if err != nil {
			return err
		}
		k.cols, k.ttls = append(k.cols, col), append(k.ttls, x)
		t.Values = append(t.Values, shaped(d.Name, t.stored[col].Type, d.Shape))
	}
	t.kind = k
	return nil
}

func (k valueRows) dead(instant) sabot.Micros { return sabot.NoTime }
func (k valueRows) suffix(any) []byte         { return nil }

func (k valueRows) live(_ []byte, rows *segment.Rows, i int, at instant) bool {
	for j, c := range k.cols {
		if !isNull(&rows.Cols[c], i) && !k.ttls[j].expired(rows, i, at) {
			return true
		}
	}
	return false
}

func (k valueRows) show(b *batch.Builder, col int, _ []byte, rows *segment.Rows, i int, at instant) error {
	for j, c := range k.cols {
		if k.ttls[j].expired(rows, i, at) {
			b.AppendNull(col + j)
		} else {
			showValue(b, col+j, &rows.Cols[c], i)
		}
	}
	return nil
}

// entryRows are the entries of a map or list.
type entryRows struct {
	ttl     ttl
	decoder *rowkey.Decoder // of suffixes
	field   arrow.Field     // as it is shown; floats and bools are stored as text
}

// entries makes it the table of a handle's entries.
func (t *table) entries(state []sabot.StateDecl, handle string) error {
	i := slices.IndexFunc(state, func(d sabot.StateDecl) bool { return d.Name == handle && d.Kind != sabot.TimerState })
	if i < 0 {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("operator %q has no state %q", t.Operator, handle))
	}
	d := state[i]
	x, err := t.ttlOf(d, "")
	if err != nil {
		return err
	}
	stored, err := typeNamed(d.KeyType)
	if err != nil {
		return err
	}
	name := "entry"
	if d.Kind == sabot.ListState {
		name = "number"
	}
	k := entryRows{ttl: x, field: entryField(name, stored, d.KeyShape)}
	if k.decoder, err = rowkey.NewDecoder([]arrow.Field{{Name: name, Type: stored}}); err != nil {
		return err
	}
	t.kind, t.More = k, []arrow.Field{k.field}
	t.Values = []arrow.Field{shaped("value", t.stored[0].Type, d.Shape)}
	return nil
}

// entryField returns how a map's keys are shown, given how they are stored and of what shape they are.
func entryField(name string, stored arrow.DataType, shape string) arrow.Field {
	f := arrow.Field{Name: name, Type: stored}
	switch {
	case shape == "":
	case stored.ID() == arrow.INT64:
		return notNull(shaped(name, stored, shape))
	case shape == arrow.FixedWidthTypes.Boolean.String():
		f.Type = arrow.FixedWidthTypes.Boolean
	case shape == arrow.PrimitiveTypes.Float64.String(), shape == arrow.PrimitiveTypes.Float32.String():
		f.Type = arrow.PrimitiveTypes.Float64
	case shape == arrow.BinaryTypes.Binary.String():
		f.Type = arrow.BinaryTypes.Binary
	default:
		return notNull(shaped(name, arrow.BinaryTypes.Binary, shape))
	}
	return f
}

func notNull(f arrow.Field) arrow.Field {
	f.Nullable = false
	return f
}

func (k entryRows) dead(instant) sabot.Micros { return sabot.NoTime }

func (k entryRows) live(_ []byte, rows *segment.Rows, i int, at instant) bool {
	return !k.ttl.expired(rows, i, at)
}

func (k entryRows) suffix(more any) []byte {
	switch v := more.(type) {
	case int64:
		return rowkey.AppendInt64(nil, v)
	case float64:
		return rowkey.AppendString(nil, binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	case bool:
		return rowkey.AppendString(nil, fmt.Sprint(v))
	case []byte:
		return rowkey.AppendString(nil, v)
	}
	return rowkey.AppendString(nil, more.(string))
}

func (k entryRows) show(b *batch.Builder, col int, suffix []byte, rows *segment.Rows, i int, _ instant) error {
	var v [1]any
	if err := k.decoder.Decode(suffix, v[:]); err != nil {
		return err
	}
	switch s := v[0].(type) {
	case nil:
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("the key of an entry is null"))
	case int64:
		b.AppendInt(col, s)
	case string:
		switch k.field.Type.ID() {
		case arrow.BOOL:
			b.AppendBool(col, s == "true")
		case arrow.FLOAT64:
			if len(s) != 8 {
				return sabot.WithKind(sabot.Corrupt, fmt.Errorf("the key of an entry has %d bytes, and is a float", len(s)))
			}
			b.AppendFloat(col, math.Float64frombits(binary.LittleEndian.Uint64([]byte(s))))
		default:
			b.AppendString(col, s)
		}
	}
	showValue(b, col+1, &rows.Cols[0], i)
	return nil
}

// timerRows are the timers of one clock.
type timerRows struct {
	names []string // of all timers of the function
	event bool
}

// timers makes it the table of a process function's timers.
func (t *table) timers(state []sabot.StateDecl, event bool) {
	k := timerRows{event: event}
	for _, d := range state {
		if d.Kind == sabot.TimerState {
			k.names = append(k.names, d.Name)
		}
	}
	t.kind = k
	t.More = []arrow.Field{{Name: "at", Type: timestampUS}}
	t.Values = []arrow.Field{{Name: "timer", Type: arrow.BinaryTypes.String}}
}

func (k timerRows) dead(at instant) sabot.Micros {
	if k.event {
		return at.low
	}
	return sabot.NoTime
}

// timeOf returns the time that begins a suffix.
func timeOf(suffix []byte) sabot.Micros { return sabot.Micros(binary.BigEndian.Uint64(suffix) ^ 1<<63) }

// suffixOf returns the suffix that begins with a time.
func suffixOf(at int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63) }

// live tells whether a timer has not fired: one of event time fires when the watermark is above its time, and those for the end of time with the last.
func (k timerRows) live(suffix []byte, _ *segment.Rows, _ int, at instant) bool {
	return len(suffix) == 9 && (!k.event || min(timeOf(suffix), sabot.MaxMicros-1) >= at.low)
}

func (k timerRows) suffix(more any) []byte { return suffixOf(more.(int64)) }

func (k timerRows) show(b *batch.Builder, col int, suffix []byte, _ *segment.Rows, _ int, _ instant) error {
	id := int(suffix[8])
	if id >= len(k.names) {
		return sabot.WithKind(sabot.Corrupt, fmt.Errorf("there is a timer number %d, and the operator has %d", id, len(k.names)))
	}
	b.AppendInt(col, int64(timeOf(suffix)))
	b.AppendString(col+1, k.names[id])
	return nil
}
