package sabot

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot/internal/row"
)

// conversion turns values of a user's type into one of the cells' canonical types, and back. Just one pair of functions is set.
type conversion[T any] struct {
	arrow      arrow.DataType
	shape      string // of T, where the Arrow type does not tell it
	toInt      func(T) int64
	fromInt    func(int64) T
	toFloat    func(T) float64
	fromFloat  func(float64) T
	toBool     func(T) bool
	fromBool   func(bool) T
	toString   func(T) string
	fromString func(string) T
	toBytes    func(T) []byte // valid until the next call
	fromBytes  func([]byte) T
}

// as reads a value as another type of the same memory.
func as[To, From any](v From) To { return *(*To)(unsafe.Pointer(&v)) }

// conversionOf returns the conversion of T, or panics with a setupError when T cannot be kept.
func conversionOf[T any](name string) *conversion[T] {
	t := reflect.TypeFor[T]()
	c := &conversion[T]{}
	switch {
	case t == reflect.TypeFor[time.Time]():
		c.arrow = &arrow.TimestampType{Unit: arrow.Microsecond}
		c.toInt = func(v T) int64 { return int64(MicrosOf(any(v).(time.Time))) }
		c.fromInt = func(v int64) T { return any(Micros(v).Time()).(T) }
		return c
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64:
		c.arrow = arrow.PrimitiveTypes.Int64
		if t.Kind() == reflect.Uint || t.Kind() == reflect.Uint64 {
			c.shape = "uint64"
		}
		c.toInt, c.fromInt = as[int64, T], as[T, int64]
	case reflect.Int8:
		narrow[int8](c)
	case reflect.Int16:
		narrow[int16](c)
	case reflect.Int32:
		narrow[int32](c)
	case reflect.Uint8:
		narrow[uint8](c)
	case reflect.Uint16:
		narrow[uint16](c)
	case reflect.Uint32:
		narrow[uint32](c)
	case reflect.Float64:
		c.arrow = arrow.PrimitiveTypes.Float64
		c.toFloat, c.fromFloat = as[float64, T], as[T, float64]
	case reflect.Float32:
		c.arrow, c.shape = arrow.PrimitiveTypes.Float64, "float32"
		c.toFloat = func(v T) float64 { return float64(as[float32](v)) }
		c.fromFloat = func(v float64) T { return as[T](float32(v)) }
	case reflect.Bool:
		c.arrow = arrow.FixedWidthTypes.Boolean
		c.toBool, c.fromBool = as[bool, T], as[T, bool]
	case reflect.String:
		c.arrow = arrow.BinaryTypes.String
		c.toString, c.fromString = as[string, T], as[T, string]
	default:
		c.arrow = arrow.BinaryTypes.Binary
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			c.toBytes, c.fromBytes = as[[]byte, T], as[T, []byte]
			break
		}
		c.coded(name, t)
	}
	return c
}

func narrow[N int8 | int16 | int32 | uint8 | uint16 | uint32, T any](c *conversion[T]) {
	c.arrow, c.shape = arrow.PrimitiveTypes.Int64, reflect.TypeFor[N]().String()
	c.toInt = func(v T) int64 { return int64(as[N](v)) }
	c.fromInt = func(v int64) T { return as[T](N(v)) }
}

func (c *conversion[T]) coded(name string, t reflect.Type) {
	codec, err := row.NewCodec(t)
	if err != nil {
		panic(setupError{fmt.Sprintf("state %q: %v", name, err)})
	}
	c.shape = fmt.Sprintf("%s %08x", t.Kind(), codec.Shape())
	var buf []byte
	to, from := new(T), new(T) // here, since on the stack they would escape
	c.toBytes = func(v T) []byte {
		*to = v
		buf = codec.Append(buf[:0], reflect.ValueOf(to).Elem())
		return buf
	}
	c.fromBytes = func(b []byte) (v T) {
		*from = v
		if err := codec.Decode(b, reflect.ValueOf(from).Elem()); err != nil {
			panic(fmt.Sprintf("state %q: %v", name, err)) // the group restarts; a job whose types changed needs a new name for the state
		}
		return *from
	}
}

// describe returns a value as text, for plans: the same text for the same value alone.
func (c *conversion[T]) describe(v T) string {
	switch {
	case c.toInt != nil:
		return strconv.FormatInt(c.toInt(v), 10)
	case c.toFloat != nil:
		return strconv.FormatFloat(c.toFloat(v), 'g', -1, 64)
	case c.toBool != nil:
		return strconv.FormatBool(c.toBool(v))
	case c.toString != nil:
		return strconv.Quote(c.toString(v))
	}
	return "0x" + hex.EncodeToString(c.toBytes(v))
}

// text returns the conversion to and from text, for keys of maps that are no integers.
func (c *conversion[T]) text() (to func(T) string, from func(string) T) {
	switch {
	case c.toString != nil:
		return c.toString, c.fromString
	case c.toBytes != nil:
		return func(v T) string { return string(c.toBytes(v)) }, func(s string) T { return c.fromBytes([]byte(s)) }
	case c.toBool != nil:
		return func(v T) string { return fmt.Sprint(c.toBool(v)) }, func(s string) T { return c.fromBool(s == "true") }
	}
	return func(v T) string {
			f := c.toFloat(v)
			return string(unsafe.Slice((*byte)(unsafe.Pointer(&f)), 8))
		}, func(s string) T {
			var f float64
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&f)), 8), s)
			return c.fromFloat(f)
		}
}

// keyShape is the shape of a map's keys: those that are no integers are kept as text, whatever they are.
func (c *conversion[T]) keyShape() string {
	if c.shape != "" || c.toInt != nil || c.toString != nil {
		return c.shape
	}
	return c.arrow.String()
}

// recorder is the Host of a set-up that only shows what it declares.
type recorder struct{ decls []StateDecl }

func (r *recorder) add(d StateDecl) {
	if d.Key != nil {
		d.KeyType = d.Key.String()
	}
	if d.Value != nil {
		d.Type = d.Value.String()
	}
	r.decls = append(r.decls, d)
}

func (r *recorder) Value(d StateDecl) any {
	r.add(d)
	return nil
}

func (r *recorder) Map(d StateDecl) any {
	r.add(d)
	return nil
}

func (r *recorder) Timer(d StateDecl, _ func(time.Time) error) TimerCell {
	r.add(d)
	return nil
}

func (r *recorder) Key(int) any       { return nil }
func (r *recorder) Now() Micros       { return NoTime }
func (r *recorder) Watermark() Micros { return NoTime }
