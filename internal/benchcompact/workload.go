package benchcompact

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// row is a row of state: a key, the time that chooses its bucket where a table has several, and its values.
type row struct {
	key    int64
	at     sabot.Micros
	values [columns]int64
}

const columns = 4

var int64Type = arrow.PrimitiveTypes.Int64

// id is what makes a row another than others.
type id struct {
	key int64
	at  sabot.Micros
}

// workload is a table and what is done to it.
type workload interface {
	spec() objstate.Spec
	// second puts the rows of the second that ends at now.
	second(now sabot.Micros, put func(row))
	// live yields all rows that are live at now, and count tells how many these are.
	live(now sabot.Micros, yield func(row))
	count(now sabot.Micros) int
}

// workloads are all of them, by name.
func workloads(o Options) []struct {
	name string
	make func(r *rand.Rand) workload
} {
	updated := func(draw func(r *rand.Rand) int64) func(r *rand.Rand) workload {
		return func(r *rand.Rand) workload { return &updates{r: r, o: o, draw: draw, versions: make([]int64, o.Keys)} }
	}
	return []struct {
		name string
		make func(r *rand.Rand) workload
	}{
		{"uniform", updated(func(r *rand.Rand) int64 { return r.Int64N(o.Keys) })},
		{"zipf", updated(func(r *rand.Rand) int64 { // the key of rank k as often as 1/k
			rank := int64(math.Exp(r.Float64()*math.Log(float64(o.Keys+1)))) - 1
			return int64(mix(uint64(rank)) % uint64(o.Keys))
		})},
		{"ttl", func(r *rand.Rand) workload {
			return &sessions{r: r, o: o, rows: map[int64]row{}, used: map[sabot.Micros]int{}}
		}},
		{"expire", func(r *rand.Rand) workload { return &appends{r: r, o: o, ends: map[sabot.Micros][]row{}} }},
	}
}

func schemaOf(names ...string) segment.Schema {
	s := make(segment.Schema, len(names))
	for i, n := range names {
		s[i] = arrow.Field{Name: n, Type: int64Type}
	}
	return s
}

// updates changes rows of a fixed set of keys.
type updates struct {
	r        *rand.Rand
	o        Options
	draw     func(r *rand.Rand) int64
	versions []int64 // by key; 0: there is no row
	rows     int
}

func (u *updates) spec() objstate.Spec {
	return objstate.Spec{Name: "t", Schema: schemaOf("count", "sum", "last", "time")}
}

func (u *updates) second(now sabot.Micros, put func(row)) {
	for range u.o.Rows {
		k := u.draw(u.r)
		if u.versions[k]++; u.versions[k] == 1 {
			u.rows++
		}
		put(u.row(k))
	}
}

func (u *updates) row(k int64) row {
	v := u.versions[k]
	return row{key: k, values: [columns]int64{v, v * (k % 1000), int64(mix(uint64(k)<<20+uint64(v)) >> 33), 1_700_000_000_000_000 + v*1_000_003}}
}

func (u *updates) live(_ sabot.Micros, yield func(row)) {
	for k, v := range u.versions {
		if v > 0 {
			yield(u.row(int64(k)))
		}
	}
}

func (u *updates) count(sabot.Micros) int { return u.rows }

const second = sabot.Micros(1e6)

// retention is how long rows live that expire, at the most: so long that some of them come and go.
func (o Options) retention() sabot.Micros { return sabot.Micros(max(10, o.Cuts/6)) * second }

// appends puts new rows only, each with the time of its end, by which a table with time buckets drops them.
type appends struct {
	r    *rand.Rand
	o    Options
	next int64
	ends map[sabot.Micros][]row // live ones, by their end
	rows int
}

func (a *appends) spec() objstate.Spec {
	return objstate.Spec{Name: "t", Schema: schemaOf("count", "sum", "last", "time"), Base: int64(a.o.retention() / 10), Before: func(w sabot.Micros) sabot.Micros { return w },
		Time: func(suffix []byte) sabot.Micros { return sabot.Micros(binary.BigEndian.Uint64(suffix)) }}
}

func (a *appends) second(now sabot.Micros, put func(row)) {
	a.rows -= len(a.ends[now])
	delete(a.ends, now)
	half := a.o.retention() / second / 2
	for range a.o.Rows {
		a.next++
		n := a.next
		x := row{key: n, at: now + (half+1+sabot.Micros(a.r.Int64N(int64(half))))*second,
			values: [columns]int64{n % 100, n % 10_000, int64(mix(uint64(n)) >> 33), int64(now)}}
		a.ends[x.at] = append(a.ends[x.at], x)
		a.rows++
		put(x)
	}
}

func (a *appends) live(_ sabot.Micros, yield func(row)) {
	for _, rows := range a.ends {
		for _, x := range rows {
			yield(x)
		}
	}
}

func (a *appends) count(sabot.Micros) int { return a.rows }

// sessions uses keys for a while and then never again: their rows go by a TTL, without anybody asking for them.
type sessions struct {
	r     *rand.Rand
	o     Options
	first int64         // key in use
	rows  map[int64]row // live ones, and some that have expired
	used  map[sabot.Micros]int
	alive int
}

func (s *sessions) ttl() sabot.Micros { return s.o.retention() / 2 }

func (s *sessions) spec() objstate.Spec {
	spec := objstate.Spec{Name: "t", Schema: schemaOf("count", "sum", "last", "used")}
	for _, f := range spec.Schema[:3] {
		spec.TTLs = append(spec.TTLs, objstate.TTL{Value: f.Name, Used: "used", Length: s.ttl()})
	}
	return spec
}

// second uses some of as many keys as are used in a tenth of the TTL; as many as that is in a second come new.
func (s *sessions) second(now sabot.Micros, put func(row)) {
	s.alive -= s.used[now-s.ttl()]
	delete(s.used, now-s.ttl())
	fresh := int64(max(1, s.o.Rows/4))
	s.first += fresh
	for range s.o.Rows {
		k := s.first + s.r.Int64N(fresh*int64(max(1, s.ttl()/second/10)))
		x := s.rows[k]
		if used := sabot.Micros(x.values[3]); s.isLive(x, now) {
			s.used[used]--
			s.alive--
		} else {
			x = row{key: k}
		}
		n := x.values[0] + 1
		x.values = [columns]int64{n, n * (k % 1000), int64(mix(uint64(k)<<20+uint64(n)) >> 33), int64(now)}
		s.used[now]++
		s.alive++
		s.rows[k] = x
		put(x)
	}
}

func (s *sessions) isLive(x row, now sabot.Micros) bool {
	return x.values[0] > 0 && now-sabot.Micros(x.values[3]) < s.ttl()
}

func (s *sessions) live(now sabot.Micros, yield func(row)) {
	for k, x := range s.rows {
		if !s.isLive(x, now) {
			delete(s.rows, k)
			continue
		}
		yield(x)
	}
}

func (s *sessions) count(sabot.Micros) int { return s.alive }

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
