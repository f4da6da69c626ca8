package fetch

import (
	"context"
	"fmt"
	"io"
)

// unit is what is not fetched twice at a time: a page (n is 0, off its number) or, without a disk cache, a GET.
type unit struct {
	object string
	off, n int64
}

// flight is a GET, from its plan until its bytes are on the disk. The fetcher's lock is over refs, landed and void.
type flight struct {
	Range
	units  []unit
	refs   int // callers that wait for it or copy from it
	landed bool
	keep   bool // its pages go to the disk
	void   bool // not any more
	cancel context.CancelFunc

	done chan struct{} // closed when there is body or err
	body []byte
	err  error
}

// wait waits for the flight, and returns its error.
func (fl *flight) wait(ctx context.Context) error {
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use is a piece that comes with a flight.
type use struct {
	piece
	flight *flight
}

// copy puts the piece into its place. A GET that is the range and nothing else is given as it is.
func (u use) copy(ranges []Range, out [][]byte) {
	if r := ranges[u.of]; u.N == r.N && u.flight.N == r.N {
		out[u.of] = u.flight.body
		return
	}
	if int64(len(out[u.of])) < ranges[u.of].N {
		out[u.of] = make([]byte, ranges[u.of].N)
	}
	copy(u.dst(out), u.flight.body[u.Off-u.flight.Off:])
}

// board finds the flights that bring the pieces: those that are on their way, and new ones for the rest.
func (f *Fetcher) board(ctx context.Context, missing []piece, out [][]byte, keep bool) (uses []use, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errClosed
	}
	var rest []piece
	var want []Range
	for _, p := range missing {
		switch fl := f.flights[f.unitOf(p.Range)]; {
		case fl != nil && fl.Off <= p.Off && p.end() <= fl.end():
			f.shared.Add(1)
			uses = append(uses, f.use(p, fl))
		case f.landedSince(p, out):
		default:
			rest, want = append(rest, p), append(want, p.Range)
		}
	}
	if len(rest) == 0 {
		return uses, nil
	}
	if keep {
		want = append(want, f.dense(want)...)
	}
	gets := f.rules.plan(want)
	flights := make([]*flight, len(gets))
	for i, g := range gets {
		flights[i] = f.take(ctx, g, keep)
	}
	for _, p := range rest {
		from, to := covering(gets, p.Range)
		for i := from; i < to; i++ {
			part := p
			part.Off = max(p.Off, gets[i].Off)
			part.N = min(p.end(), gets[i].end()) - part.Off
			part.at += part.Off - p.Off
			uses = append(uses, f.use(part, flights[i]))
		}
	}
	return uses, nil
}

func (f *Fetcher) use(p piece, fl *flight) use {
	fl.refs++
	return use{p, fl}
}

// unitOf returns the unit that a missing piece is part of, if somebody is fetching just that.
func (f *Fetcher) unitOf(r Range) unit {
	if f.cache == nil {
		return unit{r.Object, r.Off, r.N}
	}
	return unit{r.Object, r.Off / f.rules.page, 0}
}

// landedSince fills in a piece that came to the disk after it was looked up.
func (f *Fetcher) landedSince(p piece, out [][]byte) bool {
	if f.cache == nil {
		return false
	}
	page := p.Off / f.rules.page
	if !f.cache.Has(p.Object, page, int(p.end()-page*f.rules.page)) {
		return false
	}
	return len(f.fill(nil, []piece{p}, page, out)) == 0
}

// dense returns the objects of missing pages that are to be fetched whole.
func (f *Fetcher) dense(missing []Range) (whole []Range) {
	if f.cache == nil {
		return nil
	}
	for _, r := range missing {
		pages := (r.Size + f.rules.page - 1) / f.rules.page
		if r.Size > 0 && r.Size <= f.whole && f.density.miss(r.Object, r.Off/f.rules.page, pages) {
			f.wholes.Add(1)
			whole = append(whole, Range{Object: r.Object, N: r.Size, Size: r.Size})
		}
	}
	return whole
}

// take returns the flight of a GET: one that is on its way, or a new one.
func (f *Fetcher) take(ctx context.Context, g Range, keep bool) *flight {
	if f.cache == nil {
		if fl := f.flights[f.unitOf(g)]; fl != nil {
			f.shared.Add(1)
			return fl
		}
	}
	fl := &flight{Range: g, keep: keep && f.cache != nil, done: make(chan struct{})}
	ctx, fl.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it is for whoever waits, not for the first alone
	if f.cache == nil {
		fl.units = []unit{f.unitOf(g)}
	} else {
		for page := g.Off / f.rules.page; page*f.rules.page < g.end(); page++ {
			fl.units = append(fl.units, unit{g.Object, page, 0})
		}
	}
	for _, u := range fl.units {
		if f.flights[u] == nil {
			f.flights[u] = fl
		}
	}
	f.goroutines.Go(func() { f.fly(ctx, fl) })
	return fl
}

// land makes a flight one that nobody finds any more.
func (f *Fetcher) land(fl *flight) {
	fl.landed = true
	for _, u := range fl.units {
		if f.flights[u] == fl {
			delete(f.flights, u)
		}
	}
}

// leave gives up the use of flights. One that nobody waits for any more ends.
func (f *Fetcher) leave(uses []use) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range uses {
		if u.flight.refs--; u.flight.refs > 0 {
			continue
		}
		select {
		case <-u.flight.done:
		default:
			f.land(u.flight)
			u.flight.cancel()
		}
	}
}

// fly makes the GET, and passes on what came.
func (f *Fetcher) fly(ctx context.Context, fl *flight) {
	defer fl.cancel()
	defer close(fl.done)
	fl.body, fl.err = f.get(ctx, fl.Range)
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.err != nil && f.closed {
		fl.err = &Error{fl.Range, errClosed}
	}
	switch {
	case fl.err != nil || !fl.keep || fl.void || f.closed:
		f.land(fl)
	case f.queued+fl.N > f.queueMost:
		f.dropped.Add(fl.N)
		f.land(fl)
	default:
		f.queue, f.queued = append(f.queue, fl), f.queued+fl.N
		f.more.Signal()
	}
}

func (f *Fetcher) get(ctx context.Context, r Range) ([]byte, error) {
	if err := f.budget.enter(ctx, r.N); err != nil {
		return nil, err
	}
	defer f.budget.leave(r.N)
	f.gets.Add(1)
	body, err := f.bucket.GetRange(ctx, r.Object, r.Off, r.N)
	if err == nil && int64(len(body)) != r.N {
		err = fmt.Errorf("%d bytes of %d: %w", len(body), r.N, io.ErrUnexpectedEOF)
	}
	if err != nil {
		f.failed.Add(1)
		return nil, &Error{r, err}
	}
	f.fetched.Add(r.N)
	return body, nil
}

// putAll brings to the disk what comes into the queue, until the fetcher is closed and the queue empty.
func (f *Fetcher) putAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for len(f.queue) == 0 {
			if f.closed {
				return
			}
			f.more.Wait()
		}
		fl := f.queue[0]
		f.queue[0] = nil
		f.queue = f.queue[1:]
		f.mu.Unlock()
		f.put(fl)
		f.mu.Lock()
		f.queued -= fl.N
		f.land(fl)
	}
}

// put brings a flight's pages to the disk.
func (f *Fetcher) put(fl *flight) {
	for at := int64(0); at < fl.N; at += f.rules.page {
		f.mu.Lock()
		void := fl.void
		f.mu.Unlock()
		if void {
			return
		}
		f.cache.Put(fl.Object, (fl.Off+at)/f.rules.page, fl.body[at:min(fl.N, at+f.rules.page)])
	}
}
