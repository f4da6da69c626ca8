package coord

import "time"

// SourceLag is what waits in the splits of a source.
type SourceLag struct {
	Rows  int64         // -1: not known
	Bytes int64         // of bounded splits; -1: not known
	Since time.Duration // for how long the first row has waited; -1: not known
}

// LagOf sums up what waits, by source. A split that knows its bytes only has as many rows for each as its source has given so far; what a split does
// not know at all makes the sum the least that it can be.
func LagOf(splits []SplitStatus) map[string]SourceLag {
	type read struct{ rows, bytes int64 }
	given := map[string]read{}
	for _, s := range splits {
		if s.LagBytes >= 0 && s.Bytes > 0 {
			r := given[s.Source]
			given[s.Source] = read{r.rows + s.Rows, r.bytes + s.Bytes - s.LagBytes}
		}
	}
	all := map[string]SourceLag{}
	for _, s := range splits {
		l, ok := all[s.Source]
		if !ok {
			l = SourceLag{-1, -1, -1}
		}
		rows := s.LagRows
		if r := given[s.Source]; rows < 0 && s.LagBytes >= 0 && r.bytes > 0 {
			rows = int64(float64(s.LagBytes) * float64(r.rows) / float64(r.bytes))
		}
		l.Rows, l.Bytes, l.Since = plusKnown(l.Rows, rows), plusKnown(l.Bytes, s.LagBytes), max(l.Since, s.Lag)
		all[s.Source] = l
	}
	return all
}

// plusKnown adds what is known.
func plusKnown(a, b int64) int64 {
	if a < 0 || b < 0 {
		return max(a, b)
	}
	return a + b
}
