package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

// stored returns a bucket with sampleRoot and its objects, whose checksums fit.
func stored(t *testing.T) (objstore.Bucket, *pb.Root) {
	t.Helper()
	ctx, b, root := context.Background(), mem.New(), sampleRoot()
	bodies := make([][]byte, len(root.Objects))
	for i, o := range root.Objects {
		bodies[i] = bytes.Repeat([]byte{byte('a' + i)}, int(o.Size))
		if err := b.Put(ctx, o.Key, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(object uint32, off, n int64) uint32 { return crc32.Checksum(bodies[object][off:off+n], castagnoli) }
	for _, p := range root.Stages[0].Partitions {
		for _, r := range p.Refs {
			r.Crc = sum(r.Object, r.Offset, r.Length)
		}
	}
	for _, o := range root.Outputs {
		for _, s := range o.Sections {
			s.Crc = sum(s.Object, s.Offset, s.Length)
		}
	}
	for _, d := range root.DeadSections {
		d.Section.Crc = sum(d.Section.Object, d.Section.Offset, d.Section.Length)
	}
	if err := b.Put(ctx, "job/CURRENT", encoded(t, root)); err != nil {
		t.Fatal(err)
	}
	return b, root
}

func TestFsck(t *testing.T) {
	ctx := context.Background()
	b, root := stored(t)
	if err := b.Put(ctx, NewPaths("job").Pack(1, 1, "orphan"), make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	r, err := Fsck(ctx, b, "job")
	if err != nil || !r.OK() {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Objects != 4 || r.Ranges != 8 || r.LiveBytes != 85 || r.GarbageBytes != 7 || r.RetainedBytes != 0 || r.Epoch != 4 {
		t.Errorf("%+v", r)
	}
	key := root.Objects[1].Key
	body, _, _ := b.Get(ctx, key)
	for what, c := range map[string]struct {
		want  string
		spoil func() error
	}{
		"bit flip":  {"checksum", func() error { x := bytes.Clone(body); x[3] ^= 1; return b.Put(ctx, key, x) }},
		"truncated": {"bytes, want 20", func() error { return b.Put(ctx, key, body[:19]) }},
		"deleted":   {"is missing", func() error { return b.Delete(ctx, key) }},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		r, err := Fsck(ctx, b, "job")
		if err != nil || len(r.Bad) != 1 || r.Bad[0].Key != key || !strings.Contains(r.Bad[0].Reason, c.want) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}

func TestFsckForgivesWhatIsDroppedMeanwhile(t *testing.T) {
	ctx := context.Background()
	inner, root := stored(t)
	if err := inner.Delete(ctx, root.Objects[3].Key); err != nil {
		t.Fatal(err)
	}
	later := sampleRoot()
	later.Outputs, later.Objects = later.Outputs[:1], later.Objects[:3]
	b := &afterRead{Bucket: inner, f: func() { _ = inner.Put(ctx, "job/CURRENT", encoded(t, later)) }}
	if r, err := Fsck(ctx, b, "job"); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
}

// afterRead calls f after each Get.
type afterRead struct {
	objstore.Bucket
	f func()
}

func (b *afterRead) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	defer b.f()
	return b.Bucket.Get(ctx, key)
}

func TestGarbage(t *testing.T) {
	old, now := sampleRoot(), sampleRoot()
	now.Outputs = now.Outputs[:1]
	dropUnnamed(now)
	if got := Garbage(old, now); !slices.Equal(got, []string{old.Objects[3].Key}) {
		t.Errorf("%q", got)
	}
	if got := Garbage(old, old); len(got) > 0 {
		t.Errorf("of one root: %q", got)
	}
}

func TestCollectable(t *testing.T) {
	root, p := sampleRoot(), NewPaths("job") // term 2, floor 3
	for key, want := range map[string]bool{
		p.Pack(1, 99, "x"):                true,
		p.Pack(2, 2, "x"):                 true,
		p.Pack(2, 3, "x"):                 false, // may still be folded
		p.Pack(3, 1, "x"):                 false, // of a coordinator that we do not know of
		root.Objects[0].Key:               false, // named
		p.Current():                       false,
		p.Dead("run1", 1, 0):              false,
		NewPaths("other").Pack(1, 1, "x"): false,
	} {
		if got := len(Collectable(root, []string{key})) == 1; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	root.FinishedUs = 1
	for key, want := range map[string]bool{p.Pack(2, 99, "x"): true, p.Pack(3, 1, "x"): false, root.Objects[0].Key: false} {
		if got := len(Collectable(root, []string{key})) == 1; got != want {
			t.Errorf("of a finished run, %s: %v, want %v", key, got, want)
		}
	}
}

func TestSweep(t *testing.T) {
	ctx := context.Background()
	b, root := stored(t)
	p := NewPaths("job")
	gone, kept := []string{p.Pack(1, 9, "x"), p.Pack(2, 1, "y")}, p.Pack(2, 5, "z")
	for _, k := range append(slices.Clone(gone), kept) {
		if err := b.Put(ctx, k, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Sweep(ctx, b, root)
	if err != nil || !slices.Equal(got, gone) {
		t.Errorf("deleted %q, %v; want %q", got, err, gone)
	}
	if _, _, err := b.Get(ctx, kept); err != nil {
		t.Error(err)
	}
	if _, _, err := b.Get(ctx, gone[0]); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("%s is still there: %v", gone[0], err)
	}
	if r, err := Fsck(ctx, b, "job"); err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestInspect(t *testing.T) {
	ctx := context.Background()
	b, _ := stored(t)
	s, err := Inspect(ctx, b, "job")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"job":"job","run":"run1","term":2,"epoch":4,"floor":3,"rows_read":10,"rows_late":1,"rows_dead":2,"watermark":null,"ended":false,` +
		`"finished":false,"finished_at":null,"started_at":"1970-01-01T00:00:00.000001Z","committed_at":"1970-01-01T00:00:00.000002Z","partitions":2,` +
		`"references":6,"objects":4,"bytes":85,"outputs_open":1,"outputs_waiting":1,"dead_waiting":1,"splits":[` +
		`{"source":"src","id":"a","rows":10,"dead":0,"position":"10","watermark":"1970-01-01T00:00:00.0001Z","done":0,"ended":false},` +
		`{"source":"src","id":"b","rows":0,"dead":0,"position":"","watermark":null,"done":0,"ended":false}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSummarizeWatermark(t *testing.T) {
	root := sampleRoot()
	for _, p := range root.Stages[0].Partitions {
		p.HasWatermark, p.WatermarkUs = true, 1<<63-1
	}
	if w := Summarize(root).Watermark; w == nil || *w != EndOfInput {
		t.Errorf("at the end of input: %v", w)
	}
	root.Stages[0].Partitions[0].WatermarkUs = -1
	if w := Summarize(root).Watermark; w == nil || *w != "1969-12-31T23:59:59.999999Z" {
		t.Errorf("least of the partitions: %v", *w)
	}
	root.Stages = nil
	root.Sources[0].Splits[1].HasWatermark = true
	if w := Summarize(root).Watermark; w == nil || *w != "1970-01-01T00:00:00Z" {
		t.Errorf("least of the splits: %v", w)
	}
}
