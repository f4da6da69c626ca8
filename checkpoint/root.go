package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// Format is the format of roots that this package writes, and the newest that it reads.
const Format = 1

const (
	magic      = "SabotRt\n"
	headerSize = 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeRoot returns the body of CURRENT. Equal roots give equal bytes. A root without a format is given the current one.
func EncodeRoot(root *pb.Root) ([]byte, error) {
	if root.Format == 0 {
		root.Format = Format
	}
	if err := Validate(root); err != nil {
		return nil, fmt.Errorf("encode root: %w", err)
	}
	b := make([]byte, headerSize, headerSize+proto.Size(root))
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, root)
	if err != nil {
		return nil, fmt.Errorf("encode root: %w", err)
	}
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], root.Format)
	binary.LittleEndian.PutUint64(b[12:], uint64(len(b)-headerSize))
	binary.LittleEndian.PutUint32(b[20:], rootChecksum(b))
	return b, nil
}

// DecodeRoot reads the body of CURRENT. What is truncated or damaged is a Corrupt error, a newer format an Invalid one. A root that it returns
// has passed Validate.
func DecodeRoot(b []byte) (*pb.Root, error) {
	corrupt := func(format string, args ...any) (*pb.Root, error) {
		return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("root is corrupt: "+format, args...))
	}
	if len(b) < headerSize {
		return corrupt("%d bytes are too few for a header", len(b))
	}
	if string(b[:8]) != magic {
		return corrupt("it does not begin as one")
	}
	switch n, have := binary.LittleEndian.Uint64(b[12:]), uint64(len(b)-headerSize); {
	case have < n:
		return corrupt("truncated: %d of %d bytes", have, n)
	case have > n:
		return corrupt("%d bytes after its end", have-n)
	}
	if got, want := rootChecksum(b), binary.LittleEndian.Uint32(b[20:]); got != want {
		return corrupt("checksum %08x, want %08x", got, want)
	}
	if f := binary.LittleEndian.Uint32(b[8:]); f > Format {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("written by a newer Sabot (format %d; this one knows %d): upgrade", f, Format))
	}
	root := new(pb.Root)
	if err := proto.Unmarshal(b[headerSize:], root); err != nil {
		return corrupt("%v", err)
	}
	if err := Validate(root); err != nil {
		return corrupt("%v", err)
	}
	return root, nil
}

// rootChecksum is the CRC32C of an encoded root without the checksum itself.
func rootChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:20], castagnoli), castagnoli, b[headerSize:])
}

// WithFormat returns an encoded root with another format in its header: what a reader of this version has to refuse, if it is a newer one.
func WithFormat(b []byte, format uint32) []byte {
	c := append([]byte(nil), b...)
	binary.LittleEndian.PutUint32(c[8:], format)
	binary.LittleEndian.PutUint32(c[20:], rootChecksum(c))
	return c
}
