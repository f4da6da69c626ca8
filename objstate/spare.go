package objstate

import "sync"

// spareFrames keeps the frames of a store's last cut for its next one, a frame for each part. The first touch of fresh memory costs more than the copy that
// a lane stands still for. The lane takes frames and whoever encodes them gives them back.
type spareFrames struct {
	mu     sync.Mutex
	frames map[*part]*Frame
	held   int64 // bytes of them
}

const (
	// keptBytes is how large a frame may be that is kept.
	keptBytes = 128 << 20
	// keptShare is the share of a frame's memory that a cut has to have used for it to be kept.
	keptShare = 4
)

// take returns a frame for a part, without rows.
func (s *spareFrames) take(p *part) *Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.frames[p]
	if f == nil {
		return newFrame(p)
	}
	delete(s.frames, p)
	s.held -= f.capacity()
	return f
}

// give takes back a frame whose rows are not needed any more.
func (s *spareFrames) give(p *part, f *Frame) {
	used := f.rows.Bytes()
	f.rows.Reset()
	f.times = f.times[:0]
	held := f.capacity()
	if held > keptBytes || held > keptShare*used {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frames == nil {
		s.frames = map[*part]*Frame{}
	}
	s.frames[p] = f
	s.held += held
}

// bytes returns how much memory the frames that are kept take.
func (s *spareFrames) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// drop gives the memory up.
func (s *spareFrames) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames, s.held = nil, 0
}

// capacity returns how many bytes of memory the frame takes.
func (f *Frame) capacity() int64 {
	r := &f.rows
	n := cap(r.KeyBytes) + 4*cap(r.KeyOffsets) + cap(r.Ops) + 8*cap(f.times)
	for i := range r.Cols {
		c := &r.Cols[i]
		n += 8*(cap(c.Ints)+cap(c.Floats)) + cap(c.Bools) + 4*cap(c.Offsets) + cap(c.Bytes) + cap(c.Valid)
	}
	return int64(n)
}
