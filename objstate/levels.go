package objstate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/rowkey"
	"github.com/sabot-stream/sabot/objstate/segment"
	"github.com/sabot-stream/sabot/objstore"
)

// Span is a run of bytes of an object.
type Span struct {
	Object string
	Off, N int64
	Size   int64 // of the object; 0: not known
}

// span returns a part of a segment, by its offset there.
func (r Ref) span(off, n int64) Span { return Span{r.Object, r.Offset + off, n, r.Size} }

// Fetch reads spans; what it returns may share memory, and is not changed.
type Fetch func([]Span) ([][]byte, error)

// One reads one span.
func (f Fetch) One(s Span) ([]byte, error) {
	b, err := f([]Span{s})
	if err != nil {
		return nil, err
	}
	return b[0], nil
}

// segmentAt names the bytes of a segment.
type segmentAt struct {
	object string
	off    int64
}

// level is a reference with its segment, which several references may share.
type level struct {
	Ref
	seg *open
}

// open is a segment whose index is in memory.
type open struct {
	*segment.Reader
	filter segment.Filter        // nil: none, or too large to keep
	file   objstore.ObjectReader // nil: it is not open
}

// levels returns the part's references as of the last root, oldest first in each partition, with their segments open. It reads the indexes of those
// that are new, all at once.
func (s *Store) levels(p *part) ([]level, error) {
	now := s.o.Refs()
	if p.levels != nil && p.version == now.Version {
		return p.levels, nil
	}
	refs := now.Of(p.Name)
	segs := map[segmentAt]*open{}
	var fresh []Ref
	for _, l := range p.levels {
		segs[segmentAt{l.Object, l.Offset}] = l.seg
	}
	for _, r := range refs {
		if at := (segmentAt{r.Object, r.Offset}); segs[at] == nil {
			segs[at] = &open{}
			fresh = append(fresh, r)
		}
	}
	if err := s.openAll(p, fresh, segs); err != nil {
		return nil, err
	}
	old := p.levels
	p.levels = make([]level, len(refs))
	kept := map[*open]bool{}
	for i, r := range refs {
		p.levels[i] = level{r, segs[segmentAt{r.Object, r.Offset}]}
		kept[p.levels[i].seg] = true
	}
	for _, l := range old {
		if !kept[l.seg] {
			s.shut(l.seg)
		}
	}
	p.version = now.Version
	err := s.keepFilters(p)
	p.indexes = p.indexBytes()
	return p.levels, err
}

// openAll opens the segments of refs, with one request for each in the usual case.
func (s *Store) openAll(p *part, refs []Ref, segs map[segmentAt]*open) error {
	spans := make([]Span, len(refs))
	for i, r := range refs {
		n := segment.TailBytes(r.Length)
		spans[i] = r.span(r.Length-n, n)
	}
	tails, err := s.o.Fetch(spans)
	if err != nil {
		return err
	}
	for i, r := range refs {
		tail, from := tails[i], r.Length-spans[i].N
		seg, err := segment.Open(func(off, n int64) ([]byte, error) {
			if off < 0 || n < 0 || off > r.Length-n {
				return nil, sabot.WithKind(sabot.Corrupt, fmt.Errorf("bytes %d to %d of a segment of %d", off, off+n, r.Length))
			}
			if off >= from {
				return tail[off-from : off-from+n : off-from+n], nil
			}
			return s.o.Fetch.One(r.span(off, n))
		}, r.Length)
		if err != nil {
			return fmt.Errorf("segment of %s at %d: %w", r.Object, r.Offset, err)
		}
		segs[segmentAt{r.Object, r.Offset}].Reader = seg
	}
	return nil
}

// keepFilters reads filters, those of small segments first, as many as there is memory for: a large segment at the bottom has most keys that are
// looked for anyway.
func (s *Store) keepFilters(p *part) error {
	var segs []*open
	for _, l := range p.levels {
		if !slices.Contains(segs, l.seg) {
			segs = append(segs, l.seg)
		}
	}
	slices.SortFunc(segs, func(a, b *open) int { return cmp.Compare(a.FilterBytes(), b.FilterBytes()) })
	left := s.o.filterBytes()
	for _, o := range segs {
		if left -= o.FilterBytes(); left < 0 {
			o.filter = nil
			continue
		}
		if o.filter != nil {
			continue
		}
		var err error
		if o.filter, err = o.Filter(); err != nil {
			return err
		}
	}
	return nil
}

// indexBytes returns how much memory the part's open segments take.
func (p *part) indexBytes() (n int64) {
	seen := map[*open]bool{}
	for _, l := range p.levels {
		if !seen[l.seg] {
			seen[l.seg] = true
			n += l.seg.IndexBytes() + int64(len(l.seg.filter))
		}
	}
	return n
}

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

// Lookup applies to the part what its segments show of the wanted keys: the rows of a key oldest first. At says in which time bucket they are; it is
// not used when the part has only one. It sorts wants. It panics with a *StorageError when that cannot be read.
func (h Handle) Lookup(wants []Want, at sabot.Micros) {
	slices.SortFunc(wants, func(a, b Want) int {
		if x, y := rowkey.Hash32(a.Hash), rowkey.Hash32(b.Hash); x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.Suffix, b.Suffix))
	})
	for len(wants) > 0 {
		n := min(len(wants), mostWants)
		h.try(func() error { return h.s.lookup(h.p, wants[:n], at) })
		wants = wants[n:]
	}
}

// try calls f, which reads what the last root names, again when that is another root by now. Else a failure unwinds the caller.
func (h Handle) try(f func() error) {
	for {
		v := h.s.o.Refs().Version
		err := f()
		if err == nil {
			return
		}
		if h.s.o.Refs().Version != v && errors.Is(err, objstore.ErrNotFound) {
			h.p.levels = nil // compacted meanwhile, and the old objects are gone
			continue
		}
		if errors.Is(err, objstore.ErrNotFound) { // the newest root that we know still names it
			err = sabot.WithKind(sabot.Corrupt, err)
		}
		panic(&StorageError{h.p.Name, err})
	}
}

// once calls f, which applies what it reads as it goes: if the last root is another one meanwhile, the group has to start again.
func (h Handle) once(f func() error) {
	v := h.s.o.Refs().Version
	err := f()
	switch {
	case err == nil:
		return
	case !errors.Is(err, objstore.ErrNotFound):
	case h.s.o.Refs().Version != v:
		err = sabot.WithKind(sabot.Retry, err)
	default:
		err = sabot.WithKind(sabot.Corrupt, err)
	}
	panic(&StorageError{h.p.Name, err})
}

// project gives rows the columns that the part has.
func project(rows *segment.Rows, have, want segment.Schema) (*segment.Rows, error) {
	rows, err := segment.Project(rows, have, want)
	if err != nil {
		err = sabot.WithKind(sabot.Invalid, err)
	}
	return rows, err
}

// need is a block that may have some of the wanted keys: wants[from:to].
type need struct {
	level, block int
	from, to     int
}

func (s *Store) lookup(p *part, wants []Want, at sabot.Micros) error {
	levels, err := s.levels(p)
	if err != nil {
		return err
	}
	needs, spans := s.needs[:0], s.spans[:0]
	for i := range levels {
		l := &levels[i]
		if p.Base > 0 && !l.Bucket.Contains(at) {
			continue
		}
		before := len(needs)
		needs = l.plan(i, wants, needs)
		blocks := l.seg.Blocks()
		for _, n := range needs[before:] {
			spans = append(spans, l.span(blocks[n.block].Offset, blocks[n.block].Length()))
		}
	}
	s.needs, s.spans = needs, spans
	s.stats.Lookups += int64(len(wants))
	s.stats.Blocks += int64(len(needs))
	if len(needs) == 0 {
		return nil
	}
	if s.o.Open != nil {
		return s.readEach(p, levels, wants)
	}
	for from := 0; from < len(needs); {
		to, total := from, int64(0)
		for to < len(needs) && (to == from || total+spans[to].N <= lookupBytes) {
			total += spans[to].N
			to++
		}
		data, err := s.o.Fetch(spans[from:to])
		if err != nil {
			return err
		}
		for k, n := range needs[from:to] {
			if err := s.foundIn(p, &levels[n.level], n, wants, data[k]); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// lookupBytes is how much of blocks is in memory at a time while keys are looked up.
const lookupBytes = 16 << 20

// readEach reads the needed blocks one by one from files that stay open.
func (s *Store) readEach(p *part, levels []level, wants []Want) error {
	for _, n := range s.needs {
		l := &levels[n.level]
		b := l.seg.Blocks()[n.block]
		f, err := s.file(l)
		if err != nil {
			return err
		}
		s.buf = slices.Grow(s.buf[:0], int(b.Length()))[:b.Length()]
		if _, err := f.ReadAt(s.buf, l.Offset+b.Offset); err != nil {
			return fmt.Errorf("read %s at %d: %w", l.Object, l.Offset+b.Offset, err)
		}
		if err := s.foundIn(p, l, n, wants, s.buf); err != nil {
			return err
		}
	}
	return nil
}

// mostFiles bounds how many files of one store are open.
const mostFiles = 256

// file returns a level's object, open.
func (s *Store) file(l *level) (objstore.ObjectReader, error) {
	if l.seg.file != nil {
		return l.seg.file, nil
	}
	if s.files >= mostFiles {
		for _, p := range s.parts {
			for _, other := range p.levels {
				s.shut(other.seg)
			}
		}
	}
	f, err := s.o.Open(l.Object)
	if err == nil {
		l.seg.file = f
		s.files++
	}
	return f, err
}

// shut closes a segment's file.
func (s *Store) shut(o *open) {
	if o.file != nil {
		_ = o.file.Close() // nothing was written
		o.file = nil
		s.files--
	}
}

// foundIn applies what a block has of wanted keys.
func (s *Store) foundIn(p *part, l *level, n need, wants []Want, block []byte) error {
	rows, err := p.block.Decode(l.seg.Reader, n.block, block)
	if err == nil {
		rows, err = project(rows, l.seg.Schema(), p.Schema)
	}
	if err != nil {
		return fmt.Errorf("segment of %s at %d: %w", l.Object, l.Offset, err)
	}
	for j := n.from; j < n.to; j++ {
		p.found(&wants[j], rows)
	}
	return nil
}

// plan adds the blocks of a level that may have wanted keys, in order. Wants are in order of key.
func (l *level) plan(number int, wants []Want, needs []need) []need {
	blocks := l.seg.Blocks()
	hash := func(j int) uint32 { return rowkey.Hash32(wants[j].Hash) }
	j := sort.Search(len(wants), func(j int) bool { return uint64(hash(j)) >= l.Clip.Lo })
	b := 0
	for ; j < len(wants) && uint64(hash(j)) < l.Clip.Hi; j++ {
		w := &wants[j]
		if !l.seg.filter.Has(hash(j)) {
			continue
		}
		b += sort.Search(len(blocks)-b, func(k int) bool { return w.compareRow(blocks[b+k].Last) >= 0 })
		for k := b; k < len(blocks) && w.compareRow(blocks[k].First) <= 0; k++ {
			if last := len(needs) - 1; last >= 0 && needs[last].level == number && needs[last].block == k {
				needs[last].to = j + 1
				continue
			}
			needs = append(needs, need{number, k, j, j + 1})
		}
	}
	return needs
}

// found applies the rows of a block whose keys are wanted.
func (p *part) found(w *Want, rows *segment.Rows) {
	i := sort.Search(rows.Len(), func(i int) bool { return w.compareRow(rows.Key(i)) >= 0 })
	for ; i < rows.Len(); i++ {
		key := rows.Key(i)
		if w.compareRow(key) != 0 {
			return
		}
		p.Load(w.Hash, key[4:4+len(w.Key)], key[4+len(w.Key):], rows, i)
	}
}
