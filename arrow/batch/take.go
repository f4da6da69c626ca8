package batch

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take returns the rows idx of a column of canonical type, in that order; the caller releases it.
func Take(c arrow.Array, idx []int32) arrow.Array {
	return gather(c, idx, nil)
}

// memoryOf lends the buffers of one batch; nil: the heap.
type memoryOf struct {
	free [][]byte
	used [][]byte
}

// bytes returns n bytes of any content.
func (m *memoryOf) bytes(n int) []byte {
	if m == nil {
		return make([]byte, n)
	}
	for i, b := range m.free {
		if cap(b) >= n && cap(b) <= 4*n+1024 {
			m.free[i] = m.free[len(m.free)-1]
			m.free = m.free[:len(m.free)-1]
			m.used = append(m.used, b)
			return b[:n]
		}
	}
	b := make([]byte, n, n+n/4)
	m.used = append(m.used, b)
	return b
}

// reset takes back everything that was lent.
func (m *memoryOf) reset() {
	m.free = append(m.free, m.used...)
	m.used = m.used[:0]
	if extra := len(m.free) - 64; extra > 0 {
		m.free = append(m.free[:0], m.free[extra:]...)
	}
}

func lend[T any](m *memoryOf, n int) []T {
	var zero [1]T
	size := len(bytesOf(zero[:]))
	return cast[T](m.bytes(n * size))
}

func gather(c arrow.Array, idx []int32, m *memoryOf) arrow.Array {
	d := c.Data()
	n := len(idx)
	var buffers []*memory.Buffer
	nulls := 0
	var valid *memory.Buffer
	if c.NullN() > 0 {
		valid, nulls = gatherValid(c, idx, m)
	}
	switch t := c.DataType().(type) {
	case *arrow.NullType:
		return array.NewNull(n)
	case *arrow.BooleanType:
		buffers = []*memory.Buffer{valid, gatherBits(c.(*array.Boolean), idx, m)}
	case *arrow.StringType, *arrow.BinaryType:
		offs, bytes := gatherVar(d, idx, m)
		buffers = []*memory.Buffer{valid, offs, bytes}
	case arrow.FixedWidthDataType:
		buffers = []*memory.Buffer{valid, gatherFixed(d, t.Bytes(), idx, m)}
	default:
		panic("batch: column of type " + c.DataType().String() + " is not canonical")
	}
	data := array.NewData(c.DataType(), n, buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func gatherValid(c arrow.Array, idx []int32, m *memoryOf) (*memory.Buffer, int) {
	b := m.bytes((len(idx) + 7) / 8)
	clear(b)
	nulls := 0
	for k, i := range idx {
		if c.IsValid(int(i)) {
			bitutil.SetBit(b, k)
		} else {
			nulls++
		}
	}
	return memory.NewBufferBytes(b), nulls
}

func gatherBits(c *array.Boolean, idx []int32, m *memoryOf) *memory.Buffer {
	b := m.bytes((len(idx) + 7) / 8)
	clear(b)
	for k, i := range idx {
		if c.Value(int(i)) {
			bitutil.SetBit(b, k)
		}
	}
	return memory.NewBufferBytes(b)
}

func gatherFixed(d arrow.ArrayData, width int, idx []int32, m *memoryOf) *memory.Buffer {
	switch width {
	case 1:
		return gatherWidth[uint8](d, idx, m)
	case 2:
		return gatherWidth[uint16](d, idx, m)
	case 4:
		return gatherWidth[uint32](d, idx, m)
	case 8:
		return gatherWidth[uint64](d, idx, m)
	}
	return gatherWidth[[2]uint64](d, idx, m)
}

func gatherWidth[T any](d arrow.ArrayData, idx []int32, m *memoryOf) *memory.Buffer {
	in := fixed[T](d)
	out := lend[T](m, len(idx))
	for k, i := range idx {
		out[k] = in[i]
	}
	return memory.NewBufferBytes(bytesOf(out))
}

func gatherVar(d arrow.ArrayData, idx []int32, m *memoryOf) (offsets, bytes *memory.Buffer) {
	in := fixedOffsets(d)
	var src []byte
	if b := d.Buffers()[2]; b != nil {
		src = b.Bytes()
	}
	offs := lend[int32](m, len(idx)+1)
	total := int32(0)
	offs[0] = 0
	for k, i := range idx {
		total += in[i+1] - in[i]
		offs[k+1] = total
	}
	dst := m.bytes(int(total))
	for k, i := range idx {
		copyShort(dst[offs[k]:offs[k+1]], src[in[i]:in[i+1]])
	}
	return memory.NewBufferBytes(bytesOf(offs)), memory.NewBufferBytes(dst)
}

// copyShort copies src to dst, of equal length. What has up to 16 bytes goes as two words that may overlap, which beats a call.
func copyShort(dst, src []byte) {
	n := len(src)
	dst = dst[:n]
	switch {
	case n > 16:
		copy(dst, src)
	case n >= 8:
		first, last := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[n-8:])
		binary.LittleEndian.PutUint64(dst, first)
		binary.LittleEndian.PutUint64(dst[n-8:], last)
	case n >= 4:
		first, last := binary.LittleEndian.Uint32(src), binary.LittleEndian.Uint32(src[n-4:])
		binary.LittleEndian.PutUint32(dst, first)
		binary.LittleEndian.PutUint32(dst[n-4:], last)
	default:
		for i := 0; i < n; i++ { // the index keeps it from becoming a call
			c := src[i]
			dst[i] = c
		}
	}
}

// fixedOffsets returns the n+1 offsets of a column of variable width.
func fixedOffsets(d arrow.ArrayData) []int32 {
	if d.Len() == 0 || d.Buffers()[1] == nil {
		return []int32{0}
	}
	all := cast[int32](d.Buffers()[1].Bytes())
	return all[d.Offset() : d.Offset()+d.Len()+1]
}
