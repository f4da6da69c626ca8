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

// faulty is the bucket as a process of a job sees it.
type faulty struct {
	*mem.Bucket
	j *job
}

// Limits says that nobody else works on the bucket: who leads is decided by CURRENT alone here.
func (b faulty) Limits() objstore.Limits {
	l := b.Bucket.Limits()
	l.Private = true
	return l
}

// PutIf loses requests and answers, and lets some take effect later.
func (b faulty) PutIf(_ context.Context, key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	j := b.j
	j.others(1)
	f := j.commitFate(body)
	switch f {
	case lost:
		j.stats["commits refused or lost"]++
		return "", objstore.ErrAmbiguous
	case late:
		c := slices.Clone(body)
		j.late = append(j.late, func() {
			if _, err := j.apply(key, c, expected); err == nil {
				j.stats["applied late"]++
				j.note("a commit takes effect late")
			}
		})
		return "", objstore.ErrAmbiguous
	case conflict:
		j.stats["409"]++
		return "", objstore.ErrConflict
	}
	v, err := j.apply(key, body, expected)
	if err == nil && f == answerLost {
		j.stats["answers lost"]++
		return "", objstore.ErrAmbiguous
	}
	if err != nil {
		j.stats["412"]++
	}
	return v, err
}

// Get fails at times.
func (b faulty) Get(ctx context.Context, key string) ([]byte, objstore.Version, error) {
	if b.j.storm > b.j.step || b.j.fault(30) {
		return nil, "", objstore.ErrAmbiguous
	}
	b.j.others(1)
	return b.Bucket.Get(ctx, key)
}

// Put fails at times, before or after its effect.
func (b faulty) Put(ctx context.Context, key string, body []byte) error {
	b.j.others(1)
	f := b.j.putFate(key)
	if f == lost {
		b.j.stats["puts refused or lost"]++
		return objstore.ErrAmbiguous
	}
	err := b.Bucket.Put(ctx, key, body)
	if err == nil && f == answerLost {
		return objstore.ErrAmbiguous
	}
	return err
}

// Delete takes away, and tells when that was wrong.
func (b faulty) Delete(_ context.Context, key string) error {
	b.j.del(key)
	return nil
}

// List is slow: others go on while it is under way.
func (b faulty) List(ctx context.Context, prefix string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		for o, err := range b.Bucket.List(ctx, prefix) {
			if b.j.intn(6) == 5 {
				b.j.others(2)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// del deletes an object, which has to be the job's own, and which nothing that is committed may need.
func (j *job) del(key string) {
	if !strings.HasPrefix(key, j.paths.Prefix()) {
		j.fail("job %s deleted %s, which is not its own", j.id, key)
	}
	for _, x := range j.jobs {
		if x.current == nil {
			continue
		}
		for _, o := range x.current.Objects {
			if o.Key == key {
				j.fail("deleted %s, which CURRENT of %s names", key, x.id)
			}
		}
		for _, p := range x.current.Pins {
			if p.Written && x.paths.Copy(p) == key {
				j.fail("deleted %s, the copy of a pin", key)
			}
		}
	}
	_ = j.bucket.Delete(context.Background(), key) // cannot fail
	j.stats["deletes"]++
}

// apply lets a conditional write take effect.
func (j *job) apply(key string, body []byte, expected objstore.Version) (objstore.Version, error) {
	v, err := j.bucket.PutIf(context.Background(), key, body, j.sameContent(key, expected))
	if err != nil || key != j.paths.Current() {
		return v, err
	}
	root, err := checkpoint.DecodeRoot(body)
	if err != nil {
		j.fail("committed root: %v", err)
		return v, nil
	}
	old := j.current
	j.current = root
	j.stats["commits"]++
	j.note("committed %s: term %d, epoch %d, floor %d, run %s; %d exchanges, %d outputs, %d pins, ended %v, finished %v", j.id, root.Term, root.Epoch, root.Floor,
		root.Run, len(root.Exchanges), len(root.Outputs), len(root.Pins), root.Ended, root.FinishedUs != 0)
	j.history(old, root)
	j.audit(old, root)
	return v, nil
}

// orphans returns the packs and copies of the job that nothing names.
func (j *job) orphans() (keys []string) {
	named := map[string]bool{}
	for _, o := range j.current.Objects {
		named[o.Key] = true
	}
	for _, p := range j.current.Pins {
		named[j.paths.Copy(p)] = true
	}
	for o := range j.bucket.List(context.Background(), j.paths.Prefix()) {
		if !named[o.Key] && (strings.HasPrefix(o.Key, j.paths.Packs()) || strings.HasPrefix(o.Key, j.paths.Copies())) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}
