package fetch

import (
	"cmp"
	"slices"
	"strings"
)

// Range is bytes of an object.
type Range struct {
	Object string
	Off, N int64
	// Size is the object's, 0 when it is not known. It must be right: up to it pages are read whole, and a small object may be fetched whole.
	Size int64
}

func (r Range) end() int64 { return r.Off + r.N }

// planning are the rules of a plan.
type planning struct {
	page int64 // bytes of a page, to which GETs are rounded; 0: they are not
	gap  int64 // bytes between two ranges that are read along
	most int64 // bytes of a GET; a multiple of page
}

func compareRanges(a, b Range) int {
	return cmp.Or(strings.Compare(a.Object, b.Object), cmp.Compare(a.Off, b.Off), cmp.Compare(b.N, a.N))
}

// plan returns the GETs that bring the wanted ranges, in order of object and offset. They do not overlap. Nothing is wanted of an empty range.
func (p planning) plan(want []Range) []Range {
	spans := make([]Range, 0, len(want))
	for _, r := range want {
		if r.N > 0 {
			spans = append(spans, p.rounded(r))
		}
	}
	if !slices.IsSortedFunc(spans, compareRanges) {
		slices.SortFunc(spans, compareRanges)
	}
	var gets []Range
	for i := 0; i < len(spans); {
		run := spans[i]
		for i++; i < len(spans) && spans[i].Object == run.Object && spans[i].Off-run.end() <= p.gap; i++ {
			run.N = max(run.end(), spans[i].end()) - run.Off
			run.Size = max(run.Size, spans[i].Size)
		}
		gets = p.split(gets, run)
	}
	return gets
}

// rounded widens a range to pages, as far as the object is known to go.
func (p planning) rounded(r Range) Range {
	if p.page == 0 {
		return r
	}
	end := r.end()
	if r.Size > 0 {
		end = max(end, min(r.Size, (end+p.page-1)/p.page*p.page))
	}
	r.Off = r.Off / p.page * p.page
	r.N = end - r.Off
	return r
}

// split appends a run as GETs of about the same length.
func (p planning) split(gets []Range, run Range) []Range {
	parts := (run.N + p.most - 1) / p.most
	step := (run.N + parts - 1) / parts
	if p.page > 0 {
		step = (step + p.page - 1) / p.page * p.page
	}
	for off, end := run.Off, run.end(); off < end; off += step {
		gets = append(gets, Range{Object: run.Object, Off: off, N: min(step, end-off), Size: run.Size})
	}
	return gets
}

// covering returns the part of a plan that has bytes of a range.
func covering(gets []Range, r Range) (from, to int) {
	from, _ = slices.BinarySearchFunc(gets, r, func(g, r Range) int {
		if c := strings.Compare(g.Object, r.Object); c != 0 {
			return c
		}
		if g.end() <= r.Off {
			return -1
		}
		return 1
	})
	for to = from; to < len(gets) && gets[to].Object == r.Object && gets[to].Off < r.end(); {
		to++
	}
	return from, to
}
