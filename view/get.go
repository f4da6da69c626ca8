package view

import (
	"bytes"
	"context"
	"errors"
	"sort"

	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Get returns the rows of a key, none when there is nothing: of a table of values at most one, of others in the order of Table.More. Key has a value for
// each of Table.Key, and if only some of the rows are wanted one for Table.More: the entry of a map, the end of a window, the time of timers. Values are
// nil, bools, integers, floats, text, bytes, time.Time, decimal128.Num, as the columns' types are.
//
// An Invalid error says what is wrong with table or key; ErrStale that the checkpoint is not kept any more.
func (v *View) Get(ctx context.Context, table string, key ...any) ([]Row, error) {
	rows, err := v.GetAll(ctx, table, key)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// GetAll returns what Get returns for each of the keys, reading the partitions side by side, and blocks that keys share once.
func (v *View) GetAll(ctx context.Context, table string, keys ...[]any) ([][]Row, error) {
	rows, err := v.getAll(ctx, table, keys)
	if errors.Is(err, ErrStale) && v.follow {
		if err := v.Refresh(ctx); err != nil {
			return nil, err
		}
		rows, err = v.getAll(ctx, table, keys)
	}
	return rows, err
}

func (v *View) getAll(ctx context.Context, name string, keys [][]any) ([][]Row, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t, err := v.snap.table(name)
	if err != nil {
		return nil, err
	}
	wants, err := t.wantsOf(keys)
	if err != nil {
		return nil, err
	}
	g := &get{table: t, snap: v.snap, wants: wants, out: make([][]Row, len(wants))}
	shares := g.shares()
	all, ctx2 := errgroup.WithContext(ctx)
	for _, s := range shares {
		all.Go(func() error {
			p, err := v.parts.get(t, s.meta, len(v.snap.partitions(t)))
			if err != nil {
				return err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.use(v.snap, s.meta, reader(ctx2, v.fetcher.Fetch))
			p.found.begin(t.stored)
			return g.read(p, s)
		})
	}
	if err := all.Wait(); err != nil {
		return nil, v.failed(ctx, v.snap, name, err)
	}
	return g.out, nil
}

// get is one GetAll.
type get struct {
	*table
	snap  *snapshot
	wants []objstate.Want
	out   [][]Row
}

// share is what of a get one partition has.
type share struct {
	meta  *pb.Partition
	wants []int
}

// shares divides the wants by partition.
func (g *get) shares() (out []*share) {
	parts := g.snap.partitions(g.table)
	by := make([]*share, len(parts))
	for n, w := range g.wants {
		h := uint64(rowkey.Hash32(w.Hash))
		i := sort.Search(len(parts), func(i int) bool { return parts[i].Hi > h })
		if by[i] == nil {
			by[i] = &share{meta: parts[i]}
			out = append(out, by[i])
		}
		by[i].wants = append(by[i].wants, n)
	}
	return out
}

// read reads a partition's share, and makes its rows.
func (g *get) read(p *part, s *share) error {
	wants := make([]objstate.Want, len(s.wants))
	for i, n := range s.wants {
		wants[i] = g.wants[n]
	}
	if err := p.lookup(wants); err != nil { // it sorts them
		return err
	}
	b, at, total := batch.NewBuilder(g.schema), g.snap.instant(s.meta), 0
	counts := make([]int, len(s.wants))
	for i, n := range s.wants {
		w := &g.wants[n]
		for _, r := range p.found.of(w.Key) {
			key := p.found.rows.Key(r)[4:]
			if suffix := key[len(w.Key):]; bytes.HasPrefix(suffix, w.Suffix) {
				shown, err := g.show(b, key[:len(w.Key)], suffix, p.found.rows, r, at)
				if err != nil {
					return err
				}
				if shown {
					counts[i]++
				}
			}
		}
		total += counts[i]
	}
	rec := array.NewRecordBatch(g.schema, b.Build(), int64(total))
	next := 0
	for i, n := range s.wants {
		for range counts[i] {
			g.out[n] = append(g.out[n], Row{rec, next})
			next++
		}
	}
	return nil
}

// show appends a stored row, if it lives.
func (t *table) show(b *batch.Builder, key, suffix []byte, rows *segment.Rows, i int, at instant) (bool, error) {
	if rows.Ops[i] == segment.Delete || !t.kind.live(suffix, rows, i, at) {
		return false, nil
	}
	if err := t.decoder.AppendTo(key, b); err != nil {
		return false, err
	}
	return true, t.kind.show(b, len(t.Key), suffix, rows, i, at)
}
