package fetch

import (
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
)

const (
	// denseWindow is the time within which more than half of an object's pages must be missed for the rest to be fetched as well.
	denseWindow = 10 * time.Second
	// mostWatched is how many objects are watched for that.
	mostWatched = 1024
	// fewPages is the number of pages below which an object is not watched: there is nothing to save.
	fewPages = 4
)

// density finds the objects that are worth fetching whole. The fetcher's lock is over it.
type density struct {
	clock   clock.Clock
	objects map[string]*misses
}

// misses are the pages of an object that were not on the disk.
type misses struct {
	since time.Time
	pages []uint64 // a bit for each
	n     int64
	whole bool // it has been found dense in this window
}

// miss notes a page of an object of so many, and tells whether it makes the object dense: once in a window.
func (d *density) miss(object string, page, pages int64) bool {
	if pages < fewPages || page >= pages {
		return false
	}
	now := d.clock.Now()
	m := d.objects[object]
	if m != nil && now.Sub(m.since) > denseWindow {
		delete(d.objects, object)
		m = nil
	}
	if m == nil {
		if len(d.objects) >= mostWatched && !d.sweep(now) {
			return false
		}
		m = &misses{since: now, pages: make([]uint64, (pages+63)/64)}
		d.objects[object] = m
	}
	if page/64 >= int64(len(m.pages)) || m.pages[page/64]>>(page%64)&1 == 1 {
		return false
	}
	m.pages[page/64] |= 1 << (page % 64)
	m.n++
	if m.whole || 2*m.n <= pages {
		return false
	}
	m.whole = true
	return true
}

// sweep forgets objects whose window has passed; false: there are none.
func (d *density) sweep(now time.Time) bool {
	before := len(d.objects)
	for k, m := range d.objects {
		if now.Sub(m.since) > denseWindow {
			delete(d.objects, k)
		}
	}
	return len(d.objects) < before
}
