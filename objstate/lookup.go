package objstate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
)

// Want is a key that is looked for, or the beginning of keys.
type Want struct {
	Hash   uint64 // of Key
	Key    []byte // the stream's key
	Suffix []byte // nil: whatever is behind it
}

// compare compares a row's key, behind its hash32, with what is wanted: 0 says that the row's key begins with it.
func (w *Want) compare(rest []byte) int {
	n := min(len(rest), len(w.Key))
	if c := bytes.Compare(rest[:n], w.Key[:n]); c != 0 || n < len(w.Key) {
		return cmp.Or(c, -1)
	}
	rest = rest[n:]
	n = min(len(rest), len(w.Suffix))
	if c := bytes.Compare(rest[:n], w.Suffix[:n]); c != 0 || n < len(w.Suffix) {
		return cmp.Or(c, -1)
	}
	return 0
}

// compareRow compares a whole key of a segment with what is wanted.
func (w *Want) compareRow(key []byte) int {
	if h := rowkey.Hash32(w.Hash); binary.BigEndian.Uint32(key) != h {
		return cmp.Compare(binary.BigEndian.Uint32(key), h)
	}
	return w.compare(key[4:])
}

// mostWants bounds how many keys are looked up in one round of requests.
const mostWants = 4096

// Lookup applies to the part what its segments show of the wanted keys: the rows of a key oldest first, or where a key has a single row the newest alone.
// At says in which time bucket they are; it is not used when the part has only one. It panics with a *StorageError when that cannot be read.
func (h Handle) Lookup(wants []Want, at sabot.Micros) {
	for len(wants) > 0 {
		n := min(len(wants), mostWants)
		h.s.query.sort(wants[:n])
		h.try(func() error { return h.s.lookup(h.p, at) })
		wants = wants[n:]
	}
}

// query is what is looked up, and the memory for it.
type query struct {
	wants  []Want   // in order of key
	hashes []uint32 // hash32 of each
	found  []bool   // wants that need no older rows
	left   int      // that are not found
	order  []uint64
	likely []int32 // wants that a level's filter lets pass
	needs  []need
	spans  []Span
	picks  []pick
	rows   []int
	buf    []byte
}

// need is a block that may have some of the wanted keys: wants[from:to].
type need struct {
	level, block int
	from, to     int
}

// pick is a row of a block, and who wants it.
type pick struct{ want, row int }

// sort takes wants in order of key. Their hashes say it mostly.
func (q *query) sort(wants []Want) {
	q.order = q.order[:0]
	for i := range wants {
		q.order = append(q.order, uint64(rowkey.Hash32(wants[i].Hash))<<32|uint64(i))
	}
	slices.Sort(q.order)
	q.wants, q.hashes = q.wants[:0], q.hashes[:0]
	for _, o := range q.order {
		q.wants, q.hashes = append(q.wants, wants[uint32(o)]), append(q.hashes, uint32(o>>32))
	}
	for i := 1; i < len(q.wants); i++ {
		for k := i; k > 0 && q.hashes[k] == q.hashes[k-1] && q.wants[k].before(&q.wants[k-1]); k-- {
			q.wants[k], q.wants[k-1] = q.wants[k-1], q.wants[k]
		}
	}
}

func (w *Want) before(v *Want) bool {
	return cmp.Or(bytes.Compare(w.Key, v.Key), bytes.Compare(w.Suffix, v.Suffix)) < 0
}

func (s *Store) lookup(p *part, at sabot.Micros) error {
	levels, err := s.levels(p)
	if err != nil {
		return err
	}
	q := &s.query
	q.found, q.left = slices.Grow(q.found[:0], len(q.wants))[:len(q.wants)], len(q.wants)
	clear(q.found)
	s.stats.Lookups += int64(q.left)
	q.needs = q.needs[:0]
	for k := range levels {
		i := k
		if p.Single { // the newest first: what it shows is not looked for any more
			i = len(levels) - 1 - k
		}
		if l := &levels[i]; p.Base > 0 && !l.Bucket.Contains(at) {
			continue
		}
		q.plan(i, &levels[i])
		if s.o.Open == nil {
			continue // requests take long, and all go at once
		}
		if err := s.readEach(p, &levels[i]); err != nil {
			return err
		}
		if q.needs = q.needs[:0]; q.left == 0 {
			return nil
		}
	}
	return s.fetchAll(p, levels)
}

// plan adds the blocks of a level that may have wanted keys, in order.
func (q *query) plan(number int, l *level) {
	from := sort.Search(len(q.hashes), func(j int) bool { return uint64(q.hashes[j]) >= l.Clip.Lo })
	to := from + sort.Search(len(q.hashes)-from, func(j int) bool { return uint64(q.hashes[from+j]) >= l.Clip.Hi })
	q.likely = l.seg.filter.Sift(q.hashes[from:to], from, q.likely[:0])
	blocks := l.seg.Blocks()
	b := 0
	for _, likely := range q.likely {
		j := int(likely)
		if q.found[j] {
			continue
		}
		w := &q.wants[j]
		if b = l.seg.Ahead(q.hashes[j], b); b < len(blocks) && w.compareRow(blocks[b].Last) < 0 {
			b += sort.Search(len(blocks)-b, func(k int) bool { return w.compareRow(blocks[b+k].Last) >= 0 })
		}
		for k := b; k < len(blocks) && w.compareRow(blocks[k].First) <= 0; k++ {
			if last := len(q.needs) - 1; last >= 0 && q.needs[last].level == number && q.needs[last].block == k {
				q.needs[last].to = j + 1
				continue
			}
			q.needs = append(q.needs, need{number, k, j, j + 1})
		}
	}
}

// lookupBytes is how much of blocks is in memory at a time while keys are looked up.
const lookupBytes = 16 << 20

// fetchAll reads the needed blocks of all levels, many at a time.
func (s *Store) fetchAll(p *part, levels []level) error {
	q := &s.query
	s.stats.Blocks += int64(len(q.needs))
	q.spans = q.spans[:0]
	for _, n := range q.needs {
		b := &levels[n.level].seg.Blocks()[n.block]
		q.spans = append(q.spans, levels[n.level].span(b.Offset, b.Length()))
	}
	for from := 0; from < len(q.needs); {
		to, total := from, int64(0)
		for to < len(q.needs) && (to == from || total+q.spans[to].N <= lookupBytes) {
			total += q.spans[to].N
			to++
		}
		data, err := s.o.Fetch(q.spans[from:to])
		if err != nil {
			return err
		}
		for k, n := range q.needs[from:to] {
			if err := s.foundIn(p, &levels[n.level], n, data[k]); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// Blocks that lie close together are read at once: up to readBytes, and over gaps that cost less to copy than a call of the system does.
const (
	readBytes = 64 << 10
	readGap   = 4 << 10
)

// readEach reads the needed blocks of a level from a file that stays open.
func (s *Store) readEach(p *part, l *level) error {
	q := &s.query
	s.stats.Blocks += int64(len(q.needs))
	blocks := l.seg.Blocks()
	for needs := q.needs; len(needs) > 0; {
		first := &blocks[needs[0].block]
		n, end := 1, first.Offset+first.Length()
		for ; n < len(needs); n++ {
			b := &blocks[needs[n].block]
			if b.Offset-end > readGap || b.Offset+b.Length()-first.Offset > readBytes {
				break
			}
			end = b.Offset + b.Length()
		}
		f, err := s.file(l)
		if err != nil {
			return err
		}
		q.buf = slices.Grow(q.buf[:0], int(end-first.Offset))[:end-first.Offset]
		if _, err := f.ReadAt(q.buf, l.Offset+first.Offset); err != nil {
			return fmt.Errorf("read %s at %d: %w", l.Object, l.Offset+first.Offset, err)
		}
		for _, need := range needs[:n] {
			b := &blocks[need.block]
			if err := s.foundIn(p, l, need, q.buf[b.Offset-first.Offset:][:b.Length()]); err != nil {
				return err
			}
		}
		needs = needs[n:]
	}
	return nil
}

// foundIn applies what a block has of wanted keys.
func (s *Store) foundIn(p *part, l *level, n need, block []byte) error {
	rows, err := s.query.pick(p, l, n, block)
	if err == nil && rows != nil {
		rows, err = project(rows, l.seg.Schema(), p.Schema)
	}
	if err != nil {
		return fmt.Errorf("segment of %s at %d: %w", l.Object, l.Offset, err)
	}
	for i, x := range s.query.picks {
		w, key := &s.query.wants[x.want], rows.Key(i)[4:]
		p.Load(w.Hash, key[:len(w.Key)], key[len(w.Key):], rows, i)
	}
	return nil
}

// pick returns the wanted rows of a block, in the order of picks, which say who wants them; nil: it has none.
func (q *query) pick(p *part, l *level, n need, block []byte) (*segment.Rows, error) {
	q.picks, q.rows = q.picks[:0], q.rows[:0]
	keys, err := p.block.Seek(l.seg.Reader, n.block, block)
	if err != nil {
		return nil, err
	}
	at := 0
	for j := n.from; j < n.to; j++ {
		if q.found[j] {
			continue
		}
		w := &q.wants[j]
		at = keys.Search(q.hashes[j], at)
		i := at
		if i < keys.Len() && q.compare(w, keys, i) < 0 {
			i += sort.Search(keys.Len()-i, func(k int) bool { return q.compare(w, keys, i+k) >= 0 })
		}
		for ; i < keys.Len() && q.compare(w, keys, i) == 0; i++ {
			q.picks, q.rows = append(q.picks, pick{j, i}), append(q.rows, i)
			if p.Single {
				q.found[j] = true
				q.left--
			}
		}
	}
	if len(q.picks) == 0 {
		return nil, nil
	}
	return p.block.Pick(q.rows)
}

// compare compares a key of a block with what is wanted. What is no key comes before all.
func (q *query) compare(w *Want, keys *segment.Keys, i int) int {
	if key := keys.At(i); len(key) >= 4 {
		return w.compareRow(key)
	}
	return -1
}
