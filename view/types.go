package view

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

var timestampUS = &arrow.TimestampType{Unit: arrow.Microsecond}

// plainTypes are the types of columns that have no parameters.
var plainTypes = []arrow.DataType{arrow.Null, arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32,
	arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary, arrow.FixedWidthTypes.Date32, timestampUS}

// typeNamed returns the type that Arrow calls name, as a checkpoint tells it.
func typeNamed(name string) (arrow.DataType, error) {
	for _, t := range plainTypes {
		if t.String() == name {
			return t, nil
		}
	}
	d := &arrow.Decimal128Type{}
	if _, err := fmt.Sscanf(name, "decimal(%d, %d)", &d.Precision, &d.Scale); err == nil && d.String() == name {
		return d, nil
	}
	return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("the type %q is not known to this version", name))
}

// fieldsOf returns the fields that a checkpoint's columns are.
func fieldsOf(columns []*pb.Column) ([]arrow.Field, error) {
	out := make([]arrow.Field, len(columns))
	for i, c := range columns {
		t, err := typeNamed(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		out[i] = arrow.Field{Name: c.Name, Type: t, Nullable: c.Nullable}
	}
	return out, nil
}

// shapeKey is the key of a field's metadata that says of which Go type its bytes, or its numbers, are.
const shapeKey = "sabot.shape"

// shaped returns a field that is shown, of a Go type that its Arrow type may not tell.
func shaped(name string, t arrow.DataType, shape string) arrow.Field {
	f := arrow.Field{Name: name, Type: t, Nullable: true}
	if shape == "uint64" {
		f.Type = arrow.PrimitiveTypes.Uint64
		return f
	}
	if shape != "" {
		f.Metadata = arrow.NewMetadata([]string{shapeKey}, []string{shape})
	}
	return f
}
