package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore"
)

// fsckChunk is how much Fsck reads at a time.
const fsckChunk = 4 << 20

// FsckReport is what Fsck has found.
type FsckReport struct {
	Job     string `json:"job"`
	Epoch   uint64 `json:"epoch"`
	Objects int    `json:"objects"` // that the root names
	Ranges  int    `json:"ranges"`  // of bytes that it names in them
	// LiveBytes are named by the root; RetainedBytes only by savepoints and clones, of which this format has none; GarbageBytes are the rest
	// of what lies in packs: it goes when its object is collected or its neighbours are compacted.
	LiveBytes     int64       `json:"live_bytes"`
	RetainedBytes int64       `json:"retained_bytes"`
	GarbageBytes  int64       `json:"garbage_bytes"`
	Bad           []BadObject `json:"bad"`
}

// BadObject is an object that is missing or damaged.
type BadObject struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// OK tells whether everything that the root names is there and whole.
func (r *FsckReport) OK() bool { return len(r.Bad) == 0 }

// Fsck reads every byte that the job's root names and compares it with its checksum. It changes nothing, and may run beside the job: what the
// job drops meanwhile is not reported. The error is of the check itself: no root, one that cannot be read, or a bucket that fails.
func Fsck(ctx context.Context, bucket objstore.Bucket, job string) (*FsckReport, error) {
	store := Store{Bucket: bucket, Paths: NewPaths(job), Clock: clock.Real()}
	root, _, err := store.Read(ctx)
	if err != nil {
		return nil, err
	}
	f := fsck{bucket: bucket, root: root, rep: &FsckReport{Job: job, Epoch: root.Epoch, Objects: len(root.Objects), Bad: []BadObject{}}, sizes: map[string]int64{}}
	if err := f.list(ctx, store.Paths.Packs()); err != nil {
		return nil, err
	}
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	if len(f.rep.Bad) > 0 {
		now, _, err := store.Read(ctx)
		if err != nil {
			return nil, err
		}
		named := objectSet(now)
		f.rep.Bad = slices.DeleteFunc(f.rep.Bad, func(b BadObject) bool { return !named[b.Key] })
	}
	return f.rep, nil
}

type fsck struct {
	bucket objstore.Bucket
	root   *pb.Root
	rep    *FsckReport
	sizes  map[string]int64 // of all packs
}

// span is a run of bytes of an object.
type span struct {
	object      uint32
	off, length int64
	crc         uint32
}

func (f *fsck) list(ctx context.Context, prefix string) error {
	for o, err := range f.bucket.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		f.sizes[o.Key] = o.Size
	}
	return nil
}

// check reads the spans object by object; the first that is bad condemns its object.
func (f *fsck) check(ctx context.Context) error {
	spans := spansOf(f.root)
	f.rep.Ranges = len(spans)
	bad := map[uint32]bool{}
	live := map[string]int64{}
	condemn := func(object uint32, format string, args ...any) {
		bad[object] = true
		f.rep.Bad = append(f.rep.Bad, BadObject{f.root.Objects[object].Key, fmt.Sprintf(format, args...)})
	}
	for _, s := range spans {
		f.rep.LiveBytes += s.length
		live[f.root.Objects[s.object].Key] += s.length
		if bad[s.object] {
			continue
		}
		o := f.root.Objects[s.object]
		if size, ok := f.sizes[o.Key]; ok && size != o.Size {
			condemn(s.object, "has %d bytes, want %d", size, o.Size)
			continue
		}
		got, err := f.checksum(ctx, o.Key, s)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			condemn(s.object, "is missing")
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			condemn(s.object, "cannot be read: %v", err)
		case got != s.crc:
			condemn(s.object, "checksum of bytes %d-%d is %08x, want %08x", s.off, s.off+s.length-1, got, s.crc)
		}
	}
	for key, size := range f.sizes {
		f.rep.GarbageBytes += max(0, size-live[key])
	}
	return nil
}

func (f *fsck) checksum(ctx context.Context, key string, s span) (uint32, error) {
	crc := uint32(0)
	for at := int64(0); at < s.length; {
		n := min(fsckChunk, s.length-at)
		b, err := f.bucket.GetRange(ctx, key, s.off+at, n)
		if err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		at += n
	}
	return crc, nil
}

// spansOf returns the runs of bytes that root names, each once, in order of object and offset.
func spansOf(root *pb.Root) []span {
	var all []span
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				all = append(all, span{r.Object, r.Offset, r.Length, r.Crc})
			}
		}
	}
	section := func(s *pb.Section) { all = append(all, span{s.Object, s.Offset, s.Length, s.Crc}) }
	for _, o := range root.Outputs {
		for _, s := range o.Sections {
			section(s)
		}
	}
	for _, d := range root.DeadSections {
		section(d.Section)
	}
	for _, e := range root.Exchanges {
		off := e.Offset
		for _, b := range e.Blocks {
			all = append(all, span{e.Object, off, b.Length, b.Crc})
			off += b.Length
		}
	}
	slices.SortFunc(all, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.off, b.off), cmp.Compare(a.length, b.length), cmp.Compare(a.crc, b.crc))
	})
	return slices.Compact(all)
}
