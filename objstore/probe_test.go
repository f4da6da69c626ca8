package objstore_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// Stores that break one promise each.

type ignoresConditions struct{ *mem.Bucket }

func (b ignoresConditions) PutIf(ctx context.Context, key string, body []byte, _ objstore.Version) (objstore.Version, error) {
	if err := b.Put(ctx, key, body); err != nil {
		return "", err
	}
	_, v, err := b.Get(ctx, key)
	return v, err
}

// createsOnly keeps conditions on creation alone, as stores do that know If-None-Match but not If-Match.
type createsOnly struct{ *mem.Bucket }

func (b createsOnly) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	if expected == objstore.Absent {
		return b.Bucket.PutIf(ctx, key, body, expected)
	}
	return ignoresConditions(b).PutIf(ctx, key, body, expected)
}

// checksThenWrites looks at the version and writes in two steps.
type checksThenWrites struct {
	*mem.Bucket
	all *sync.WaitGroup
}

func (b checksThenWrites) PutIf(ctx context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	_, v, err := b.Get(ctx, key)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return "", err
	}
	if v != expected {
		return "", objstore.ErrPrecondition
	}
	b.all.Done()
	b.all.Wait() // so that every racer has looked before the first one writes
	return ignoresConditions{b.Bucket}.PutIf(ctx, key, body, expected)
}

type readsOld struct{ *mem.Bucket }

func (b readsOld) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	body, _, err := b.Bucket.Get(ctx, key)
	return body, "old", err
}

type ignoresRanges struct{ *mem.Bucket }

func (b ignoresRanges) GetRange(ctx context.Context, key string, _, _ int64) ([]byte, error) {
	body, _, err := b.Get(ctx, key)
	return body, err
}

type listsLate struct{ *mem.Bucket }

func (listsLate) List(context.Context, string) iter.Seq2[objstore.Object, error] {
	return func(func(objstore.Object, error) bool) {}
}

func TestProbeRefusesStores(t *testing.T) {
	racers := &sync.WaitGroup{}
	racers.Add(8)
	for name, c := range map[string]struct {
		bucket objstore.Bucket
		says   string
	}{
		"ignores conditions":        {ignoresConditions{mem.New()}, "create if absent: 8 of 8 racing writers were told that they won"},
		"knows creation only":       {createsOnly{mem.New()}, "replace if unchanged: 8 of 8 racing writers were told that they won"},
		"looks first, writes later": {checksThenWrites{mem.New(), racers}, "create if absent: 8 of 8 racing writers were told that they won"},
		"reads old versions":        {readsOld{mem.New()}, "read after write"},
		"ignores ranges":            {ignoresRanges{mem.New()}, "read a range"},
		"lists late":                {listsLate{mem.New()}, "list after write: the object is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			err := objstore.Probe(t.Context(), c.bucket, "job/probe", "1")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the probe says %v, want %q", err, c.says)
			}
			if sabot.KindOf(err) != sabot.Invalid {
				t.Errorf("its kind is %s, want invalid", sabot.KindOf(err))
			}
		})
	}
}

func TestCheckKey(t *testing.T) {
	for key, ok := range map[string]bool{"a": true, "a/b-c_d.e": true, "": false, "/a": false, "a/": false, "a//b": false, ".a": false, "a/..": false,
		"a\\b": false, "a\tb": false, strings.Repeat("x", 900): true, strings.Repeat("x", 901): false} {
		if err := objstore.CheckKey(key); (err == nil) != ok {
			t.Errorf("key %.20q: %v", key, err)
		}
	}
}
