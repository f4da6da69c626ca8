package sim

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestSurvey(t *testing.T) {
	spec := os.Getenv("SURVEY")
	if spec == "" {
		t.Skip()
	}
	n, _ := strconv.Atoi(os.Getenv("N"))
	for _, combo := range strings.Split(spec, ";") {
		rules := Rules{}
		for _, x := range strings.Split(combo, ",") {
			rules[x] = true
		}
		bad, first, kinds := 0, int64(-1), map[string]int{}
		for seed := range int64(n) {
			o := Seed(seed, *stepsFlag, rules)
			if o.Bad != "" {
				bad++
				if first < 0 {
					first = seed
				}
				kinds[o.Bad[:min(len(o.Bad), 30)]]++
				if bad >= 5 {
					break
				}
			}
		}
		fmt.Printf("%-60s first %d bad %d %.300v\n", combo, first, bad, kinds)
	}
}
