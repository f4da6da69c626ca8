package sim

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/mem"
)

const current = "job/CURRENT"

var paths = checkpoint.NewPaths("job")

// faulty is the bucket as a process sees it.
type faulty struct {
	*mem.Bucket
	w *world
}

// Limits says that nobody else works on the bucket: who leads is decided by CURRENT alone here.
func (b faulty) Limits() objstore.Limits {
	l := b.Bucket.Limits()
	l.Private = true
	return l
}

// PutIf loses requests and answers, and lets some take effect later.
func (b faulty) PutIf(_ context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	w := b.w
	w.others(1)
	switch {
	case w.fault(15):
		return "", objstore.ErrAmbiguous // without an effect: 5xx, or lost on its way
	case w.fault(15):
		c := slices.Clone(body)
		w.late = append(w.late, func() {
			if _, err := w.apply(key, c, expected); err == nil {
				w.stats["applied late"]++
				w.note("a commit takes effect late")
			}
		})
		return "", objstore.ErrAmbiguous
	case w.fault(25):
		return "", objstore.ErrConflict
	}
	v, err := w.apply(key, body, expected)
	if err == nil && w.fault(12) {
		return "", objstore.ErrAmbiguous // done, and the answer is lost
	}
	return v, err
}

// Get fails at times.
func (b faulty) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	if b.w.fault(30) {
		return nil, "", objstore.ErrAmbiguous
	}
	b.w.others(1)
	return b.Bucket.Get(ctx, key)
}

// Put fails at times, before or after its effect.
func (b faulty) Put(ctx context.Context, key string, body []byte) error {
	b.w.others(1)
	if b.w.fault(30) {
		return objstore.ErrAmbiguous
	}
	err := b.Bucket.Put(ctx, key, body)
	if err == nil && b.w.fault(30) {
		return objstore.ErrAmbiguous
	}
	return err
}

// Delete takes away, and tells when that was wrong.
func (b faulty) Delete(_ context.Context, key string) error {
	b.w.del(key)
	return nil
}

// List is slow: others go on while it is under way.
func (b faulty) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		for o, err := range b.Bucket.List(ctx, prefix) {
			if b.w.intn(6) == 5 {
				b.w.others(2)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// del deletes an object, which nothing that is committed may need.
func (w *world) del(key string) {
	if w.current != nil {
		for _, o := range w.current.Objects {
			if o.Key == key {
				w.fail("deleted %s, which CURRENT names", key)
			}
		}
		for _, p := range w.current.Pins {
			if p.Written && paths.Copy(p) == key {
				w.fail("deleted %s, the copy of a pin", key)
			}
		}
	}
	_ = w.bucket.Delete(context.Background(), key) // cannot fail
	w.stats["deletes"]++
}

// apply lets a conditional write take effect.
func (w *world) apply(key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	v, err := w.bucket.PutIf(context.Background(), key, body, expected)
	if err != nil || key != current {
		return v, err
	}
	root, err := checkpoint.DecodeRoot(body)
	if err != nil {
		w.fail("committed root: %v", err)
		return v, nil
	}
	old := w.current
	w.current = root
	w.stats["commits"]++
	w.note("committed: term %d, epoch %d, floor %d, run %s; %d exchanges, %d outputs, %d pins, ended %v, finished %v", root.Term, root.Epoch, root.Floor, root.Run,
		len(root.Exchanges), len(root.Outputs), len(root.Pins), root.Ended, root.FinishedUs != 0)
	w.history(old, root)
	w.audit(old, root)
	return v, nil
}

// orphans returns the packs and copies that nothing names.
func (w *world) orphans() (keys []string) {
	named := map[string]bool{}
	for _, o := range w.current.Objects {
		named[o.Key] = true
	}
	for _, p := range w.current.Pins {
		named[paths.Copy(p)] = true
	}
	for o := range w.bucket.List(context.Background(), "job/") {
		if !named[o.Key] && (strings.HasPrefix(o.Key, paths.Packs()) || strings.HasPrefix(o.Key, paths.Copies())) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}
