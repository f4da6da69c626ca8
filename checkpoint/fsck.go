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
	Pins    int    `json:"pins"`    // savepoints and retained checkpoints whose copies were checked as well
	// LiveBytes are named by the root; RetainedBytes only by savepoints, clones and retained checkpoints; GarbageBytes are the rest of what lies in
	// packs: it goes when its object is collected or its neighbours are compacted.
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
	f := fsck{store: store, root: root, rep: &FsckReport{Job: job, Epoch: root.Epoch, Objects: len(root.Objects), Bad: []BadObject{}},
		sizes: map[string]int64{}, bad: map[string]bool{}, named: map[string]int64{}, seen: map[span]bool{}}
	if err := f.list(ctx, store.Paths.Packs()); err != nil {
		return nil, err
	}
	if f.rep.LiveBytes, err = f.check(ctx, root); err != nil {
		return nil, err
	}
	f.rep.Ranges = len(f.seen)
	if err := f.pins(ctx); err != nil {
		return nil, err
	}
	for key, size := range f.sizes {
		f.rep.GarbageBytes += max(0, size-f.named[key])
	}
	if len(f.rep.Bad) > 0 {
		now, _, err := store.Read(ctx)
		if err != nil {
			return nil, err
		}
		named := namedBy(now)
		f.rep.Bad = slices.DeleteFunc(f.rep.Bad, func(b BadObject) bool { return !named[b.Key] })
	}
	return f.rep, nil
}

type fsck struct {
	store Store
	root  *pb.Root
	rep   *FsckReport
	sizes map[string]int64 // of all packs of the job
	bad   map[string]bool  // objects
	named map[string]int64 // bytes of an object that something names
	seen  map[span]bool
}

// span is a run of bytes of an object.
type span struct {
	key         string
	off, length int64
	crc         uint32
}

func (f *fsck) list(ctx context.Context, prefix string) error {
	for o, err := range f.store.Bucket.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		f.sizes[o.Key] = o.Size
	}
	return nil
}

// check reads the spans of a root object by object, those that it has not seen before, and returns how many bytes they have. The first that is bad
// condemns its object.
func (f *fsck) check(ctx context.Context, root *pb.Root) (bytes int64, err error) {
	want := make(map[string]int64, len(root.Objects))
	for _, o := range root.Objects {
		want[o.Key] = o.Size
	}
	for _, s := range spansOf(root) {
		if f.seen[s] {
			continue
		}
		f.seen[s] = true
		bytes += s.length
		f.named[s.key] += s.length
		if f.bad[s.key] {
			continue
		}
		if size, ok := f.sizes[s.key]; ok && size != want[s.key] {
			f.condemn(s.key, "has %d bytes, want %d", size, want[s.key])
			continue
		}
		got, err := f.checksum(ctx, s)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			f.condemn(s.key, "is missing")
		case ctx.Err() != nil:
			return bytes, context.Cause(ctx)
		case err != nil:
			f.condemn(s.key, "cannot be read: %v", err)
		case got != s.crc:
			f.condemn(s.key, "checksum of bytes %d-%d is %08x, want %08x", s.off, s.off+s.length-1, got, s.crc)
		}
	}
	return bytes, nil
}

func (f *fsck) condemn(key, format string, args ...any) {
	f.bad[key] = true
	f.rep.Bad = append(f.rep.Bad, BadObject{key, fmt.Sprintf(format, args...)})
}

// pins checks what the copies name that the root does not. What only a clone's pin keeps cannot be told from the rest of its objects: they count as
// retained as a whole.
func (f *fsck) pins(ctx context.Context) error {
	for _, p := range f.root.Pins {
		if p.Kind == pb.PinKind_CLONE {
			f.keep(p)
			continue
		}
		if !p.Written {
			continue
		}
		f.rep.Pins++
		copied, err := f.store.ReadCopy(ctx, p)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			f.condemn(f.store.Paths.Copy(p), "%v", err)
			continue
		}
		bytes, err := f.check(ctx, copied)
		if err != nil {
			return err
		}
		f.rep.RetainedBytes += bytes
	}
	return nil
}

func (f *fsck) keep(p *pb.Pin) {
	for _, i := range p.Objects {
		o := f.root.Objects[i]
		if _, ok := f.sizes[o.Key]; !ok {
			f.condemn(o.Key, "is missing")
			continue
		}
		f.rep.RetainedBytes += max(0, o.Size-f.named[o.Key])
		f.named[o.Key] = max(o.Size, f.named[o.Key])
	}
}

// namedBy returns the keys of everything that must be there as of root.
func namedBy(root *pb.Root) map[string]bool {
	named := objectSet(root)
	for _, p := range root.Pins {
		if p.Written && p.Kind != pb.PinKind_CLONE {
			named[NewPaths(root.Job).Copy(p)] = true
		}
	}
	return named
}

func (f *fsck) checksum(ctx context.Context, s span) (uint32, error) {
	crc := uint32(0)
	for at := int64(0); at < s.length; {
		n := min(fsckChunk, s.length-at)
		b, err := f.store.Bucket.GetRange(ctx, s.key, s.off+at, n)
		if err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		at += n
	}
	return crc, nil
}

// spansOf returns the runs of bytes that root names, each once, in order of object and offset. Those that only its pins keep are not among them.
func spansOf(root *pb.Root) []span {
	var all []span
	add := func(object uint32, off, length int64, crc uint32) {
		all = append(all, span{root.Objects[object].Key, off, length, crc})
	}
	for _, st := range root.Stages {
		for _, p := range st.Partitions {
			for _, r := range p.Refs {
				add(r.Object, r.Offset, r.Length, r.Crc)
			}
		}
	}
	section := func(s *pb.Section) { add(s.Object, s.Offset, s.Length, s.Crc) }
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
			add(e.Object, off, b.Length, b.Crc)
			off += b.Length
		}
	}
	slices.SortFunc(all, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.off, b.off), cmp.Compare(a.length, b.length), cmp.Compare(a.crc, b.crc))
	})
	return slices.Compact(all)
}
