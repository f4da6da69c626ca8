package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec compresses the buffers of a segment.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	LZ4        // fast: for what a cut writes
	Zstd       // small: for what compaction writes
)

// maxBuffer is the largest buffer of a block after decompression.
const maxBuffer = 1 << 30

// lz4Frame is the header of a frame without checksums, with independent blocks of up to 4 MiB.
var lz4Frame = [...]byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73}

const lz4Block = 4 << 20

// compressor holds the scratch of one goroutine.
type compressor struct {
	codec Codec
	lz4   lz4.Compressor
	tmp   []byte
}

var zstdEncoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}}

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBuffer))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// append appends a buffer as Arrow lays compressed ones out: length before compression, then the bytes; -1 when they are stored as they are.
func (c *compressor) append(dst, raw []byte) ([]byte, error) {
	if c.codec == None || len(raw) == 0 {
		return append(dst, raw...), nil
	}
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(raw)))
	var err error
	if c.codec == LZ4 {
		dst, err = c.appendLZ4(dst, raw)
	} else {
		e := zstdEncoders.Get().(*zstd.Encoder)
		dst = e.EncodeAll(raw, dst)
		zstdEncoders.Put(e)
	}
	if err != nil {
		return nil, err
	}
	if len(dst)-at-8 >= len(raw) {
		binary.LittleEndian.PutUint64(dst[at:], math.MaxUint64) // -1
		dst = append(dst[:at+8], raw...)
	}
	return dst, nil
}

func (c *compressor) appendLZ4(dst, raw []byte) ([]byte, error) {
	dst = append(dst, lz4Frame[:]...)
	for len(raw) > 0 {
		part := raw[:min(len(raw), lz4Block)]
		raw = raw[len(part):]
		if n := lz4.CompressBlockBound(len(part)); cap(c.tmp) < n {
			c.tmp = make([]byte, n)
		}
		n, err := c.lz4.CompressBlock(part, c.tmp[:cap(c.tmp)])
		if err != nil {
			return nil, fmt.Errorf("lz4: %w", err)
		}
		if n == 0 || n >= len(part) {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(part))|1<<31)
			dst = append(dst, part...)
			continue
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		dst = append(dst, c.tmp[:n]...)
	}
	return binary.LittleEndian.AppendUint32(dst, 0), nil
}

var errBuffer = errors.New("a compressed buffer is malformed")

// decompress returns the bytes of a buffer of the codec; they may alias b, or lie in the memory of tmp, which is kept there.
func decompress(codec Codec, b []byte, tmp *[]byte) ([]byte, error) {
	if codec == None || len(b) == 0 {
		return b, nil
	}
	if len(b) < 8 {
		return nil, errBuffer
	}
	size := binary.LittleEndian.Uint64(b)
	b = b[8:]
	if size == math.MaxUint64 {
		return b, nil
	}
	if size > maxBuffer || size > 512*uint64(len(b))+1<<20 {
		return nil, fmt.Errorf("a buffer of %d bytes claims to hold %d", len(b), size)
	}
	out := room(*tmp, int(size))
	*tmp = out
	if codec == LZ4 {
		return out, decompressLZ4(out, b)
	}
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	got, err := d.DecodeAll(b, out[:0])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if uint64(len(got)) != size {
		return nil, errBuffer
	}
	return got, nil
}

func decompressLZ4(out, b []byte) error {
	if len(b) < len(lz4Frame) || string(b[:len(lz4Frame)]) != string(lz4Frame[:]) {
		return errBuffer
	}
	b = b[len(lz4Frame):]
	for {
		if len(b) < 4 {
			return errBuffer
		}
		head := binary.LittleEndian.Uint32(b)
		b = b[4:]
		n := int(head &^ (1 << 31))
		if head == 0 {
			break
		}
		if n > len(b) {
			return errBuffer
		}
		if head>>31 != 0 {
			if n > len(out) {
				return errBuffer
			}
			copy(out, b[:n])
			out, b = out[n:], b[n:]
			continue
		}
		k, err := lz4.UncompressBlock(b[:n], out[:min(len(out), lz4Block)])
		if err != nil {
			return fmt.Errorf("lz4: %w", err)
		}
		out, b = out[k:], b[n:]
	}
	if len(out) > 0 || len(b) > 0 {
		return errBuffer
	}
	return nil
}
