// Package expect says what the clicks job reads, and computes by brute force what it must publish.
package expect

import (
	"fmt"
	"slices"
	"time"

	"github.com/sabot-stream/sabot/connectors/datagen"
)

// What the job and its brute force agree on.
const (
	Splits   = 6
	Users    = 400
	Skew     = 0.7
	Disorder = 2 * time.Second
	Window   = 10 * time.Second // of the counts by user
	Long     = time.Minute      // of those by country
	Slot     = 5 * time.Minute  // of the leaders
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// Source gives so many clicks, 50 of them in a second of event time.
func Source(clicks int64) datagen.Source {
	return datagen.Source{Seed: 11, Rows: clicks, Splits: Splits, Start: start, Step: 20 * time.Millisecond, Disorder: Disorder, Keys: Users, Skew: Skew}
}

// Country is where a user lives.
func Country(user int64) string { return fmt.Sprintf("c%02d", user*7%23) }

// Published holds the rows of each sink as lines, sorted, by the name of the sink's folder.
type Published map[string][]string

type windowed[K comparable] struct {
	key   K
	start time.Time
}

type sums struct{ clicks, value, users, most int64 }

// Of computes what is published of so many clicks.
func Of(clicks int64) Published {
	users := map[windowed[int64]]sums{}
	for r := range Source(clicks).All() {
		k := windowed[int64]{r.Key, r.At.Truncate(Window)}
		s := users[k]
		s.clicks++
		s.value += r.Value
		users[k] = s
	}
	countries, visits := map[windowed[string]]sums{}, map[windowed[string]]map[int64]int64{}
	out := Published{}
	for k, s := range users {
		out.add("users", k.key, us(k.start), us(k.start.Add(Window)), s.clicks, s.value)
		c := windowed[string]{Country(k.key), k.start.Truncate(Long)}
		t := countries[c]
		t.users, t.clicks, t.most = t.users+1, t.clicks+s.clicks, max(t.most, s.value)
		countries[c] = t
		v := windowed[string]{c.key, k.start.Truncate(Slot)}
		if visits[v] == nil {
			visits[v] = map[int64]int64{}
		}
		visits[v][k.key] += s.clicks
	}
	for k, s := range countries {
		out.add("countries", k.key, us(k.start), us(k.start.Add(Long)), s.users, s.clicks, s.most)
	}
	slots := map[string][]time.Time{}
	for k := range visits {
		slots[k.key] = append(slots[k.key], k.start)
	}
	for _, s := range slots {
		slices.SortFunc(s, time.Time.Compare)
	}
	for k, byUser := range visits {
		best, most := int64(0), int64(0)
		for user, n := range byUser {
			if n > most || n == most && user < best {
				best, most = user, n
			}
		}
		out.add("leaders", k.key, us(k.start.Add(Slot)), best, most, slices.Index(slots[k.key], k.start)+1)
	}
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out
}

func us(t time.Time) int64 { return t.UnixMicro() }

func (p Published) add(sink string, columns ...any) {
	line := fmt.Sprintln(columns...)
	p[sink] = append(p[sink], line[:len(line)-1])
}
