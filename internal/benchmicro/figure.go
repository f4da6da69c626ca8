package benchmicro

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Figure is one thing measured.
type Figure struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
	Baseline float64 `json:"baseline"`
	Ratio    float64 `json:"ratio"` // how many times as good as the baseline: above 1 is ahead of it
}

// printer writes figures, each as soon as it is there.
type printer struct {
	w      io.Writer
	asJSON bool
	begun  bool
}

func (p *printer) print(f Figure) error {
	if p.asJSON {
		return json.NewEncoder(p.w).Encode(f)
	}
	if !p.begun {
		p.begun = true
		if _, err := fmt.Fprintf(p.w, "%-30s %-10s %12s %12s %8s\n", "NAME", "UNIT", "SABOT", "BASELINE", "RATIO"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.w, "%-30s %-10s %12s %12s %8.2f\n", f.Name, f.Unit, short(f.Value), short(f.Baseline), f.Ratio)
	return err
}

// short gives a value three digits that count, or all before the point.
func short(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
