package benchcompact

import (
	"bytes"
	"fmt"

	"github.com/sabot-stream/sabot/objstate"
)

// bucket is objects in memory, counted.
type bucket struct {
	objects       map[string][]byte
	stored        int64 // bytes
	read, written int64 // bytes so far
	told          int64 // of these by moved
}

func (b *bucket) put(key string, body []byte) {
	b.delete(key)
	b.objects[key] = bytes.Clone(body)
	b.stored += int64(len(body))
	b.written += int64(len(body))
}

func (b *bucket) delete(key string) {
	b.stored -= int64(len(b.objects[key]))
	delete(b.objects, key)
}

// fetch is an objstate.Fetch.
func (b *bucket) fetch(spans []objstate.Span) ([][]byte, error) {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		body, ok := b.objects[s.Object]
		if !ok || s.Off < 0 || s.N < 0 || s.Off > int64(len(body))-s.N {
			return nil, fmt.Errorf("bytes %d to %d of %s are not there", s.Off, s.Off+s.N, s.Object)
		}
		out[i] = body[s.Off : s.Off+s.N : s.Off+s.N]
		b.read += s.N
	}
	return out, nil
}

// moved returns how many bytes were read and written since the last call.
func (b *bucket) moved() int64 {
	n := b.read + b.written - b.told
	b.told += n
	return n
}
