package metered_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/file"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/objstore/metered"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Bucket {
		return metered.Wrap(mem.New(), clock.Real(), func(metered.Op, metered.Outcome, time.Duration, int64) {}, &metered.Watch{})
	})
}

func TestObserver(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	b := metered.Wrap(mem.New(), clock.Real(), func(op metered.Op, o metered.Outcome, _ time.Duration, n int64) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(op, " ", o, " ", n))
	}, nil)
	ctx := t.Context()
	_, _, _ = b.Get(ctx, "k") // what they come to, the observer is told
	_, _ = b.PutIf(ctx, "k", []byte("body"), objstore.Absent)
	_, _ = b.PutIf(ctx, "k", []byte("body"), objstore.Absent)
	_, _ = b.GetRange(ctx, "k", 1, 2)
	_ = b.Put(ctx, "", nil)
	for range b.List(ctx, "") {
		break
	}
	_ = b.Delete(ctx, "k")
	want := []string{"get not_found 0", "put_if ok 4", "put_if precondition 4", "get_range ok 2", "put failed 0", "list ok 0", "delete ok 0"}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("observed %v, want %v", seen, want)
	}
}

func TestLockerIsFoundBelow(t *testing.T) {
	b, err := file.Open(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if objstore.LockerOf(metered.Wrap(b, clock.Real(), nil, nil)) == nil || objstore.LockerOf(metered.Wrap(mem.New(), clock.Real(), nil, nil)) != nil {
		t.Error("a wrapped bucket locks when the one below does not, or the other way round")
	}
}
