package coord

import "math"

// How urgent a compaction is; a longer run of the same kind comes first.
const (
	urgencyTier   = 0
	urgencySparse = 4
	urgencyFanIn  = 2000
)

// choose returns the runs[from:to] of one bucket to be merged next, to == from when none is due.
func (p Policy) choose(runs []sortedRun) (from, to, urgency int) {
	if from, to = p.chooseTier(sizesOf(runs)); to > from {
		urgency = urgencyTier + to - from
		if len(runs) >= p.FanIn-4 {
			urgency += urgencyFanIn
		}
		return from, to, urgency
	}
	if from, to, urgency = p.chooseFanIn(runs); to > from {
		return from, to, urgency
	}
	for i, r := range runs {
		if !r.sparse || r.size > p.MaxBytes {
			continue
		}
		from, to = i, i+1
		for p.level(r.size) == 0 && from > 0 && p.level(runs[from-1].size) == 0 { // small ones next to it come along
			from--
		}
		for p.level(r.size) == 0 && to < len(runs) && p.level(runs[to].size) == 0 {
			to++
		}
		return from, to, urgencySparse + to - from
	}
	return 0, 0, 0
}

// chooseFanIn chooses where a lookup would soon have too many references to consult.
func (p Policy) chooseFanIn(runs []sortedRun) (from, to, urgency int) {
	if len(runs) < p.FanIn-4 {
		return 0, 0, 0
	}
	from, to = cheapest(sizesOf(runs))
	return from, to, urgencyFanIn + len(runs)
}

func sizesOf(runs []sortedRun) []int64 {
	sizes := make([]int64, len(runs))
	for i, r := range runs {
		sizes[i] = r.size
	}
	return sizes
}

// chooseTier chooses by sizes, oldest first: everything when what lies above the bottom has reached a third of it, else a run of small ones,
// else a run of one tier.
func (p Policy) chooseTier(sizes []int64) (from, to int) {
	if len(sizes) < 2 {
		return 0, 0
	}
	above := sum(sizes[1:])
	if above >= sizes[0]/p.Bottom && (len(sizes) >= p.Level0 || above >= p.SmallBytes) && above+sizes[0] <= p.MaxBytes {
		return 0, len(sizes)
	}
	for level, top := 0, p.level(p.MaxBytes/p.Ratio); level <= top; level++ {
		need := int(p.Ratio)
		if level == 0 {
			need = p.Level0
		}
		if from, to = p.longestRun(sizes, level, need); to > from {
			return p.fit(sizes, from, to)
		}
	}
	return 0, 0
}

// level is a size's tier: 0 for small ones, then one more for each power of Ratio. Those of which Ratio do not fit into MaxBytes are above all
// tiers: only the fan-in can make them part of a run.
func (p Policy) level(size int64) int {
	if size > p.MaxBytes/p.Ratio {
		return math.MaxInt
	}
	l := 0
	for limit := p.SmallBytes; size >= limit; limit *= p.Ratio {
		l++
	}
	return l
}

// longestRun returns the longest run of references of at most a level that has at least need of just that level.
func (p Policy) longestRun(sizes []int64, level, need int) (from, to int) {
	for start := 0; start < len(sizes); {
		end, own := start, 0
		for end < len(sizes) && p.level(sizes[end]) <= level {
			if p.level(sizes[end]) == level {
				own++
			}
			end++
		}
		if own >= need && end-start > to-from {
			from, to = start, end
		}
		start = end + 1
	}
	return from, to
}

// fit leaves out the newest of a run until it is not too large.
func (p Policy) fit(sizes []int64, from, to int) (int, int) {
	for to-from >= 2 && sum(sizes[from:to]) > p.MaxBytes {
		to--
	}
	if to-from < 2 {
		return 0, 0
	}
	return from, to
}

// cheapest returns the run that rewrites the fewest bytes for each reference that it saves.
func cheapest(sizes []int64) (from, to int) {
	best := math.Inf(1)
	for i := range sizes {
		bytes := float64(sizes[i])
		for j := i + 1; j < len(sizes); j++ {
			bytes += float64(sizes[j])
			if cost := bytes / float64(j-i); cost < best {
				best, from, to = cost, i, j+1
			}
		}
	}
	return from, to
}
