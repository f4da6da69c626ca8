package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstore"
)

// Garbage returns the keys of the objects that old names and next does not, in old's order, and of the copies whose pins next does not hold.
func Garbage(old, next *pb.Root) []string {
	named := objectSet(next)
	var keys []string
	for _, o := range old.Objects {
		if !named[o.Key] {
			keys = append(keys, o.Key)
		}
	}
	paths := NewPaths(old.Job)
	for _, p := range old.Pins {
		if p.Kind != pb.PinKind_CLONE && PinOf(next, p.Id) == nil {
			keys = append(keys, paths.Copy(p))
		}
	}
	return keys
}

// Collectable returns those of keys that may be deleted now, given the committed root or any earlier one: packs of the root's job that it does
// not name, and that no report or compaction can bring in any more, because their term is older than the root's, or their cut is below its
// floor, or the root is that of a finished run, which only a new term follows; and copies of terms up to the root's whose pins it does not hold, which
// are those that have been removed, or were never noted as written, unless one is pinned after the root.
func Collectable(root *pb.Root, keys []string) []string {
	named := objectSet(root)
	paths := NewPaths(root.Job)
	for _, p := range root.Pins {
		if p.Kind != pb.PinKind_CLONE {
			named[paths.Copy(p)] = true
		}
	}
	var out []string
	for _, k := range keys {
		if term, ok := paths.ParseCopy(k); ok && !named[k] && term <= root.Term {
			out = append(out, k)
			continue
		}
		term, n, ok := paths.ParsePack(k)
		if ok && !named[k] && (term < root.Term || term == root.Term && (n < root.Floor || root.FinishedUs != 0)) {
			out = append(out, k)
		}
	}
	return out
}

func objectSet(root *pb.Root) map[string]bool {
	set := make(map[string]bool, len(root.Objects))
	for _, o := range root.Objects {
		set[o.Key] = true
	}
	return set
}

// Sweep lists the packs of root's job and deletes what Collectable lets it: what crashed processes left. Root is a committed one. It goes on
// after failures, and returns the keys that it deleted along with the failures.
func Sweep(ctx context.Context, bucket objstore.Bucket, root *pb.Root) ([]string, error) {
	var keys []string
	for o, err := range bucket.List(ctx, NewPaths(root.Job).Packs()) {
		if err != nil {
			return nil, fmt.Errorf("list packs of %s: %w", root.Job, err)
		}
		keys = append(keys, o.Key)
	}
	var deleted []string
	var errs []error
	for _, k := range Collectable(root, keys) {
		if err := bucket.Delete(ctx, k); err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", k, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		deleted = append(deleted, k)
	}
	return deleted, errors.Join(errs...)
}
