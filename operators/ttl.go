package operators

import (
	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
)

// ttl is how long a value lives without being used.
type ttl struct {
	length sabot.Micros
	onRead bool
	wall   bool // by processing time
	col    int  // that holds the time of last use; -1: it lives for ever
}

// ttlOf returns what a declaration says; whoever makes its columns sets col.
func (p *process) ttlOf(d sabot.StateDecl) ttl {
	t := ttl{length: sabot.Micros(d.TTL.Microseconds()), onRead: d.OnRead, wall: d.Clock == sabot.ByProcessingTime, col: -1}
	p.walled = p.walled || t.wall
	return t
}

// column names the column of times by their clock: state whose times are another clock's does not fit, as if it were of another type.
func (t ttl) column() string {
	if t.wall {
		return "used.clock"
	}
	return "used"
}

// watch makes s be swept as its clock goes on.
func (p *process) watch(t ttl, s sweeper) {
	if t.wall {
		p.wallTTLs = append(p.wallTTLs, s)
	} else {
		p.ttls = append(p.ttls, s)
	}
}

// now returns the time by which the current call judges what lives.
func (t ttl) now(p *process) sabot.Micros {
	if t.wall {
		return p.wall
	}
	return p.age
}

// passed returns the time that has certainly passed.
func (t ttl) passed(p *process) sabot.Micros {
	if t.wall {
		return p.wall
	}
	return p.low
}

// stamp returns the time of last use of what the current call puts, over what was used before if there is something: a late row shortens no life.
func (t ttl) stamp(p *process, before int64, had bool) int64 {
	if t.col < 0 {
		return 0
	}
	if now := int64(t.now(p)); !had || now > before {
		return now
	}
	return before
}

// expired tells whether what was last used then has expired by now. Without a time, and at the end of it, nothing expires.
func (t ttl) expired(used int64, now sabot.Micros) bool {
	return now != sabot.NoTime && now != sabot.MaxMicros && now-sabot.Micros(used) >= t.length
}

// of tells compaction when a column that goes by t has expired. Used is the column of its last use.
func (t ttl) of(value, used string) objstate.TTL {
	return objstate.TTL{Value: value, Used: used, Length: t.length, Wall: t.wall}
}
