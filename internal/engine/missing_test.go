package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/bind"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// An object that only an earlier root named may be gone, though the worker has been told of the last one since: it starts again from that. One
// that the last root names must be there.
func TestMissingObjects(t *testing.T) {
	bucket, paths := mem.New(), checkpoint.NewPaths("job")
	kept := paths.Pack(1, 2, "0123456789abcdef")
	last := checkpoint.FreshRoot(nil, checkpoint.Start{Job: "job", Run: "0badcafe", Now: clock.Real().Now()})
	last.Term, last.Epoch = 1, 5
	last.Objects = []*pb.Object{{Key: kept, Size: 10}}
	last.Stages = []*pb.Stage{{Id: 1, Partitions: checkpoint.Partitions(1)}}
	last.Stages[0].Partitions[0].Refs = []*pb.Reference{{Table: "t", Length: 10, Hi: checkpoint.HashSpace, Rows: 1, Cut: 2}}
	if _, err := (checkpoint.Store{Bucket: bucket, Paths: paths, Clock: clock.Real(), Log: slog.New(slog.DiscardHandler)}).Commit(t.Context(), last, objstore.Absent); err != nil {
		t.Fatal(err)
	}
	w := New(Config{Graph: &bind.Graph{}, Bucket: bucket, Paths: paths, Clock: clock.Real()})
	earlier := &pb.Root{Term: 0, Epoch: 4}
	for _, c := range []struct {
		what, key string
		told      *pb.Root
		want      sabot.Kind
	}{
		{"dropped, and the worker knows it by now", paths.Pack(1, 1, "0123456789abcdef"), last, sabot.Retry},
		{"named", kept, last, sabot.Corrupt},
		{"of an earlier term", kept, earlier, sabot.Fenced},
	} {
		_, err := w.getRange(t.Context(), c.key, 0, 10)
		var gone *missingError
		if !errors.As(err, &gone) || gone.key != c.key {
			t.Fatalf("%s: %v, want that %s is missing", c.what, err, c.key)
		}
		err = sabot.WithKind(sabot.Corrupt, fmt.Errorf("read state: %w", err)) // as objstate does
		if got := w.stale(t.Context(), c.told, gone, err); sabot.KindOf(got) != c.want {
			t.Errorf("an object that is %s: %v, of kind %s, want %s", c.what, got, sabot.KindOf(got), c.want)
		}
	}
}
