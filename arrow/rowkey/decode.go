package rowkey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/sabot-stream/sabot"
)

// Decoder reads keys back. Goroutines may share it.
type Decoder struct{ fields []arrow.Field }

// NewDecoder returns a decoder of keys made of the given fields.
func NewDecoder(fields []arrow.Field) (*Decoder, error) {
	if _, err := NewEncoder(fields); err != nil {
		return nil, err
	}
	return &Decoder{fields}, nil
}

var errMalformed = errors.New("malformed bytes")

// Decode sets dst, one place per field, to the values of a key: nil, bool, int64 (all signed integers, dates in days, timestamps in
// microseconds), uint64, float64, string, []byte, or decimal128.Num. The key may go on behind its fields. Malformed bytes are a Corrupt error.
func (d *Decoder) Decode(key []byte, dst []any) error {
	_, err := d.decode(key, dst)
	return err
}

// Len returns how many bytes of b the key at its beginning takes.
func (d *Decoder) Len(b []byte) (int, error) {
	at := 0
	for _, f := range d.fields {
		n, err := fieldLen(f.Type, b[at:])
		if err != nil {
			return 0, d.malformed(f, err)
		}
		at += n
	}
	return at, nil
}

func (d *Decoder) malformed(f arrow.Field, err error) error {
	return sabot.WithKind(sabot.Corrupt, fmt.Errorf("decode key field %q: %w", f.Name, err))
}

func (d *Decoder) decode(key []byte, dst []any) (int, error) {
	at := 0
	for i, f := range d.fields {
		n, err := fieldLen(f.Type, key[at:])
		if err != nil {
			return 0, d.malformed(f, err)
		}
		dst[i] = decodeField(f.Type, key[at:at+n])
		at += n
	}
	return at, nil
}

// fieldLen returns the length of the field at the beginning of b, its first byte included.
func fieldLen(t arrow.DataType, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, errMalformed
	}
	if b[0] == null {
		return 1, nil
	}
	if b[0] != value {
		return 0, errMalformed
	}
	n := 9
	switch t.ID() {
	case arrow.NULL:
		return 0, errMalformed
	case arrow.BOOL:
		n = 2
	case arrow.DECIMAL128:
		n = 17
	case arrow.STRING, arrow.BINARY:
		for i := 1; i+1 < len(b); i++ {
			if b[i] != 0 {
				continue
			}
			switch b[i+1] {
			case 1:
				return i + 2, nil
			case 0xff:
				i++
			default:
				return 0, errMalformed
			}
		}
		return 0, errMalformed
	}
	if len(b) < n {
		return 0, errMalformed
	}
	return n, nil
}

// decodeField returns the value of one whole field.
func decodeField(t arrow.DataType, b []byte) any {
	if b[0] == null {
		return nil
	}
	switch t.ID() {
	case arrow.BOOL:
		return b[1] != 0
	case arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return binary.BigEndian.Uint64(b[1:])
	case arrow.FLOAT32, arrow.FLOAT64:
		return floatOf(binary.BigEndian.Uint64(b[1:]))
	case arrow.STRING:
		return string(unescape(b[1 : len(b)-2]))
	case arrow.BINARY:
		return unescape(b[1 : len(b)-2])
	case arrow.DECIMAL128:
		return decimal128.New(int64(binary.BigEndian.Uint64(b[1:])^sign), binary.BigEndian.Uint64(b[9:]))
	}
	return int64(binary.BigEndian.Uint64(b[1:]) ^ sign)
}

func floatOf(u uint64) float64 {
	switch {
	case u == math.MaxUint64:
		return math.NaN()
	case u&sign != 0:
		return math.Float64frombits(u &^ sign)
	}
	return math.Float64frombits(^u)
}

// unescape returns a copy of b with 0x00 0xff as 0x00.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		out = append(out, b[i])
		if b[i] == 0 {
			i++
		}
	}
	return out
}

// Appender takes decoded values, column by column; batch.Builder is one.
type Appender interface {
	AppendNull(col int)
	AppendBool(col int, v bool)
	AppendInt(col int, v int64)
	AppendFloat(col int, v float64)
	AppendBytes(col int, v []byte)
	AppendDecimal(col int, v decimal128.Num)
}

// AppendTo appends the fields of a key to columns 0, 1, ... of a. Unsigned integers go as int64 of the same bits.
func (d *Decoder) AppendTo(key []byte, a Appender) error {
	at := 0
	for i, f := range d.fields {
		n, err := fieldLen(f.Type, key[at:])
		if err != nil {
			return d.malformed(f, err)
		}
		appendField(f.Type, key[at:at+n], a, i)
		at += n
	}
	return nil
}

func appendField(t arrow.DataType, b []byte, a Appender, col int) {
	if b[0] == null {
		a.AppendNull(col)
		return
	}
	switch t.ID() {
	case arrow.BOOL:
		a.AppendBool(col, b[1] != 0)
	case arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		a.AppendInt(col, int64(binary.BigEndian.Uint64(b[1:])))
	case arrow.FLOAT32, arrow.FLOAT64:
		a.AppendFloat(col, floatOf(binary.BigEndian.Uint64(b[1:])))
	case arrow.STRING, arrow.BINARY:
		v := b[1 : len(b)-2]
		for _, c := range v {
			if c == 0 {
				v = unescape(v)
				break
			}
		}
		a.AppendBytes(col, v)
	case arrow.DECIMAL128:
		a.AppendDecimal(col, decodeField(t, b).(decimal128.Num))
	default:
		a.AppendInt(col, int64(binary.BigEndian.Uint64(b[1:])^sign))
	}
}
