package segment

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	flatbuffers "github.com/google/flatbuffers/go"
)

// Numbers of Arrow's Message.fbs, Schema.fbs and File.fbs.
const (
	metadataV5    = 4
	headerSchema  = 1
	headerBatch   = 3
	typeInt       = 2
	typeFloat     = 3
	typeBinary    = 4
	typeUtf8      = 5
	typeBool      = 6
	typeTimestamp = 10
	typeFixed     = 15
	microsecond   = 2
	double        = 2
	blockSize     = 24 // of the struct Block
)

// columnJSON is a value column as the footer tells it.
type columnJSON struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func encodeSchema(s Schema) (string, error) {
	cols := make([]columnJSON, len(s))
	for i, f := range s {
		if kindOf(f.Type) == 0 {
			return "", fmt.Errorf("column %q: a segment holds no %s", f.Name, f.Type)
		}
		cols[i] = columnJSON{f.Name, f.Type.String()}
	}
	b, err := json.Marshal(cols)
	return string(b), err
}

func decodeSchema(text string) (Schema, error) {
	var cols []columnJSON
	if err := json.Unmarshal([]byte(text), &cols); err != nil {
		return nil, err
	}
	types := map[string]arrow.DataType{}
	for _, t := range []arrow.DataType{arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64,
		arrow.BinaryTypes.String, arrow.BinaryTypes.Binary, &arrow.TimestampType{Unit: arrow.Microsecond}} {
		types[t.String()] = t
	}
	s := make(Schema, len(cols))
	for i, c := range cols {
		t, ok := types[c.Type]
		if !ok {
			return nil, fmt.Errorf("column %q has the unknown type %q", c.Name, c.Type)
		}
		s[i] = arrow.Field{Name: c.Name, Type: t, Nullable: true}
	}
	return s, nil
}

// kind is how a column's values lie in memory.
type kind uint8

const (
	kindInt kind = iota + 1
	kindFloat
	kindBool
	kindBytes
)

// kindOf returns 0 for a type that a segment does not hold.
func kindOf(t arrow.DataType) kind {
	switch t.ID() {
	case arrow.INT64:
		return kindInt
	case arrow.TIMESTAMP:
		if t.(*arrow.TimestampType).Unit == arrow.Microsecond {
			return kindInt
		}
	case arrow.FLOAT64:
		return kindFloat
	case arrow.BOOL:
		return kindBool
	case arrow.STRING, arrow.BINARY:
		return kindBytes
	}
	return 0
}

// schemaTable builds the Schema table of a segment whose keys are keyWidth bytes each (0: of any length).
func schemaTable(b *flatbuffers.Builder, s Schema, keyWidth int) flatbuffers.UOffsetT {
	offs := []flatbuffers.UOffsetT{
		fieldTable(b, "key", false, func() (byte, flatbuffers.UOffsetT) {
			if keyWidth == 0 {
				b.StartObject(0)
				return typeBinary, b.EndObject()
			}
			b.StartObject(1)
			b.PrependInt32Slot(0, int32(keyWidth), 0)
			return typeFixed, b.EndObject()
		}),
		fieldTable(b, "op", false, func() (byte, flatbuffers.UOffsetT) {
			b.StartObject(2)
			b.PrependInt32Slot(0, 8, 0)
			return typeInt, b.EndObject()
		}),
	}
	for _, f := range s {
		offs = append(offs, fieldTable(b, f.Name, true, func() (byte, flatbuffers.UOffsetT) { return valueType(b, f.Type) }))
	}
	b.StartVector(4, len(offs), 4)
	for i := len(offs) - 1; i >= 0; i-- {
		b.PrependUOffsetT(offs[i])
	}
	fields := b.EndVector(len(offs))
	b.StartObject(4)
	b.PrependUOffsetTSlot(1, fields, 0)
	return b.EndObject()
}

func valueType(b *flatbuffers.Builder, t arrow.DataType) (byte, flatbuffers.UOffsetT) {
	switch t.ID() {
	case arrow.BOOL:
		b.StartObject(0)
		return typeBool, b.EndObject()
	case arrow.FLOAT64:
		b.StartObject(1)
		b.PrependInt16Slot(0, double, 0)
		return typeFloat, b.EndObject()
	case arrow.TIMESTAMP:
		b.StartObject(2)
		b.PrependInt16Slot(0, microsecond, 0)
		return typeTimestamp, b.EndObject()
	case arrow.STRING:
		b.StartObject(0)
		return typeUtf8, b.EndObject()
	case arrow.BINARY:
		b.StartObject(0)
		return typeBinary, b.EndObject()
	}
	b.StartObject(2)
	b.PrependInt32Slot(0, 64, 0)
	b.PrependBoolSlot(1, true, false)
	return typeInt, b.EndObject()
}

func fieldTable(b *flatbuffers.Builder, name string, nullable bool, typ func() (byte, flatbuffers.UOffsetT)) flatbuffers.UOffsetT {
	n := b.CreateString(name)
	t, off := typ()
	b.StartVector(4, 0, 4)
	children := b.EndVector(0)
	b.StartObject(7)
	b.PrependUOffsetTSlot(0, n, 0)
	b.PrependBoolSlot(1, nullable, false)
	b.PrependByteSlot(2, t, 0)
	b.PrependUOffsetTSlot(3, off, 0)
	b.PrependUOffsetTSlot(5, children, 0)
	return b.EndObject()
}

// message frames a Message: continuation mark, length, metadata padded to 8 bytes.
func message(b *flatbuffers.Builder, dst []byte, header byte, table flatbuffers.UOffsetT, bodyLength int) []byte {
	b.StartObject(5)
	b.PrependInt64Slot(3, int64(bodyLength), 0)
	b.PrependUOffsetTSlot(2, table, 0)
	b.PrependByteSlot(1, header, 0)
	b.PrependInt16Slot(0, metadataV5, 0)
	b.Finish(b.EndObject())
	meta := b.FinishedBytes()
	dst = binary.LittleEndian.AppendUint32(dst, 0xffffffff)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(pad8(len(meta))))
	return padded(append(dst, meta...), len(meta))
}

func pad8(n int) int { return (n + 7) &^ 7 }

// padded appends what n bytes lack to a multiple of 8.
func padded(dst []byte, n int) []byte {
	var zero [8]byte
	return append(dst, zero[:pad8(n)-n]...)
}

// batchTable builds the RecordBatch table of rows whose columns have these null counts and buffers.
func batchTable(b *flatbuffers.Builder, rows int, nulls []int, buffers [][2]int, codec Codec) flatbuffers.UOffsetT {
	b.StartVector(16, len(nulls), 8)
	for i := len(nulls) - 1; i >= 0; i-- {
		b.Prep(8, 16)
		b.PrependInt64(int64(nulls[i]))
		b.PrependInt64(int64(rows))
	}
	nodes := b.EndVector(len(nulls))
	b.StartVector(16, len(buffers), 8)
	for i := len(buffers) - 1; i >= 0; i-- {
		b.Prep(8, 16)
		b.PrependInt64(int64(buffers[i][1]))
		b.PrependInt64(int64(buffers[i][0]))
	}
	bufs := b.EndVector(len(buffers))
	var compression flatbuffers.UOffsetT
	if codec != None {
		b.StartObject(2)
		b.PrependByteSlot(0, byte(codec-1), 0)
		compression = b.EndObject()
	}
	b.StartObject(5)
	b.PrependInt64Slot(0, int64(rows), 0)
	b.PrependUOffsetTSlot(1, nodes, 0)
	b.PrependUOffsetTSlot(2, bufs, 0)
	if codec != None {
		b.PrependUOffsetTSlot(3, compression, 0)
	}
	return b.EndObject()
}

// footer builds the Footer.
func footer(b *flatbuffers.Builder, s Schema, keyWidth int, blocks []BlockInfo, metadata [][2]string) []byte {
	schema := schemaTable(b, s, keyWidth)
	b.StartVector(blockSize, 0, 8)
	dictionaries := b.EndVector(0)
	b.StartVector(blockSize, len(blocks), 8)
	for i := len(blocks) - 1; i >= 0; i-- {
		b.Prep(8, blockSize)
		b.PrependInt64(int64(blocks[i].body))
		b.Pad(4)
		b.PrependInt32(int32(blocks[i].meta))
		b.PrependInt64(blocks[i].Offset)
	}
	batches := b.EndVector(len(blocks))
	kvs := make([]flatbuffers.UOffsetT, len(metadata))
	for i, m := range metadata {
		k, v := b.CreateString(m[0]), b.CreateString(m[1])
		b.StartObject(2)
		b.PrependUOffsetTSlot(0, k, 0)
		b.PrependUOffsetTSlot(1, v, 0)
		kvs[i] = b.EndObject()
	}
	b.StartVector(4, len(kvs), 4)
	for i := len(kvs) - 1; i >= 0; i-- {
		b.PrependUOffsetT(kvs[i])
	}
	meta := b.EndVector(len(kvs))
	b.StartObject(5)
	b.PrependInt16Slot(0, metadataV5, 0)
	b.PrependUOffsetTSlot(1, schema, 0)
	b.PrependUOffsetTSlot(2, dictionaries, 0)
	b.PrependUOffsetTSlot(3, batches, 0)
	b.PrependUOffsetTSlot(4, meta, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

// rootTable returns the root table of a finished buffer.
func rootTable(b []byte) flatbuffers.Table {
	return flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
}

// slot returns the position of a table's field, 0 when it is absent.
func slot(t *flatbuffers.Table, i int) flatbuffers.UOffsetT {
	o := t.Offset(flatbuffers.VOffsetT(4 + 2*i))
	if o == 0 {
		return 0
	}
	return t.Pos + flatbuffers.UOffsetT(o)
}

// custom returns a footer's custom metadata.
func custom(b []byte) map[string]string {
	out := map[string]string{}
	t := rootTable(b)
	o := t.Offset(4 + 2*4)
	if o == 0 {
		return out
	}
	at := t.Vector(flatbuffers.UOffsetT(o))
	for i := range t.VectorLen(flatbuffers.UOffsetT(o)) {
		kv := flatbuffers.Table{Bytes: b, Pos: t.Indirect(at + flatbuffers.UOffsetT(4*i))}
		k, v := slot(&kv, 0), slot(&kv, 1)
		if k != 0 && v != 0 {
			out[kv.String(k)] = kv.String(v)
		}
	}
	return out
}
