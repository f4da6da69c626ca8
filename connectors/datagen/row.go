package datagen

import (
	"iter"
	"math"
	"math/bits"
	"time"
)

// Row is a row of a Source, without what depends on the clock. Tests compute from it what a job has to bring.
type Row struct {
	Row     int64
	At      time.Time
	Key     int64
	Value   int64
	Payload string
}

// All yields the rows of all splits by their numbers: Rows of them, or without end. At is zero where event times are the times when rows are due.
func (s Source) All() iter.Seq[Row] {
	s = s.withDefaults()
	g := newGenerator(s)
	return func(yield func(Row) bool) {
		buf := make([]byte, s.Bytes)
		for n := int64(0); s.Rows == 0 || n < s.Rows; n++ {
			h := g.hash(n)
			r := Row{Row: n, Key: g.key(h), Value: g.value(h)}
			if !s.live() {
				r.At = time.UnixMicro(g.time(n, h)).UTC()
			}
			if s.Bytes > 0 {
				g.payload(buf, h)
				r.Payload = string(buf)
			}
			if !yield(r) {
				return
			}
		}
	}
}

// generator makes the columns of rows out of their numbers.
type generator struct {
	seed           uint64
	start, step    int64 // microseconds
	disorder       uint64
	keys           uint64
	skewed         bool
	power, extent  float64 // of the inverse of the keys' distribution
	logarithmic    bool
	greatestOfKeys int64
}

func newGenerator(s Source) generator {
	g := generator{seed: mix(s.Seed + 0x9e3779b97f4a7c15), start: s.Start.UnixMicro(), step: s.Step.Microseconds(), disorder: uint64(s.Disorder.Microseconds()),
		keys: uint64(s.Keys), skewed: s.Skew > 0, greatestOfKeys: s.Keys - 1}
	// A share of 1/x^s, as a density over x from 1 to Keys+1, has an inverse in closed form; key k is x rounded down, less one.
	n := float64(s.Keys) + 1
	if g.logarithmic = math.Abs(s.Skew-1) < 1e-9; g.logarithmic {
		g.extent = math.Log(n)
	} else {
		g.power, g.extent = 1/(1-s.Skew), math.Pow(n, 1-s.Skew)-1
	}
	return g
}

// mix is the finisher of splitmix64: each bit of the result depends on each of x.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is what all columns of row n are drawn from.
func (g *generator) hash(n int64) uint64 { return mix(g.seed + uint64(n)*0x9e3779b97f4a7c15) }

// below draws a number below n, by the column's own salt.
func below(h, salt, n uint64) uint64 {
	hi, _ := bits.Mul64(mix(h^salt), n)
	return hi
}

// jitter is by how much row's event time is early, in microseconds.
func (g *generator) jitter(h uint64) int64 {
	if g.disorder == 0 {
		return 0
	}
	return int64(below(h, 0xd1b54a32d192ed03, g.disorder+1))
}

func (g *generator) time(n int64, h uint64) int64 { return g.start + n*g.step - g.jitter(h) }

func (g *generator) value(h uint64) int64 { return int64(below(h, 0x8cb92ba72f3d8dd7, 1000)) }

func (g *generator) key(h uint64) int64 {
	if !g.skewed {
		return int64(below(h, 0xabc98388fb8fac03, g.keys))
	}
	u := float64(mix(h^0xabc98388fb8fac03)>>11) / (1 << 53)
	x := 0.0
	if g.logarithmic {
		x = math.Exp(u * g.extent)
	} else {
		x = math.Pow(1+u*g.extent, g.power)
	}
	return min(g.greatestOfKeys, max(0, int64(x)-1))
}

const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

// payload fills dst with letters.
func (g *generator) payload(dst []byte, h uint64) {
	for len(dst) > 0 {
		h = mix(h + 0x9e3779b97f4a7c15)
		x := h
		for i := range min(10, len(dst)) {
			dst[i] = letters[x&63]
			x >>= 6
		}
		dst = dst[min(10, len(dst)):]
	}
}
