package timers

import "github.com/sabot-stream/sabot"

// node is a timer that is set, or was and still lies in its bucket.
type node struct {
	at    sabot.Micros
	slot  uint32
	id    uint8
	state state
}

type state uint8

const (
	gone   state = iota // fired or cancelled
	fresh               // not in the stored state
	stored              // in the stored state
)

// table keeps the nodes, and finds those that are set: open addressing over pointer-free arrays, at most half full.
type table struct {
	nodes []node
	free  []uint32
	index []uint64 // node + 1 below the timer's hash, so that searching touches few nodes; 0: free
	mask  uint32
	live  int
}

// noNode is no node.
const noNode = ^uint32(0)

func (n *node) timer() Timer { return Timer{At: n.at, Slot: n.slot, ID: n.id} }

func (n *node) is(t Timer) bool { return n.at == t.At && n.slot == t.Slot && n.id == t.ID }

func hashOf(at sabot.Micros, slot uint32, id uint8) uint32 {
	h := uint64(at)*0x9e3779b97f4a7c15 ^ (uint64(slot)<<8|uint64(id))*0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return uint32(h ^ h>>32)
}

// search returns where in the index a timer is, or belongs.
func (x *table) search(t Timer) (i, hash uint32, found bool) {
	hash = hashOf(t.At, t.Slot, t.ID)
	for i = hash & x.mask; ; i = (i + 1) & x.mask {
		e := x.index[i]
		if e == 0 {
			return i, hash, false
		}
		if uint32(e>>32) == hash && x.nodes[uint32(e)-1].is(t) {
			return i, hash, true
		}
	}
}

// find returns the node of a timer that is set, or noNode.
func (x *table) find(t Timer) uint32 {
	if x.live == 0 {
		return noNode
	}
	i, _, found := x.search(t)
	if !found {
		return noNode
	}
	return uint32(x.index[i]) - 1
}

// put returns the node of a timer; added says that it was not set.
func (x *table) put(t Timer) (n uint32, added bool) {
	if 2*(x.live+1) > len(x.index) {
		x.grow()
	}
	i, hash, found := x.search(t)
	if found {
		return uint32(x.index[i]) - 1, false
	}
	v := node{t.At, t.Slot, t.ID, fresh}
	if k := len(x.free); k > 0 {
		n, x.free = x.free[k-1], x.free[:k-1]
		x.nodes[n] = v
	} else {
		n = uint32(len(x.nodes))
		x.nodes = append(x.nodes, v)
	}
	x.index[i] = uint64(hash)<<32 | uint64(n+1)
	x.live++
	return n, true
}

func (x *table) grow() {
	old := x.index
	x.index = make([]uint64, max(16, 2*len(old)))
	x.mask = uint32(len(x.index) - 1)
	for _, e := range old {
		if e != 0 {
			i := uint32(e>>32) & x.mask
			for x.index[i] != 0 {
				i = (i + 1) & x.mask
			}
			x.index[i] = e
		}
	}
}

// drop makes a timer one that is not set. Its node stays taken until it has left its bucket, and release is called.
func (x *table) drop(n uint32) {
	v := &x.nodes[n]
	v.state = gone
	i := hashOf(v.at, v.slot, v.id) & x.mask
	for uint32(x.index[i]) != n+1 {
		i = (i + 1) & x.mask
	}
	for j := i; ; { // close the gap, so that no search ends early
		j = (j + 1) & x.mask
		e := x.index[j]
		if e == 0 {
			break
		}
		home := uint32(e>>32) & x.mask
		if (j-home)&x.mask >= (j-i)&x.mask {
			x.index[i] = e
			i = j
		}
	}
	x.index[i] = 0
	x.live--
}

func (x *table) release(n uint32) { x.free = append(x.free, n) }
