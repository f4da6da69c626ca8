package objstate

// page is a part of an index. At most half of its entries are in use, of few ones a quarter: there a probe of more than one place costs more than memory.
// Pages of up to 1<<pageBits entries double; one that has them divides, by one more bit of the hash, so that an index grows by little at a time, however
// large it is.
type page struct {
	entries []entry // a power of two
	live    int
	depth   int // how many bits of the hash, above the first pageBits, are alike in all its keys
}

// entry is the lower half of the hash above the slot plus one; 0: free.
type entry uint64

const (
	firstEntries  = 16
	sparseEntries = 1 << 12
	pageBits      = 16
	// deepest is how often pages divide. Then they double after all.
	deepest = 13
)

func entryOf(hash uint64, slot uint32) entry { return entry(hash<<32 | uint64(slot+1)) }

func (e entry) tag() uint32 { return uint32(e >> 32) }

func (e entry) slot() uint32 { return uint32(e) - 1 }

func newPage(entries, depth int) *page { return &page{entries: make([]entry, entries), depth: depth} }

// full tells whether there is no room for one more.
func (p *page) full() bool {
	room := len(p.entries) / 2
	if len(p.entries) <= sparseEntries {
		room /= 2
	}
	return p.live >= room
}

// first tells whether place i of a directory is the first that has the page.
func (p *page) first(i int) bool { return i < 1<<p.depth }

// put adds an entry, for which there is room.
func (p *page) put(e entry) {
	mask := uint64(len(p.entries) - 1)
	i := uint64(e.tag()) & mask
	for p.entries[i] != 0 {
		i = (i + 1) & mask
	}
	p.entries[i] = e
	p.live++
}

// after returns the first entry of a hash that is not in its first place; 0: there is none.
func (p *page) after(hash uint64) entry {
	for i := hash + 1; ; i++ {
		if e := p.entries[i&uint64(len(p.entries)-1)]; e == 0 || e.tag() == uint32(hash) {
			return e
		}
	}
}

// remove removes an entry, and closes the gap, so that no probe ends early.
func (p *page) remove(e entry) {
	mask := uint64(len(p.entries) - 1)
	i := uint64(e.tag()) & mask
	for p.entries[i] != e {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; p.entries[j] != 0; j = (j + 1) & mask {
		home := uint64(p.entries[j].tag()) & mask
		if (j-home)&mask >= (j-i)&mask {
			p.entries[i] = p.entries[j]
			i = j
		}
	}
	p.entries[i] = 0
	p.live--
}

// grow makes room in page p of a directory, which it returns. Entries go on in the order in which they lay, so that memory is read and written in order.
func grow(dir []*page, p *page) []*page {
	if len(p.entries) < 1<<pageBits || p.depth == deepest {
		old := p.entries
		p.entries, p.live = make([]entry, 2*len(old)), 0
		for _, e := range old {
			if e != 0 {
				p.put(e)
			}
		}
		return dir
	}
	halves := [2]*page{newPage(len(p.entries), p.depth+1), newPage(len(p.entries), p.depth+1)}
	for _, e := range p.entries {
		if e != 0 {
			halves[e.tag()>>(pageBits+p.depth)&1].put(e)
		}
	}
	if len(dir) == 1<<p.depth {
		dir = append(dir[:len(dir):len(dir)], dir...)
	}
	for i, q := range dir {
		if q == p {
			dir[i] = halves[i>>p.depth&1]
		}
	}
	return dir
}
