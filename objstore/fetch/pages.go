package fetch

import (
	"slices"
)

// piece is a part of a range that a caller wants: within one page, where there is a disk cache, else the whole range.
type piece struct {
	Range
	of int   // number of the range
	at int64 // in the range
}

// lookUp fills in what is on the disk, and returns the pieces that are not.
func (f *Fetcher) lookUp(ranges []Range, out [][]byte) (missing []piece) {
	if f.cache == nil {
		for i, r := range ranges {
			if out[i] = []byte{}; r.N > 0 {
				missing = append(missing, piece{Range: r, of: i})
			}
		}
		return missing
	}
	pieces := f.pieces(ranges)
	for i, r := range ranges {
		out[i] = make([]byte, r.N)
	}
	for i := 0; i < len(pieces); {
		object, page, first := pieces[i].Object, pieces[i].Off/f.rules.page, i
		for i++; i < len(pieces) && pieces[i].Object == object && pieces[i].Off/f.rules.page == page; {
			i++
		}
		missing = f.fill(missing, pieces[first:i], page, out)
	}
	return missing
}

// pieces divides ranges at the ends of pages, in order of object and page: each page is looked up once.
func (f *Fetcher) pieces(ranges []Range) []piece {
	pieces := make([]piece, 0, len(ranges)+len(ranges)/2)
	for i, r := range ranges {
		for at := int64(0); at < r.N; {
			p := piece{Range: r, of: i, at: at}
			p.Off = r.Off + at
			p.N = min(r.N-at, f.rules.page-p.Off%f.rules.page)
			pieces = append(pieces, p)
			at += p.N
		}
	}
	byPlace := func(a, b piece) int { return compareRanges(a.Range, b.Range) }
	if !slices.IsSortedFunc(pieces, byPlace) {
		slices.SortFunc(pieces, byPlace)
	}
	return pieces
}

// fill reads the pieces of one page from the disk, and appends those that it does not have.
func (f *Fetcher) fill(missing, pieces []piece, page int64, out [][]byte) []piece {
	first := pieces[0]
	if len(pieces) == 1 && first.N == f.rules.page {
		if n, ok := f.cache.Get(first.Object, page, first.dst(out)); !ok || int64(n) < first.N {
			return append(missing, first)
		}
		return missing
	}
	buf := f.scratch.Get().(*[]byte)
	defer f.scratch.Put(buf)
	n, ok := f.cache.Get(first.Object, page, *buf)
	for _, p := range pieces {
		if from := p.Off - page*f.rules.page; ok && from+p.N <= int64(n) {
			copy(p.dst(out), (*buf)[from:])
		} else {
			missing = append(missing, p)
		}
	}
	return missing
}

// dst is where the piece belongs.
func (p piece) dst(out [][]byte) []byte { return out[p.of][p.at : p.at+p.N] }
