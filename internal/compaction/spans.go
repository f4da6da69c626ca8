package compaction

import (
	"cmp"
	"slices"

	"github.com/sabot-stream/sabot/objstate"
)

const (
	// nearBytes is up to how many bytes between two ranges are read with them: as long as one request more would take.
	nearBytes = 512 << 10
	// spanBytes is how many bytes ranges next to each other have together at the most.
	spanBytes = 8 << 20
)

// span is a run of bytes of an object.
type span struct {
	object  string
	off, to int64
}

// spansOf returns what to read for some ranges: those that are near each other in one.
func spansOf(ranges []span) (out []span) {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b span) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.off, b.off), cmp.Compare(a.to, b.to))
	})
	for _, r := range sorted {
		if n := len(out); n > 0 {
			if last := &out[n-1]; last.object == r.object && (r.to <= last.to || r.off <= last.to+nearBytes && r.to-last.off <= spanBytes) {
				last.to = max(last.to, r.to)
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// spanReader reads ranges of objects that are known beforehand, those near each other by one request. What is read stays until the ranges in it have
// been asked for as often as they are known. One goroutine uses it.
type spanReader struct {
	fetch objstate.Fetch
	spans []*readSpan
}

type readSpan struct {
	span
	left int    // ranges in it that have not been asked for
	body []byte // nil: not read
}

func newSpanReader(ranges []span, fetch objstate.Fetch) *spanReader {
	r := &spanReader{fetch: fetch}
	for _, s := range spansOf(ranges) {
		x := &readSpan{span: s}
		for _, of := range ranges {
			if x.holds(of) {
				x.left++
			}
		}
		r.spans = append(r.spans, x)
	}
	return r
}

func (s *readSpan) holds(r span) bool { return s.object == r.object && s.off <= r.off && r.to <= s.to }

// read returns a range; nobody changes it.
func (r *spanReader) read(object string, off, n int64) ([]byte, error) {
	want := span{object, off, off + n}
	i := slices.IndexFunc(r.spans, func(s *readSpan) bool { return s.holds(want) })
	if i < 0 {
		return r.fetch.One(objstate.Span{Object: object, Off: off, N: n})
	}
	s := r.spans[i]
	if s.body == nil {
		b, err := r.fetch.One(objstate.Span{Object: object, Off: s.off, N: s.to - s.off})
		if err != nil {
			return nil, err
		}
		s.body = b
	}
	b := s.body[off-s.off : off-s.off+n : off-s.off+n]
	if s.left--; s.left <= 0 {
		s.body = nil
	}
	return b, nil
}

// fetchAll is an objstate.Fetch.
func (r *spanReader) fetchAll(spans []objstate.Span) ([][]byte, error) {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		var err error
		if out[i], err = r.read(s.Object, s.Off, s.N); err != nil {
			return nil, err
		}
	}
	return out, nil
}
