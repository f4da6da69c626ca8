package benchcluster

import (
	"math"
	"testing"

	"github.com/sabot-stream/sabot/objstore/metered"
)

func TestDollarsPerMonth(t *testing.T) {
	for name, c := range map[string]struct {
		rate   requestsPerSecond
		stored float64
		want   float64
	}{
		"nothing":                       {want: 0},
		"one PUT a second":              {rate: requestsPerSecond{metered.Put: 1}, want: 13.14},
		"conditional PUTs cost as much": {rate: requestsPerSecond{metered.PutIf: 1}, want: 13.14},
		"listings cost as much as PUTs": {rate: requestsPerSecond{metered.List: 1}, want: 13.14},
		"one GET a second":              {rate: requestsPerSecond{metered.Get: 1}, want: 1.0512},
		"a part of an object":           {rate: requestsPerSecond{metered.GetRange: 1}, want: 1.0512},
		"deletes are free":              {rate: requestsPerSecond{metered.Delete: 100}, want: 0},
		"100 GB":                        {stored: 100 << 30, want: 2.3},
		"all":                           {rate: requestsPerSecond{metered.Put: 3, metered.PutIf: 1, metered.Get: 10, metered.Delete: 4}, stored: 10 << 30, want: 4*13.14 + 10.512 + 0.23},
	} {
		if got := dollarsPerMonth(c.rate, c.stored); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v dollars a month, want %v", name, got, c.want)
		}
	}
}
