package compaction

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sabot-stream/sabot/objstate"
)

func TestSpansOf(t *testing.T) {
	for name, c := range map[string]struct{ in, want []span }{
		"none":                 {nil, nil},
		"next to each other":   {[]span{{"a", 0, 10}, {"a", 10, 30}}, []span{{"a", 0, 30}}},
		"near each other":      {[]span{{"a", 0, 10}, {"a", 10 + nearBytes, 20 + nearBytes}}, []span{{"a", 0, 20 + nearBytes}}},
		"far from each other":  {[]span{{"a", 0, 10}, {"a", 11 + nearBytes, 20 + nearBytes}}, []span{{"a", 0, 10}, {"a", 11 + nearBytes, 20 + nearBytes}}},
		"of other objects":     {[]span{{"b", 0, 10}, {"a", 10, 20}}, []span{{"a", 10, 20}, {"b", 0, 10}}},
		"in any order":         {[]span{{"a", 20, 30}, {"a", 0, 20}}, []span{{"a", 0, 30}}},
		"one twice":            {[]span{{"a", 5, 9}, {"a", 5, 9}}, []span{{"a", 5, 9}}},
		"one in another":       {[]span{{"a", 0, spanBytes + 9}, {"a", 5, 9}}, []span{{"a", 0, spanBytes + 9}}},
		"too long together":    {[]span{{"a", 0, spanBytes}, {"a", spanBytes, spanBytes + 1}}, []span{{"a", 0, spanBytes}, {"a", spanBytes, spanBytes + 1}}},
		"a long one by itself": {[]span{{"a", 0, 2 * spanBytes}}, []span{{"a", 0, 2 * spanBytes}}},
	} {
		if got := spansOf(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSpanReader(t *testing.T) {
	var asked []string
	bytes := func(object string, off, n int64) (b []byte) {
		for i := range n {
			b = append(b, object[0]+byte(off+i))
		}
		return b
	}
	lost := errors.New("the store is away")
	fail := true
	r := newSpanReader([]span{{"a", 10, 20}, {"a", 20, 25}, {"a", 20, 25}, {"b", 0, 5}}, func(spans []objstate.Span) ([][]byte, error) {
		if fail {
			return nil, lost
		}
		s := spans[0]
		asked = append(asked, fmt.Sprintf("%s %d %d", s.Object, s.Off, s.N))
		return [][]byte{bytes(s.Object, s.Off, s.N)}, nil
	})
	if _, err := r.read("a", 10, 10); !errors.Is(err, lost) {
		t.Fatalf("error %v, want that of the store", err)
	}
	fail = false
	for _, s := range []span{{"a", 20, 25}, {"a", 10, 20}, {"b", 0, 5}, {"a", 20, 25}, {"c", 1, 2}, {"a", 10, 20}} {
		got, err := r.read(s.object, s.off, s.to-s.off)
		if err != nil || !slices.Equal(got, bytes(s.object, s.off, s.to-s.off)) {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	// The last read comes once more than was known: its span is not kept for it.
	if want := []string{"a 10 15", "b 0 5", "c 1 1", "a 10 15"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
