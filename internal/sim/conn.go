package sim

import (
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// conn is a connection of a worker with a coordinator: messages come in order, until it breaks.
type conn struct {
	id      coord.WorkerID
	to      *coordinator
	toCoord []*pb.FromWorker
	toWork  []*pb.ToWorker
	broken  bool
}

func (c *conn) send(m *pb.FromWorker) {
	if c.broken {
		return
	}
	if n := len(c.toCoord); n > 0 && m.GetProgress() != nil && c.toCoord[n-1].GetProgress() != nil {
		c.toCoord[n-1] = m // time has passed: they are sent at intervals
	} else {
		c.toCoord = append(c.toCoord, m)
	}
}
