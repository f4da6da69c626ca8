package engine

import (
	"sync/atomic"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/objstate"
)

// defaultUnread is how many bytes a group may have in the bucket that others have not read.
const defaultUnread = 256 << 20

// room tells a group's sources whether there is room for what they would give. What has changed stays in memory until it is committed: when that is
// much of it, the sources wait for the cut that is asked for then. And when the groups that read what this one writes into the bucket have fallen
// behind, the sources wait for them. Any goroutine may use it.
type room struct {
	memory *objstate.Memory
	most   int64 // unread bytes
	full   atomic.Bool
	behind atomic.Bool
}

// none tells whether the sources are to wait.
func (r *room) none() bool { return r.full.Load() || r.behind.Load() }

// look takes note of how memory is, and tells whether there is room again.
func (r *room) look() (again bool) {
	full := r.memory.Full()
	return r.full.Swap(full) && !full
}

// read takes note of what root says of the others, and tells whether there is room again.
func (r *room) read(root *pb.Root, group uint32) (again bool) {
	behind := unread(root, group) > r.most
	return r.behind.Swap(behind) && !behind
}

// unread returns how many bytes of a group's are in the bucket that not all have read who are to read them.
func unread(root *pb.Root, group uint32) (n int64) {
	for _, x := range root.Exchanges {
		if x.Group != group {
			continue
		}
		for _, b := range x.Blocks {
			n += b.Length
		}
	}
	return n
}
