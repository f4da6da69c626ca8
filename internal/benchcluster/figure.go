package benchcluster

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Figure is one thing measured.
type Figure struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Value  float64  `json:"value"`
	Target *float64 `json:"target,omitempty"` // what it should be below, or above for ratios; nil: there is none
}

// print writes a figure as a line.
func (f Figure) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(f)
	}
	target := ""
	if f.Target != nil {
		target = "   target " + strconv.FormatFloat(*f.Target, 'g', 4, 64)
	}
	_, err := fmt.Fprintf(w, "%-44s %12s %-14s%s\n", f.Name, short(f.Value), f.Unit, target)
	return err
}

// short gives a value three digits that count, or all before the point.
func short(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// quantile returns the value that a share q of some values do not exceed; 0 of none. It sorts them.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[min(len(of)-1, int(q*float64(len(of))))]
}
