package engine

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/sabot-stream/sabot/objstate"
)

// fetchesAtOnce bounds how many ranges one call reads side by side.
const fetchesAtOnce = 16

// fetch returns a reader of ranges of objects, as objstate asks for it.
func (g *group) fetch(ctx context.Context) objstate.Fetch {
	return func(spans []objstate.Span) ([][]byte, error) {
		out := make([][]byte, len(spans))
		read := func(ctx context.Context, i int) (err error) {
			out[i], err = g.w.getRange(ctx, spans[i].Object, spans[i].Off, spans[i].N)
			return err
		}
		if len(spans) == 1 {
			return out, read(ctx, 0)
		}
		eg, ctx := errgroup.WithContext(ctx)
		eg.SetLimit(fetchesAtOnce)
		for i := range spans {
			eg.Go(func() error { return read(ctx, i) })
		}
		return out, eg.Wait()
	}
}
