package run

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/file"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// shelf is a store of a scheme that is not built in: buckets in memory, by name and prefix.
type shelf struct {
	mu      sync.Mutex
	buckets map[string]objstore.Bucket
}

func (s *shelf) scheme() objstore.Scheme {
	return objstore.Scheme{Name: "shelf", Form: "shelf://bucket/prefix", Open: func(_ context.Context, at objstore.Location) (objstore.Bucket, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		name := strings.TrimSuffix(at.Name+"/"+at.Prefix, "/")
		if s.buckets[name] == nil {
			s.buckets[name] = mem.New()
		}
		return s.buckets[name], nil
	}}
}

// A scheme given to Run opens the bucket of state, and those of sources and sinks.
func TestBucketsOfOtherSchemes(t *testing.T) {
	s := &shelf{buckets: map[string]objstore.Bucket{"in": mem.New()}}
	if err := s.buckets["in"].Put(t.Context(), "day/one.csv", []byte("n\n1\n2\n3\n")); err != nil {
		t.Fatal(err)
	}
	job := func() *sabot.Job {
		j := sabot.NewJob("copy")
		j.Source("in", file.Source{URL: "shelf://in/day/*.csv"}).Sink("out", file.Sink{URL: "shelf://out/rows", Format: file.CSV})
		return j
	}
	if _, err := Run(t.Context(), job(), Options{Bucket: "shelf://state"}); sabot.KindOf(err) != sabot.Invalid || !strings.Contains(err.Error(), "not shelf:") {
		t.Fatalf("without the scheme: %v, want an Invalid error", err)
	}
	if _, err := Run(t.Context(), job(), Options{Bucket: "shelf://state", Buckets: []objstore.Scheme{s.scheme()}}); err != nil {
		t.Fatal(err)
	}
	var published []string
	for o, err := range s.buckets["out/rows"].List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := s.buckets["out/rows"].Get(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		published = append(published, string(body))
	}
	if len(published) != 1 || published[0] != "n\n1\n2\n3\n" {
		t.Errorf("published: %q", published)
	}
	if _, _, err := s.buckets["state"].Get(t.Context(), "copy/CURRENT"); err != nil {
		t.Errorf("the state's bucket: %v", err)
	}
}
