package row

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Codec turns values of a type that is no column type into bytes and back: structs, and slices, of column types and of each other. The bytes
// begin with a hash of the type's field names and kinds, so that a value of another shape is an error and not a wrong value. They do not sort.
type Codec struct {
	typ  reflect.Type
	sign uint32
}

var errShort = errors.New("it ends early")

// NewCodec returns the codec of a type.
func NewCodec(t reflect.Type) (*Codec, error) {
	h := uint32(2166136261)
	if err := describe(t, &h, 0); err != nil {
		return nil, fmt.Errorf("%s cannot be kept in state: %w", t, err)
	}
	return &Codec{t, h}, nil
}

func mix(h *uint32, s string) {
	for i := range len(s) {
		*h = (*h ^ uint32(s[i])) * 16777619
	}
	*h = (*h ^ 0xff) * 16777619
}

func describe(t reflect.Type, h *uint32, depth int) error {
	if depth > 8 {
		return errors.New("it is nested too deep")
	}
	if TypeOf(t) != nil {
		mix(h, TypeOf(t).Name()+t.Kind().String())
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		if t.Kind() == reflect.Slice && t.Elem().Size() == 0 {
			return fmt.Errorf("%s has elements without content: keep its length", t)
		}
		mix(h, t.Kind().String())
		return describe(t.Elem(), h, depth+1)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				return fmt.Errorf("field %s of %s is not exported", f.Name, t)
			}
			mix(h, f.Name)
			if err := describe(f.Type, h, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s is neither scalar, struct, slice nor pointer", t)
}

// Shape returns the hash of the type's field names and kinds.
func (c *Codec) Shape() uint32 { return c.sign }

// Append appends the bytes of a value of the codec's type.
func (c *Codec) Append(dst []byte, v reflect.Value) []byte {
	return appendValue(binary.BigEndian.AppendUint32(dst, c.sign), v)
}

// Decode sets v, which can be set, from bytes of Append.
func (c *Codec) Decode(b []byte, v reflect.Value) error {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != c.sign {
		return fmt.Errorf("state was written for another shape of %s", c.typ)
	}
	rest, err := decodeValue(b[4:], v)
	if err == nil && len(rest) > 0 {
		err = errors.New("it goes on behind its end")
	}
	if err != nil {
		return fmt.Errorf("decode state of type %s: %w", c.typ, err)
	}
	return nil
}

func appendValue(dst []byte, v reflect.Value) []byte {
	if v.Type() == timeType {
		return binary.AppendVarint(dst, v.Interface().(time.Time).UnixMicro())
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(dst, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(dst, v.Uint())
	case reflect.Float32, reflect.Float64:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	case reflect.String:
		return append(binary.AppendUvarint(dst, uint64(v.Len())), v.String()...)
	case reflect.Slice:
		dst = binary.AppendUvarint(dst, uint64(v.Len()))
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(dst, v.Bytes()...)
		}
		for i := range v.Len() {
			dst = appendValue(dst, v.Index(i))
		}
		return dst
	case reflect.Pointer:
		if v.IsNil() {
			return append(dst, 0)
		}
		return appendValue(append(dst, 1), v.Elem())
	}
	for i := range v.NumField() {
		dst = appendValue(dst, v.Field(i))
	}
	return dst
}

func decodeValue(b []byte, v reflect.Value) (rest []byte, err error) {
	if v.Type() == timeType {
		us, n := binary.Varint(b)
		if n <= 0 {
			return nil, errShort
		}
		v.Set(reflect.ValueOf(time.UnixMicro(us).UTC()))
		return b[n:], nil
	}
	switch v.Kind() {
	case reflect.Bool:
		if len(b) < 1 {
			return nil, errShort
		}
		v.SetBool(b[0] != 0)
		return b[1:], nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, n := binary.Varint(b)
		if n <= 0 {
			return nil, errShort
		}
		v.SetInt(x)
		return b[n:], nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		x, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errShort
		}
		v.SetUint(x)
		return b[n:], nil
	case reflect.Float32, reflect.Float64:
		if len(b) < 8 {
			return nil, errShort
		}
		v.SetFloat(math.Float64frombits(binary.BigEndian.Uint64(b)))
		return b[8:], nil
	case reflect.String, reflect.Slice:
		return decodeSequence(b, v)
	case reflect.Pointer:
		if len(b) < 1 {
			return nil, errShort
		}
		if b[0] == 0 {
			v.SetZero()
			return b[1:], nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(b[1:], v.Elem())
	}
	for i := range v.NumField() {
		if b, err = decodeValue(b, v.Field(i)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeSequence(b []byte, v reflect.Value) ([]byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, errShort
	}
	b = b[n:]
	switch {
	case v.Kind() == reflect.String:
		v.SetString(string(b[:size]))
		return b[size:], nil
	case v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(append([]byte(nil), b[:size]...))
		return b[size:], nil
	}
	v.Set(reflect.MakeSlice(v.Type(), int(size), int(size)))
	var err error
	for i := range int(size) {
		if b, err = decodeValue(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return b, nil
}
