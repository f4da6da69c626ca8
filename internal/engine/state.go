package engine

import (
	"context"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// fetch returns a reader of the state that the last root names, as objstate asks for it.
func (g *group) fetch(ctx context.Context) objstate.Fetch {
	if f := g.w.cfg.Fetch; f != nil {
		return g.w.reader(ctx, g.root.Load().Objects, f.Fetch)
	}
	return g.w.reader(ctx, nil, nil)
}

// scan returns a reader of state that will not be read again.
func (g *group) scan(ctx context.Context, objects []*pb.Object) objstate.Fetch {
	if f := g.w.cfg.Fetch; f != nil {
		return g.w.reader(ctx, objects, f.Scan)
	}
	return g.w.reader(ctx, nil, nil)
}

// reader returns a reader of single ranges of objects by way of read; nil: straight from the bucket. Of objects that are not among those that it
// knows it can read too.
func (w *Worker) reader(ctx context.Context, objects []*pb.Object, read func(context.Context, []fetch.Range) ([][]byte, error)) objstate.Fetch {
	sizes := make(map[string]int64, len(objects))
	for _, o := range objects {
		sizes[o.Key] = o.Size
	}
	return func(object string, off, n int64) ([]byte, error) {
		if read == nil {
			return w.getRange(ctx, object, off, n)
		}
		b, err := read(ctx, []fetch.Range{{Object: object, Off: off, N: n, Size: sizes[object]}})
		if err != nil {
			return nil, readFailed(object, off, err)
		}
		return b[0], nil
	}
}

// forget makes the fetcher forget the pages of segments that did not pass their checksums: the next attempt reads the bucket.
func (w *Worker) forget(err error, refs []objstate.Ref) {
	if w.cfg.Fetch == nil || sabot.KindOf(err) != sabot.Corrupt {
		return
	}
	for _, r := range refs {
		w.cfg.Fetch.Forget(fetch.Range{Object: r.Object, Off: r.Offset, N: r.Length})
	}
}

// forgetPages makes the fetcher forget all that it has on the disk, and tells whether that was anything.
func (w *Worker) forgetPages() bool { return w.cfg.Fetch != nil && w.cfg.Fetch.ForgetAll() }
