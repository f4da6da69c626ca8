package checkpoint

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore/mem"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "0", "flights", "my-job_2.v1", "a..b", strings.Repeat("x", maxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "-a", "_a", ".a", "A", "a/b", "a b", "a\\b", "ä", "a\x00", "../a", strings.Repeat("x", maxName+1)} {
		if err := CheckName(name); sabot.KindOf(err) != sabot.Invalid || err == nil {
			t.Errorf("%q: error %v, want an Invalid one", name, err)
		}
	}
}

func TestParsePack(t *testing.T) {
	p := NewPaths("job")
	for _, x := range [][2]uint64{{0, 0}, {1, 2}, {1 << 40, 1<<64 - 1}} {
		term, n, ok := p.ParsePack(p.Pack(x[0], x[1], "0a9z"))
		if !ok || term != x[0] || n != x[1] {
			t.Errorf("Pack(%d, %d) parses as %d, %d, %v", x[0], x[1], term, n, ok)
		}
	}
	good := p.Pack(1, 2, "r")
	for _, key := range []string{"", p.Current(), NewPaths("other").Pack(1, 2, "r"), good[:len(good)-1], strings.ToUpper(good), good + "/x", good + "-",
		"job/packs/1-2-r", strings.Replace(good, "-", "+", 1), "job/packs/000000000000000+-0000000000000002-r"} {
		if _, _, ok := p.ParsePack(key); ok {
			t.Errorf("%q parses", key)
		}
	}
}

func TestPacksSortByTermAndCut(t *testing.T) {
	p := NewPaths("job")
	keys := []string{p.Pack(1, 9, "z"), p.Pack(1, 10, "a"), p.Pack(2, 1, "a"), p.Pack(16, 1, "a")}
	if !slices.IsSorted(keys) {
		t.Errorf("not in order: %q", keys)
	}
}

func TestListJobs(t *testing.T) {
	ctx, b := context.Background(), mem.New()
	for _, k := range []string{"b/CURRENT", "a/CURRENT", "a/packs/CURRENT", "a/LEASE", "c/packs/x"} {
		if err := b.Put(ctx, k, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	jobs, err := ListJobs(ctx, b)
	if err != nil || !slices.Equal(jobs, []string{"a", "b"}) {
		t.Errorf("%q, %v", jobs, err)
	}
}
