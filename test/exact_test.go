package test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sabot-stream/sabot/test/deal"
	"github.com/sabot-stream/sabot/test/oracle"
)

var examples = []string{"flights", "routes"}

// Whatever the number of partitions and lanes, the output equals brute force.
func TestExactAsGiven(t *testing.T) {
	flights := mustFlights(t, slice)
	for _, ex := range examples {
		for _, partitions := range []int{1, 4, 16} {
			t.Run(fmt.Sprintf("%s/%d", ex, partitions), func(t *testing.T) {
				j := newJob(t, ex, slice)
				j.finish("--partitions", fmt.Sprint(partitions), "--lanes", fmt.Sprint(1+partitions%3), "--checkpoint", "20ms")
				j.exact(flights)
				j.clean()
			})
		}
	}
}

// Dealt into files that overlap, out of order within the bound, in every text format, with nulls.
func TestExactDealt(t *testing.T) {
	flights := mustFlights(t, slice)
	for _, format := range []string{"parquet", "csv", "jsonl"} {
		for _, ex := range examples {
			t.Run(ex+"/"+format, func(t *testing.T) {
				pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 3, Files: 8, Displace: 50 * time.Second, Format: format, Nulls: 0.1})
				if err != nil {
					t.Fatal(err)
				}
				j := newJob(t, ex, pattern)
				j.finish("--checkpoint", "50ms")
				j.exact(written)
				if s, _ := j.inspect(); s.RowsLate != 0 || s.RowsDead != 0 || s.RowsRead != int64(len(written)) {
					t.Errorf("%d rows read, %d late, %d dead; want %d, 0 and 0", s.RowsRead, s.RowsLate, s.RowsDead, len(written))
				}
			})
		}
	}
}

// Displaced further than MaxDelay, rows may be late: then every row is counted once, in a window, as late, or as dead.
func TestCountedLateAndDeadAddUp(t *testing.T) {
	flights := mustFlights(t, slice)
	pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 5, Files: 8, Displace: 3 * time.Hour, Format: "parquet"})
	if err != nil {
		t.Fatal(err)
	}
	j := newJob(t, "flights", pattern)
	j.finish("--checkpoint", "50ms")
	rows, err := oracle.Published(j.output())
	if err != nil {
		t.Fatal(err)
	}
	counted := int64(0)
	for _, r := range rows {
		var origin string
		var start, end, n int64
		if _, err := fmt.Sscan(r, &origin, &start, &end, &n); err != nil {
			t.Fatalf("row %q: %v", r, err)
		}
		counted += n
	}
	s, _ := j.inspect()
	if counted+s.RowsLate+s.RowsDead != int64(len(written)) || s.RowsRead != int64(len(written)) {
		t.Errorf("%d counted + %d late + %d dead, want %d", counted, s.RowsLate, s.RowsDead, len(written))
	}
	if s.RowsLate == 0 {
		t.Error("no row was late: the test shows nothing")
	}
}

// The whole file, as given and dealt.
func TestExactWhole(t *testing.T) {
	path := os.Getenv("SABOT_FLIGHTS_3M")
	if path == "" {
		t.Skip("SABOT_FLIGHTS_3M is not set: it names the flights file of 3,000,000 rows, which is not in the repository")
	}
	flights := mustFlights(t, path)
	for _, ex := range examples {
		for _, partitions := range []int{1, 4, 16} {
			if testing.Short() && partitions != 4 {
				continue
			}
			t.Run(fmt.Sprintf("%s/given/%d", ex, partitions), func(t *testing.T) {
				j := newJob(t, ex, path)
				j.finish("--partitions", fmt.Sprint(partitions))
				j.exact(flights)
			})
		}
		t.Run(ex+"/dealt", func(t *testing.T) {
			pattern, written, err := deal.Deal(t.TempDir(), flights, deal.How{Seed: 11, Files: 8, Displace: 50 * time.Second, Format: "parquet", Nulls: 0.05})
			if err != nil {
				t.Fatal(err)
			}
			j := newJob(t, ex, pattern)
			j.finish()
			j.exact(written)
		})
	}
}
