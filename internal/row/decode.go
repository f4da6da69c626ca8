package row

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Decoder reads rows of columns into structs of type T. One goroutine uses it.
type Decoder[T any] struct {
	fields  []field
	columns []int // of the input
	set     []setter
	strict  []bool // a null is an error
	arrays  []arrow.Array
}

// setter writes the value of row i, which is not null, to a field.
type setter func(p unsafe.Pointer, i int)

// NewDecoder returns a decoder for columns of the schema in. All fields of T must be columns of a fitting type.
func NewDecoder[T any](in *arrow.Schema) (*Decoder[T], error) {
	fs, err := fieldsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	d := &Decoder[T]{fields: fs, columns: make([]int, len(fs)), set: make([]setter, len(fs)), strict: make([]bool, len(fs)),
		arrays: make([]arrow.Array, len(fs))}
	names := make([]string, in.NumFields())
	for i, f := range in.Fields() {
		names[i] = f.Name
	}
	var bad []string
	for i, f := range fs {
		at := in.FieldIndices(f.name)
		if len(at) == 0 {
			bad = append(bad, fmt.Sprintf("field %s of %s wants column %q, which is not among %s%s", f.goName, reflect.TypeFor[T](), f.name,
				strings.Join(names, ", "), DidYouMean(f.name, names)))
			continue
		}
		d.columns[i] = at[0]
		if got := in.Field(at[0]).Type; !fits(got, f) {
			bad = append(bad, fmt.Sprintf("field %s of %s is %s, column %q is %s", f.goName, reflect.TypeFor[T](), f.typ, f.name, got))
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(bad, "; "))
	}
	return d, nil
}

// fits tells whether every value of the type goes into the field.
func fits(t arrow.DataType, f field) bool {
	if arrow.TypeEqual(t, f.arrow) {
		return true
	}
	if f.typ == timeType {
		return t.ID() == arrow.DATE32
	}
	switch f.arrow.ID() {
	case arrow.INT64, arrow.INT32, arrow.INT16:
		return f.typ != durationType && arrow.IsSignedInteger(t.ID()) && width(t) < width(f.arrow) ||
			f.typ != durationType && arrow.IsUnsignedInteger(t.ID()) && width(t) < width(f.arrow)
	case arrow.UINT64, arrow.UINT32, arrow.UINT16:
		return arrow.IsUnsignedInteger(t.ID()) && width(t) < width(f.arrow)
	case arrow.FLOAT64:
		return t.ID() == arrow.FLOAT32
	case arrow.BINARY:
		return t.ID() == arrow.STRING
	}
	return false
}

func width(t arrow.DataType) int { return t.(arrow.FixedWidthDataType).BitWidth() }

// Columns returns the names of the columns that T reads.
func (d *Decoder[T]) Columns() []string {
	out := make([]string, len(d.fields))
	for i, f := range d.fields {
		out[i] = f.name
	}
	return out
}

// Reset sets the input of the next Decode calls: all columns of the schema. Text is copied once per column; nothing that Decode sets aliases
// the columns.
func (d *Decoder[T]) Reset(cols []arrow.Array) error {
	for i, f := range d.fields {
		c := cols[d.columns[i]]
		d.arrays[i] = nil
		if c.NullN() > 0 {
			d.arrays[i] = c
		}
		d.strict[i] = !f.pointer
		s, err := setterOf(f, c)
		if err != nil {
			return err
		}
		d.set[i] = s
	}
	return nil
}

// Decode sets dst to row i. A null in a field that is no pointer is an error.
func (d *Decoder[T]) Decode(i int, dst *T) error {
	base := unsafe.Pointer(dst)
	for k := range d.set {
		p := unsafe.Add(base, d.fields[k].offset)
		if a := d.arrays[k]; a != nil && a.IsNull(i) {
			if d.strict[k] {
				return fmt.Errorf("column %q is null, and field %s of %s is no pointer", d.fields[k].name, d.fields[k].goName, reflect.TypeFor[T]())
			}
			*(*unsafe.Pointer)(p) = nil
			continue
		}
		d.set[k](p, i)
	}
	return nil
}

// setterOf returns what writes values of c to f, through a new pointer where f is one.
func setterOf(f field, c arrow.Array) (setter, error) {
	s := plainSetter(f, c)
	if s == nil {
		return nil, fmt.Errorf("column %q is %s, field %s is %s", f.name, c.DataType(), f.goName, f.typ)
	}
	if !f.pointer {
		return s, nil
	}
	t := f.typ
	return func(p unsafe.Pointer, i int) {
		v := reflect.New(t)
		s(v.UnsafePointer(), i)
		*(*unsafe.Pointer)(p) = v.UnsafePointer()
	}, nil
}

func plainSetter(f field, c arrow.Array) setter {
	switch c := c.(type) {
	case *array.Boolean:
		return func(p unsafe.Pointer, i int) { *(*bool)(p) = c.Value(i) }
	case *array.String:
		return texts(f, c)
	case *array.Binary:
		return func(p unsafe.Pointer, i int) { *(*[]byte)(p) = append([]byte(nil), c.Value(i)...) }
	case *array.Timestamp:
		v := c.TimestampValues()
		return func(p unsafe.Pointer, i int) { *(*time.Time)(p) = time.UnixMicro(int64(v[i])).UTC() }
	case *array.Date32:
		v := c.Date32Values()
		return func(p unsafe.Pointer, i int) { *(*time.Time)(p) = v[i].ToTime() }
	case *array.Int64:
		if f.typ == durationType {
			v := c.Int64Values()
			return func(p unsafe.Pointer, i int) { *(*time.Duration)(p) = time.Duration(v[i]) * time.Microsecond }
		}
		return numbers(f, c.Int64Values())
	case *array.Int32:
		return numbers(f, c.Int32Values())
	case *array.Int16:
		return numbers(f, c.Int16Values())
	case *array.Int8:
		return numbers(f, c.Int8Values())
	case *array.Uint64:
		return numbers(f, c.Uint64Values())
	case *array.Uint32:
		return numbers(f, c.Uint32Values())
	case *array.Uint16:
		return numbers(f, c.Uint16Values())
	case *array.Uint8:
		return numbers(f, c.Uint8Values())
	case *array.Float64:
		return numbers(f, c.Float64Values())
	case *array.Float32:
		return numbers(f, c.Float32Values())
	}
	return nil
}

type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

func numbers[V number](f field, v []V) setter {
	switch f.typ.Kind() {
	case reflect.Int, reflect.Int64:
		return put[int64](v)
	case reflect.Int32:
		return put[int32](v)
	case reflect.Int16:
		return put[int16](v)
	case reflect.Int8:
		return put[int8](v)
	case reflect.Uint, reflect.Uint64:
		return put[uint64](v)
	case reflect.Uint32:
		return put[uint32](v)
	case reflect.Uint16:
		return put[uint16](v)
	case reflect.Uint8:
		return put[uint8](v)
	case reflect.Float64:
		return put[float64](v)
	case reflect.Float32:
		return put[float32](v)
	}
	return nil
}

func put[F, V number](v []V) setter {
	return func(p unsafe.Pointer, i int) { *(*F)(p) = F(v[i]) }
}

// texts copies the column's text once, and hands out parts of the copy.
func texts(f field, c *array.String) setter {
	if f.typ.Kind() == reflect.Slice {
		return func(p unsafe.Pointer, i int) { *(*[]byte)(p) = []byte(c.Value(i)) }
	}
	offs := c.ValueOffsets()
	if len(offs) == 0 {
		return func(p unsafe.Pointer, _ int) { *(*string)(p) = "" }
	}
	all := string(c.ValueBytes())
	first := offs[0]
	return func(p unsafe.Pointer, i int) { *(*string)(p) = all[offs[i]-first : offs[i+1]-first] }
}
