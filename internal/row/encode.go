package row

import (
	"reflect"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
)

// Encoder turns structs of type T into columns. One goroutine uses it.
type Encoder[T any] struct {
	schema *arrow.Schema
	fields []field
	add    []func(p unsafe.Pointer)
	b      *Builder
}

// NewEncoder returns an encoder of rows of type T.
func NewEncoder[T any]() (*Encoder[T], error) {
	t := reflect.TypeFor[T]()
	fs, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	schema, err := Schema(t)
	if err != nil {
		return nil, err
	}
	e := &Encoder[T]{schema: schema, fields: fs, b: NewBuilder(schema)}
	for i, f := range fs {
		e.add = append(e.add, e.appender(i, f))
	}
	return e, nil
}

// Schema returns the columns.
func (e *Encoder[T]) Schema() *arrow.Schema { return e.schema }

// Append adds a row.
func (e *Encoder[T]) Append(v *T) {
	base := unsafe.Pointer(v)
	for i := range e.add {
		e.add[i](unsafe.Add(base, e.fields[i].offset))
	}
}

// Len returns the number of rows that Flush would give.
func (e *Encoder[T]) Len() int { return e.b.Len() }

// Truncate drops the rows from n on.
func (e *Encoder[T]) Truncate(n int) { e.b.Truncate(n) }

// Flush returns the rows' columns, which the caller releases, and begins anew.
func (e *Encoder[T]) Flush() []arrow.Array { return e.b.Build() }

func (e *Encoder[T]) appender(col int, f field) func(unsafe.Pointer) {
	plain := e.plain(col, f)
	if !f.pointer {
		return plain
	}
	return func(p unsafe.Pointer) {
		v := *(*unsafe.Pointer)(p)
		if v == nil {
			e.b.AppendNull(col)
			return
		}
		plain(v)
	}
}

func (e *Encoder[T]) plain(col int, f field) func(unsafe.Pointer) {
	b := e.b
	switch f.typ {
	case timeType:
		return func(p unsafe.Pointer) { b.AppendInt(col, (*time.Time)(p).UnixMicro()) }
	case durationType:
		return func(p unsafe.Pointer) { b.AppendInt(col, (*time.Duration)(p).Microseconds()) }
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return func(p unsafe.Pointer) { b.AppendBool(col, *(*bool)(p)) }
	case reflect.String:
		return func(p unsafe.Pointer) { b.AppendString(col, *(*string)(p)) }
	case reflect.Slice:
		return func(p unsafe.Pointer) { b.AppendBytes(col, *(*[]byte)(p)) }
	case reflect.Float64:
		return func(p unsafe.Pointer) { b.AppendFloat(col, *(*float64)(p)) }
	case reflect.Float32:
		return func(p unsafe.Pointer) { b.AppendFloat(col, float64(*(*float32)(p))) }
	case reflect.Int8:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*int8)(p))) }
	case reflect.Int16:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*int16)(p))) }
	case reflect.Int32:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*int32)(p))) }
	case reflect.Uint8:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*uint8)(p))) }
	case reflect.Uint16:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*uint16)(p))) }
	case reflect.Uint32:
		return func(p unsafe.Pointer) { b.AppendInt(col, int64(*(*uint32)(p))) }
	}
	return func(p unsafe.Pointer) { b.AppendInt(col, *(*int64)(p)) } // int, int64, uint, uint64
}
