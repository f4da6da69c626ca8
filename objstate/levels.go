package objstate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sabot-stream/sabot"
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
		n := r.tail()
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
		}, r.Length, spans[i].N)
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
