package objstate

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// TTL says when what a column holds has expired: when it was not used for a time.
type TTL struct {
	Value, Used string // columns: of what expires, and of the time of its last use in microseconds
	Length      sabot.Micros
	Wall        bool // by processing time
}

// Passed is the times that have passed by each clock, for whoever will ask for state from now on. NoTime: it is not known; and at the end of time nothing expires.
type Passed struct{ Event, Wall sabot.Micros }

// expiry tells which rows hold nothing but what has expired.
type expiry struct {
	values []int   // columns that must be null, or expired
	used   []int   // by value: the column of its last use; -1: it does not expire
	dead   []int64 // by value: what was last used then, or before, has expired
}

// newExpiry returns nil when no row can have expired.
func newExpiry(schema segment.Schema, ttls []TTL, p Passed) *expiry {
	if len(ttls) == 0 {
		return nil
	}
	at := func(name string) int {
		return slices.IndexFunc(schema, func(f arrow.Field) bool { return f.Name == name })
	}
	e, any := &expiry{}, false
	for c, f := range schema {
		if slices.ContainsFunc(ttls, func(t TTL) bool { return t.Used == f.Name }) {
			continue
		}
		e.values, e.used, e.dead = append(e.values, c), append(e.used, -1), append(e.dead, 0)
		for _, t := range ttls {
			now := p.Event
			if t.Wall {
				now = p.Wall
			}
			if t.Value != f.Name || at(t.Used) < 0 || now == sabot.NoTime || now == sabot.MaxMicros {
				continue
			}
			n := len(e.used) - 1
			e.used[n], e.dead[n], any = at(t.Used), int64(now-t.Length), true
		}
	}
	if !any {
		return nil
	}
	return e
}

// expired tells whether row i has expired.
func (e *expiry) expired(rows *segment.Rows, i int) bool {
	if e == nil {
		return false
	}
	for k, c := range e.values {
		if v := rows.Cols[c].Valid; v != nil && !v[i] {
			continue
		}
		if u := e.used[k]; u < 0 || rows.Cols[u].Valid != nil && !rows.Cols[u].Valid[i] || rows.Cols[u].Ints[i] > e.dead[k] {
			return false
		}
	}
	return true
}
