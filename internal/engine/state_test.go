package engine

import (
	"errors"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore/diskcache"
	"github.com/sabot-stream/sabot/objstore/fetch"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// State comes through the fetcher, errors say what was being read, and only what is corrupt is forgotten.
func TestStateIsFetched(t *testing.T) {
	bucket, paths := mem.New(), checkpoint.NewPaths("job")
	key := paths.Pack(1, 1, "0123456789abcdef")
	if err := bucket.Put(t.Context(), key, make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	cache, err := diskcache.Open(t.TempDir(), diskcache.Options{Bytes: 1 << 20, Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	f := fetch.New(bucket, fetch.Options{Cache: cache})
	g := &group{w: New(Config{Graph: &bind.Graph{}, Bucket: bucket, Paths: paths, Clock: clock.Real(), Fetch: f})}
	g.root.Store(&pb.Root{Objects: []*pb.Object{{Key: key, Size: 300_000}}})
	read := g.fetch(t.Context())
	if b, err := read.One(objstate.Span{Object: key, Off: 10, N: 100_000, Size: 300_000}); err != nil || len(b) != 100_000 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	var gone *missingError
	lost := paths.Pack(1, 2, "0123456789abcdef")
	if _, err := read([]objstate.Span{{Object: key, N: 10}, {Object: lost, N: 10}}); !errors.As(err, &gone) || gone.key != lost {
		t.Errorf("an object that is not there: %v", err)
	}
	f.Close() // what was fetched is on the disk
	if n := cache.Stats().Pages; n != 2 {
		t.Fatalf("%d pages are on the disk", n)
	}
	refs := []objstate.Ref{{Object: key, Offset: 10, Length: 100_000}}
	g.w.forget(errors.New("no connection"), refs)
	if n := cache.Stats().Pages; n != 2 {
		t.Errorf("%d pages are on the disk after an error that says nothing of them", n)
	}
	g.w.forget(sabot.WithKind(sabot.Corrupt, errors.New("checksum")), refs)
	if n := cache.Stats().Pages; n != 0 {
		t.Errorf("%d pages of corrupt state are on the disk", n)
	}
}
