package engine

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fetch"
)

// fetch returns a reader of state, as objstate asks for it.
func (g *group) fetch(ctx context.Context) objstate.Fetch {
	if f := g.w.cfg.Fetch; f != nil {
		return fetched(ctx, f.Fetch)
	}
	return g.w.plain(ctx)
}

// opener returns what opens objects for small reads; nil where the bucket has no cheap way.
func (g *group) opener(ctx context.Context) func(object string) (objstore.ObjectReader, error) {
	o := objstore.OpenerOf(g.w.cfg.Bucket)
	if o == nil {
		return nil
	}
	return func(object string) (objstore.ObjectReader, error) {
		f, err := o.OpenObject(ctx, object)
		return f, readFailed(object, 0, err)
	}
}

// scan returns a reader of state that will not be read again.
func (g *group) scan(ctx context.Context) objstate.Fetch {
	if f := g.w.cfg.Fetch; f != nil {
		return fetched(ctx, f.Scan)
	}
	return g.w.plain(ctx)
}

// fetched returns a reader by way of a fetcher.
func fetched(ctx context.Context, read func(context.Context, []fetch.Range) ([][]byte, error)) objstate.Fetch {
	return func(spans []objstate.Span) ([][]byte, error) {
		ranges := make([]fetch.Range, len(spans))
		for i, s := range spans {
			ranges[i] = fetch.Range{Object: s.Object, Off: s.Off, N: s.N, Size: s.Size}
		}
		b, err := read(ctx, ranges)
		var failed *fetch.Error
		if errors.As(err, &failed) {
			return nil, readFailed(failed.Object, failed.Off, failed.Err)
		}
		return b, err
	}
}

// readsAtOnce bounds how many ranges one call reads side by side.
const readsAtOnce = 16

// plain returns a reader straight from the bucket.
func (w *Worker) plain(ctx context.Context) objstate.Fetch {
	return func(spans []objstate.Span) ([][]byte, error) {
		out := make([][]byte, len(spans))
		read := func(ctx context.Context, i int) (err error) {
			out[i], err = w.getRange(ctx, spans[i].Object, spans[i].Off, spans[i].N)
			return err
		}
		if len(spans) == 1 {
			return out, read(ctx, 0)
		}
		eg, ctx := errgroup.WithContext(ctx)
		eg.SetLimit(readsAtOnce)
		for i := range spans {
			eg.Go(func() error { return read(ctx, i) })
		}
		return out, eg.Wait()
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
