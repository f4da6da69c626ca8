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

// A frame's blocks hold so many bytes each, the last one the rest: for a few values few blocks are decompressed. Other frames, of
// blocks of up to mostLZ4Block, are read too, whole.
const (
	lz4Block     = 1 << 10
	mostLZ4Block = 4 << 20
)

// compressor holds the scratch of one goroutine.
type compressor struct {
	codec Codec
	lz4   lz4.Compressor
	tmp   []byte
	tries []tries // by number of the buffer in its block
}

// tries says how it went with a column's buffers: one that was not worth compressing in one block seldom is in the next.
type tries struct{ wait, failed int }

// mostWait is for how many blocks a column is stored as it is before it is tried again.
const mostWait = 16

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

// append appends a buffer as Arrow lays compressed ones out: length before compression, then the bytes; -1 when they are stored as they are, which they
// are unless a quarter is saved: what is not compressed can be searched as it lies there, and that is what most keys are for. Number is that of the buffer in its block.
func (c *compressor) append(dst, raw []byte, number int) ([]byte, error) {
	if c.codec == None || len(raw) == 0 {
		return append(dst, raw...), nil
	}
	for number >= len(c.tries) {
		c.tries = append(c.tries, tries{})
	}
	t := &c.tries[number]
	if t.wait > 0 {
		t.wait--
		return append(binary.LittleEndian.AppendUint64(dst, math.MaxUint64), raw...), nil
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
	if len(dst)-at-8 <= len(raw)-len(raw)/4 {
		t.failed = 0
		return dst, nil
	}
	t.failed = min(t.failed+1, mostWait)
	t.wait = t.failed
	binary.LittleEndian.PutUint64(dst[at:], math.MaxUint64) // -1
	return append(dst[:at+8], raw...), nil
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

// claimed splits a compressed buffer into how many bytes it holds, MaxUint64 when it is stored as it is, and what follows.
func claimed(b []byte) (size uint64, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, errBuffer
	}
	size, rest = binary.LittleEndian.Uint64(b), b[8:]
	if size != math.MaxUint64 && (size > maxBuffer || size > 512*uint64(len(rest))+1<<20) {
		return 0, nil, fmt.Errorf("a buffer of %d bytes claims to hold %d", len(rest), size)
	}
	return size, rest, nil
}

// decompress returns the bytes of a buffer of the codec; they may alias b, or lie in the memory of tmp, which is kept there.
func decompress(codec Codec, b []byte, tmp *[]byte) ([]byte, error) {
	if codec == None || len(b) == 0 {
		return b, nil
	}
	size, b, err := claimed(b)
	if err != nil || size == math.MaxUint64 {
		return b, err
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
		k, err := lz4.UncompressBlock(b[:n], out[:min(len(out), mostLZ4Block)])
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

// part returns bytes [from,to) of a buffer of the codec, as decompress would return all. Of LZ4 it decompresses only the blocks that have them.
func part(codec Codec, b []byte, from, to int, tmp *[]byte) ([]byte, error) {
	if codec == LZ4 && len(b) > 0 {
		size, rest, err := claimed(b)
		if err != nil {
			return nil, err
		}
		if size != math.MaxUint64 && from >= 0 && from < to && uint64(to) <= size {
			if out, ok := partLZ4(rest, int(size), from, to, tmp); ok {
				return out, nil
			}
		}
	}
	out, err := decompress(codec, b, tmp)
	if err != nil {
		return nil, err
	}
	if from < 0 || from > to || to > len(out) {
		return nil, errBuffer
	}
	return out[from:to], nil
}

// partLZ4 returns bytes [from,to) of a frame that holds size bytes, if it has the blocks that this version writes.
func partLZ4(b []byte, size, from, to int, tmp *[]byte) (part []byte, ok bool) {
	if len(b) < len(lz4Frame) || string(b[:len(lz4Frame)]) != string(lz4Frame[:]) {
		return nil, false
	}
	b = b[len(lz4Frame):]
	first := from - from%lz4Block
	out := room(*tmp, min(to-first+lz4Block, size-first))
	*tmp = out
	for at := 0; at < to; at += lz4Block {
		if len(b) < 4 {
			return nil, false
		}
		head := binary.LittleEndian.Uint32(b)
		n, want := int(head&^(1<<31)), min(lz4Block, size-at)
		if b = b[4:]; n == 0 || n > len(b) {
			return nil, false
		}
		if at >= first {
			dst := out[at-first : at-first+want]
			if head>>31 != 0 {
				if n != want {
					return nil, false
				}
				copy(dst, b)
			} else if got, err := lz4.UncompressBlock(b[:n], dst); err != nil || got != want {
				return nil, false
			}
		}
		b = b[n:]
	}
	return out[from-first : to-first], true
}
